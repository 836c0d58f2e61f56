//! The metadata document, at every address where a client may look for it (OIDC Discovery §4, RFC 8414 §3.1).

use actix_web::{HttpResponse, web};
use oauth_core::discovery::{Metadata, MutualTls};
use vocab::registration::RegistrationMode;

use super::respond::public_json;
use crate::app::App;
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
    let mut document = Metadata::of(&tenant.issuer, tenant.keys.signing_algorithm(), &mutual_tls(&tenant, &app), scopes);
    if tenant.oauth.registration.mode != RegistrationMode::Off {
        document = document.with_registration();
    }
    match serde_json::to_vec(&document) {
        Ok(bytes) => public_json(bytes.into(), MAX_AGE_SECS),
        Err(error) => {
            tracing::error!(%error, "the metadata could not be written");
            HttpResponse::InternalServerError().finish()
        }
    }
}
