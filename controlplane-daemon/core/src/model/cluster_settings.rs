//! What is set for the whole installation: one resource, there from the beginning with its defaults.

use serde::{Deserialize, Serialize};
use vocab::{Revision, Timestamp};

use super::policy::{AuditRetention, KeyRotation, Staleness};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterSettings {
    pub spec: ClusterSettingsSpec,
    /// The epoch, while nobody has written them.
    pub updated_at: Timestamp,
    /// Zero, while nobody has written them.
    pub revision: Revision,
    /// The longest `refuse_after_secs` of the specs before.
    #[serde(default)]
    pub longest_stale_secs: u32,
}

/// The part that operators write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterSettingsSpec {
    /// Of the global keys, which sign administrators' tokens. `None`: by hand.
    pub key_rotation: Option<KeyRotation>,
    /// Of tenants that have no policy of their own. `None`: by hand.
    pub tenant_key_rotation: Option<KeyRotation>,
    /// Of tenants that have no policy of their own.
    pub staleness: Staleness,
    /// How long a pod that vanished or stopped stays listed.
    pub gone_pods_kept_secs: u32,
    #[serde(skip_serializing_if = "AuditRetention::is_unlimited")]
    pub audit: AuditRetention,
}

impl Default for ClusterSettingsSpec {
    fn default() -> Self {
        Self {
            key_rotation: None,
            tenant_key_rotation: None,
            staleness: Staleness::default(),
            gone_pods_kept_secs: 600,
            audit: AuditRetention::default(),
        }
    }
}
