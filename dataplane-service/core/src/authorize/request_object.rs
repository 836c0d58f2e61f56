//! Authorization requests that a client signed (RFC 9101, OIDC Core §6): a JWT whose claims are the parameters, in the
//! request itself or at an address of the client's.
//!
//! [`carried`] says where the parameters are; the shell fetches what is elsewhere; [`open`] checks the object and makes a
//! form of it, which [`super::validate()`] judges like any other. Parameters beside it count for nothing (RFC 9101 §6.3).

use serde::Deserialize;
use serde_json::{Map, Value};
use vocab::Timestamp;
use vocab::jws::JwsAlgorithm;

use super::validate::Channel;
use crate::client::Client;
use crate::client_auth::assertion::{NotProven, Once};
use crate::error::{Code, OAuthError};
use crate::form::Form;
use crate::jose::encrypted::Encrypted;
use crate::jose::{Audiences, ClientKeys, JoseError, Jws, NumericDate};

/// What it may call itself (RFC 9101 §10.8, §9.4.1); the second is what everybody wrote before. It may say nothing, too.
const TYPES: [&str; 2] = ["oauth-authz-req+jwt", "JWT"];
/// FAPI 2.0 Security Profile §5.3.2.1: 10 seconds must be accepted and a minute refused.
const LEEWAY_SECS: i64 = 30;
/// How long a `jti` is remembered where nothing says when the object ends, and the longest that one may be good for.
const MAX_LIFETIME_SECS: i64 = 3600;
const MAX_JTI_BYTES: usize = 512;
const MAX_URI_BYTES: usize = 2048;

/// Claims about the object itself, which are no parameters (RFC 9101 §4).
const ABOUT_ITSELF: [&str; 7] = ["iss", "aud", "exp", "nbf", "iat", "jti", "sub"];

/// Where the parameters of a request are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried<'f> {
    /// In the request, unsigned.
    Plain,
    ByValue(&'f str),
    /// At this address, which the client is registered with.
    ByReference(&'f str),
}

/// Finds the parameters, and refuses what the client must or may not do. Pushed requests that the browser refers to are
/// taken before this ([`super::pushed::reference`]).
pub fn carried<'f>(form: &'f Form<'_>, client: &Client, channel: Channel) -> Result<Carried<'f>, OAuthError> {
    let has_keys = client.spec.jwks.is_some() || client.spec.jwks_uri.is_some();
    match (form.get("request"), form.get("request_uri")) {
        // RFC 9126 §2.1: a request that refers to another one is none.
        (_, Some(_)) if channel == Channel::Pushed => {
            Err(OAuthError::invalid_request("A pushed request must not have a request_uri."))
        }
        // RFC 9101 §5.
        (Some(_), Some(_)) => Err(OAuthError::invalid_request("There is a request and a request_uri: one too many.")),
        (Some(_), None) if !has_keys => {
            Err(OAuthError::new(Code::RequestNotSupported, "The client is registered without keys to sign requests."))
        }
        (Some(object), None) => Ok(Carried::ByValue(object)),
        (None, Some(uri)) => by_reference(uri, client),
        (None, None) if client.spec.require_signed_request_object => {
            Err(OAuthError::invalid_request("The client must sign its authorization requests (RFC 9101)."))
        }
        (None, None) => Ok(Carried::Plain),
    }
}

/// Only what was registered is fetched (RFC 9101 §10.4.1). The fragment, which nobody fetches, may tell versions apart
/// (OIDC Core §6.2).
fn by_reference<'f>(uri: &'f str, client: &Client) -> Result<Carried<'f>, OAuthError> {
    fn address(uri: &str) -> &str {
        uri.split_once('#').map_or(uri, |(address, _)| address)
    }
    let registered = &client.spec.request_uris;
    if registered.is_empty() {
        return Err(OAuthError::new(Code::RequestUriNotSupported, "The client is registered without request_uris."));
    }
    if uri.len() > MAX_URI_BYTES || !registered.iter().any(|known| address(known) == address(uri)) {
        return Err(OAuthError::invalid_request_uri("The request_uri is not registered for this client."));
    }
    Ok(Carried::ByReference(address(uri)))
}

/// What of an object has to be decrypted before it is opened, if anything; refused if it is not encrypted as its client
/// said it would be. What is signed alone is taken from everybody (OIDC Registration §2).
pub fn encrypted<'o>(client: &Client, object: &'o str) -> Result<Option<Encrypted<'o>>, OAuthError> {
    let Some(parsed) = Encrypted::parse(object.trim_ascii()) else { return Ok(None) };
    let encrypted = parsed.map_err(|error| {
        OAuthError::invalid_request_object(match error {
            JoseError::Algorithm => "The request object's alg and enc are none that it can be encrypted by here.",
            _ => "The request object is not an encrypted JWT in compact form.",
        })
    })?;
    match client.spec.request_object_encryption() {
        Some(registered) if registered != encrypted.encryption() => Err(OAuthError::invalid_request_object(
            "The request object's alg and enc are not those that the client is registered with.",
        )),
        _ => Ok(Some(encrypted)),
    }
}

/// The parameters that the client signed.
#[derive(Debug)]
pub struct Opened {
    pub form: Form<'static>,
    /// What has to be noted so that the object counts once, if it is to.
    pub once: Option<Once>,
}

/// Whom an object must be for, and what came beside it.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    pub issuer: &'a str,
    pub form: &'a Form<'a>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audiences,
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    iat: Option<NumericDate>,
    jti: Option<String>,
    sub: Option<String>,
}

const fn refused(told: &'static str) -> NotProven {
    NotProven::Refused(OAuthError::invalid_request_object(told))
}

/// Checks an object that `client` must have signed with one of `keys`.
pub fn open(
    now: Timestamp,
    client: &Client,
    keys: &ClientKeys,
    object: &str,
    envelope: Envelope<'_>,
) -> Result<Opened, NotProven> {
    let jws = Jws::parse(object.trim_ascii())
        .map_err(|_| refused("The request object is not a signed JWT in compact form."))?;
    if jws.is_typed() && !TYPES.iter().any(|typ| jws.has_type(typ)) {
        return Err(refused("The request object is a token of another kind: see its typ."));
    }
    let registered = client.spec.request_object_signing_alg;
    let allowed = registered.as_ref().map_or(&JwsAlgorithm::ASYMMETRIC[..], std::slice::from_ref);
    let parameters: Map<String, Value> = keys.verify(&jws, allowed).map_err(|error| match error {
        JoseError::UnknownKey => NotProven::UnknownKey,
        JoseError::Algorithm => refused("The request object's alg is not one of the client's."),
        _ => refused("The request object's signature is wrong."),
    })?;
    let claims: Claims =
        jws.unverified_claims().map_err(|_| refused("The request object needs iss, aud and well-formed times."))?;
    let once = check(now, client, &claims, envelope.issuer)?;
    let form = form(parameters, client, envelope.form)?;
    Ok(Opened { form, once })
}

/// The parameters of an object that nobody signed (`alg` `none`); `None` when it is none, or not one that `client` may
/// send so. Only of what came from an address of the client's, over TLS: that is the client's word without a signature,
/// too, and providers that clients register at by themselves must take it (OIDC Core §6.2, §15.2). Not from one that said
/// how it signs, or that it does.
pub fn unsigned(client: &Client, object: &str, outer: &Form<'_>) -> Result<Option<Form<'static>>, OAuthError> {
    let signs = client.spec.require_signed_request_object || client.spec.request_object_signing_alg.is_some();
    let Some(jws) = Jws::parse(object.trim_ascii()).ok().filter(|jws| !signs && jws.is_unsigned()) else {
        return Ok(None);
    };
    let parameters = jws
        .unverified_claims()
        .map_err(|_| OAuthError::invalid_request_object("The claims of the request object are no JSON object."))?;
    match form(parameters, client, outer) {
        Ok(form) => Ok(Some(form)),
        Err(NotProven::Refused(error)) => Err(error),
        // Nobody looked for a key.
        Err(NotProven::UnknownKey) => Ok(None),
    }
}

/// The claims about the object itself.
fn check(now: Timestamp, client: &Client, claims: &Claims, issuer: &str) -> Result<Option<Once>, NotProven> {
    let client_id = client.client_id.as_str();
    if claims.iss != client_id {
        return Err(refused("The request object's iss must be the client_id."));
    }
    let for_us = match &claims.aud {
        Audiences::One(one) => one == issuer,
        Audiences::Many(all) => all.iter().any(|one| one == issuer),
    };
    if !for_us {
        return Err(refused("The request object is for somebody else: aud must be the issuer."));
    }
    // RFC 9101 §10.8: an assertion of the client's is nobody's wish to be asked for something.
    if claims.sub.as_deref() == Some(client_id) {
        return Err(refused("The request object has a sub like an assertion of the client's."));
    }
    let at = now.secs();
    let exp = claims.exp.map(NumericDate::secs);
    if exp.is_none() && client.spec.require_signed_request_object {
        return Err(refused("The request object of a client that must sign needs an exp."));
    }
    if exp.is_some_and(|exp| exp <= at) {
        return Err(refused("The request object has expired."));
    }
    let limit = at.saturating_add(MAX_LIFETIME_SECS);
    if exp.is_some_and(|exp| exp > limit) {
        return Err(refused("The request object lives too long: its exp must lie within an hour."));
    }
    if [claims.nbf, claims.iat].into_iter().flatten().any(|begin| begin.secs() > at.saturating_add(LEEWAY_SECS)) {
        return Err(refused("The request object is from the future: see nbf and iat."));
    }
    match &claims.jti {
        None => Ok(None),
        Some(jti) if jti.is_empty() || jti.len() > MAX_JTI_BYTES => {
            Err(refused("The request object's jti is empty or longer than 512 bytes."))
        }
        Some(jti) => {
            let expires_at = Timestamp::from_secs(exp.unwrap_or(limit));
            Ok(Some(Once { jti: jti.clone(), expires_at }))
        }
    }
}

/// The form that the client would have sent (RFC 9101 §4): texts as they are, numbers and booleans as text, lists of
/// resources one by one, and what else is not flat as JSON, such as `claims`.
fn form(parameters: Map<String, Value>, client: &Client, outer: &Form<'_>) -> Result<Form<'static>, NotProven> {
    // §4: "request and request_uri parameters MUST NOT be included in Request Objects".
    if parameters.contains_key("request") || parameters.contains_key("request_uri") {
        return Err(refused("A request object must not have a request or a request_uri."));
    }
    let mut flat: Vec<(String, String)> = Vec::with_capacity(parameters.len() + 1);
    for (name, value) in parameters {
        if ABOUT_ITSELF.contains(&name.as_str()) {
            continue;
        }
        match value {
            Value::Null => {}
            Value::String(text) => flat.push((name, text)),
            Value::Array(several) if name == "resource" => {
                for one in several {
                    let Value::String(one) = one else {
                        return Err(refused("A resource in the request object is not a text."));
                    };
                    flat.push((name.clone(), one));
                }
            }
            other => flat.push((name, other.to_string())),
        }
    }
    let inner = |name: &str| flat.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    // §5, §6.3: both must name the same client. OIDC Core §6.1: and the same response_type.
    match inner("client_id") {
        Some(id) if id != client.client_id.as_str() => {
            return Err(refused("The client_id of the request object differs from the request's."));
        }
        Some(_) => {}
        None => flat.push(("client_id".to_owned(), client.client_id.to_string())),
    }
    let inner = |name: &str| flat.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    if outer.get("response_type").is_some_and(|given| inner("response_type") != Some(given)) {
        return Err(refused("The response_type of the request object differs from the request's."));
    }
    Form::of(flat).map_err(|error| {
        NotProven::Refused(OAuthError::quoting(Code::InvalidRequestObject, &format!("In the request object, {error}.")))
    })
}

#[cfg(test)]
mod tests;
