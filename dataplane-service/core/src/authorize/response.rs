//! What carries the answer back to the client (RFC 6749 §4.1.2, OAuth 2.0 Multiple Response Types §2.1, OAuth 2.0 Form
//! Post Response Mode), with `iss` of RFC 9207.

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

/// An answer, as the browser has to take it to the client.
#[derive(Clone, PartialEq, Eq)]
pub enum Delivery {
    /// A redirect to this URL.
    Redirect(String),
    /// A form with these fields, posted there.
    FormPost { action: String, fields: Vec<(&'static str, String)> },
}

/// It holds the code.
impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Redirect(_) => f.write_str("Redirect(…)"),
            Self::FormPost { action, .. } => f.debug_struct("FormPost").field("action", action).finish_non_exhaustive(),
        }
    }
}

/// The answer that hands a code over; `None` for the response type `none`, which wants nothing (Multiple Response
/// Types §4).
pub fn success(address: &ReturnAddress, issuer: &str, code: Option<&str>) -> Delivery {
    deliver(address, issuer, code.into_iter().map(|code| ("code", code.to_owned())).collect())
}

/// The answer that says why there is none (RFC 6749 §4.1.2.1).
pub fn failure(address: &ReturnAddress, issuer: &str, error: &OAuthError) -> Delivery {
    let told = vec![("error", error.code().as_str().to_owned()), ("error_description", error.description().to_owned())];
    deliver(address, issuer, told)
}

fn deliver(address: &ReturnAddress, issuer: &str, mut fields: Vec<(&'static str, String)>) -> Delivery {
    if let Some(state) = &address.state {
        fields.push(("state", state.clone()));
    }
    // RFC 9207 §2: on success and on error alike.
    fields.push(("iss", issuer.to_owned()));
    let uri = &address.redirect_uri;
    let encoded = || Serializer::new(String::new()).extend_pairs(&fields).finish();
    // The redirect URI itself stays as it is, its own query included (RFC 6749 §3.1.2). It has no fragment:
    // registration refuses one.
    match address.response_mode {
        ResponseMode::Query => {
            let separator = if uri.contains('?') { '&' } else { '?' };
            Delivery::Redirect(format!("{uri}{separator}{}", encoded()))
        }
        ResponseMode::Fragment => Delivery::Redirect(format!("{uri}#{}", encoded())),
        ResponseMode::FormPost => Delivery::FormPost { action: uri.clone(), fields },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn address(redirect_uri: &str, response_mode: ResponseMode, state: &str) -> ReturnAddress {
        ReturnAddress { redirect_uri: redirect_uri.into(), response_mode, state: Some(state.into()) }
    }

    #[rstest]
    #[case(
        "https://app.example/cb",
        ResponseMode::Query,
        "https://app.example/cb?code=c0de&state=a%0D%0ASet-Cookie%3Ax%3D1&iss=https%3A%2F%2Fid.example"
    )]
    #[case(
        "https://app.example/cb?x=1",
        ResponseMode::Query,
        "https://app.example/cb?x=1&code=c0de&state=a%0D%0ASet-Cookie%3Ax%3D1&iss=https%3A%2F%2Fid.example"
    )]
    #[case(
        "https://app.example/cb?x=1",
        ResponseMode::Fragment,
        "https://app.example/cb?x=1#code=c0de&state=a%0D%0ASet-Cookie%3Ax%3D1&iss=https%3A%2F%2Fid.example"
    )]
    fn state_and_issuer_come_back_encoded(#[case] uri: &str, #[case] mode: ResponseMode, #[case] expected: &str) {
        let address = address(uri, mode, "a\r\nSet-Cookie:x=1");
        let delivery = success(&address, "https://id.example", Some("c0de"));
        assert_eq!(delivery, Delivery::Redirect(expected.to_owned()));
    }

    #[test]
    fn errors_and_empty_answers() {
        let address = address("app.example:/cb", ResponseMode::Query, "s");
        let told = failure(&address, "i", &OAuthError::access_denied("The user said no."));
        let expected = "app.example:/cb?error=access_denied&error_description=The+user+said+no.&state=s&iss=i";
        assert_eq!(told, Delivery::Redirect(expected.to_owned()));
        assert_eq!(success(&address, "i", None), Delivery::Redirect("app.example:/cb?state=s&iss=i".to_owned()));
    }

    #[test]
    fn a_form_has_the_fields_as_they_are() {
        let address = address("https://app.example/cb?x=1", ResponseMode::FormPost, "a\"b");
        let fields = vec![("code", "c".to_owned()), ("state", "a\"b".to_owned()), ("iss", "i".to_owned())];
        let action = "https://app.example/cb?x=1".to_owned();
        assert_eq!(success(&address, "i", Some("c")), Delivery::FormPost { action, fields });
    }
}
