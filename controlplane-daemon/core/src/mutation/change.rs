//! What comes of a mutation.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vocab::{AdminId, ClientId, KeyId, NodeId, PodId, RequestId, ScopeName, Sealed, Slug, TenantId};

use crate::entry::Actor;
use crate::model::{Admin, Client, ClusterSettings, KeyOwner, NodeRecord, PodRecord, Scope, SigningKey, Tenant};

/// One thing that became different. The one list that is stored, watched, audited and shown; it shares what it puts with
/// the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum Change {
    TenantPut(Arc<Tenant>),
    TenantDeleted {
        id: TenantId,
        slug: Slug,
    },
    ClientPut(Arc<Client>),
    ClientDeleted {
        tenant_id: TenantId,
        client_id: ClientId,
    },
    ScopePut(Arc<Scope>),
    ScopeDeleted {
        tenant_id: TenantId,
        name: ScopeName,
    },
    KeyPut(Arc<SigningKey>),
    KeyDeleted {
        owner: KeyOwner,
        kid: KeyId,
    },
    AdminPut(Arc<Admin>),
    AdminDeleted {
        id: AdminId,
    },
    SettingsPut(Arc<ClusterSettings>),
    PodPut(Arc<PodRecord>),
    PodDeleted {
        pod_id: PodId,
    },
    NodePut(Arc<NodeRecord>),
    NodeDeleted {
        id: NodeId,
    },
    /// What a remembered request showed once is sealed anew.
    ReceiptPut {
        actor: Actor,
        request_id: RequestId,
        receipt: Sealed,
    },
}

macro_rules! put {
    ($($variant:ident of $resource:ident),+ $(,)?) => {$(
        impl From<$resource> for Change {
            fn from(resource: $resource) -> Self {
                Self::$variant(Arc::new(resource))
            }
        }
    )+};
}

put!(
    TenantPut of Tenant,
    ClientPut of Client,
    ScopePut of Scope,
    KeyPut of SigningKey,
    AdminPut of Admin,
    SettingsPut of ClusterSettings,
    PodPut of PodRecord,
    NodePut of NodeRecord,
);
