//! Signed in at an OpenID Connect issuer: a token of the server's while it lasts, and the issuer's refresh token, if it gave
//! one, for the next.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use vocab::{Clock as _, SystemClock};

use crate::api::{self, Api};
use crate::authorization_code::{Discovery, Listening, Request, Shown, authorize, discover, read};
use crate::failure::Failure;
use crate::random;

/// A token is not used in its last seconds, so that it does not end on its way.
const MARGIN_SECS: i64 = 15;

/// As it is kept in a profile.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Session {
    issuer: String,
    client_id: String,
    token: String,
    /// Seconds since 1970.
    expires_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// What the server says of the issuer that it trusts.
#[derive(Deserialize)]
struct Trusted {
    issuer: String,
    client_id: String,
}

impl Session {
    /// `None` when it is over.
    pub(crate) fn token(&self) -> Option<&str> {
        (self.left_secs() > MARGIN_SECS).then_some(self.token.as_str())
    }

    /// In seconds since 1970.
    pub(crate) const fn ends_at(&self) -> i64 {
        self.expires_at
    }

    /// Whether it is over, or ends sooner than `wanted` and need not.
    pub(crate) fn is_due(&self, wanted: Duration) -> bool {
        let is_short = self.left_secs() <= wanted.as_secs().cast_signed();
        self.token().is_none() || (is_short && self.refresh_token.is_some())
    }

    fn left_secs(&self) -> i64 {
        self.expires_at - SystemClock.now().secs()
    }

    /// Signs the user in at the issuer that the server trusts.
    pub(crate) async fn begin(
        server: &str,
        ca_file: Option<&Path>,
        scope: &str,
        shown: Shown,
    ) -> Result<Self, Failure> {
        let (http, ours) = (api::http_client(None)?, api::http_client(ca_file)?);
        let Trusted { issuer, client_id } = trusted(&ours, server).await?;
        let discovery = discover(&http, &issuer).await?;
        let back = Listening::anywhere().await?;
        let (redirect_uri, nonce) = (back.redirect_uri()?, random::token());
        let request = Request { client_id: &client_id, scope, redirect_uri: &redirect_uri, nonce: Some(&nonce) };
        let granted = authorize(&discovery, &request, &back, shown).await?;
        let answer = redeem(&http, &discovery, &client_id, granted.form(&request)).await?;
        let id_token = text(&answer, "id_token")?;
        // It answers our request and no other (OIDC Core §3.1.3.7). The server checks the rest, the signature first.
        if claim(id_token, "nonce").as_deref() != Some(&nonce) {
            return Err(anyhow::anyhow!("the issuer's answer is not to our request: its nonce is another").into());
        }
        Self::exchange(&ours, server, issuer, client_id, &answer).await
    }

    /// Another one without the user.
    pub(crate) async fn renew(&self, server: &str, ca_file: Option<&Path>) -> Result<Self, Failure> {
        let ended = || Failure::Usage("your sign-in has ended: run `hellojohn login --oidc`".to_owned());
        let refresh_token = self.refresh_token.clone().ok_or_else(ended)?;
        let (http, ours) = (api::http_client(None)?, api::http_client(ca_file)?);
        let discovery = discover(&http, &self.issuer).await?;
        let form = vec![("grant_type", "refresh_token".to_owned()), ("refresh_token", refresh_token)];
        let answer = redeem(&http, &discovery, &self.client_id, form).await.map_err(|failure| match failure {
            Failure::Problem(problem) if (400..500).contains(&problem.status) => ended(),
            other => other,
        })?;
        let renewed = Self::exchange(&ours, server, self.issuer.clone(), self.client_id.clone(), &answer).await?;
        // Not every issuer gives a new one each time.
        Ok(Self { refresh_token: renewed.refresh_token.or_else(|| self.refresh_token.clone()), ..renewed })
    }

    /// The issuer's tokens for one of the server's.
    async fn exchange(
        http: &reqwest::Client,
        server: &str,
        issuer: String,
        client_id: String,
        answer: &Value,
    ) -> Result<Self, Failure> {
        let body = json!({ "id_token": text(answer, "id_token")?, "access_token": text(answer, "access_token")? });
        let url = endpoint(server, "token")?;
        let sent = http.post(url).json(&body).send().await.map_err(|error| api::unreachable(server, &error))?;
        let ours = read(sent).await?;
        let lives =
            ours.get("expires_in").and_then(Value::as_i64).context("the server does not say how long a token lives")?;
        let refresh_token = answer.get("refresh_token").and_then(Value::as_str).map(ToOwned::to_owned);
        let (token, expires_at) = (text(&ours, "access_token")?.to_owned(), SystemClock.now().secs() + lives);
        Ok(Self { issuer, client_id, token, expires_at, refresh_token })
    }
}

fn endpoint(server: &str, name: &str) -> Result<Url, Failure> {
    let mut url = api::parse_server(server)?;
    Api::extend(&mut url, &["auth", name]);
    Ok(url)
}

async fn trusted(http: &reqwest::Client, server: &str) -> Result<Trusted, Failure> {
    let url = endpoint(server, "methods")?;
    let methods = read(http.get(url).send().await.map_err(|error| api::unreachable(server, &error))?).await?;
    match methods.get("oidc") {
        Some(oidc) if oidc.is_object() => {
            Ok(Trusted::deserialize(oidc).context("the server's issuer is not readable")?)
        }
        _ => Err(Failure::Usage(format!("{server} trusts no OpenID Connect issuer (--admin-oidc-issuer)"))),
    }
}

/// As a public client: PKCE or the refresh token itself is the proof.
async fn redeem(
    http: &reqwest::Client,
    discovery: &Discovery,
    client_id: &str,
    mut form: Vec<(&'static str, String)>,
) -> Result<Value, Failure> {
    form.push(("client_id", client_id.to_owned()));
    let url = discovery.token_endpoint.clone();
    let sent = http.post(url.clone()).form(&form).send().await;
    read(sent.map_err(|error| api::unreachable(url.as_str(), &error))?).await
}

fn text<'a>(answer: &'a Value, name: &str) -> Result<&'a str, Failure> {
    Ok(answer.get(name).and_then(Value::as_str).with_context(|| format!("the answer has no {name}"))?)
}

/// A claim of a token whose signature somebody else checks.
fn claim(token: &str, name: &str) -> Option<String> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    claims.get(name)?.as_str().map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_renewed_before_its_end_where_it_can_be() {
        let with = |left_secs: i64, refresh_token: Option<&str>| Session {
            issuer: "https://id.example".to_owned(),
            client_id: "cli".to_owned(),
            token: "t".to_owned(),
            expires_at: SystemClock.now().secs() + left_secs,
            refresh_token: refresh_token.map(ToOwned::to_owned),
        };
        let wanted = Duration::from_secs(100);
        assert!(!with(200, Some("r")).is_due(wanted) && with(90, Some("r")).is_due(wanted));
        assert!(!with(90, None).is_due(wanted) && with(10, None).is_due(wanted));
    }
}
