//! An administrator's JSON, without anything of the credential.

use controlplane_core::model::AdminSpec;
use controlplane_core::{Admin, Role};
use serde::Serialize;
use serde_json::Value;
use vocab::{AdminId, Revision};

use super::{rfc3339, unchanged};
use crate::admin::fields::{Fields, Problems};
use crate::admin::problem::Problem;

#[derive(Serialize)]
pub(in crate::admin) struct AdminView {
    pub(in crate::admin) id: AdminId,
    name: String,
    role: Role,
    expires_at: Option<String>,
    created_at: String,
    last_used_at: Option<String>,
    pub(in crate::admin) revision: Revision,
}

impl AdminView {
    pub(in crate::admin) fn of(admin: &Admin) -> Self {
        Self {
            id: admin.id,
            name: admin.spec.name.clone(),
            role: admin.spec.role.clone(),
            expires_at: admin.spec.expires_at.map(rfc3339),
            created_at: rfc3339(admin.created_at),
            last_used_at: admin.last_used_at.map(rfc3339),
            revision: admin.revision,
        }
    }
}

pub(in crate::admin) fn read_admin(document: &Value, current: Option<&Admin>) -> Result<AdminSpec, Problem> {
    let problems = Problems::default();
    let read = (|| {
        let fields = Fields::of(document, "", &problems)?;
        if let Some(admin) = current {
            unchanged(&fields, &["id", "created_at", "revision"], &AdminView::of(admin));
            fields.ignored("last_used_at");
        }
        fields.require("name");
        fields.require("role");
        let name = fields.text("name");
        let role = fields.any("role").and_then(|value| role(value, &fields));
        let expires_at = fields.time("expires_at");
        fields.finish();
        Some(AdminSpec { name: name?, role: role?, expires_at })
    })();
    problems.settle(read)
}

/// `"owner"`, `"operator"`, `"auditor"` or `{"tenant-admin": SLUG}`.
fn role(value: &Value, fields: &Fields<'_>) -> Option<Role> {
    let role = serde_json::from_value(value.clone()).ok();
    if role.is_none() {
        fields.wrong("role", "must be \"owner\", \"operator\", \"auditor\" or {\"tenant-admin\": SLUG}");
    }
    role
}
