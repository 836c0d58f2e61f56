//! A client's JSON. Of its secrets only their ids and times are shown.

use controlplane_core::Client;
use controlplane_core::model::{AuthMethod, ClientSecret, ClientSpec, GrantType};
use serde::Serialize;
use serde_json::Value;
use vocab::{ClientId, Revision, ScopeName, SecretId};

use super::{rfc3339, unchanged};
use crate::admin::fields::{Fields, Problems};
use crate::admin::problem::Problem;

#[derive(Serialize)]
pub(in crate::admin) struct ClientView {
    pub(in crate::admin) client_id: ClientId,
    name: String,
    enabled: bool,
    token_endpoint_auth_method: AuthMethod,
    redirect_uris: Vec<String>,
    post_logout_redirect_uris: Vec<String>,
    grant_types: Vec<GrantType>,
    scopes: Vec<ScopeName>,
    audiences: Vec<String>,
    allowed_origins: Vec<String>,
    require_consent: bool,
    secrets: Vec<SecretView>,
    created_at: String,
    updated_at: String,
    pub(in crate::admin) revision: Revision,
}

#[derive(Serialize)]
struct SecretView {
    id: SecretId,
    created_at: String,
    expires_at: Option<String>,
}

impl ClientView {
    pub(in crate::admin) fn of(client: &Client) -> Self {
        let spec = client.spec.clone();
        let secret = |secret: &ClientSecret| SecretView {
            id: secret.id,
            created_at: rfc3339(secret.created_at),
            expires_at: secret.expires_at.map(rfc3339),
        };
        Self {
            client_id: client.client_id.clone(),
            name: spec.name,
            enabled: spec.enabled,
            token_endpoint_auth_method: spec.token_endpoint_auth_method,
            redirect_uris: spec.redirect_uris,
            post_logout_redirect_uris: spec.post_logout_redirect_uris,
            grant_types: spec.grant_types,
            scopes: spec.scopes,
            audiences: spec.audiences,
            allowed_origins: spec.allowed_origins,
            require_consent: spec.require_consent,
            secrets: client.secrets.iter().map(secret).collect(),
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
            let names = ["client_id", "secrets", "created_at", "updated_at", "revision"];
            unchanged(&fields, &names, &ClientView::of(client));
            Some(client.client_id.clone())
        } else {
            fields.parsed("client_id")
        };
        fields.require("name");
        let name = fields.text("name");
        let spec = ClientSpec {
            name: name.unwrap_or_default(),
            enabled: fields.flag("enabled").unwrap_or(true),
            token_endpoint_auth_method: fields
                .word("token_endpoint_auth_method", "none, client_secret_basic or client_secret_post")
                .unwrap_or_default(),
            redirect_uris: fields.list("redirect_uris").unwrap_or_default(),
            post_logout_redirect_uris: fields.list("post_logout_redirect_uris").unwrap_or_default(),
            grant_types: fields
                .words("grant_types", "authorization_code, refresh_token or client_credentials")
                .unwrap_or_else(|| vec![GrantType::AuthorizationCode, GrantType::RefreshToken]),
            scopes: fields.list("scopes").unwrap_or_default(),
            audiences: fields.list("audiences").unwrap_or_default(),
            allowed_origins: fields.list("allowed_origins").unwrap_or_default(),
            require_consent: fields.flag("require_consent").unwrap_or_default(),
        };
        fields.finish();
        Some((client_id, spec))
    })();
    problems.settle(read)
}
