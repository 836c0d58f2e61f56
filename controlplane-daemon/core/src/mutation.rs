//! The catalogue: everything that can be asked of the configuration, and everything that can come of it.
//!
//! The tags are the wire format. A mutation is added by: a variant here, its arm in `apply`, its name in
//! [`Mutation::name`], an apply test, and (when old nodes could meet it) a new [`crate::entry::FORMAT`].

mod change;
mod demand;
mod proofs;

use std::fmt;

use serde::{Deserialize, Serialize};
use vocab::{
    AdminId, ChainHash, ClientId, KeyId, NodeId, PodId, RegistrationTokenId, Revision, ScopeName, Sealed, SecretDigest,
    SecretId, Slug, Timestamp,
};

pub use change::Change;
pub use proofs::{InitialProof, RegistrationProofs};

use demand::Demand;
pub(crate) use demand::{families_of, families_of_tenant};

use crate::model::{
    Admin, AdminSpec, Client, ClientSpec, ClusterSettings, ClusterSettingsSpec, KeyFamily, NodeSpec, PodSighting,
    RegistrationTokenSpec, Scope, ScopeSpec, SigningKey, Tenant, TenantSpec,
};
use crate::note::Noted;
use crate::seals::SealedPlace;
use crate::state::State;

/// What an administrator asked for. Resources are addressed as in URLs: tenants by slug.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "body", deny_unknown_fields)]
pub enum Mutation {
    /// Makes the tenant and the signing key of its algorithm (from the stamp).
    #[serde(rename = "tenant.create")]
    TenantCreate { slug: Slug, spec: TenantSpec },
    /// Replaces the whole spec. A first signing key of another algorithm comes with it (from the stamp).
    #[serde(rename = "tenant.update")]
    TenantUpdate { slug: Slug, spec: TenantSpec },
    /// With everything that belongs to it: clients, scopes, keys, its tenant-admins' credentials.
    #[serde(rename = "tenant.delete")]
    TenantDelete { slug: Slug },

    /// `client_id` absent: the stamp's id. `secret` is needed exactly for confidential clients. Like `client.update` it
    /// takes the first keys of the algorithms that the client asks for from the stamp.
    #[serde(rename = "client.create")]
    ClientCreate { tenant: Slug, client_id: Option<ClientId>, spec: ClientSpec, secret: Option<NewSecret> },
    #[serde(rename = "client.update")]
    ClientUpdate { tenant: Slug, client_id: ClientId, spec: ClientSpec },
    #[serde(rename = "client.delete")]
    ClientDelete { tenant: Slug, client_id: ClientId },
    /// A second, overlapping secret; a third is refused. `previous_expires_at` sets an end to the one there is.
    #[serde(rename = "client.secret.add")]
    ClientSecretAdd { tenant: Slug, client_id: ClientId, secret: NewSecret, previous_expires_at: Option<Timestamp> },
    /// The last one cannot be removed.
    #[serde(rename = "client.secret.remove")]
    ClientSecretRemove { tenant: Slug, client_id: ClientId, secret_id: SecretId },

    /// A client registers itself (RFC 7591 §3), as far as the tenant's policy lets it. `secret` is left when the client
    /// needs none.
    #[serde(rename = "client.register")]
    ClientRegister { tenant: Slug, spec: ClientSpec, secret: Option<NewSecret>, proofs: RegistrationProofs },
    /// What it says of itself is replaced (RFC 7592 §2.2). `proof`: of its registration access token.
    #[serde(rename = "client.reregister")]
    ClientReregister {
        tenant: Slug,
        client_id: ClientId,
        spec: ClientSpec,
        proof: SecretDigest,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        statement_issuer: Option<String>,
        /// Becomes its secret if it needs another one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret: Option<NewSecret>,
        /// Of another registration access token, if the tenant lets none be used twice.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        management: Option<SecretDigest>,
    },
    /// It is gone (RFC 7592 §2.3).
    #[serde(rename = "client.unregister")]
    ClientUnregister { tenant: Slug, client_id: ClientId, proof: SecretDigest },

    #[serde(rename = "registration_token.create")]
    RegistrationTokenCreate { tenant: Slug, id: RegistrationTokenId, spec: RegistrationTokenSpec, digest: SecretDigest },
    #[serde(rename = "registration_token.revoke")]
    RegistrationTokenRevoke { tenant: Slug, id: RegistrationTokenId },

    #[serde(rename = "scope.create")]
    ScopeCreate { tenant: Slug, name: ScopeName, spec: ScopeSpec },
    #[serde(rename = "scope.update")]
    ScopeUpdate { tenant: Slug, name: ScopeName, spec: ScopeSpec },
    /// Also takes it out of every client's `scopes`.
    #[serde(rename = "scope.delete")]
    ScopeDelete { tenant: Slug, name: ScopeName },

    /// `tenant` absent: the global key set.
    #[serde(rename = "key.rotate")]
    KeyRotate {
        tenant: Option<Slug>,
        step: RotateStep,
        /// Which of the owner's keys. Absent: the one of the tenant's algorithm.
        #[serde(default, rename = "algorithm", skip_serializing_if = "Option::is_none")]
        family: Option<KeyFamily>,
    },
    /// The next key becomes active, if it is this one: whoever waited until verifiers knew it means no other.
    #[serde(rename = "key.activate")]
    KeyActivate { tenant: Option<Slug>, kid: KeyId },
    /// A next or retiring key becomes revoked; an active one only when nobody signs with its family any more.
    #[serde(rename = "key.revoke")]
    KeyRevoke { tenant: Option<Slug>, kid: KeyId },

    #[serde(rename = "admin.create")]
    AdminCreate { id: AdminId, spec: AdminSpec, digest: SecretDigest },
    #[serde(rename = "admin.update")]
    AdminUpdate { id: AdminId, spec: AdminSpec },
    /// The last owner cannot be deleted (nor lose the role).
    #[serde(rename = "admin.delete")]
    AdminDelete { id: AdminId },

    /// A node is known, under this address; again: something of it has changed.
    #[serde(rename = "node.put")]
    NodePut { id: NodeId, spec: NodeSpec },
    /// The leader hears these. Written once in some minutes.
    #[serde(rename = "node.seen")]
    NodeSeen { ids: Vec<NodeId> },
    /// Leaves a mark, so that the node is not taken in again by itself.
    #[serde(rename = "node.remove")]
    NodeRemove { id: NodeId },

    /// When credentials were last used, as far as a node noticed. Later times only, of credentials that there are.
    #[serde(rename = "admin.used")]
    AdminUsed { uses: Vec<AdminUse> },

    /// Exchanges envelopes for ones of another master key. A place that holds another envelope by now is left alone.
    #[serde(rename = "key.reseal")]
    KeyReseal { moves: Vec<Reseal> },

    /// Puts whole resources as they stand there, owners before what they own: an import, chunk by chunk. At most
    /// [`crate::limits::RESTORED_TOGETHER`]; the keys of one owner come together and are its whole set.
    #[serde(rename = "restore")]
    Restore { resources: Vec<Restored> },

    /// What nodes have to report that is no change of the configuration. It stands in the audit and nowhere else.
    #[serde(rename = "audit.note")]
    AuditNote { notes: Vec<Noted> },
    /// Replaces the whole spec.
    #[serde(rename = "settings.update")]
    SettingsUpdate { spec: ClusterSettingsSpec },
    /// What the leader has seen of the pods since it last wrote it down, and which to strike off the roster.
    #[serde(rename = "fleet.update")]
    FleetUpdate { sightings: Vec<PodSighting>, forget: Vec<PodId> },

    /// All of them or none, in order, at one revision. What an item needs of the stamp follows from its position.
    #[serde(rename = "batch")]
    Batch {
        items: Vec<Mutation>,
        /// What the batch was planned against; checked before the first item.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        planned_on: Vec<Precondition>,
        /// Tenants, clients and scopes that an item makes or replaces are this manifest set's from then on. Absent:
        /// they stay whose they are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        managed_by: Option<String>,
    },
    /// Takes the oldest records away. Whoever checks what remains learns from `truncation` with which hash it begins.
    /// None at all: the signature is made anew, before the key that made the old one is forgotten.
    #[serde(rename = "audit.truncate")]
    AuditTruncate { truncation: Truncation, removed_bytes: u64 },
    /// Everything up to `seq` was delivered to the sink. Leaves no record, or each delivery would need another.
    #[serde(rename = "audit.cursor")]
    AuditCursor { sink: String, seq: u64 },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminUse {
    pub id: AdminId,
    pub at: Timestamp,
}

/// One envelope for another: compared with `from`, and set to `to`, which holds the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reseal {
    pub place: SealedPlace,
    pub from: Sealed,
    pub to: Sealed,
}

/// A resource as an export holds it. Its revision is that of the entry which puts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "a client has many settings, and few are on their way at once")]
pub enum Restored {
    Tenant(Tenant),
    Scope(Scope),
    Key(SigningKey),
    Client(Client),
    Admin(Admin),
    Settings(ClusterSettings),
}

impl Mutation {
    /// The keys that the leader must stamp, in the order in which the mutations here take them. A guess where others write
    /// at the same time: what is missing then `apply` refuses, what is too much it leaves.
    pub fn fresh_keys(&self, state: &State) -> Vec<KeyFamily> {
        let mut demand = Demand::new(state);
        for item in self.items() {
            demand.of(item);
        }
        demand.fresh
    }

    /// Whether it tells the audit something, instead of changing the configuration.
    pub const fn is_of_the_audit(&self) -> bool {
        matches!(self, Self::AuditNote { .. } | Self::AuditTruncate { .. } | Self::AuditCursor { .. })
    }

    /// A batch's items; of anything else, itself.
    pub fn items(&self) -> &[Self] {
        match self {
            Self::Batch { items, .. } => items,
            single => std::slice::from_ref(single),
        }
    }

    /// The catalogue name, as in the log, the audit and the metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TenantCreate { .. } => "tenant.create",
            Self::TenantUpdate { .. } => "tenant.update",
            Self::TenantDelete { .. } => "tenant.delete",
            Self::ClientCreate { .. } => "client.create",
            Self::ClientUpdate { .. } => "client.update",
            Self::ClientDelete { .. } => "client.delete",
            Self::ClientSecretAdd { .. } => "client.secret.add",
            Self::ClientSecretRemove { .. } => "client.secret.remove",
            Self::ClientRegister { .. } => "client.register",
            Self::ClientReregister { .. } => "client.reregister",
            Self::ClientUnregister { .. } => "client.unregister",
            Self::RegistrationTokenCreate { .. } => "registration_token.create",
            Self::RegistrationTokenRevoke { .. } => "registration_token.revoke",
            Self::ScopeCreate { .. } => "scope.create",
            Self::ScopeUpdate { .. } => "scope.update",
            Self::ScopeDelete { .. } => "scope.delete",
            Self::KeyRotate { .. } => "key.rotate",
            Self::KeyActivate { .. } => "key.activate",
            Self::KeyRevoke { .. } => "key.revoke",
            Self::AdminCreate { .. } => "admin.create",
            Self::AdminUpdate { .. } => "admin.update",
            Self::AdminDelete { .. } => "admin.delete",
            Self::NodePut { .. } => "node.put",
            Self::NodeSeen { .. } => "node.seen",
            Self::NodeRemove { .. } => "node.remove",
            Self::AdminUsed { .. } => "admin.used",
            Self::KeyReseal { .. } => "key.reseal",
            Self::Restore { .. } => "restore",
            Self::AuditNote { .. } => "audit.note",
            Self::SettingsUpdate { .. } => "settings.update",
            Self::FleetUpdate { .. } => "fleet.update",
            Self::Batch { .. } => "batch",
            Self::AuditTruncate { .. } => "audit.truncate",
            Self::AuditCursor { .. } => "audit.cursor",
        }
    }
}

/// A resource as it was looked at: at this revision, or not there ([`Revision::ZERO`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Precondition {
    pub resource: ResourceRef,
    pub revision: Revision,
    /// Of a tenant that goes with what is in it: the newest revision of its clients and scopes, so that nothing goes
    /// that nobody looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Revision>,
}

impl Precondition {
    pub const fn new(resource: ResourceRef, revision: Revision) -> Self {
        Self { resource, revision, contents: None }
    }
}

/// What the remaining chain must begin with, signed for by the leader that removed the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Truncation {
    /// The last record that is gone.
    pub through_seq: u64,
    /// Its hash, which the first remaining record names.
    pub last_hash: ChainHash,
    /// How many are gone with it. Earlier truncations have records of their own.
    pub removed: u64,
    /// A JWS (RFC 7515) by the global key over the three above.
    pub signature: String,
}

/// A secret that was made and shown elsewhere; only its digest comes here, and for those clients that need it the secret
/// under a seal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    pub id: SecretId,
    pub digest: SecretDigest,
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
}

/// How far a rotation goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RotateStep {
    /// A fresh key becomes active, the active one retiring. A next key, if there is one, stays next.
    #[default]
    Now,
    /// A fresh key is published as next; refused while there is one.
    Publish,
    /// The next key becomes active, the active one retiring; refused while there is no next.
    Activate,
}

impl RotateStep {
    /// Whether the leader must stamp a [`crate::FreshKey`].
    pub const fn needs_key(self) -> bool {
        matches!(self, Self::Now | Self::Publish)
    }
}

/// The resource a request was about: what a replayed request is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ResourceRef {
    Tenant {
        slug: Slug,
    },
    Client {
        tenant: Slug,
        client_id: ClientId,
    },
    RegistrationToken {
        tenant: Slug,
        id: RegistrationTokenId,
    },
    Scope {
        tenant: Slug,
        name: ScopeName,
    },
    Key {
        tenant: Option<Slug>,
        kid: KeyId,
    },
    Admin {
        id: AdminId,
    },
    Node {
        id: NodeId,
    },
    /// Of all or several nodes.
    Nodes,
    /// Of everything, or of many.
    Configuration,
    /// The audit itself.
    Audit,
    Settings,
    Fleet,
}

impl fmt::Display for ResourceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant { slug } => write!(f, "tenant {slug}"),
            Self::Client { tenant, client_id } => write!(f, "client {client_id} of tenant {tenant}"),
            Self::RegistrationToken { tenant, id } => write!(f, "registration token {id} of tenant {tenant}"),
            Self::Scope { tenant, name } => write!(f, "scope {name} of tenant {tenant}"),
            Self::Key { tenant: Some(tenant), kid } => write!(f, "key {kid} of tenant {tenant}"),
            Self::Key { tenant: None, kid } => write!(f, "global key {kid}"),
            Self::Admin { id } => write!(f, "administrator {id}"),
            Self::Configuration => f.write_str("the configuration"),
            Self::Audit => f.write_str("the audit"),
            Self::Settings => f.write_str("the cluster's settings"),
            Self::Fleet => f.write_str("the fleet"),
            Self::Node { id } => write!(f, "node {id}"),
            Self::Nodes => f.write_str("the table of nodes"),
        }
    }
}
