//! HTTP as the tests use it: answers read whole, nothing followed by itself, and raw bytes where a client library is too polite.

use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::wait::{PATIENCE, until};

/// A client that follows no redirect and uses no proxy. Made per test: its connections belong to one runtime.
pub fn client() -> reqwest::Client {
    builder().build().expect("an HTTP client can be made")
}

pub fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().timeout(Duration::from_secs(40))
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    /// `Null` when the body is not JSON.
    pub json: Value,
}

/// Sends it; panics when no answer comes.
#[track_caller]
pub fn send(request: reqwest::RequestBuilder) -> impl Future<Output = Answer> + use<> {
    let caller = std::panic::Location::caller();
    async move { try_send(request).await.unwrap_or_else(|error| panic!("no answer at {caller}: {error:?}")) }
}

pub async fn try_send(request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await?;
    let json = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(Answer { status, headers, text, json })
}

/// An answer that comes within a second, if not at the first attempt because the machine is busy.
pub async fn send_promptly(what: &str, request: impl Fn() -> reqwest::RequestBuilder) -> Answer {
    until(&format!("{what}: an answer within a second"), PATIENCE, async || {
        let began = Instant::now();
        let answer = send(request()).await;
        let took = began.elapsed();
        if took < Duration::from_secs(1) { Ok(answer) } else { Err(format!("{took:?}")) }
    })
    .await
}

impl Answer {
    #[must_use]
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "unexpected answer: {self:#?}");
        self
    }

    #[must_use]
    #[track_caller]
    pub fn expect_one_of(self, statuses: &[u16]) -> Self {
        assert!(statuses.contains(&self.status), "want one of {statuses:?}: {self:#?}");
        self
    }

    /// A refusal that is the sender's fault, whichever.
    #[must_use]
    #[track_caller]
    pub fn expect_refused(self) -> Self {
        assert!((400..500).contains(&self.status), "want a 4xx: {self:#?}");
        self
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The problem document's `code` (RFC 9457), or OAuth's `error`.
    pub fn code(&self) -> &str {
        self.json["code"].as_str().or(self.json["error"].as_str()).unwrap_or_default()
    }

    #[track_caller]
    pub fn text_of(&self, field: &str) -> String {
        match self.json[field].as_str() {
            Some(text) => text.to_owned(),
            None => panic!("no text {field:?} in {self:#?}"),
        }
    }

    #[track_caller]
    pub fn revision(&self) -> u64 {
        let header = self.header("x-revision").and_then(|text| text.parse().ok());
        header.unwrap_or_else(|| panic!("no X-Revision: {self:#?}"))
    }

    /// The JSON pointers of a problem's `errors`.
    pub fn pointers(&self) -> Vec<&str> {
        let errors = self.json["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().filter_map(|error| error["pointer"].as_str()).collect()
    }
}

/// Writes the bytes as they are and reads until the other side ends the connection, which it must do `within` that time:
/// what it had said by then is the error otherwise.
pub async fn raw(address: &str, bytes: &[u8], within: Duration) -> Result<String, String> {
    let mut stream = TcpStream::connect(address).await.expect("the listener accepts");
    // The other side may refuse and close before it has read all.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    // A reset is an end, too; what came before it is kept.
    let ended = tokio::time::timeout(within, stream.read_to_end(&mut answer)).await.is_ok();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    if ended { Ok(answer) } else { Err(format!("not closed: {answer}")) }
}

/// The status of an answer from [`raw`]; `None` when the connection was closed without one.
pub fn raw_status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}
