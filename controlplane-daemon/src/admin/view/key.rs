//! A key's JSON: the public half.

use controlplane_core::SigningKey;
use controlplane_core::model::{KeyFamily, KeyStatus};
use serde::Serialize;
use serde_json::Value;
use vocab::{KeyId, Revision};

use super::rfc3339;

#[derive(Serialize)]
pub(in crate::admin) struct KeyView {
    pub(in crate::admin) kid: KeyId,
    algorithm: KeyFamily,
    status: KeyStatus,
    public_jwk: Value,
    created_at: String,
    status_since: String,
    pub(in crate::admin) revision: Revision,
}

impl KeyView {
    pub(in crate::admin) fn of(key: &SigningKey) -> Self {
        Self {
            kid: key.kid.clone(),
            algorithm: key.family,
            status: key.status,
            public_jwk: serde_json::from_str(&key.public_jwk).unwrap_or_default(),
            created_at: rfc3339(key.created_at),
            status_since: rfc3339(key.status_since),
            revision: key.revision,
        }
    }
}
