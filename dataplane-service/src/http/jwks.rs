//! `GET /.well-known/jwks.json`: the tenant's public keys (RFC 7517 §5), bytes that were made when the keys changed.

use actix_web::HttpResponse;

use super::respond::public_json;
use crate::resolve::Tenant;

pub(super) async fn jwks(tenant: Tenant) -> HttpResponse {
    // No longer: a rotation counts on it that nobody goes by older keys (and so there is no stale-while-revalidate).
    public_json(tenant.keys.jwks(), tenant.lifetimes.jwks_cache_secs)
}
