//! The admin API as an operator's script uses it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::web::{self, Answer};

/// Someone signed in at one node.
#[derive(Clone, Debug)]
pub struct Admin {
    http: reqwest::Client,
    node: String,
    token: String,
}

/// What a new client needs to know to be one.
#[derive(Clone, Debug)]
pub struct NewClient {
    pub client_id: String,
    pub secret: Option<String>,
    pub answer: Answer,
}

impl Admin {
    /// `node` is the base URL of its admin listener.
    pub async fn sign_in(node: &str, credential: &str) -> Result<Self, String> {
        Self::sign_in_with(web::client(), node, credential).await
    }

    /// By a client that trusts the node's certificate.
    pub async fn sign_in_with(http: reqwest::Client, node: &str, credential: &str) -> Result<Self, String> {
        let request = http.post(format!("{node}/api/v1/auth/token")).json(&json!({ "credential": credential }));
        let answer = web::try_send(request).await.map_err(|error| error.to_string())?;
        match (answer.status, answer.json["access_token"].as_str()) {
            (200, Some(token)) => Ok(Self { token: token.to_owned(), node: node.to_owned(), http }),
            _ => Err(format!("{answer:?}")),
        }
    }

    /// The same person with another token, to see what that is worth.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.node)
    }

    /// A request to `/api/v1{path}` that bears the token.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, self.url(path)).bearer_auth(&self.token)
    }

    /// The same without it.
    pub fn anonymous_request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, self.url(path))
    }

    pub async fn try_get(&self, path: &str) -> Result<Answer, reqwest::Error> {
        web::try_send(self.request(Method::GET, path)).await
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> impl Future<Output = Answer> + use<> {
        web::send(self.request(Method::GET, path))
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> impl Future<Output = Answer> + use<> {
        web::send(self.request(Method::POST, path).json(body))
    }

    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> impl Future<Output = Answer> + use<> {
        web::send(self.request(Method::PUT, path).json(body))
    }

    #[track_caller]
    pub fn patch(&self, path: &str, body: &Value) -> impl Future<Output = Answer> + use<> {
        let body = serde_json::to_vec(body).expect("a JSON value can be written");
        let request = self.request(Method::PATCH, path).header("content-type", "application/merge-patch+json");
        web::send(request.body(body))
    }

    #[track_caller]
    pub fn delete(&self, path: &str) -> impl Future<Output = Answer> + use<> {
        web::send(self.request(Method::DELETE, path))
    }

    pub async fn create_tenant(&self, slug: &str, settings: Value) -> Answer {
        let body = json!({ "slug": slug, "display_name": slug, "settings": settings });
        self.post("/tenants", &body).await.expect(201)
    }

    /// Returns once every connected pod knows the client.
    pub async fn create_client(&self, tenant: &str, client: &Value) -> NewClient {
        let answer = self.post(&format!("/tenants/{tenant}/clients?wait=fleet&timeout=15s"), client).await.expect(201);
        assert_eq!(answer.header("x-fleet"), Some("complete"), "{answer:#?}");
        let secret = answer.json["client_secret"].as_str().map(ToOwned::to_owned);
        NewClient { client_id: answer.text_of("client_id"), secret, answer }
    }

    /// The newest record of the audit that `query` finds: of what an administrator did from here.
    pub async fn record_of_an_administrator(&self, query: &str) -> Value {
        let records = self.get(&format!("/audit/logs?{query}")).await.expect(200).json;
        let record = &records["items"][0];
        let by = (&record["actor"]["kind"], &record["source_address"]);
        assert_eq!(by, (&json!("admin"), &json!("127.0.0.1")), "{query}: {records:#}");
        record.clone()
    }

    /// Creates an administrator and returns the credential.
    pub async fn create_admin(&self, name: &str, role: Value) -> String {
        self.post("/admins", &json!({ "name": name, "role": role })).await.expect(201).text_of("credential")
    }
}
