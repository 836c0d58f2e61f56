//! From what an entry does to lines of the chain.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use vocab::{Link, NodeId, Revision, Sealed, Slug, Timestamp};

use super::difference::Difference;
use super::leaves::Leaves;
use super::{Chain, Record};
use crate::entry::{Actor, Origin};
use crate::model::KeyOwner;
use crate::mutation::{Change, ResourceRef};
use crate::note::{Note, Noted};
use crate::state::State;

/// Of most records, without the values of their changes.
const USUAL_BYTES: usize = 512;
/// Fields of one record that are spelled out. A change beyond it is named, without its fields.
const SPELLED_OUT: usize = 500;

/// Who did what, when, from where.
#[derive(Clone, Debug)]
pub(crate) struct Circumstances {
    pub(crate) revision: Revision,
    pub(crate) at: Timestamp,
    pub(crate) actor: Actor,
    pub(crate) origin: Origin,
    pub(crate) action: &'static str,
}

/// The members of a line, in this order. Readers take what they know and pass over the rest.
#[derive(Serialize)]
struct Body<'a> {
    revision: Revision,
    time: String,
    /// Absent: nobody knows who it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a Actor>,
    #[serde(flatten)]
    origin: From<'a>,
    action: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a Slug>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<&'a [Changed]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<NodeId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    noted_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a Note>,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncation: Option<&'a Value>,
}

#[derive(Serialize)]
struct From<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl<'a> From<'a> {
    fn of(origin: &'a Origin) -> Self {
        Self {
            credential: origin.credential.as_deref(),
            source_address: origin.address.as_deref(),
            request_id: origin.request_id.as_deref(),
        }
    }
}

/// A resource that became different.
#[derive(Serialize)]
struct Changed {
    resource: String,
    change: &'static str,
    #[serde(skip_serializing_if = "Difference::is_empty")]
    fields: Difference,
    /// There are more fields than a record holds.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    fields_omitted: bool,
}

/// Gathers what the changes of one entry come to, and then writes the records.
#[derive(Default)]
pub(crate) struct Recorder {
    /// By tenant, so that a tenant's administrator can be shown what concerns the tenant and nothing else.
    changed: BTreeMap<Option<Slug>, Vec<Changed>>,
    fields: usize,
}

impl Recorder {
    /// Looks at a change before the state absorbs it.
    pub(crate) fn observe(&mut self, state: &State, change: &Change) {
        let Subject { tenant, resource, before, after } = Subject::of(state, change);
        let change = match (&before, &after) {
            (None, _) => "created",
            (_, None) => "deleted",
            _ => "updated",
        };
        let mut fields = Difference::between(before, after);
        if change == "updated" && fields.is_empty() {
            self.changed.entry(tenant).or_default();
            return;
        }
        let fields_omitted = self.fields + fields.len() > SPELLED_OUT;
        if fields_omitted {
            fields = Difference::default();
        }
        self.fields += fields.len();
        self.changed.entry(tenant).or_default().push(Changed { resource, change, fields, fields_omitted });
    }

    /// The records of an accepted entry.
    pub(crate) fn finish(mut self, chain: &mut Chain, who: &Circumstances, about: &ResourceRef) -> Vec<Record> {
        if who.actor == Actor::System && !self.changed.is_empty() && self.changed.values().all(Vec::is_empty) {
            return Vec::new();
        }
        if self.changed.is_empty() {
            self.changed.insert(about.tenant().cloned(), Vec::new());
        }
        let write = |(tenant, changes): (&Option<Slug>, &Vec<Changed>)| {
            let mut body = who.body();
            body.tenant = tenant.as_ref();
            body.resource = Some(about.path());
            body.changes = Some(changes);
            append(chain, who.revision, &body, changes.iter().map(|changed| changed.fields.bytes()).sum())
        };
        self.changed.iter().map(write).collect()
    }

    /// The records of notes.
    pub(crate) fn notes(chain: &mut Chain, who: &Circumstances, notes: &[Noted]) -> Vec<Record> {
        let write = |Noted { at, node, note }: &Noted| {
            let mut body = who.body();
            body.action = note.action();
            body.actor = None;
            let nobody = Origin::default();
            let (actor, origin) = match note {
                Note::RequestRefused { actor, origin, code, .. } => {
                    body.code = Some(code);
                    (actor.as_ref(), origin)
                }
                Note::SignInFailed { origin, .. } | Note::LockedOut { origin, .. } => (None, origin),
                _ => (Some(&who.actor), &nobody),
            };
            body.actor = actor;
            body.origin = From::of(origin);
            body.node = Some(*node);
            body.noted_at = Some(rfc3339(*at));
            body.note = Some(note);
            append(chain, who.revision, &body, 0)
        };
        notes.iter().map(write).collect()
    }

    /// The record that signs for the removal of older ones.
    pub(crate) fn truncation(chain: &mut Chain, who: &Circumstances, truncation: &impl Serialize) -> Record {
        let truncation = serde_json::to_value(truncation).expect("a truncation has string keys and serializes");
        let mut body = who.body();
        body.resource = Some(ResourceRef::Audit.path());
        body.truncation = Some(&truncation);
        append(chain, who.revision, &body, 0)
    }
}

impl Circumstances {
    fn body(&self) -> Body<'_> {
        Body {
            revision: self.revision,
            time: rfc3339(self.at),
            actor: Some(&self.actor),
            origin: From::of(&self.origin),
            action: self.action,
            tenant: None,
            resource: None,
            code: None,
            changes: None,
            node: None,
            noted_at: None,
            note: None,
            truncation: None,
        }
    }
}

/// `content` is about how long the values of the changes are.
fn append(chain: &mut Chain, revision: Revision, body: &Body<'_>, content: usize) -> Record {
    let write = |line: &mut Vec<u8>| {
        serde_json::to_writer(line, body).expect("a record has string keys and serializes");
    };
    let (link, line) = Link::write_object(chain.seq + 1, chain.hash, USUAL_BYTES + content, write);
    chain.seq = link.seq;
    chain.hash = link.hash;
    chain.bytes += line.len() as u64;
    Record { seq: link.seq, revision, line }
}

/// RFC 3339, UTC, always with milliseconds.
fn rfc3339(time: Timestamp) -> String {
    // Out of jiff's range (years -9999 to 9999) only by a corrupted clock.
    jiff::Timestamp::from_millisecond(time.millis()).map_or_else(|_| time.to_string(), |time| format!("{time:.3}"))
}

/// What a change is about.
struct Subject {
    tenant: Option<Slug>,
    resource: String,
    before: Option<Leaves>,
    after: Option<Leaves>,
}

impl Subject {
    fn of(state: &State, change: &Change) -> Self {
        let slug = |id| state.tenant_by_id(id).map(|tenant| tenant.slug.clone());
        let owner = |owner: &KeyOwner| match owner {
            KeyOwner::Global => None,
            KeyOwner::Tenant(id) => slug(*id),
        };
        let (resource, before, after) = match change {
            Change::TenantPut(tenant) => {
                let before = state.tenant_by_id(tenant.id);
                (ResourceRef::Tenant { slug: tenant.slug.clone() }, document(before), document(Some(tenant)))
            }
            Change::TenantDeleted { id, slug } => {
                (ResourceRef::Tenant { slug: slug.clone() }, document(state.tenant_by_id(*id)), None)
            }
            Change::ClientPut(client) => {
                let before = state.client(client.tenant_id, &client.client_id);
                return Self::owned(slug(client.tenant_id), "clients", client.client_id.as_str())
                    .with(document(before), document(Some(client)));
            }
            Change::ClientDeleted { tenant_id, client_id } => {
                return Self::owned(slug(*tenant_id), "clients", client_id.as_str())
                    .with(document(state.client(*tenant_id, client_id)), None);
            }
            Change::ScopePut(scope) => {
                return Self::owned(slug(scope.tenant_id), "scopes", scope.name.as_str())
                    .with(document(state.scope(scope.tenant_id, &scope.name)), document(Some(scope)));
            }
            Change::ScopeDeleted { tenant_id, name } => {
                return Self::owned(slug(*tenant_id), "scopes", name.as_str())
                    .with(document(state.scope(*tenant_id, name)), None);
            }
            Change::KeyPut(key) => {
                return Self::owned(owner(&key.owner), "keys", key.kid.as_str())
                    .with(document(state.key(key.owner, &key.kid)), document(Some(key)));
            }
            Change::KeyDeleted { owner: whose, kid } => {
                return Self::owned(owner(whose), "keys", kid.as_str()).with(document(state.key(*whose, kid)), None);
            }
            Change::AdminPut(admin) => {
                (ResourceRef::Admin { id: admin.id }, document(state.admin(admin.id)), document(Some(admin)))
            }
            Change::SettingsPut(settings) => {
                (ResourceRef::Settings, document(Some(&state.settings())), document(Some(settings)))
            }
            Change::NodePut(node) => {
                (ResourceRef::Node { id: node.id }, document(state.node(node.id)), document(Some(node)))
            }
            Change::NodeDeleted { id } => (ResourceRef::Node { id: *id }, document(state.node(*id)), None),
            Change::PodPut(pod) => {
                let pod_id = &pod.sighting.pod_id;
                return Self::owned(None, "fleet", pod_id.as_str())
                    .with(document(state.pod(pod_id)), document(Some(pod)));
            }
            Change::PodDeleted { pod_id } => {
                return Self::owned(None, "fleet", pod_id.as_str()).with(document(state.pod(pod_id)), None);
            }
            Change::AdminDeleted { id } => (ResourceRef::Admin { id: *id }, document(state.admin(*id)), None),
            Change::ReceiptPut { actor, request_id, receipt } => {
                let before = state.remembered(actor, request_id).and_then(|answer| answer.receipt.as_ref());
                let document = |receipt: &Sealed| Leaves::of(&serde_json::json!({ "receipt": receipt }));
                return Self::owned(None, "requests", request_id.as_str())
                    .with(before.map(document), Some(document(receipt)));
            }
        };
        Self { tenant: resource.tenant().cloned(), resource: resource.path(), before, after }
    }

    /// Something of a tenant, or of nobody.
    fn owned(tenant: Option<Slug>, kind: &str, name: &str) -> Self {
        let resource = match &tenant {
            Some(slug) => format!("tenants/{slug}/{kind}/{name}"),
            None => format!("{kind}/{name}"),
        };
        Self { tenant, resource, before: None, after: None }
    }

    fn with(self, before: Option<Leaves>, after: Option<Leaves>) -> Self {
        Self { before, after, ..self }
    }
}

fn document(resource: Option<&impl Serialize>) -> Option<Leaves> {
    resource.map(Leaves::of)
}

impl ResourceRef {
    /// Whose it is, or which one.
    pub fn tenant(&self) -> Option<&Slug> {
        match self {
            Self::Tenant { slug } => Some(slug),
            Self::Client { tenant, .. } | Self::Scope { tenant, .. } | Self::RegistrationToken { tenant, .. } => {
                Some(tenant)
            }
            Self::Key { tenant, .. } => tenant.as_ref(),
            _ => None,
        }
    }

    /// Where it stands below the admin API's prefix.
    pub fn path(&self) -> String {
        match self {
            Self::Tenant { slug } => format!("tenants/{slug}"),
            Self::Client { tenant, client_id } => format!("tenants/{tenant}/clients/{client_id}"),
            Self::RegistrationToken { tenant, id } => format!("tenants/{tenant}/registration-tokens/{id}"),
            Self::Scope { tenant, name } => format!("tenants/{tenant}/scopes/{name}"),
            Self::Key { tenant: Some(tenant), kid } => format!("tenants/{tenant}/keys/{kid}"),
            Self::Key { tenant: None, kid } => format!("keys/{kid}"),
            Self::Admin { id } => format!("admins/{id}"),
            Self::Configuration => "configuration".to_owned(),
            Self::Node { id } => format!("cluster/members/{id}"),
            Self::Nodes => "cluster/members".to_owned(),
            Self::Settings => "settings".to_owned(),
            Self::Fleet => "fleet".to_owned(),
            Self::Audit => "audit".to_owned(),
        }
    }
}
