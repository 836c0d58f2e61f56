//! The parameters of an authorization request, wherever they are (RFC 9101): fetches what is elsewhere, opens what is
//! encrypted, has it checked by
//! `oauth_core::authorize::request_object`, and sees to it that an object with a `jti` counts once.

use std::borrow::Cow;

use oauth_core::authorize::Channel;
use oauth_core::authorize::request_object::{Carried, Envelope, Opened, carried, encrypted, open, unsigned};
use oauth_core::client::Client;
use oauth_core::client_auth::assertion::NotProven;
use oauth_core::error::OAuthError;
use oauth_core::form::Form;
use vocab::Timestamp;

use crate::caller::Verifier;
use crate::client_keys::Keys;
use crate::exchange::Failure;
use crate::store::proofs::Proof;
use crate::tenant::TenantContext;

/// Where and when a request arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    pub tenant: &'a TenantContext,
    pub verifier: &'a Verifier,
    pub now: Timestamp,
    pub channel: Channel,
}

/// The parameters that count: those of the request, or those that the client signed.
pub async fn parameters<'f>(
    arrival: Arrival<'_>,
    client: &Client,
    form: &'f Form<'f>,
) -> Result<Cow<'f, Form<'f>>, Failure> {
    let object = match carried(form, client, arrival.channel)? {
        Carried::Plain => return Ok(Cow::Borrowed(form)),
        Carried::ByValue(object) => Cow::Borrowed(object),
        Carried::ByReference(uri) => {
            let object = fetched(arrival.verifier, uri).await?;
            if let Some(parameters) = unsigned(client, &object, form)? {
                return Ok(Cow::Owned(parameters));
            }
            Cow::Owned(object)
        }
    };
    let object = decrypted(arrival.tenant, client, &object)?;
    let opened = opened(arrival, client, &object, form).await?;
    if let Some(once) = opened.once {
        let noted = Proof { kind: "request object", owner: client.client_id.as_str(), jti: &once.jti };
        if !arrival.verifier.first_use(arrival.tenant, noted, once.expires_at, arrival.now).await? {
            let told = "The request object was used before: its jti makes it good for one request.";
            return Err(OAuthError::invalid_request_object(told).into());
        }
    }
    Ok(Cow::Owned(opened.form))
}

/// Never kept: what a client publishes there may change with each request (OIDC Core §6.2).
async fn fetched(verifier: &Verifier, uri: &str) -> Result<String, OAuthError> {
    let unreachable = |_| OAuthError::invalid_request_uri("The request_uri could not be fetched.");
    let answer = verifier.fetcher.get(uri).await.map_err(unreachable)?;
    let text = String::from_utf8(answer.body.into());
    text.map_err(|_| OAuthError::invalid_request_object("What is at the request_uri is not a JWT."))
}

/// What the client signed, taken out of what it encrypted to us, if it did (RFC 9101 §6.1).
fn decrypted<'o>(tenant: &TenantContext, client: &Client, object: &'o str) -> Result<Cow<'o, str>, OAuthError> {
    let Some(encrypted) = encrypted(client, object)? else { return Ok(Cow::Borrowed(object)) };
    let content = tenant.keys.decryption().open(&encrypted).map_err(|_| {
        OAuthError::invalid_request_object("The request object is encrypted to no key that this issuer has published.")
    })?;
    Ok(Cow::Owned(content))
}

async fn opened(arrival: Arrival<'_>, client: &Client, object: &str, form: &Form<'_>) -> Result<Opened, OAuthError> {
    let Arrival { tenant, verifier, now, .. } = arrival;
    let envelope = Envelope { issuer: &tenant.issuer, form };
    let unreachable = |_| OAuthError::invalid_request_object("The keys at the client's jwks_uri could not be fetched.");
    let keys = Keys::of(verifier, client).await.map_err(unreachable)?;
    let mut outcome = open(now, client, &keys, object, envelope);
    if outcome.as_ref().is_err_and(|why| *why == NotProven::UnknownKey)
        && let Some(renewed) = keys.renewed(verifier).await
    {
        let renewed = renewed.map_err(unreachable)?;
        outcome = open(now, client, &renewed, object, envelope);
    }
    outcome.map_err(|why| match why {
        NotProven::UnknownKey => {
            OAuthError::invalid_request_object("The request object is signed by none of the client's keys.")
        }
        NotProven::Refused(error) => error,
    })
}
