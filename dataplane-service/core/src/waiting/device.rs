//! The device authorization request (RFC 8628 §3.1).

use super::Asked;
use crate::client::GrantType;
use crate::client_auth::AuthenticatedClient;
use crate::error::OAuthError;
use crate::form::Form;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRequest {
    pub asked: Asked,
}

impl DeviceRequest {
    pub fn parse(form: &Form<'_>, proof: AuthenticatedClient<'_>, issuer: &str) -> Result<Self, OAuthError> {
        let client = proof.client();
        if !client.may_use(GrantType::DeviceCode) {
            return Err(OAuthError::unauthorized_client("The client is not registered for device codes."));
        }
        Ok(Self { asked: Asked::parse(form, client, issuer)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::tests::{client, client_with};
    use crate::error::Code;
    use rstest::rstest;

    fn run(body: &str) -> Result<Asked, Code> {
        let client = client();
        let form = Form::parse(body.as_bytes()).unwrap();
        let request = DeviceRequest::parse(&form, AuthenticatedClient::proven(&client), "https://id.example");
        request.map(|request| request.asked).map_err(|error| error.code())
    }

    #[rstest]
    #[case("", Code::InvalidScope)]
    #[case("scope=admin", Code::InvalidScope)]
    #[case("scope=openid&resource=urn:x", Code::InvalidTarget)]
    fn refused(#[case] body: &str, #[case] code: Code) {
        assert_eq!(run(body), Err(code));
    }

    #[test]
    fn by_registration_only() {
        let asked = run("scope=openid+orders&resource=https://api.example").unwrap();
        assert_eq!((asked.scope.to_string().as_str(), asked.resources.len()), ("openid orders", 1));
        let other = client_with(|spec| spec.grant_types = vec![GrantType::AuthorizationCode]);
        let form = Form::parse(b"scope=openid").unwrap();
        let refused =
            DeviceRequest::parse(&form, AuthenticatedClient::proven(&other), "https://id.example").unwrap_err();
        assert_eq!(refused.code(), Code::UnauthorizedClient);
    }
}
