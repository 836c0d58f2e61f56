//! What a caller proves to have, so that its tokens can be bound to it and it can use the bound ones: a key of DPoP
//! (RFC 9449) or a certificate (RFC 8705 §3).

use oauth_core::bearer::Scheme;
use oauth_core::client_auth::AuthenticatedClient;
use oauth_core::confirmation::Confirmation;
use oauth_core::dpop::{self, NonceRule};
use oauth_core::error::OAuthError;
use oauth_core::fapi::{self, Possession};
use vocab::Timestamp;
use vocab::jws::JwsAlgorithm;

use super::Caller;
use crate::exchange::Failure;
use crate::store::proofs::Proof;
use crate::tenant::TenantContext;

/// Binds what the client will get to what the request proves. Endpoints that issue something call this after
/// [`super::authenticate`].
pub async fn bind<'t>(
    tenant: &TenantContext,
    now: Timestamp,
    caller: &Caller<'_>,
    proof: AuthenticatedClient<'t>,
) -> Result<AuthenticatedClient<'t>, Failure> {
    let spec = &proof.client().spec;
    let fapi = fapi::of(proof.client(), &tenant.oauth);
    let algorithms = fapi::algorithms(fapi);
    let by_certificate = spec.tls_client_certificate_bound_access_tokens;
    let confirmation = match caller.dpop()? {
        // Two bindings of one token are more than a resource server expects, and one of them would be passed over.
        Some(_) if by_certificate => {
            let told = "This client's tokens are bound to its certificate; it sends no proof of DPoP.";
            return Err(OAuthError::invalid_dpop_proof(told).into());
        }
        Some(header) => Some(proven_key(tenant, now, caller, header, None, algorithms).await?),
        None if spec.dpop_bound_access_tokens => {
            return Err(OAuthError::invalid_dpop_proof("This client needs a proof of DPoP.").into());
        }
        None if by_certificate => {
            let certificate = caller.certificate.as_deref();
            let missing = OAuthError::invalid_request("This client needs a certificate, which the request lacks.");
            Some(certificate.ok_or(missing)?.confirmation())
        }
        None if fapi::possession(fapi) == Possession::Needed => {
            let told = "FAPI 2.0: the request needs a proof of DPoP or a certificate.";
            let certificate = caller.certificate.as_deref().ok_or(OAuthError::invalid_dpop_proof(told))?;
            Some(certificate.confirmation())
        }
        None => None,
    };
    Ok(proof.bound_to(confirmation))
}

/// Whether the caller has what its access token is bound to.
pub async fn confirm(
    tenant: &TenantContext,
    now: Timestamp,
    caller: &Caller<'_>,
    bound: Option<Confirmation>,
    scheme: Scheme,
    access_token: &str,
) -> Result<(), Failure> {
    let refused = |told| Err(OAuthError::invalid_token(told).into());
    match (bound, scheme) {
        (Some(Confirmation::Key(_)), Scheme::Bearer) => {
            // RFC 9449 §7.2: else whoever stole it would just leave the proof away.
            refused("The access token is bound to a key: it needs the scheme DPoP and a proof.")
        }
        (Some(expected @ Confirmation::Key(_)), Scheme::Dpop) => {
            let missing = OAuthError::invalid_dpop_proof("The request has no proof.");
            let header = caller.dpop()?.ok_or(missing)?;
            let algorithms = fapi::algorithms(tenant.oauth.fapi);
            if proven_key(tenant, now, caller, header, Some(access_token), algorithms).await? == expected {
                return Ok(());
            }
            refused("The access token is bound to another key than the proof's.")
        }
        (_, Scheme::Dpop) => refused("The access token is not bound to a key: it needs the scheme Bearer."),
        (Some(expected @ Confirmation::Certificate(_)), Scheme::Bearer) => {
            let shown = caller.certificate.as_deref().map(oauth_core::certificate::ClientCertificate::confirmation);
            if shown == Some(expected) {
                return Ok(());
            }
            refused("The access token is bound to a certificate that the request was not sent with.")
        }
        (None, Scheme::Bearer) => Ok(()),
    }
}

/// The key of a proof that is good and new.
async fn proven_key(
    tenant: &TenantContext,
    now: Timestamp,
    caller: &Caller<'_>,
    header: &str,
    access_token: Option<&str>,
    algorithms: &[JwsAlgorithm],
) -> Result<Confirmation, Failure> {
    let verifier = caller.verifier;
    let bases = std::iter::once(tenant.issuer.clone()).chain(verifier.mtls_base(tenant));
    let urls: Vec<_> = bases.map(|base| format!("{base}{}", caller.path)).collect();
    let request = dpop::Request { now, method: caller.method, algorithms, urls: &urls, access_token };
    let rule = if tenant.oauth.require_dpop_nonce { NonceRule::Required } else { NonceRule::Optional };
    let proof = dpop::verify(header, request, rule, |nonce| verifier.nonces.is_recent(tenant.id, nonce, now))?;
    let key = proof.key.to_string();
    let noted = Proof { kind: "dpop", owner: &key, jti: &proof.jti };
    if verifier.first_use(tenant, noted, proof.expires_at, now).await? {
        Ok(proof.confirmation())
    } else {
        Err(OAuthError::invalid_dpop_proof("The proof was used before: each request needs its own.").into())
    }
}
