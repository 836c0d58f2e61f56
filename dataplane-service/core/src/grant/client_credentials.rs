//! A client on its own behalf (RFC 6749 §4.4). Needs no fact beyond the client, so it touches no database.

use vocab::ScopeName;

use crate::authorization_details::{AuthorizationDetails, DetailTypes};
use crate::client::Client;
use crate::client_auth::AuthenticatedClient;
use crate::error::{Code, OAuthError};
use crate::form::Form;
use crate::resource::is_own;
use crate::scope::needs_user;

/// The parameters of RFC 6749 §4.4.2.
#[derive(Debug)]
pub struct Request<'a> {
    pub scope: Option<&'a str>,
    pub resources: Vec<&'a str>,
    pub details: Option<AuthorizationDetails>,
}

/// What is to be issued; everything borrowed, for this is the busiest path there is.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientToken<'a> {
    /// As in the `scope` claim; empty: the token has none.
    pub scope: String,
    /// As asked for; empty: the client's default.
    pub resources: Vec<&'a str>,
    pub details: AuthorizationDetails,
}

impl<'a> Request<'a> {
    pub(super) fn parse(form: &'a Form<'_>) -> Result<Self, OAuthError> {
        let details = AuthorizationDetails::read(form)?;
        Ok(Self { scope: form.get("scope"), resources: form.resources(), details })
    }

    pub fn decide(
        self,
        proof: AuthenticatedClient<'_>,
        issuer: &str,
        types: &DetailTypes,
    ) -> Result<ClientToken<'a>, OAuthError> {
        let client = proof.client();
        // RFC 6749 §4.4: "MUST only be used by confidential clients".
        if client.is_public() {
            return Err(OAuthError::unauthorized_client("A public client has no credentials."));
        }
        // RFC 8707 §2.
        if !self
            .resources
            .iter()
            .all(|asked| is_own(asked, issuer) || client.spec.audiences.iter().any(|known| known == asked))
        {
            return Err(OAuthError::invalid_target("The client is not registered for this resource."));
        }
        let details = types.judge(self.details, client)?;
        Ok(ClientToken { scope: scope(self.scope, client)?, resources: self.resources, details })
    }
}

/// What was asked for, or everything that the client may have without a user (RFC 6749 §3.3).
fn scope(asked: Option<&str>, client: &Client) -> Result<String, OAuthError> {
    let available = || client.spec.scopes.iter().map(ScopeName::as_str).filter(|name| !needs_user(name));
    let Some(asked) = asked else {
        return Ok(joined(available()));
    };
    let names = || asked.split(' ').filter(|name| !name.is_empty());
    match names().find(|name| !available().any(|known| known == *name)) {
        Some(name) => Err(OAuthError::quoting(Code::InvalidScope, &format!("The client may not have scope {name}."))),
        None => Ok(joined(names())),
    }
}

fn joined<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let mut text = String::new();
    for name in names {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorization_details::tests::types;
    use crate::client::AuthMethod;
    use crate::client::tests::client_with;
    use crate::client_auth::authenticate;
    use rstest::rstest;
    use vocab::Timestamp;

    fn run(client: &Client, body: &str) -> Result<(String, Vec<String>), Code> {
        let hello = format!("client_id=web{}", if client.is_public() { "" } else { "&client_secret=s3cret" });
        let hello = Form::parse(hello.as_bytes()).unwrap();
        let proof = authenticate(Timestamp::from_secs(1), None, &hello, |_| Some(client)).unwrap();
        let form = Form::parse(body.as_bytes()).unwrap();
        let request = Request::parse(&form).map_err(|error| error.code())?;
        let token = request.decide(proof, "https://id.example", &types()).map_err(|error| error.code())?;
        Ok((token.scope, token.resources.into_iter().map(str::to_owned).collect()))
    }

    #[rstest]
    #[case("", Ok(("orders", &[][..])))]
    #[case("scope=orders", Ok(("orders", &[][..])))]
    #[case("scope=orders&resource=https://other.example", Ok(("orders", &["https://other.example"][..])))]
    #[case("resource=https://id.example", Ok(("orders", &["https://id.example"][..])))]
    #[case("resource=urn:unknown", Err(Code::InvalidTarget))]
    #[case("resource=https://api.example&resource=urn:unknown", Err(Code::InvalidTarget))]
    #[case("scope=openid", Err(Code::InvalidScope))]
    #[case("scope=orders+offline_access", Err(Code::InvalidScope))]
    #[case("scope=admin", Err(Code::InvalidScope))]
    #[case("scope=pg_sleep(10)", Err(Code::InvalidScope))]
    #[case(r#"authorization_details=[{"type":"payment"}]"#, Err(Code::InvalidAuthorizationDetails))]
    #[case("authorization_details=x", Err(Code::InvalidAuthorizationDetails))]
    fn decisions(#[case] body: &str, #[case] expected: Result<(&str, &[&str]), Code>) {
        let client = client_with(|spec| spec.token_endpoint_auth_method = AuthMethod::ClientSecretPost);
        let expected = expected.map(|(scope, resources)| {
            (scope.to_owned(), resources.iter().map(|resource| (*resource).to_owned()).collect::<Vec<_>>())
        });
        assert_eq!(run(&client, body), expected);
    }

    #[test]
    fn never_for_public_clients() {
        let public = client_with(|spec| spec.token_endpoint_auth_method = AuthMethod::None);
        assert_eq!(run(&public, ""), Err(Code::UnauthorizedClient));
    }
}
