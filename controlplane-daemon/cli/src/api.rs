//! The admin REST API, one method for reading and one for changing.
//!
//! A change carries a random `Idempotency-Key`. When no answer comes, or the answer is *no leader* or *outcome unknown*,
//! it is sent once more with the same key: the server applies it once, however often it arrives.

mod sign_in;

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, IF_MATCH, LOCATION, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode, Url};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use vocab::{ErrorCode, Secret};

use crate::failure::Failure;
use crate::output::{Output, note};
use crate::private_file;
use crate::problem::Problem;
use crate::random;

pub(crate) use self::sign_in::Lasting;

/// Longer than every bounded wait of the server.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(90);
/// For files of many megabytes.
const FILE_TIMEOUT: Duration = Duration::from_mins(30);
/// What the last line of an export has at most.
const END_BYTES: usize = 256;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A server that asks for a longer pause gets its retry by hand.
const MAX_PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Api {
    http: reqwest::Client,
    base: Url,
    token: Secret<String>,
    /// When the token ends, in seconds since 1970.
    ends_at: i64,
    /// `wait` and `timeout` of the query, when asked for.
    wait: Vec<(String, String)>,
    pub(crate) output: Output,
}

/// One change: what, where, and under which precondition.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a [&'a str],
    pub(crate) body: Option<Value>,
    /// The revision the resource must still have (`If-Match`, RFC 9110 §13.1.1).
    pub(crate) if_match: Option<u64>,
}

/// A server's answer to a change.
#[derive(Debug)]
pub(crate) struct Answer {
    /// `null` for 204.
    pub(crate) body: Value,
    fleet: FleetWait,
}

/// What came of `--wait fleet`.
#[derive(Debug)]
struct FleetWait {
    /// The pods that were waited for in vain.
    laggards: Option<String>,
    /// Pods that cannot use something.
    rejecting: Option<String>,
}

impl Answer {
    /// Says which pods cannot use something. A failure when some were waited for in vain.
    pub(crate) fn check_fleet(&self) -> Result<(), Failure> {
        if let Some(pods) = &self.fleet.rejecting {
            note_rejecting(pods);
        }
        self.fleet.laggards.clone().map_or(Ok(()), |pods| Err(Failure::Laggards(pods)))
    }
}

pub(crate) fn note_rejecting(pods: &str) {
    note(format_args!("Pods that cannot use something: {pods}. `hellojohn fleet` says what, and why."));
}

impl Api {
    /// The same administrator at another node.
    pub(crate) fn at(&self, base: Url) -> Self {
        let Self { http, token, ends_at, wait, output, .. } = self;
        let (http, token) = (http.clone(), token.clone());
        Self { http, base, token, ends_at: *ends_at, wait: wait.clone(), output: *output }
    }

    /// For all changes of many but the last.
    pub(crate) fn without_wait(&self) -> Self {
        Self { wait: Vec::new(), ..self.at(self.base.clone()) }
    }

    pub(crate) async fn get(&self, path: &[&str]) -> Result<Value, Failure> {
        self.get_with(path, &[]).await
    }

    /// An answer without an end.
    pub(crate) async fn stream(&self, path: &[&str], query: &[(String, String)]) -> Result<Response, Failure> {
        let request = self.http.get(self.url(path, query)).header(AUTHORIZATION, self.bearer());
        let endless = request.timeout(Duration::from_secs(u32::MAX.into()));
        let response = endless.send().await.map_err(|error| unreachable(self.base.as_str(), &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        self.read_body(response).await.and_then(|_| Err(anyhow::anyhow!("{} answered no stream", self.base).into()))
    }

    pub(crate) async fn get_with(&self, path: &[&str], query: &[(String, String)]) -> Result<Value, Failure> {
        let request = self.http.get(self.url(path, query)).header(AUTHORIZATION, self.bearer());
        let response = request.send().await.map_err(|error| unreachable(self.base.as_str(), &error))?;
        self.read_body(response).await
    }

    /// Every item of a list, page by page.
    pub(crate) async fn list(&self, path: &[&str]) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = vec![("limit".to_owned(), "500".to_owned())];
            query.extend(cursor.take().map(|cursor| ("cursor".to_owned(), cursor)));
            let mut page = self.get_with(path, &query).await?;
            match page.pointer_mut("/items").map(Value::take) {
                Some(Value::Array(more)) => items.extend(more),
                _ => return Err(anyhow::anyhow!("the list of {} has no items", path.join("/")).into()),
            }
            match page.pointer("/next_cursor").and_then(Value::as_str) {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(items),
            }
        }
    }

    pub(crate) async fn change(&self, change: Change<'_>) -> Result<Answer, Failure> {
        self.change_as(&random::token(), change).await
    }

    /// [`Self::change`] under a request id that the caller keeps, to ask again after a crash.
    pub(crate) async fn change_as(&self, request_id: &str, change: Change<'_>) -> Result<Answer, Failure> {
        self.twice(request_id, &[], &change).await
    }

    /// [`Self::change`] with more in its query.
    pub(crate) async fn change_with(&self, query: &[(String, String)], change: Change<'_>) -> Result<Answer, Failure> {
        self.twice(&random::token(), query, &change).await
    }

    /// Once more under the same request id, where that can help.
    async fn twice(
        &self,
        request_id: &str,
        query: &[(String, String)],
        change: &Change<'_>,
    ) -> Result<Answer, Failure> {
        let query: Vec<_> = self.wait.iter().chain(query).cloned().collect();
        let url = self.url(change.path, &query);
        match self.attempt(request_id, url.clone(), change).await {
            Err((first, Some(pause))) => {
                tokio::time::sleep(pause).await;
                self.attempt(request_id, url, change).await.map_err(|(second, _)| first.then(second))
            }
            Err((failure, None)) => Err(failure),
            Ok(answer) => Ok(answer),
        }
    }

    /// A failure comes with the pause after which a retry makes sense, if it does.
    async fn attempt(
        &self,
        request_id: &str,
        mut url: Url,
        change: &Change<'_>,
    ) -> Result<Answer, (Failure, Option<Duration>)> {
        let short = Some(Duration::from_millis(500));
        let mut hops = 0;
        let response = loop {
            match self.send(url.clone(), request_id, change).await {
                Err(error) if error.is_connect() => return Err((unreachable(url.as_str(), &error), short)),
                Err(error) => {
                    let failure = Failure::OutcomeUnknown { server: url.to_string(), reason: reason(&error) };
                    return Err((failure, short));
                }
                Ok(response) if response.status() == StatusCode::TEMPORARY_REDIRECT && hops == 0 => {
                    url = redirect(&url, &response).map_err(|failure| (failure, None))?;
                    hops += 1;
                }
                Ok(response) => break response,
            }
        };
        let pause = retry_after(&response).unwrap_or(Duration::from_millis(500)).min(MAX_PAUSE);
        let fleet = FleetWait::of(&response);
        match self.read_body(response).await {
            Ok(body) => Ok(Answer { body, fleet }),
            Err(Failure::Problem(problem))
                if matches!(problem.code, Some(ErrorCode::NoLeader | ErrorCode::OutcomeUnknown)) =>
            {
                Err((Failure::Problem(problem), Some(pause)))
            }
            Err(failure) => Err((failure, None)),
        }
    }

    async fn send(&self, url: Url, request_id: &str, change: &Change<'_>) -> reqwest::Result<Response> {
        let mut request = self.http.request(change.method.clone(), url).header(AUTHORIZATION, self.bearer());
        request = request.header("Idempotency-Key", request_id);
        if let Some(revision) = change.if_match {
            request = request.header(IF_MATCH, format!("\"{revision}\""));
        }
        if let Some(body) = &change.body {
            let media_type =
                if change.method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
            request = request.header("Content-Type", media_type).body(body.to_string());
        }
        request.send().await
    }

    /// Streams an answer into a new file that only its owner reads. An announced digest (RFC 9530) is checked.
    pub(crate) async fn download(&self, path: &[&str], file: &Path) -> Result<(), Failure> {
        let query = [("consistency".to_owned(), "linearizable".to_owned())];
        let request = self.http.get(self.url(path, &query)).header(AUTHORIZATION, self.bearer()).timeout(FILE_TIMEOUT);
        let mut response = request.send().await.map_err(|error| unreachable(self.base.as_str(), &error))?;
        if !response.status().is_success() {
            self.read_body(response).await?;
            return Err(anyhow::anyhow!("{} answered without a file", self.base).into());
        }
        let broken = |why: String| Failure::Other(anyhow::anyhow!("{} is not written: {why}", file.display()));
        let announced = response.headers().get("repr-digest").and_then(|it| it.to_str().ok()).map(str::to_owned);
        let mut out = private_file::create(file)?;
        let mut hasher = Sha256::new();
        let mut last = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| broken(reason(&error)))? {
            hasher.update(&piece);
            out.write_all(&piece).map_err(|why| broken(why.to_string()))?;
            last.extend_from_slice(&piece);
            last.drain(..last.len().saturating_sub(END_BYTES));
        }
        let own = format!("sha-256=:{}:", STANDARD.encode(hasher.finalize()));
        let whole = match announced {
            Some(announced) => announced == own,
            // An export says itself where it ends.
            None => String::from_utf8_lossy(&last).contains("{\"kind\":\"end\""),
        };
        if !whole {
            return Err(broken("it did not arrive whole".to_owned()));
        }
        out.sync_all().map_err(|why| broken(why.to_string()))
    }

    /// Sends a file as it is.
    pub(crate) async fn upload(
        &self,
        path: &[&str],
        query: &[(String, String)],
        file: Vec<u8>,
    ) -> Result<Answer, Failure> {
        let query: Vec<_> = self.wait.iter().chain(query).cloned().collect();
        let request = self.http.post(self.url(path, &query)).header(AUTHORIZATION, self.bearer()).timeout(FILE_TIMEOUT);
        let response = request.header("Content-Type", "application/jsonl").body(file).send().await;
        let lost = |error: reqwest::Error| {
            if error.is_connect() {
                unreachable(self.base.as_str(), &error)
            } else {
                Failure::OutcomeUnknown { server: self.base.to_string(), reason: reason(&error) }
            }
        };
        let response = response.map_err(lost)?;
        let fleet = FleetWait::of(&response);
        Ok(Answer { body: self.read_body(response).await?, fleet })
    }

    async fn read_body(&self, response: Response) -> Result<Value, Failure> {
        let status = response.status();
        let bytes = response
            .bytes()
            .await
            .map_err(|error| Failure::OutcomeUnknown { server: self.base.to_string(), reason: reason(&error) })?;
        if !status.is_success() {
            return Err(Failure::Problem(Box::new(Problem::read(status.as_u16(), &bytes))));
        }
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            anyhow::anyhow!("{} answered {status} with something that is not JSON: {error}", self.base).into()
        })
    }

    fn url(&self, path: &[&str], query: &[(String, String)]) -> Url {
        let mut url = self.base.clone();
        Self::extend(&mut url, path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// The server's address becomes that of `path` in its API.
    pub(crate) fn extend(url: &mut Url, path: &[&str]) {
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token.expose())
    }
}

/// Redirects are followed by hand: reqwest would drop the token on the way to another port.
/// With `ca_file`, its authorities and no others are trusted.
pub(crate) fn http_client(ca_file: Option<&Path>) -> anyhow::Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("hellojohn/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT);
    if let Some(path) = ca_file {
        let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let authorities = reqwest::Certificate::from_pem_bundle(&pem);
        let authorities = authorities.ok().filter(|found| !found.is_empty());
        builder =
            builder.tls_certs_only(authorities.with_context(|| format!("{} holds no certificates", path.display()))?);
    }
    Ok(builder.build()?)
}

pub(crate) fn parse_server(server: &str) -> Result<Url, Failure> {
    match Url::parse(server) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err(Failure::Usage(format!("'{server}' is not an http or https URL"))),
    }
}

impl FleetWait {
    fn of(response: &Response) -> Self {
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let laggards = (header("x-fleet").as_deref() == Some("timeout"))
            .then(|| header("x-fleet-laggards").unwrap_or_else(|| "(not named)".to_owned()));
        Self { laggards, rejecting: header("x-fleet-rejected") }
    }
}

/// Where a follower says the leader is. Never from https to http.
fn redirect(from: &Url, response: &Response) -> Result<Url, Failure> {
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    match location.and_then(|location| from.join(location).ok()) {
        Some(to) if to.scheme() == from.scheme() => Ok(to),
        _ => Err(anyhow::anyhow!("{from} redirects to a place that is not safe to follow").into()),
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

pub(crate) fn unreachable(server: &str, error: &reqwest::Error) -> Failure {
    Failure::Unreachable { server: server.to_owned(), reason: reason(error) }
}

/// The innermost cause: reqwest's own text only repeats the URL.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::OUTCOME_UNKNOWN;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_change_that_was_sent_is_not_called_unsent_because_nobody_can_be_asked_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let hears_once_and_is_gone = async move {
            let (mut caller, _) = listener.accept().await.unwrap();
            drop(listener);
            assert!(caller.read(&mut [0; 64]).await.unwrap() > 0);
        };
        let api = Api {
            http: http_client(None).unwrap(),
            base: parse_server(&server).unwrap(),
            token: Secret::new(String::new()),
            ends_at: 0,
            wait: Vec::new(),
            output: Output::default(),
        };
        let change = Change { method: Method::POST, path: &["apply"], body: None, if_match: None };
        let (answer, ()) = tokio::join!(api.change(change), hears_once_and_is_gone);
        assert_eq!(answer.unwrap_err().exit_code(), OUTCOME_UNKNOWN);
    }
}
