//! What a listener is sent, and how it looks in either kind of stream.

use bytes::Bytes;
use controlplane_core::Role;
use serde_json::{Map, Value, json};
use vocab::Revision;

#[derive(Clone, Debug)]
pub(super) enum Frame {
    Opened(Stand),
    Heartbeat(Stand),
    /// What was asked for is not kept any more; the stream goes on from here.
    Reset(Revision),
    Change {
        action: String,
        /// `REVISION-SEQ`: where to go on after it.
        id: String,
        data: Map<String, Value>,
    },
    /// The last one, and why.
    Closed(&'static str),
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stand {
    pub(super) revision: Revision,
    /// Of the last record that was looked at, whether it was shown or not.
    pub(super) seq: u64,
}

impl Stand {
    /// Where to go on. A listener that is shown little, or nothing yet, must not begin anew when it comes back.
    fn id(self) -> String {
        format!("{}-{}", self.revision, self.seq)
    }
}

impl Frame {
    /// What `role` is shown of a record: where requests came from is for those who read the audit.
    pub(super) fn show(role: &Role, record: &Value) -> Option<Self> {
        let action = record["action"].as_str().unwrap_or_default();
        let is_change = record.get("changes").is_some();
        let visible = match role {
            Role::Owner | Role::Auditor => true,
            Role::Operator => is_change && !action.starts_with("admin."),
            Role::TenantAdmin(slug) => is_change && record["tenant"].as_str() == Some(slug.as_str()),
        };
        if !visible {
            return None;
        }
        let mut data = Map::new();
        for name in ["revision", "seq", "time", "actor", "action", "tenant", "resource", "changes", "note"] {
            if let Some(value) = record.get(name) {
                data.insert(name.to_owned(), value.clone());
            }
        }
        let id = format!("{}-{}", record["revision"], record["seq"]);
        Some(Self::Change { action: action.to_owned(), id, data })
    }

    /// WHATWG HTML §9.2.5. Whoever listens this way is told in comments, which no program sees, that the stream is alive.
    pub(super) fn as_server_sent_event(&self) -> Bytes {
        let text = match self {
            Self::Opened(stand) => format!("id: {}\nretry: 1000\n: revision {}\n\n", stand.id(), stand.revision),
            Self::Heartbeat(stand) => format!("id: {}\n: revision {}\n\n", stand.id(), stand.revision),
            Self::Reset(revision) => format!("event: reset\ndata: {}\n\n", json!({ "revision": revision })),
            Self::Change { action, id, data } => {
                format!("id: {id}\nevent: {action}\ndata: {}\n\n", Value::Object(data.clone()))
            }
            Self::Closed(reason) => format!("event: closed\ndata: {}\n\n", json!({ "reason": reason })),
        };
        Bytes::from(text)
    }

    /// The text of a WebSocket's message.
    pub(super) fn as_message(&self) -> String {
        let message = match self {
            Self::Opened(stand) => {
                json!({"event": "opened", "id": stand.id(), "data": {"revision": stand.revision}})
            }
            Self::Heartbeat(stand) => {
                json!({"event": "heartbeat", "id": stand.id(), "data": {"revision": stand.revision}})
            }
            Self::Reset(revision) => json!({"event": "reset", "data": {"revision": revision}}),
            Self::Change { action, id, data } => json!({"event": action, "id": id, "data": data}),
            Self::Closed(reason) => json!({"event": "closed", "data": {"reason": reason}}),
        };
        message.to_string()
    }
}
