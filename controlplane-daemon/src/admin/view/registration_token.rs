//! An initial access token's JSON. The token itself is shown once, when it is made.

use controlplane_core::model::{RegistrationToken, RegistrationTokenSpec};
use serde::Serialize;
use serde_json::Value;
use vocab::RegistrationTokenId;

use super::rfc3339;
use crate::admin::fields::{Fields, Problems};
use crate::admin::problem::Problem;

#[derive(Serialize)]
pub(in crate::admin) struct RegistrationTokenView {
    id: RegistrationTokenId,
    name: String,
    expires_at: Option<String>,
    max_uses: Option<u32>,
    uses: u32,
    created_at: String,
}

impl RegistrationTokenView {
    pub(in crate::admin) fn of(token: &RegistrationToken) -> Self {
        Self {
            id: token.id,
            name: token.spec.name.clone(),
            expires_at: token.spec.expires_at.map(rfc3339),
            max_uses: token.spec.max_uses,
            uses: token.uses,
            created_at: rfc3339(token.created_at),
        }
    }
}

pub(in crate::admin) fn read_registration_token(document: &Value) -> Result<RegistrationTokenSpec, Problem> {
    let problems = Problems::default();
    let read = Fields::of(document, "", &problems).and_then(|fields| {
        fields.require("name");
        let name = fields.text("name");
        let (expires_at, max_uses) = (fields.time("expires_at"), fields.number_or_null("max_uses"));
        fields.finish();
        Some(RegistrationTokenSpec { name: name?, expires_at, max_uses })
    });
    problems.settle(read)
}
