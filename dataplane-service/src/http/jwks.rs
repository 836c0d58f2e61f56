//! `GET /.well-known/jwks.json`: the tenant's public keys (RFC 7517 §5), bytes that were made when the keys changed.

use actix_web::HttpResponse;

use super::respond::public_json;
use crate::resolve::Tenant;

pub(super) async fn jwks(tenant: Tenant) -> HttpResponse {
    public_json(tenant.keys.jwks())
}
