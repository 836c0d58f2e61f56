//! The URL that carries the answer back to the client (RFC 6749 §4.1.2, with `iss` of RFC 9207).

use form_urlencoded::Serializer;

use super::request::ResponseMode;
use crate::error::OAuthError;

/// Where an answer goes: a redirect URI that was checked, and the state to give back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnAddress {
    pub redirect_uri: String,
    pub response_mode: ResponseMode,
    pub state: Option<String>,
}

/// The redirect that hands the code over.
pub fn success_url(address: &ReturnAddress, issuer: &str, code: &str) -> String {
    with_parameters(address, issuer, &[("code", code)])
}

/// The redirect that says why there is no code (RFC 6749 §4.1.2.1).
pub fn error_url(address: &ReturnAddress, issuer: &str, error: &OAuthError) -> String {
    with_parameters(address, issuer, &[("error", error.code().as_str()), ("error_description", error.description())])
}

/// The redirect URI itself stays as it is, its own query included (RFC 6749 §3.1.2). It has no fragment: registration
/// refuses one.
fn with_parameters(address: &ReturnAddress, issuer: &str, parameters: &[(&str, &str)]) -> String {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(parameters);
    if let Some(state) = &address.state {
        query.append_pair("state", state);
    }
    // RFC 9207 §2: on success and on error alike.
    query.append_pair("iss", issuer);
    let separator = if address.redirect_uri.contains('?') { '&' } else { '?' };
    format!("{}{separator}{}", address.redirect_uri, query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(redirect_uri: &str, state: &str) -> ReturnAddress {
        ReturnAddress {
            redirect_uri: redirect_uri.into(),
            response_mode: ResponseMode::Query,
            state: Some(state.into()),
        }
    }

    #[test]
    fn state_and_issuer_come_back_encoded() {
        assert_eq!(
            success_url(&address("https://app.example/cb", "a\r\nSet-Cookie:x=1"), "https://id.example", "c0de"),
            "https://app.example/cb?code=c0de&state=a%0D%0ASet-Cookie%3Ax%3D1&iss=https%3A%2F%2Fid.example"
        );
        assert_eq!(
            error_url(&address("app.example:/cb?x=1", "s"), "i", &OAuthError::access_denied("The user said no.")),
            "app.example:/cb?x=1&error=access_denied&error_description=The+user+said+no.&state=s&iss=i"
        );
    }
}
