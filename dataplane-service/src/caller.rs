//! Who sends a request to the endpoints that clients authenticate at (token, introspection, revocation, pushed requests,
//! …): what it shows of itself beside its form, and the client that it thereby proves to be.
//!
//! ```text
//!   Caller ─▶ authenticate ─▶ AuthenticatedClient ─▶ possession::bind ─▶ the same, its tokens bound to a key
//!                  │                                        │
//!            oauth_core::client_auth, certificate     oauth_core::dpop
//! ```

mod memory;
mod nonce;
pub mod possession;
mod verifier;

use std::sync::Arc;

use oauth_core::certificate::ClientCertificate;
use oauth_core::client::{AuthMethod, Client};
use oauth_core::client_auth::assertion::{Assertion, Audience, NotProven};
use oauth_core::client_auth::{self, AuthenticatedClient, FAILED};
use oauth_core::error::OAuthError;
use oauth_core::fapi;
use oauth_core::form::Form;
use vocab::Timestamp;

use crate::client_keys::Keys;
use crate::exchange::Failure;
use crate::store::proofs::Proof;
use crate::tenant::TenantContext;
pub use verifier::Verifier;

/// What a request shows of its sender. `http/caller.rs` makes one of a request.
#[derive(Clone, Debug)]
pub struct Caller<'a> {
    pub verifier: &'a Verifier,
    pub method: &'a str,
    /// Of the endpoint, below the issuer.
    pub path: &'a str,
    /// The `Authorization` header.
    pub authorization: Option<&'a [u8]>,
    /// Of mutual TLS, with us or with a trusted proxy.
    pub certificate: Option<Arc<ClientCertificate>>,
    pub dpop: DpopHeader<'a>,
}

/// The `DPoP` header (RFC 9449 §4.1), which may stand there once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DpopHeader<'a> {
    Absent,
    One(&'a str),
    Unreadable,
}

impl<'a> Caller<'a> {
    /// The proof that came with the request. RFC 9449 §4.3: "There is not more than one DPoP HTTP request header field."
    pub fn dpop(&self) -> Result<Option<&'a str>, OAuthError> {
        match self.dpop {
            DpopHeader::Absent => Ok(None),
            DpopHeader::One(proof) => Ok(Some(proof)),
            DpopHeader::Unreadable => {
                Err(OAuthError::invalid_dpop_proof("There is more than one proof, or not ASCII."))
            }
        }
    }
}

/// The client behind the request, proven by the one method that it is registered for. Without assertion and certificate
/// nothing here waits for anything.
pub async fn authenticate<'t>(
    tenant: &'t TenantContext,
    now: Timestamp,
    caller: &Caller<'_>,
    form: &Form<'_>,
) -> Result<AuthenticatedClient<'t>, Failure> {
    let proof = prove(tenant, now, caller, form).await?;
    fapi::method(fapi::of(proof.client(), &tenant.oauth), proof.client())?;
    Ok(proof)
}

async fn prove<'t>(
    tenant: &'t TenantContext,
    now: Timestamp,
    caller: &Caller<'_>,
    form: &Form<'_>,
) -> Result<AuthenticatedClient<'t>, Failure> {
    let find = |client_id: &str| tenant.client(client_id).map(AsRef::as_ref);
    if let Some(assertion) = Assertion::of(caller.authorization, form)? {
        return by_assertion(tenant, now, caller, &assertion).await;
    }
    if let Some(client) = client_auth::to_show_a_certificate(caller.authorization, form, find) {
        let keys = keys(caller, client).await?;
        return Ok(client_auth::by_certificate(now, client, caller.certificate.as_deref(), &keys)?);
    }
    Ok(client_auth::authenticate(now, caller.authorization, form, find)?)
}

async fn by_assertion<'t>(
    tenant: &'t TenantContext,
    now: Timestamp,
    caller: &Caller<'_>,
    assertion: &Assertion<'_>,
) -> Result<AuthenticatedClient<'t>, Failure> {
    let client: &Client = tenant.client(assertion.client_id()).ok_or(FAILED)?;
    let audience = Audience {
        issuer: &tenant.issuer,
        strict: fapi::audience(fapi::of(client, &tenant.oauth)),
        endpoint: caller.path,
    };
    let held = keys(caller, client).await?;
    let mut outcome = client_auth::by_assertion(now, client, assertion, &held, audience);
    if outcome.as_ref().is_err_and(|why| *why == NotProven::UnknownKey)
        && let Some(renewed) = held.renewed(caller.verifier).await
    {
        let renewed = renewed.map_err(|_| FAILED)?;
        outcome = client_auth::by_assertion(now, client, assertion, &renewed, audience);
    }
    let (proven, once) = outcome.map_err(|why| match why {
        NotProven::UnknownKey => FAILED,
        NotProven::Refused(error) => error,
    })?;
    let noted = Proof { kind: "assertion", owner: assertion.client_id(), jti: &once.jti };
    if caller.verifier.first_use(tenant, noted, once.expires_at, now).await? {
        Ok(proven)
    } else {
        Err(OAuthError::invalid_client("The assertion was used before: each request needs its own.").into())
    }
}

async fn keys<'t>(caller: &Caller<'_>, client: &'t Client) -> Result<Keys<'t>, Failure> {
    let needs_them = matches!(
        client.spec.token_endpoint_auth_method,
        AuthMethod::PrivateKeyJwt | AuthMethod::SelfSignedTlsClientAuth
    );
    if !needs_them {
        return Ok(Keys::Registered(&client.keys));
    }
    let unreachable = |_| OAuthError::invalid_client("The keys at the client's jwks_uri could not be fetched.");
    Ok(Keys::of(caller.verifier, client).await.map_err(unreachable)?)
}
