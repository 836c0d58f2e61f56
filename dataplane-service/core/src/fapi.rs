//! What the FAPI 2.0 Security Profile (Final, 2025) demands of requests, where the switch is on: each demand a named check.
//! What it demands of a registration the control plane checks, and this once more: a tenant's switch may be younger than
//! its clients.
//!
//! | clause | demand | where |
//! |---|---|---|
//! | §5.3.2.1 | confidential clients by `private_key_jwt` or mutual TLS | [`method`] |
//! | §5.3.2.1 | sender-constrained tokens, by DPoP or mutual TLS | [`possession`] |
//! | §5.3.2.1 | the issuer alone as `aud` of assertions | [`audience`] |
//! | §5.3.2.1 | no rotation of refresh tokens | [`rotates`] |
//! | §5.3.2.1 | codes bound to the key of DPoP | `dpop_jkt`, `authorize::pushed` |
//! | §5.3.2.1 | codes of 60 seconds at most; `iat` and `nbf` 10 s ahead taken, 60 s refused | for everybody |
//! | §5.3.2.2 | `response_type=code`, pushed, with PKCE by S256 | [`request`] |
//! | §5.3.2.2 | no redirect URI by http, but on loopback for native clients | [`request`] |
//! | §5.3.2.2 | `iss` in answers; redirects by 303; pushed requests of less than 600 s | for everybody |
//! | §5.4.1 | PS256, ES256 and EdDSA alone | [`algorithms`] |

use vocab::client::ApplicationType;
use vocab::fapi::Fapi;
use vocab::jws::JwsAlgorithm;
use vocab::oauth::OAuthSettings;

use crate::authorize::{Channel, ResponseType};
use crate::client::Client;
use crate::client_auth::assertion::Strictness;
use crate::error::OAuthError;
use crate::form::Form;

/// The profile that a client is held to: its own, or its tenant's.
pub fn of(client: &Client, settings: &OAuthSettings) -> Option<Fapi> {
    client.spec.fapi.or(settings.fapi)
}

/// By which method the client proves itself.
pub fn method(fapi: Option<Fapi>, client: &Client) -> Result<(), OAuthError> {
    match fapi {
        Some(fapi) if !fapi.allows_method(client.spec.token_endpoint_auth_method) => {
            Err(OAuthError::invalid_client("FAPI 2.0: the client must authenticate by private_key_jwt or mutual TLS."))
        }
        _ => Ok(()),
    }
}

/// Whom a client's assertion is for.
pub const fn audience(fapi: Option<Fapi>) -> Strictness {
    match fapi {
        Some(_) => Strictness::IssuerOnly,
        None => Strictness::Usual,
    }
}

/// What clients sign with.
pub const fn algorithms(fapi: Option<Fapi>) -> &'static [JwsAlgorithm] {
    match fapi {
        Some(_) => &JwsAlgorithm::FAPI,
        None => &JwsAlgorithm::ASYMMETRIC,
    }
}

/// What tokens are bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Possession {
    /// To what the request proves, if anything.
    AsProven,
    /// Neither proof nor certificate: no token.
    Needed,
}

pub const fn possession(fapi: Option<Fapi>) -> Possession {
    match fapi {
        Some(_) => Possession::Needed,
        None => Possession::AsProven,
    }
}

/// Whether a refresh token is replaced when it is used. The profile: "shall not use refresh token rotation except in
/// extraordinary circumstances", which its clients' operators may have; its tokens are bound to their client anyhow.
pub fn rotates(fapi: Option<Fapi>, client: &Client) -> bool {
    client.spec.rotate_refresh_tokens.unwrap_or(fapi.is_none())
}

/// An authorization request, beyond what is checked for everybody.
pub fn request(
    fapi: Option<Fapi>,
    form: &Form<'_>,
    channel: Channel,
    client: &Client,
    response_type: ResponseType,
) -> Result<(), OAuthError> {
    let Some(fapi) = fapi else { return Ok(()) };
    pushed(channel)?;
    method(Some(fapi), client)?;
    code_only(response_type)?;
    pkce(form)?;
    redirect(fapi, form, client)
}

fn pushed(channel: Channel) -> Result<(), OAuthError> {
    match channel {
        Channel::Pushed => Ok(()),
        Channel::Front => {
            Err(OAuthError::invalid_request("FAPI 2.0: the client must push its authorization requests (RFC 9126)."))
        }
    }
}

fn code_only(response_type: ResponseType) -> Result<(), OAuthError> {
    match response_type {
        ResponseType::Code => Ok(()),
        ResponseType::None => Err(OAuthError::unsupported_response_type("FAPI 2.0: the only response_type is code.")),
    }
}

fn pkce(form: &Form<'_>) -> Result<(), OAuthError> {
    match (form.get("code_challenge"), form.get("code_challenge_method")) {
        (Some(_), Some("S256")) => Ok(()),
        _ => Err(OAuthError::invalid_request("FAPI 2.0: a code_challenge by S256 is needed.")),
    }
}

fn redirect(fapi: Fapi, form: &Form<'_>, client: &Client) -> Result<(), OAuthError> {
    let is_native = client.spec.application_type == ApplicationType::Native;
    if fapi.allows_redirect(form.get("redirect_uri").unwrap_or_default(), is_native) {
        Ok(())
    } else {
        Err(OAuthError::invalid_request("FAPI 2.0: the redirect_uri must not be of the scheme http."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::AuthMethod;
    use crate::client::tests::client_with;
    use crate::error::Code;
    use rstest::rstest;

    const ON: Option<Fapi> = Some(Fapi::Security2);
    const GOOD: &str = "redirect_uri=https://app.example/cb&code_challenge=c&code_challenge_method=S256";

    fn client(method: AuthMethod) -> Client {
        client_with(|spec| spec.token_endpoint_auth_method = method)
    }

    fn run(fapi: Option<Fapi>, query: &str, channel: Channel, response_type: ResponseType) -> Result<(), Code> {
        let form = Form::parse(query.as_bytes()).unwrap();
        let client = client(AuthMethod::PrivateKeyJwt);
        request(fapi, &form, channel, &client, response_type).map_err(|error| error.code())
    }

    #[test]
    fn a_tenants_switch_is_its_clients() {
        let mut settings = OAuthSettings::default();
        let plain = client(AuthMethod::PrivateKeyJwt);
        assert_eq!(of(&plain, &settings), None);
        assert_eq!(of(&client_with(|spec| spec.fapi = ON), &settings), ON);
        settings.fapi = ON;
        assert_eq!(of(&plain, &settings), ON);
    }

    #[rstest]
    #[case(AuthMethod::None, false)]
    #[case(AuthMethod::ClientSecretBasic, false)]
    #[case(AuthMethod::ClientSecretPost, false)]
    #[case(AuthMethod::PrivateKeyJwt, true)]
    #[case(AuthMethod::TlsClientAuth, true)]
    #[case(AuthMethod::SelfSignedTlsClientAuth, true)]
    fn methods(#[case] by: AuthMethod, #[case] allowed: bool) {
        assert_eq!(
            method(ON, &client(by)).map_err(|error| error.code()),
            if allowed { Ok(()) } else { Err(Code::InvalidClient) }
        );
        assert_eq!(method(None, &client(by)), Ok(()));
    }

    #[test]
    fn what_else_the_switch_turns_on() {
        assert_eq!((audience(ON), audience(None)), (Strictness::IssuerOnly, Strictness::Usual));
        assert_eq!((possession(ON), possession(None)), (Possession::Needed, Possession::AsProven));
        assert_eq!(algorithms(ON), [JwsAlgorithm::Es256, JwsAlgorithm::EdDsa, JwsAlgorithm::Ps256]);
        assert!(algorithms(None).contains(&JwsAlgorithm::Rs256));
    }

    #[rstest]
    #[case(None, None, true)]
    #[case(ON, None, false)]
    #[case(ON, Some(true), true)]
    #[case(None, Some(false), false)]
    fn rotation(#[case] fapi: Option<Fapi>, #[case] asked: Option<bool>, #[case] expected: bool) {
        assert_eq!(rotates(fapi, &client_with(|spec| spec.rotate_refresh_tokens = asked)), expected);
    }

    #[rstest]
    #[case::good(GOOD, Channel::Pushed, ResponseType::Code, Ok(()))]
    #[case::not_pushed(GOOD, Channel::Front, ResponseType::Code, Err(Code::InvalidRequest))]
    #[case::none(GOOD, Channel::Pushed, ResponseType::None, Err(Code::UnsupportedResponseType))]
    #[case::no_challenge(
        "redirect_uri=https://app.example/cb",
        Channel::Pushed,
        ResponseType::Code,
        Err(Code::InvalidRequest)
    )]
    #[case::plain(
        "redirect_uri=https://app.example/cb&code_challenge=c&code_challenge_method=plain",
        Channel::Pushed,
        ResponseType::Code,
        Err(Code::InvalidRequest)
    )]
    #[case::plain_by_silence(
        "redirect_uri=https://app.example/cb&code_challenge=c",
        Channel::Pushed,
        ResponseType::Code,
        Err(Code::InvalidRequest)
    )]
    #[case::http(
        "redirect_uri=http://127.0.0.1/cb&code_challenge=c&code_challenge_method=S256",
        Channel::Pushed,
        ResponseType::Code,
        Err(Code::InvalidRequest)
    )]
    fn requests(
        #[case] query: &str,
        #[case] channel: Channel,
        #[case] response_type: ResponseType,
        #[case] expected: Result<(), Code>,
    ) {
        assert_eq!(run(ON, query, channel, response_type), expected);
        assert_eq!(run(None, query, channel, response_type), Ok(()), "without the switch");
    }
}
