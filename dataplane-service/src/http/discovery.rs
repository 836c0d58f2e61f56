//! The metadata document, at every address where a client may look for it (OIDC Discovery §4, RFC 8414 §3.1).

use actix_web::HttpResponse;
use oauth_core::discovery::Metadata;

use super::respond::public_json;
use crate::resolve::Tenant;

const MAX_AGE_SECS: u32 = 300;

pub(super) async fn metadata(tenant: Tenant) -> HttpResponse {
    let scopes = tenant.scopes.values().map(|scope| (scope.name.as_str(), scope.claims.as_slice()));
    let document = Metadata::of(&tenant.issuer, tenant.keys.signing_algorithm(), scopes);
    match serde_json::to_vec(&document) {
        Ok(bytes) => public_json(bytes.into(), MAX_AGE_SECS),
        Err(error) => {
            tracing::error!(%error, "the metadata could not be written");
            HttpResponse::InternalServerError().finish()
        }
    }
}
