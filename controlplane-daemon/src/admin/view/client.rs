//! A client's JSON. Of its secrets only their ids and times are shown.

use controlplane_core::Client;
use controlplane_core::model::{ClientSecret, ClientSpec};
use serde::Serialize;
use serde_json::Value;
use vocab::{ClientId, RegistrationTokenId, Revision, SecretId};

use super::{rfc3339, unchanged};
use crate::admin::fields::{Fields, Problems};
use crate::admin::problem::Problem;

#[derive(Serialize)]
pub(in crate::admin) struct ClientView {
    pub(in crate::admin) client_id: ClientId,
    #[serde(flatten)]
    spec: ClientSpec,
    secrets: Vec<SecretView>,
    /// Of a client that registered itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    registered: Option<RegisteredView>,
    created_at: String,
    updated_at: String,
    pub(in crate::admin) revision: Revision,
}

/// How a client came here by itself.
#[derive(Serialize)]
struct RegisteredView {
    token_id: Option<RegistrationTokenId>,
    statement_issuer: Option<String>,
}

#[derive(Serialize)]
struct SecretView {
    id: SecretId,
    created_at: String,
    expires_at: Option<String>,
}

impl ClientView {
    pub(in crate::admin) fn of(client: &Client) -> Self {
        let secret = |secret: &ClientSecret| SecretView {
            id: secret.id,
            created_at: rfc3339(secret.created_at),
            expires_at: secret.expires_at.map(rfc3339),
        };
        Self {
            client_id: client.client_id.clone(),
            spec: client.spec.clone(),
            secrets: client.secrets.iter().map(secret).collect(),
            registered: client.registration.as_ref().map(|registration| RegisteredView {
                token_id: registration.token_id,
                statement_issuer: registration.statement_issuer.clone(),
            }),
            created_at: rfc3339(client.created_at),
            updated_at: rfc3339(client.updated_at),
            revision: client.revision,
        }
    }
}

/// The document of a creation (`current` absent: it may name a `client_id`) or a full replacement.
pub(in crate::admin) fn read_client(
    document: &Value,
    current: Option<&Client>,
) -> Result<(Option<ClientId>, ClientSpec), Problem> {
    let problems = Problems::default();
    let read = (|| {
        let fields = Fields::of(document, "", &problems)?;
        let client_id = if let Some(client) = current {
            let names = ["client_id", "secrets", "registered", "created_at", "updated_at", "revision"];
            unchanged(&fields, &names, &ClientView::of(client));
            Some(client.client_id.clone())
        } else {
            fields.parsed("client_id")
        };
        fields.require("name");
        Some((client_id, fields.rest()?))
    })();
    problems.settle(read)
}
