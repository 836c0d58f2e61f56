//! Who sends a request to the endpoints that clients authenticate at (token, introspection, revocation, pushed requests,
//! …): what it shows of itself beside its form, and the client that it thereby proves to be.

use oauth_core::client_auth::{self, AuthenticatedClient};
use oauth_core::form::Form;
use vocab::Timestamp;

use crate::exchange::Failure;
use crate::tenant::TenantContext;

/// What a request shows of its sender. `http/caller.rs` makes one of a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caller<'a> {
    /// The `Authorization` header.
    pub authorization: Option<&'a [u8]>,
}

/// The client behind the request, proven by the one method that it is registered for.
#[expect(clippy::unused_async, reason = "keys that a client publishes are fetched here")]
pub async fn authenticate<'t>(
    tenant: &'t TenantContext,
    now: Timestamp,
    caller: &Caller<'_>,
    form: &Form<'_>,
) -> Result<AuthenticatedClient<'t>, Failure> {
    let find = |client_id: &str| tenant.client(client_id).map(AsRef::as_ref);
    Ok(client_auth::authenticate(now, caller.authorization, form, find)?)
}
