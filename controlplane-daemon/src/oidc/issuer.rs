//! What the issuer publishes: its endpoints and keys, fetched when first needed and kept for a while.
//!
//! A token can name any `kid`, so an unknown one makes us fetch at most once per [`MIN_INTERVAL`]; sizes and times are
//! bounded, redirects are not followed, and only https is spoken, but for an issuer on this machine.

use std::path::Path;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{Jwk, JwkSet};
use parking_lot::Mutex;
use reqwest::{Certificate, Client, RequestBuilder, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use vocab::Secret;

const MIN_INTERVAL: Duration = Duration::from_secs(5);
/// A key that the issuer withdrew is accepted for at most this long.
const MAX_AGE: Duration = Duration::from_mins(5);
const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_BYTES: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Issuer {
    http: Client,
    name: String,
    published: Mutex<Option<Published>>,
    /// One fetch at a time; when the last one began.
    fetching: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Clone, Debug)]
struct Published {
    keys: Vec<Jwk>,
    userinfo: Option<Url>,
    at: Instant,
}

/// OIDC Discovery §3, as far as it is needed.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
}

#[derive(Debug)]
pub(super) enum IssuerError {
    UnknownKey,
    Unreachable(String),
}

/// Whether what is sent there never leaves this machine.
pub(crate) fn is_this_machine(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        None => false,
    }
}

/// https, or http to this very machine: what is not encrypted could come from anybody.
pub(crate) fn check_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|why| format!("{text:?} is no URL: {why}"))?;
    let loopback = is_this_machine(&url);
    let clean = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    match url.scheme() {
        "https" if clean => Ok(url),
        "http" if clean && loopback => Ok(url),
        _ => Err(format!("{text:?} must be an https URL (http on loopback only)")),
    }
}

impl Issuer {
    pub(super) fn new(issuer: &str, ca_file: Option<&Path>) -> Result<Self, String> {
        check_url(issuer)?;
        let mut builder = Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("hellojohn-controlplane/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = ca_file {
            let pem = std::fs::read(path).map_err(|why| format!("{}: {why}", path.display()))?;
            let certificates =
                Certificate::from_pem_bundle(&pem).map_err(|why| format!("{}: {why}", path.display()))?;
            builder = builder.tls_certs_merge(certificates);
        }
        let http = builder.build().map_err(|why| reason(&why))?;
        let (published, fetching) = (Mutex::new(None), tokio::sync::Mutex::new(None));
        Ok(Self { http, name: issuer.to_owned(), published, fetching })
    }

    /// The key that a token names; without a name, the only one there is.
    pub(super) async fn key(&self, kid: Option<&str>) -> Result<Jwk, IssuerError> {
        if let Some(key) = self.fresh(kid) {
            return Ok(key);
        }
        let mut began = self.fetching.lock().await;
        // Somebody else may have fetched while we waited.
        if let Some(key) = self.fresh(kid) {
            return Ok(key);
        }
        if let Some(last) = began.filter(|began| began.elapsed() < MIN_INTERVAL) {
            // What it had published before that says nothing of a key that we do not know.
            let did_answer = self.published.lock().as_ref().is_some_and(|published| published.at >= last);
            let silent = || IssuerError::Unreachable("it did not answer a moment ago".to_owned());
            return Err(if did_answer { IssuerError::UnknownKey } else { silent() });
        }
        *began = Some(Instant::now());
        let published = self.fetch().await.map_err(|why| {
            tracing::warn!(issuer = %self.name, %why, "the administrators' issuer cannot be asked for its keys");
            IssuerError::Unreachable(why)
        })?;
        *self.published.lock() = Some(published);
        self.fresh(kid).ok_or(IssuerError::UnknownKey)
    }

    fn fresh(&self, kid: Option<&str>) -> Option<Jwk> {
        let published = self.published.lock();
        let keys = &published.as_ref().filter(|published| published.at.elapsed() < MAX_AGE)?.keys;
        match (kid, keys.as_slice()) {
            (Some(kid), keys) => keys.iter().find(|key| key.common.key_id.as_deref() == Some(kid)).cloned(),
            (None, [only]) => Some(only.clone()),
            (None, _) => None,
        }
    }

    async fn fetch(&self) -> Result<Published, String> {
        let url = format!("{}/.well-known/openid-configuration", self.name.trim_end_matches('/'));
        let metadata: Metadata = read(self.http.get(check_url(&url)?)).await?;
        if metadata.issuer != self.name {
            // OIDC Discovery §4.3: else one issuer could speak for another.
            return Err(format!("its metadata is of another issuer, {:?}", metadata.issuer));
        }
        let keys: JwkSet = read(self.http.get(check_url(&metadata.jwks_uri)?)).await?;
        let userinfo = metadata.userinfo_endpoint.as_deref().map(check_url).transpose()?;
        Ok(Published { keys: keys.keys, userinfo, at: Instant::now() })
    }

    /// `None`: the issuer has no such endpoint.
    pub(super) async fn userinfo(&self, access_token: &Secret<String>) -> Result<Option<Map<String, Value>>, String> {
        let url = self.published.lock().as_ref().and_then(|published| published.userinfo.clone());
        let Some(url) = url else { return Ok(None) };
        read(self.http.get(url).bearer_auth(access_token.expose())).await.map(Some)
    }
}

async fn read<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, String> {
    let mut response = request.send().await.map_err(|why| reason(&why))?;
    if !response.status().is_success() {
        return Err(format!("{} answers {}", response.url(), response.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|why| reason(&why))? {
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(format!("{} answers more than {MAX_BYTES} bytes", response.url()));
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).map_err(|why| format!("{}: {why}", response.url()))
}

/// With its causes: reqwest's own text names only the URL.
fn reason(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(why) = cause {
        text = format!("{text}: {why}");
        cause = why.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever signs in meanwhile has not failed: the issuer has.
    #[tokio::test]
    async fn an_issuer_that_is_down_refuses_nobody() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let issuer = || Issuer::new(&format!("http://{closed}"), None).unwrap();
        let published = |at| Some(Published { keys: Vec::new(), userinfo: None, at });
        let now = Instant::now();
        let expired = now.checked_sub(MAX_AGE).expect("this machine has run for longer");
        for before in [None, published(expired), published(now)] {
            let issuer = issuer();
            *issuer.published.lock() = before;
            for _ in 0..3 {
                let answer = issuer.key(Some("k")).await;
                assert!(matches!(answer, Err(IssuerError::Unreachable(_))), "{answer:?}");
            }
        }
        let issuer = issuer();
        *issuer.fetching.lock().await = Some(now);
        *issuer.published.lock() = published(now);
        assert!(
            matches!(issuer.key(Some("k")).await, Err(IssuerError::UnknownKey)),
            "it has answered, without that key"
        );
    }

    #[test]
    fn only_this_machine_may_speak_without_encryption() {
        for good in
            ["https://id.example", "https://id.example/t/local", "http://127.0.0.1:8080/t/local", "http://[::1]"]
        {
            assert!(check_url(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "id.example",
            "http://id.example",
            "http://127.0.0.1.evil.example",
            "https://u:p@id.example",
            "file:///x",
            "https://id.example/#x",
        ] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }
}
