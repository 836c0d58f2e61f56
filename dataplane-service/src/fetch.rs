//! Requests that the pod sends to addresses which clients registered: key sets, request objects, sector identifiers,
//! notifications. Whoever writes such an address must not be able to reach with it what only the pod can reach (SSRF).
//!
//! ```text
//!   URL ─▶ https only ─▶ resolve ─▶ every address public? ─▶ connect to that very address ─▶ no redirects, no
//!                                   (address)                 (the check is the resolver)    decompression, bounds
//! ```
//!
//! [`Fetcher`] sends; [`cache::Cache`] keeps what was made of an answer, so that it is fetched and parsed once.

pub mod address;
pub mod cache;

use std::error::Error as _;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::dns::{Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, HeaderMap};
use reqwest::{Client, RequestBuilder, Response};
use rustls::pki_types::CertificateDer;
use serde::Serialize;
use tokio::sync::Semaphore;
use url::{Host, Url};
use vocab::Secret;

use address::Reachable;

/// A key set has a few kilobytes; whoever sends more has something else in mind.
const MAX_BYTES: usize = 512 * 1024;
/// From the lookup of the name to the last byte.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Requests under way at once; beyond it they fail at once instead of piling up.
const MAX_AT_ONCE: usize = 64;

/// Why there is no answer. The texts hold nothing but what the client registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("the URL is not https, or not one at all")]
    Url,
    #[error("the host has an address that is not on the public Internet")]
    Forbidden,
    #[error("the host does not answer")]
    Unreachable,
    #[error("the answer took longer than 5 seconds")]
    Timeout,
    #[error("it answered with status {0}")]
    Status(u16),
    #[error("the answer is larger than 512 KiB")]
    TooLarge,
    #[error("the answer is compressed, though none was asked for")]
    Encoded,
    #[error("too many requests are under way")]
    Busy,
    /// What came is not what was wanted.
    #[error("the document is of no use: {0}")]
    Unusable(String),
}

impl FetchError {
    /// The label of `hj_dp_outbound_requests_total`.
    const fn outcome(&self) -> &'static str {
        match self {
            Self::Url | Self::Forbidden => "forbidden",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Status(_) => "status",
            Self::TooLarge | Self::Encoded | Self::Unusable(_) => "unusable",
            Self::Busy => "busy",
        }
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
    /// `max-age` of its `Cache-Control` (RFC 9111 §5.2.2); zero when it must not be kept.
    pub max_age: Option<Duration>,
}

/// Sends requests. One for the whole pod; clones would share nothing of the bounds, so there are none.
pub struct Fetcher {
    client: Client,
    reachable: Reachable,
    under_way: Semaphore,
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("reachable", &self.reachable).finish_non_exhaustive()
    }
}

impl Fetcher {
    /// `authorities` are trusted beside the system's own.
    pub fn new(reachable: Reachable, authorities: &[CertificateDer<'static>]) -> Result<Self, reqwest::Error> {
        let mut roots = rustls::RootCertStore::empty();
        // A system without certificates is no reason not to start: it just reaches nobody.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots.add_parsable_certificates(authorities.iter().cloned());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has suites of both versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(Arc::new(Checked(reachable.clone())))
            // A proxy would resolve the name itself, unchecked.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .timeout(TIMEOUT)
            // A kept connection would save little and outlive the check of its address.
            .pool_max_idle_per_host(0)
            .user_agent("HelloJohn")
            .build()?;
        Ok(Self { client, reachable, under_way: Semaphore::new(MAX_AT_ONCE) })
    }

    /// How many requests are under way, and how many may be.
    pub fn under_way(&self) -> (usize, usize) {
        (MAX_AT_ONCE.saturating_sub(self.under_way.available_permits()), MAX_AT_ONCE)
    }

    /// A document; any status but 200 is an error.
    pub async fn get(&self, url: &str) -> Result<Answer, FetchError> {
        let answer =
            self.send(url, |client, url| client.get(url).header(ACCEPT, "application/json, */*;q=0.5")).await?;
        if answer.status == 200 { Ok(answer) } else { Err(FetchError::Status(answer.status)) }
    }

    /// A document that an access token opens.
    pub async fn get_by(&self, url: &str, bearer: &Secret<String>) -> Result<Answer, FetchError> {
        let get =
            |client: &Client, url| client.get(url).header(ACCEPT, "application/json").bearer_auth(bearer.expose());
        let answer = self.send(url, get).await?;
        if answer.status == 200 { Ok(answer) } else { Err(FetchError::Status(answer.status)) }
    }

    /// A form, as back-channel logout wants it. Any status is an answer.
    pub async fn post_form(&self, url: &str, form: &[(&str, &str)]) -> Result<Answer, FetchError> {
        self.send(url, |client, url| client.post(url).form(form)).await
    }

    /// A form of who proves itself by this `Authorization`. Any status is an answer.
    pub async fn post_form_by(
        &self,
        url: &str,
        form: &[(&str, &str)],
        authorization: &Secret<String>,
    ) -> Result<Answer, FetchError> {
        let post = |client: &Client, url| client.post(url).form(form).header(AUTHORIZATION, authorization.expose());
        self.send(url, post).await
    }

    /// JSON, as CIBA's ping wants it. Any status is an answer.
    pub async fn post_json(
        &self,
        url: &str,
        bearer: Option<&Secret<String>>,
        body: &(impl Serialize + Sync),
    ) -> Result<Answer, FetchError> {
        let post = |client: &Client, url| {
            let request = client.post(url).json(body);
            match bearer {
                Some(token) => request.bearer_auth(token.expose()),
                None => request,
            }
        };
        self.send(url, post).await
    }

    async fn send(
        &self,
        url: &str,
        request: impl FnOnce(&Client, Url) -> RequestBuilder,
    ) -> Result<Answer, FetchError> {
        let answer = self.try_send(url, request).await;
        let outcome = answer.as_ref().map_or_else(FetchError::outcome, |_| "answered");
        metrics::counter!("hj_dp_outbound_requests_total", "outcome" => outcome).increment(1);
        answer
    }

    async fn try_send(
        &self,
        url: &str,
        request: impl FnOnce(&Client, Url) -> RequestBuilder,
    ) -> Result<Answer, FetchError> {
        let url = self.check(url)?;
        let _slot = self.under_way.try_acquire().map_err(|_| {
            metrics::counter!("hj_dp_queue_refused_total", "queue" => "outbound").increment(1);
            FetchError::Busy
        })?;
        let request = request(&self.client, url).header(ACCEPT_ENCODING, "identity");
        let response = request.send().await.map_err(|error| fault(&error))?;
        read(response).await
    }

    /// Names are checked when they are resolved; addresses are not resolved, so they are checked here. `url` has turned
    /// `0x7f000001` and `2130706433` into what they are by now.
    fn check(&self, url: &str) -> Result<Url, FetchError> {
        let url = Url::parse(url).map_err(|_| FetchError::Url)?;
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) => None,
            None => return Err(FetchError::Url),
        };
        let plain = url.scheme() == "http" && literal.is_some_and(|address| self.reachable.in_the_clear(address));
        if url.scheme() != "https" && !plain {
            return Err(FetchError::Url);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError::Url);
        }
        match literal {
            Some(address) if !self.reachable.contains(address) => Err(FetchError::Forbidden),
            _ => Ok(url),
        }
    }
}

/// Resolves names to addresses that may be connected to. The connection goes to what is returned here and nowhere else,
/// so a name that resolves otherwise a moment later gains nothing.
struct Checked(Reachable);

#[derive(Debug, thiserror::Error)]
#[error("not on the public Internet")]
struct NotPublic;

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let reachable = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One bad address condemns the name: nobody mixes public and internal ones by accident.
            if found.iter().any(|address| !reachable.contains(address.ip())) {
                return Err(NotPublic.into());
            }
            Ok(Box::new(found.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}

fn fault(error: &reqwest::Error) -> FetchError {
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.is::<NotPublic>() {
            return FetchError::Forbidden;
        }
        source = cause.source();
    }
    if error.is_timeout() { FetchError::Timeout } else { FetchError::Unreachable }
}

async fn read(mut response: Response) -> Result<Answer, FetchError> {
    let headers = response.headers();
    if headers.get_all(CONTENT_ENCODING).iter().any(|coding| coding != "identity") {
        return Err(FetchError::Encoded);
    }
    let (status, max_age) = (response.status().as_u16(), max_age(headers));
    if response.content_length().is_some_and(|length| length > MAX_BYTES as u64) {
        return Err(FetchError::TooLarge);
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| fault(&error))? {
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, body: body.freeze(), max_age })
}

fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut age = None;
    for directive in values.flat_map(|value| value.split(',')).map(str::trim) {
        match directive.split_once('=') {
            None if directive.eq_ignore_ascii_case("no-store") || directive.eq_ignore_ascii_case("no-cache") => {
                return Some(Duration::ZERO);
            }
            Some((name, secs)) if name.eq_ignore_ascii_case("max-age") => {
                age = secs.trim_matches('"').parse().ok().map(Duration::from_secs);
            }
            _ => {}
        }
    }
    age
}

#[cfg(test)]
mod tests;
