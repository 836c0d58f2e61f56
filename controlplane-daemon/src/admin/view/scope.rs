//! A scope's JSON.

use controlplane_core::Scope;
use controlplane_core::model::ScopeSpec;
use serde::Serialize;
use serde_json::Value;
use vocab::{Revision, ScopeName};

use super::unchanged;
use crate::admin::fields::{Fields, Problems};
use crate::admin::problem::Problem;

#[derive(Serialize)]
pub(in crate::admin) struct ScopeView {
    pub(in crate::admin) name: ScopeName,
    description: String,
    claims: Vec<String>,
    pub(in crate::admin) revision: Revision,
}

impl ScopeView {
    pub(in crate::admin) fn of(scope: &Scope) -> Self {
        let ScopeSpec { description, claims } = scope.spec.clone();
        Self { name: scope.name.clone(), description, claims, revision: scope.revision }
    }
}

pub(in crate::admin) fn read_scope(
    document: &Value,
    current: Option<&Scope>,
) -> Result<(ScopeName, ScopeSpec), Problem> {
    let problems = Problems::default();
    let read = (|| {
        let fields = Fields::of(document, "", &problems)?;
        let name = if let Some(scope) = current {
            unchanged(&fields, &["name", "revision"], &ScopeView::of(scope));
            Some(scope.name.clone())
        } else {
            fields.require("name");
            fields.parsed("name")
        };
        let spec = ScopeSpec {
            description: fields.text("description").unwrap_or_default(),
            claims: fields.list("claims").unwrap_or_default(),
        };
        fields.finish();
        Some((name?, spec))
    })();
    problems.settle(read)
}
