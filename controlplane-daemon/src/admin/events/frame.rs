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
        let changes = record["changes"].as_array();
        let mut changes = match role {
            Role::Owner | Role::Auditor => changes.cloned(),
            Role::Operator if action.starts_with("admin.") => return None,
            Role::Operator => Some(without_admins(changes?)?),
            Role::TenantAdmin(slug) if record["tenant"].as_str() == Some(slug.as_str()) => Some(changes?.clone()),
            Role::TenantAdmin(_) => return None,
        };
        let mut data = Map::new();
        for name in ["revision", "seq", "time", "actor", "action", "tenant", "resource", "changes", "note"] {
            let value = match name {
                "changes" => changes.take().map(Value::Array),
                _ => record.get(name).cloned(),
            };
            if let Some(value) = value {
                data.insert(name.to_owned(), value);
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

/// A restore, or the end of a tenant, may change credentials beside other things. `None`: nothing else.
fn without_admins(changes: &[Value]) -> Option<Vec<Value>> {
    let is_of_admin = |change: &&Value| change["resource"].as_str().is_some_and(|path| path.starts_with("admins/"));
    let shown: Vec<Value> = changes.iter().filter(|change| !is_of_admin(change)).cloned().collect();
    (!shown.is_empty() || changes.is_empty()).then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes_shown(role: &Role, action: &str, resources: &[&str]) -> Option<usize> {
        let changes: Vec<_> = resources.iter().map(|path| json!({ "resource": path, "change": "created" })).collect();
        let record = json!({ "revision": 7, "seq": 3, "action": action, "tenant": "acme", "changes": changes });
        match Frame::show(role, &record)? {
            Frame::Change { data, .. } => data["changes"].as_array().map(Vec::len),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn operators_hear_of_no_credential_by_whatever_change() {
        let all = ["tenants/acme", "admins/01900000-0000-7000-8000-000000000001"];
        for role in [Role::Owner, Role::Auditor] {
            assert_eq!(changes_shown(&role, "restore", &all), Some(2));
            assert_eq!(changes_shown(&role, "admin.create", &all[1..]), Some(1));
        }
        assert_eq!(changes_shown(&Role::Operator, "restore", &all), Some(1));
        assert_eq!(changes_shown(&Role::Operator, "tenant.delete", &all[1..]), None);
        assert_eq!(changes_shown(&Role::Operator, "admin.create", &all[1..]), None);
        assert_eq!(changes_shown(&Role::Operator, "tenant.update", &[]), Some(0), "nothing became different");
        assert_eq!(changes_shown(&Role::TenantAdmin("acme".parse().unwrap()), "restore", &all[..1]), Some(1));
        assert_eq!(changes_shown(&Role::TenantAdmin("other".parse().unwrap()), "restore", &all[..1]), None);
    }

    #[test]
    fn notes_are_for_who_reads_the_audit() {
        let note = json!({ "revision": 7, "seq": 3, "action": "sign_in.failed", "note": { "count": 1 } });
        assert!(Frame::show(&Role::Owner, &note).is_some());
        assert!(Frame::show(&Role::Operator, &note).is_none());
        assert!(Frame::show(&Role::TenantAdmin("acme".parse().unwrap()), &note).is_none());
    }
}
