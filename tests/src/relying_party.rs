//! An OAuth client of a tenant, written by the book: builds authorization requests and calls the back channel.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::browser::Browser;
use crate::tenant::User;
use crate::web::{self, Answer};

#[derive(Clone, Debug)]
pub struct RelyingParty {
    pub http: reqwest::Client,
    /// What stands before `/oauth2/…`: the issuer, or the same tenant at another pod.
    pub base: String,
    pub client_id: String,
    pub secret: Option<String>,
    pub redirect_uri: String,
}

/// One authorization request and what must be remembered of it.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub url: Url,
    pub verifier: String,
    pub state: String,
    pub nonce: String,
}

#[derive(Clone, Debug)]
pub struct Tokens {
    pub access: String,
    pub refresh: Option<String>,
    pub id: Option<String>,
    pub answer: Answer,
}

impl RelyingParty {
    pub fn new(base: &str, client_id: &str, secret: Option<String>, redirect_uri: &str) -> Self {
        Self {
            http: web::client(),
            base: base.to_owned(),
            client_id: client_id.to_owned(),
            secret,
            redirect_uri: redirect_uri.to_owned(),
        }
    }

    /// The same client at another place.
    #[must_use]
    pub fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    #[must_use]
    pub fn with_secret(&self, secret: &str) -> Self {
        Self { secret: Some(secret.to_owned()), ..self.clone() }
    }

    pub fn endpoint(&self, name: &str) -> String {
        format!("{}/oauth2/{name}", self.base)
    }

    /// A correct request for `openid profile email offline_access`.
    pub fn attempt(&self) -> Attempt {
        self.attempt_with(&[])
    }

    /// The same with parameters replaced, added, or (`None`) left out.
    pub fn attempt_with(&self, changes: &[(&str, Option<&str>)]) -> Attempt {
        let random = || URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let (verifier, state, nonce) = (random(), random(), random());
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let mut parameters: Vec<(&str, &str)> = vec![
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("scope", "openid profile email offline_access"),
            ("state", &state),
            ("nonce", &nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        for (name, value) in changes {
            parameters.retain(|(present, _)| present != name);
            parameters.extend(value.map(|value| (*name, value)));
        }
        let url = Url::parse_with_params(&self.endpoint("authorize"), parameters).expect("the base is a URL");
        Attempt { url, verifier, state, nonce }
    }

    /// A token request, authenticated as the client is registered (HTTP Basic when it has a secret).
    pub fn token_request(&self, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
        self.back_channel("token", form)
    }

    #[track_caller]
    pub fn token(&self, form: &[(&str, &str)]) -> impl Future<Output = Answer> + use<> {
        web::send(self.token_request(form))
    }

    #[track_caller]
    pub fn redeem(&self, code: &str, verifier: &str) -> impl Future<Output = Answer> + use<> {
        self.token(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", verifier),
        ])
    }

    #[track_caller]
    pub fn refresh(&self, refresh_token: &str) -> impl Future<Output = Answer> + use<> {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", refresh_token)])
    }

    #[track_caller]
    pub fn userinfo(&self, access_token: &str) -> impl Future<Output = Answer> + use<> {
        web::send(self.http.get(self.endpoint("userinfo")).bearer_auth(access_token))
    }

    /// A request to another endpoint that clients authenticate at, in the same way.
    pub fn back_channel(&self, endpoint: &str, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let request = self.http.post(self.endpoint(endpoint));
        match &self.secret {
            Some(secret) => request.basic_auth(&self.client_id, Some(secret)).form(form),
            None => request.form(&[form, &[("client_id", self.client_id.as_str())]].concat()),
        }
    }

    /// What the server says of a token (RFC 7662).
    #[track_caller]
    pub fn introspect(&self, token: &str) -> impl Future<Output = Answer> + use<> {
        web::send(self.back_channel("introspect", &[("token", token)]))
    }

    /// Gives a token up (RFC 7009).
    #[track_caller]
    pub fn revoke(&self, token: &str) -> impl Future<Output = Answer> + use<> {
        web::send(self.back_channel("revoke", &[("token", token)]))
    }

    /// An access token of the client's own.
    pub async fn client_credentials(&self, scope: &str) -> String {
        self.token(&[("grant_type", "client_credentials"), ("scope", scope)]).await.expect(200).text_of("access_token")
    }

    pub async fn jwks(&self) -> Answer {
        web::send(self.http.get(format!("{}/.well-known/jwks.json", self.base))).await.expect(200)
    }

    pub async fn discovery(&self) -> Answer {
        web::send(self.http.get(format!("{}/.well-known/openid-configuration", self.base))).await.expect(200)
    }

    /// The code of a fresh authorization by a user who signs in in a fresh browser.
    pub async fn code(&self, user: &User) -> (String, Attempt) {
        let attempt = self.attempt();
        let callback = Browser::new().authorize(&attempt.url, user).await;
        let code = parameters(&callback).remove("code");
        (code.unwrap_or_else(|| panic!("no code in {callback}")), attempt)
    }

    /// The whole flow for a user in a fresh browser.
    pub async fn sign_in(&self, user: &User) -> Tokens {
        let (code, attempt) = self.code(user).await;
        Tokens::read(self.redeem(&code, &attempt.verifier).await)
    }
}

impl Tokens {
    #[track_caller]
    pub fn read(answer: Answer) -> Self {
        let answer = answer.expect(200);
        let optional = |field: &str| answer.json[field].as_str().map(ToOwned::to_owned);
        Self {
            access: answer.text_of("access_token"),
            refresh: optional("refresh_token"),
            id: optional("id_token"),
            answer,
        }
    }

    #[track_caller]
    pub fn refresh(&self) -> &str {
        self.refresh.as_deref().unwrap_or_else(|| panic!("no refresh token in {:#?}", self.answer))
    }

    #[track_caller]
    pub fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_else(|| panic!("no ID token in {:#?}", self.answer))
    }
}

/// The query of a callback.
pub fn parameters(url: &Url) -> HashMap<String, String> {
    url.query_pairs().into_owned().collect()
}
