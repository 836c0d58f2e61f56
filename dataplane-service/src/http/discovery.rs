//! The metadata document, at every address where a client may look for it (OIDC Discovery §4, RFC 8414 §3.1).

use actix_web::HttpResponse;
use oauth_core::discovery::Metadata;

use super::respond::public_json;
use crate::resolve::Tenant;
use crate::signing::Algorithm;

const MAX_AGE_SECS: u32 = 300;

pub(super) async fn metadata(tenant: Tenant) -> HttpResponse {
    let scopes = tenant.scopes.values().map(|scope| (scope.name.as_str(), scope.claims.as_slice()));
    let algorithm = tenant.keys.signing_algorithm().map(Algorithm::as_str);
    let document = Metadata::of(&tenant.issuer, algorithm, scopes);
    match serde_json::to_vec(&document) {
        Ok(bytes) => public_json(bytes.into(), MAX_AGE_SECS),
        Err(error) => {
            tracing::error!(%error, "the metadata could not be written");
            HttpResponse::InternalServerError().finish()
        }
    }
}
