//! The request for tokens at a provider, and how the tenant proves there that it is the client (OIDC Core §9).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use form_urlencoded::byte_serialize;
use oauth_core::federation::Metadata;
use oauth_core::issue::ID_TOKEN_TYPE;
use serde::Deserialize;
use serde_json::json;
use vocab::Secret;
use vocab::identity_provider::ProviderAuthMethod;

use super::{Failure, Federation, Tokens};
use crate::fetch::Answer;
use crate::opaque;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const ASSERTION_SECS: i64 = 60;

/// RFC 6749 §5.2.
#[derive(Deserialize)]
struct TokenError {
    error: String,
}

impl Federation<'_> {
    /// The tokens for the code (OIDC Core §3.1.3).
    pub(super) async fn redeem(&self, metadata: &Metadata, code: &str, verifier: &str) -> Result<Tokens, Failure> {
        let redirect_uri = self.redirect_uri();
        let grant = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &redirect_uri),
            ("code_verifier", verifier),
        ];
        let answer = self.request(metadata, grant.to_vec()).await?;
        if answer.status != 200 {
            return Err(refusal(&answer));
        }
        serde_json::from_slice(&answer.body).map_err(|_| Failure::NoIdToken)
    }

    async fn request<'f>(&'f self, metadata: &Metadata, mut form: Vec<(&'f str, &'f str)>) -> Result<Answer, Failure> {
        let (fetcher, url) = (&self.verifier.fetcher, metadata.token_endpoint.as_str());
        let client_id = self.provider.client_id.as_str();
        Ok(match self.provider.token_endpoint_auth_method {
            ProviderAuthMethod::PrivateKeyJwt => {
                let assertion = self.assertion(&metadata.issuer)?;
                let mut form: Vec<(&str, &str)> = form;
                form.extend([
                    ("client_id", client_id),
                    ("client_assertion_type", ASSERTION_TYPE),
                    ("client_assertion", &assertion),
                ]);
                fetcher.post_form(url, &form).await?
            }
            ProviderAuthMethod::ClientSecretPost => {
                form.extend([("client_id", client_id), ("client_secret", self.secret()?.expose())]);
                fetcher.post_form(url, &form).await?
            }
            ProviderAuthMethod::ClientSecretBasic => {
                fetcher.post_form_by(url, &form, &basic(client_id, self.secret()?)).await?
            }
        })
    }

    /// Before anybody is sent there: whether the tenant could prove itself afterwards.
    pub(super) fn check_secret(&self) -> Result<(), Failure> {
        if self.provider.token_endpoint_auth_method.needs_secret() { self.secret().map(drop) } else { Ok(()) }
    }

    fn secret(&self) -> Result<&Secret<String>, Failure> {
        self.tenant.provider_secrets.of(self.provider).ok_or(Failure::Secret)
    }

    fn assertion(&self, audience: &str) -> Result<String, Failure> {
        let (client_id, now) = (&self.provider.client_id, self.now.secs());
        let claims = json!({
            "iss": client_id, "sub": client_id, "aud": audience, "jti": opaque::fresh_jti(), "iat": now,
            "exp": now + ASSERTION_SECS,
        });
        Ok(self.tenant.keys.sign(ID_TOKEN_TYPE, &claims)?)
    }
}

/// `Basic` credentials (RFC 7617 §2), both halves form-encoded first (RFC 6749 §2.3.1).
fn basic(client_id: &str, secret: &Secret<String>) -> Secret<String> {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let credentials = format!("{}:{}", encoded(client_id), encoded(secret.expose()));
    Secret::new(format!("Basic {}", STANDARD.encode(credentials)))
}

fn refusal(answer: &Answer) -> Failure {
    let error = serde_json::from_slice(&answer.body).map(|TokenError { error }| error).unwrap_or_default();
    let of_the_client = ["invalid_client", "unauthorized_client"].contains(&error.as_str());
    if answer.status == 401 || of_the_client { Failure::Client } else { Failure::Status(answer.status) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The server must find the colon between the halves, and the halves themselves.
    #[test]
    fn both_halves_of_basic_are_form_encoded() {
        let header = basic("a b", &Secret::new("x:y%ä+&".to_owned()));
        let decoded = STANDARD.decode(header.expose().strip_prefix("Basic ").unwrap()).unwrap();
        assert_eq!(String::from_utf8(decoded).unwrap(), "a+b:x%3Ay%25%C3%A4%2B%26");
    }

    #[test]
    fn a_refused_client_is_told_from_a_refused_code() {
        let refusal = |status, body: &'static str| refusal(&Answer { status, body: body.into(), max_age: None });
        assert!(matches!(refusal(400, r#"{"error":"invalid_client"}"#), Failure::Client));
        assert!(matches!(refusal(401, "<html>"), Failure::Client));
        assert!(matches!(refusal(400, r#"{"error":"invalid_grant"}"#), Failure::Status(400)));
        assert!(matches!(refusal(500, ""), Failure::Status(500)));
    }
}
