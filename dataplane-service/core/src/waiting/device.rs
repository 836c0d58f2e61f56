//! The device authorization request (RFC 8628 §3.1).

use super::Asked;
use crate::authorization_details::DetailTypes;
use crate::client::GrantType;
use crate::client_auth::AuthenticatedClient;
use crate::error::OAuthError;
use crate::form::Form;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRequest {
    pub asked: Asked,
}

impl DeviceRequest {
    pub fn parse(
        form: &Form<'_>,
        proof: AuthenticatedClient<'_>,
        issuer: &str,
        types: &DetailTypes,
    ) -> Result<Self, OAuthError> {
        let client = proof.client();
        if !client.may_use(GrantType::DeviceCode) {
            return Err(OAuthError::unauthorized_client("The client is not registered for device codes."));
        }
        Ok(Self { asked: Asked::parse(form, client, issuer, types)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorization_details::tests::types;
    use crate::client::tests::{client, client_with};
    use crate::error::Code;
    use rstest::rstest;

    fn run(body: &str) -> Result<Asked, Code> {
        let client = client();
        let form = Form::parse(body.as_bytes()).unwrap();
        let proof = AuthenticatedClient::proven(&client);
        let request = DeviceRequest::parse(&form, proof, "https://id.example", &types());
        request.map(|request| request.asked).map_err(|error| error.code())
    }

    #[rstest]
    #[case("", Code::InvalidScope)]
    #[case("scope=admin", Code::InvalidScope)]
    #[case("scope=openid&resource=urn:x", Code::InvalidTarget)]
    #[case(r#"authorization_details=[{"type":"files"}]"#, Code::InvalidAuthorizationDetails)]
    fn refused(#[case] body: &str, #[case] code: Code) {
        assert_eq!(run(body), Err(code));
    }

    #[test]
    fn by_registration_only() {
        let asked = run("scope=openid+orders&resource=https://api.example").unwrap();
        assert_eq!((asked.scope.to_string().as_str(), asked.resources.len()), ("openid orders", 1));
        let other = client_with(|spec| spec.grant_types = vec![GrantType::AuthorizationCode]);
        let form = Form::parse(b"scope=openid").unwrap();
        let proof = AuthenticatedClient::proven(&other);
        let refused = DeviceRequest::parse(&form, proof, "https://id.example", &types()).unwrap_err();
        assert_eq!(refused.code(), Code::UnauthorizedClient);
    }
}
