//! The backchannel authentication request (OIDC CIBA Core 1.0 §7.1): a list of named checks.

use vocab::client::TokenDeliveryMode;

use super::Asked;
use crate::authorization_details::DetailTypes;
use crate::client::{Client, GrantType};
use crate::client_auth::AuthenticatedClient;
use crate::error::{Code, OAuthError};
use crate::form::Form;
use crate::scope::OPENID;

/// §7.1: "The length of the token MUST NOT exceed 1024 characters".
pub const MAX_NOTIFICATION_TOKEN_BYTES: usize = 1024;
/// §7.1 wants it "relatively short"; this is what a small screen shows.
const MAX_MESSAGE_CHARS: usize = 100;

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint<'a> {
    /// An e-mail address.
    Login(&'a str),
    /// An ID token of this issuer; its signature is still to be checked.
    IdToken(&'a str),
}

/// A request that passed every check that needs no database.
pub struct BackchannelRequest<'a> {
    pub asked: Asked,
    pub hint: Hint<'a>,
    pub binding_message: Option<&'a str>,
    /// Of a client that wants to be pinged.
    pub notification_token: Option<&'a str>,
    /// How long the request waits for the user.
    pub lifetime_secs: u32,
}

/// The notification token is a secret of the client's.
impl std::fmt::Debug for BackchannelRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackchannelRequest").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl<'a> BackchannelRequest<'a> {
    pub fn parse(
        form: &'a Form<'_>,
        proof: AuthenticatedClient<'_>,
        issuer: &str,
        types: &DetailTypes,
        longest_secs: u32,
    ) -> Result<Self, OAuthError> {
        let client = proof.client();
        let mode = delivery_mode(client)?;
        if form.get("request").is_some() {
            return Err(OAuthError::invalid_request("Signed authentication requests are not supported."));
        }
        let asked = Asked::parse(form, client, issuer, types)?;
        // §7.1: "MUST contain the openid scope value".
        if !asked.scope.contains(OPENID) {
            return Err(OAuthError::invalid_scope("The scope must contain openid."));
        }
        Ok(Self {
            asked,
            hint: hint(form)?,
            binding_message: binding_message(form)?,
            notification_token: notification_token(form, mode)?,
            lifetime_secs: lifetime_secs(form, longest_secs)?,
        })
    }
}

fn delivery_mode(client: &Client) -> Result<TokenDeliveryMode, OAuthError> {
    match client.spec.backchannel_token_delivery_mode {
        // A client that authenticates: whoever asks makes a stranger's phone ring (§7.1).
        Some(mode) if client.may_use(GrantType::Ciba) && !client.is_public() => Ok(mode),
        _ => Err(OAuthError::unauthorized_client("The client is not registered for this flow.")),
    }
}

/// §7.1: "the hint MUST be provided by exactly one of".
fn hint<'a>(form: &'a Form<'_>) -> Result<Hint<'a>, OAuthError> {
    match (form.get("login_hint"), form.get("id_token_hint"), form.get("login_hint_token")) {
        (Some(hint), None, None) => Ok(Hint::Login(hint)),
        (None, Some(hint), None) => Ok(Hint::IdToken(hint)),
        (None, None, Some(_)) => Err(OAuthError::invalid_request("The login_hint_token is not supported.")),
        (None, None, None) => Err(OAuthError::invalid_request("The login_hint or id_token_hint is missing.")),
        _ => Err(OAuthError::invalid_request("There must be one hint only.")),
    }
}

fn binding_message<'a>(form: &'a Form<'_>) -> Result<Option<&'a str>, OAuthError> {
    let Some(message) = form.get("binding_message") else { return Ok(None) };
    // Nor anything that reverses the text around it (UAX #9 §2).
    let is_plain = |c: char| {
        !c.is_control() && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if message.chars().count() <= MAX_MESSAGE_CHARS && message.chars().all(is_plain) {
        Ok(Some(message))
    } else {
        Err(OAuthError::new(Code::InvalidBindingMessage, "At most 100 characters, on one line."))
    }
}

/// §7.1: needed for ping, a bearer token by its form (RFC 6750 §2.1). Others have no use for it.
fn notification_token<'a>(form: &'a Form<'_>, mode: TokenDeliveryMode) -> Result<Option<&'a str>, OAuthError> {
    match (mode, form.get("client_notification_token")) {
        (TokenDeliveryMode::Poll, _) => Ok(None),
        (TokenDeliveryMode::Ping, None) => {
            Err(OAuthError::invalid_request("The client_notification_token is missing."))
        }
        (TokenDeliveryMode::Ping, Some(token)) => {
            let is_bearer = token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b));
            if is_bearer && token.len() <= MAX_NOTIFICATION_TOKEN_BYTES {
                Ok(Some(token))
            } else {
                Err(OAuthError::invalid_request("The client_notification_token is not a bearer token."))
            }
        }
    }
}

/// A client may ask for less than the tenant allows; who asks for more gets what is allowed.
fn lifetime_secs(form: &Form<'_>, longest_secs: u32) -> Result<u32, OAuthError> {
    match form.get("requested_expiry").map(str::parse::<u32>) {
        None => Ok(longest_secs),
        Some(Ok(secs)) if secs > 0 => Ok(secs.min(longest_secs)),
        Some(_) => Err(OAuthError::invalid_request("The requested_expiry must be a number of seconds.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorization_details::tests::types;
    use crate::client::AuthMethod;
    use crate::client::tests::client_with;
    use rstest::rstest;

    fn run(mode: Option<TokenDeliveryMode>, body: &str) -> Result<(Option<String>, Option<String>, u32), Code> {
        let client = client_with(|spec| spec.backchannel_token_delivery_mode = mode);
        let form = Form::parse(body.as_bytes()).unwrap();
        let proof = AuthenticatedClient::proven(&client);
        let request = BackchannelRequest::parse(&form, proof, "https://id.example", &types(), 300);
        request
            .map(|request| {
                let owned = |text: Option<&str>| text.map(str::to_owned);
                (owned(request.binding_message), owned(request.notification_token), request.lifetime_secs)
            })
            .map_err(|error| error.code())
    }

    const POLL: Option<TokenDeliveryMode> = Some(TokenDeliveryMode::Poll);
    const PING: Option<TokenDeliveryMode> = Some(TokenDeliveryMode::Ping);
    const GOOD: &str = "scope=openid&login_hint=ada@example.com";

    #[rstest]
    #[case(POLL, "", None, None, 300)]
    #[case(POLL, "&client_notification_token=x&user_code=1234&acr_values=a", None, None, 300)]
    #[case(PING, "&client_notification_token=abc.DEF-1~", None, Some("abc.DEF-1~"), 300)]
    #[case(POLL, "&binding_message=W4SCT+%F0%9F%91%8D&requested_expiry=120", Some("W4SCT 👍"), None, 120)]
    #[case(POLL, "&requested_expiry=99999", None, None, 300)]
    fn taken(
        #[case] mode: Option<TokenDeliveryMode>,
        #[case] more: &str,
        #[case] message: Option<&str>,
        #[case] token: Option<&str>,
        #[case] secs: u32,
    ) {
        let expected = (message.map(str::to_owned), token.map(str::to_owned), secs);
        assert_eq!(run(mode, &format!("{GOOD}{more}")), Ok(expected));
    }

    #[rstest]
    #[case::not_registered(None, GOOD, Code::UnauthorizedClient)]
    #[case::no_scope(POLL, "login_hint=a", Code::InvalidScope)]
    #[case::no_openid(POLL, "login_hint=a&scope=orders", Code::InvalidScope)]
    #[case::no_hint(POLL, "scope=openid", Code::InvalidRequest)]
    #[case::two_hints(POLL, "scope=openid&login_hint=a&id_token_hint=b", Code::InvalidRequest)]
    #[case::token_hint(POLL, "scope=openid&login_hint_token=a", Code::InvalidRequest)]
    #[case::signed(POLL, "scope=openid&login_hint=a&request=x", Code::InvalidRequest)]
    #[case::no_token(PING, GOOD, Code::InvalidRequest)]
    #[case::odd_token(PING, "scope=openid&login_hint=a&client_notification_token=a%0d%0ab", Code::InvalidRequest)]
    #[case::newline(POLL, "scope=openid&login_hint=a&binding_message=a%0ab", Code::InvalidBindingMessage)]
    #[case::reversed(POLL, "scope=openid&login_hint=a&binding_message=a%E2%80%AEb", Code::InvalidBindingMessage)]
    #[case::no_time(POLL, "scope=openid&login_hint=a&requested_expiry=0", Code::InvalidRequest)]
    #[case::past(POLL, "scope=openid&login_hint=a&requested_expiry=-1", Code::InvalidRequest)]
    fn refused(#[case] mode: Option<TokenDeliveryMode>, #[case] body: &str, #[case] code: Code) {
        assert_eq!(run(mode, body), Err(code));
    }

    #[test]
    fn long_texts_are_refused() {
        let with = |name: &str, count| format!("{GOOD}&{name}={}", "x".repeat(count));
        assert!(run(POLL, &with("binding_message", 100)).is_ok());
        assert_eq!(run(POLL, &with("binding_message", 101)), Err(Code::InvalidBindingMessage));
        assert!(run(PING, &with("client_notification_token", 1024)).is_ok());
        assert_eq!(run(PING, &with("client_notification_token", 1025)), Err(Code::InvalidRequest));
    }

    #[test]
    fn a_public_client_rings_nobody() {
        let public = client_with(|spec| {
            spec.backchannel_token_delivery_mode = POLL;
            spec.token_endpoint_auth_method = AuthMethod::None;
        });
        let form = Form::parse(GOOD.as_bytes()).unwrap();
        let proof = AuthenticatedClient::proven(&public);
        let refused = BackchannelRequest::parse(&form, proof, "https://id.example", &types(), 300).unwrap_err();
        assert_eq!(refused.code(), Code::UnauthorizedClient);
    }
}
