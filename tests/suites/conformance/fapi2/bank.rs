//! A client under the profile: pushes its requests, proves itself by assertions, and holds a key for DPoP.

use serde_json::{Value, json};
use tests::relying_party::{Attempt, RelyingParty};
use tests::tenant::Tenant;
use tests::web::{self, Answer};
use url::Url;

use super::super::ensure;
use super::super::keys::Key;

pub(super) const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
pub(super) const REDIRECT: &str = "https://bank.example/callback";

pub(super) type Changes<'a> = &'a [(&'a str, Option<&'a str>)];

pub(super) struct Bank {
    pub(super) party: RelyingParty,
    pub(super) key: Key,
    pub(super) proof_key: Key,
}

impl Bank {
    pub(super) async fn new(tenant: &Tenant, id: &str) -> Self {
        let key = Key::new("a");
        let client = json!({
            "client_id": id, "name": "The Bank", "fapi": "2.0", "redirect_uris": [REDIRECT],
            "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "private_key_jwt",
            "scopes": ["openid", "profile", "offline_access"], "jwks": { "keys": [key.jwk] },
        });
        let clients = format!("/tenants/{}/clients?wait=fleet&timeout=15s", tenant.slug);
        let _ = tenant.admin.post(&clients, &client).await.expect(201);
        Self { party: RelyingParty::new(&tenant.issuer, id, None, REDIRECT), key, proof_key: Key::new("d") }
    }

    pub(super) fn attempt(&self, changes: Changes<'_>) -> Attempt {
        self.party.attempt_with(&[&[("scope", Some("openid offline_access"))], changes].concat())
    }

    /// A good one but for `changes`.
    pub(super) fn assertion(&self, changes: &Value) -> String {
        self.key.assertion(&self.party.client_id, &self.party.base, changes)
    }

    pub(super) fn proof(&self, endpoint: &str, changes: &Value) -> String {
        self.proof_key.proof("POST", &self.party.endpoint(endpoint), changes)
    }

    pub(super) async fn send(
        &self,
        endpoint: &str,
        form: &[(&str, &str)],
        assertion: &str,
        proofs: &[String],
    ) -> Answer {
        let proven = [("client_assertion_type", ASSERTION), ("client_assertion", assertion)];
        let request = self.party.http.post(self.party.endpoint(endpoint)).form(&[form, &proven].concat());
        web::send(proofs.iter().fold(request, |request, proof| request.header("DPoP", proof))).await
    }

    pub(super) async fn push_with(&self, attempt: &Attempt, assertion: &Value, proofs: &[String]) -> Answer {
        let form: Vec<(String, String)> = attempt.url.query_pairs().into_owned().collect();
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.send("par", &form, &self.assertion(assertion), proofs).await
    }

    pub(super) fn referring(&self, uri: &str) -> Url {
        let parameters = [("client_id", self.party.client_id.as_str()), ("request_uri", uri)];
        Url::parse_with_params(&self.party.endpoint("authorize"), parameters).expect("a URL")
    }

    /// The address to send the browser to.
    pub(super) async fn push(&self, attempt: &Attempt) -> Result<Url, String> {
        let answer = self.push_with(attempt, &json!({}), &[]).await;
        ensure(answer.status == 201, || format!("{answer:?}"))?;
        let expires_in = answer.json["expires_in"].as_u64().unwrap_or_default();
        ensure((1..600).contains(&expires_in), || answer.text.clone())?;
        Ok(self.referring(&answer.text_of("request_uri")))
    }

    pub(super) async fn redeem_with(
        &self,
        code: &str,
        verifier: Option<&str>,
        assertion: &str,
        proofs: &[String],
    ) -> Answer {
        let mut form = vec![("grant_type", "authorization_code"), ("code", code), ("redirect_uri", REDIRECT)];
        form.extend(verifier.map(|verifier| ("code_verifier", verifier)));
        self.send("token", &form, assertion, proofs).await
    }

    pub(super) async fn redeem(&self, code: &str, attempt: &Attempt) -> Answer {
        let proof = self.proof("token", &json!({}));
        self.redeem_with(code, Some(&attempt.verifier), &self.assertion(&json!({})), &[proof]).await
    }
}
