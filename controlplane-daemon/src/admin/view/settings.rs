//! The JSON of the cluster's settings.

use controlplane_core::ClusterSettings;
use controlplane_core::model::{AuditRetention, ClusterSettingsSpec, KeyRotation, Staleness};
use serde::Serialize;
use serde_json::Value;
use vocab::Revision;

use super::policy::{audit_retention, key_rotation, staleness};
use super::{rfc3339, unchanged};
use crate::admin::fields::{Fields, Problems};
use crate::admin::problem::Problem;

#[derive(Serialize)]
pub(in crate::admin) struct SettingsView {
    key_rotation: Option<KeyRotation>,
    tenant_key_rotation: Option<KeyRotation>,
    staleness: Staleness,
    gone_pods_kept_secs: u32,
    audit: AuditRetention,
    /// `null` while nobody has written them.
    updated_at: Option<String>,
    pub(in crate::admin) revision: Revision,
}

impl SettingsView {
    pub(in crate::admin) fn of(settings: &ClusterSettings) -> Self {
        let ClusterSettingsSpec { key_rotation, tenant_key_rotation, staleness, gone_pods_kept_secs, audit } =
            settings.spec.clone();
        let written = settings.revision != Revision::ZERO;
        Self {
            key_rotation,
            tenant_key_rotation,
            staleness,
            gone_pods_kept_secs,
            audit,
            updated_at: written.then(|| rfc3339(settings.updated_at)),
            revision: settings.revision,
        }
    }
}

/// The document of a full replacement: what is left out is the default.
pub(in crate::admin) fn read_settings(
    document: &Value,
    current: &ClusterSettings,
) -> Result<ClusterSettingsSpec, Problem> {
    let problems = Problems::default();
    let read = Fields::of(document, "", &problems).map(|fields| {
        unchanged(&fields, &["updated_at", "revision"], &SettingsView::of(current));
        let default = ClusterSettingsSpec::default();
        let spec = ClusterSettingsSpec {
            key_rotation: fields.object("key_rotation").map(key_rotation),
            tenant_key_rotation: fields.object("tenant_key_rotation").map(key_rotation),
            staleness: fields.object("staleness").map(staleness).unwrap_or_default(),
            gone_pods_kept_secs: fields.number("gone_pods_kept_secs").unwrap_or(default.gone_pods_kept_secs),
            audit: fields.object("audit").map(audit_retention).unwrap_or_default(),
        };
        fields.finish();
        spec
    });
    problems.settle(read)
}
