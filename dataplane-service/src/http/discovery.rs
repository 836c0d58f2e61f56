//! The metadata document, at every address where a client may look for it (OIDC Discovery §4, RFC 8414 §3.1).

use actix_web::{HttpRequest, HttpResponse, web};
use oauth_core::discovery::{Metadata, MutualTls, ProtectedResource};
use serde::Serialize;
use vocab::registration::RegistrationMode;

use super::respond::public_json;
use crate::app::App;
use crate::problem::Problem;
use crate::resolve::Tenant;
use crate::tenant::TenantContext;

fn mutual_tls(tenant: &TenantContext, app: &App) -> MutualTls {
    if !app.takes_certificates {
        return MutualTls::Unavailable;
    }
    app.verifier.mtls_base(tenant).map_or(MutualTls::AtTheIssuer, MutualTls::At)
}

const MAX_AGE_SECS: u32 = 300;

pub(super) async fn metadata(tenant: Tenant, app: web::Data<App>) -> HttpResponse {
    let scopes = tenant.scopes.values().map(|scope| (scope.name.as_str(), scope.claims.as_slice()));
    let mut document = Metadata::of(&tenant.issuer, &tenant.oauth, &mutual_tls(&tenant, &app), scopes);
    if tenant.oauth.registration.mode != RegistrationMode::Off {
        document = document.with_registration();
    }
    written(&document)
}

/// Of the resource below the issuer that the path names (RFC 9728 §3).
pub(super) async fn protected_resource(request: HttpRequest, tenant: Tenant) -> Result<HttpResponse, Problem> {
    let path = request.match_info().get("resource").map(|path| format!("/{path}")).unwrap_or_default();
    match ProtectedResource::at(&tenant.issuer, &path) {
        Some(document) => Ok(written(&document)),
        None => super::not_found().await,
    }
}

fn written(document: &impl Serialize) -> HttpResponse {
    match serde_json::to_vec(document) {
        Ok(bytes) => public_json(bytes.into(), MAX_AGE_SECS),
        Err(error) => {
            tracing::error!(%error, "the metadata could not be written");
            HttpResponse::InternalServerError().finish()
        }
    }
}
