//! Who takes the records: a thread that prints, an endpoint that is posted to.

use std::io::{self, Write as _};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use vocab::{Link, Secret};

use super::Endpoint;
use super::cloud_event::{BATCH, CloudEvent};

const TIMEOUT: Duration = Duration::from_secs(10);
/// Of one request, as long as a single record is no longer.
const BYTES_AT_ONCE: usize = 1 << 20;

type Job = (String, oneshot::Sender<io::Result<()>>);

#[derive(Debug)]
pub(super) enum Target {
    /// A thread of its own: whoever reads our output may stop reading, and the node must be able to stop all the same.
    Stdout(mpsc::Sender<Job>),
    Http {
        client: reqwest::Client,
        url: reqwest::Url,
        token: Option<Secret<String>>,
    },
}

/// Why records were not taken. Names neither the URL, which may hold a secret, nor the token.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// Fewer may be taken.
    #[error("it answered 413")]
    TooLarge,
    #[error("{0}")]
    Failed(String),
}

impl Target {
    pub(super) fn stdout() -> io::Result<Self> {
        let (sender, mut jobs) = mpsc::channel::<Job>(1);
        thread::Builder::new().name("audit-stdout".to_owned()).spawn(move || {
            while let Some((text, done)) = jobs.blocking_recv() {
                let mut out = io::stdout().lock();
                let _ = done.send(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
            }
        })?;
        Ok(Self::Stdout(sender))
    }

    pub(super) fn http(endpoint: Endpoint) -> io::Result<Self> {
        let mut client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            // The token is for this endpoint and no other.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("hellojohn-controlplane/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &endpoint.ca_file {
            let certificates = reqwest::Certificate::from_pem_bundle(&std::fs::read(path)?);
            client = client.tls_certs_merge(certificates.map_err(io::Error::other)?);
        }
        let client = client.build().map_err(io::Error::other)?;
        Ok(Self::Http { client, url: endpoint.url, token: endpoint.token })
    }

    /// Gives it some of the records, in order; the last that it has.
    pub(super) async fn take(&self, cluster: &str, lines: &[String]) -> Result<u64, Refused> {
        let lines = some(lines);
        let last = lines.last().ok_or_else(|| Refused::Failed("records are missing".to_owned()))?;
        // Checks it, too: what is damaged is not passed on.
        let through = Link::read(last).map_err(|why| Refused::Failed(format!("a record is damaged: {why}")))?.seq;
        match self {
            Self::Stdout(printer) => print(printer, lines).await.map_err(Refused::Failed)?,
            Self::Http { client, url, token } => {
                let source = format!("urn:hellojohn:{cluster}");
                let events: Result<Vec<_>, _> = lines.iter().map(|line| CloudEvent::of(&source, line)).collect();
                let body = events.and_then(|events| serde_json::to_vec(&events));
                let body = body.map_err(|why| Refused::Failed(format!("a record is damaged: {why}")))?;
                let mut request = client.post(url.clone()).header("content-type", BATCH).body(body);
                if let Some(token) = token {
                    request = request.bearer_auth(token.expose());
                }
                let answer = request.send().await.map_err(|why| Refused::Failed(explain(&why.without_url())))?;
                match answer.status() {
                    status if status.is_success() => {}
                    reqwest::StatusCode::PAYLOAD_TOO_LARGE => return Err(Refused::TooLarge),
                    status => return Err(Refused::Failed(format!("it answered {status}"))),
                }
            }
        }
        Ok(through)
    }
}

/// As many as one request carries, and one at least.
fn some(lines: &[String]) -> &[String] {
    let mut bytes = 0;
    let fit = lines.iter().take_while(|line| {
        bytes += line.len();
        bytes <= BYTES_AT_ONCE
    });
    let count = fit.count().max(1);
    lines.get(..count).unwrap_or(lines)
}

async fn print(printer: &mpsc::Sender<Job>, lines: &[String]) -> Result<(), String> {
    let (done, printed) = oneshot::channel();
    let text = lines.join("\n") + "\n";
    printer.send((text, done)).await.map_err(|_| "nobody prints any more".to_owned())?;
    printed.await.map_err(|why| why.to_string())?.map_err(|why| why.to_string())
}

/// With what lies below: "error sending request" alone helps nobody.
fn explain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_bounded_but_never_empty() {
        let line = "x".repeat(BYTES_AT_ONCE / 3);
        assert_eq!(some(&vec![line; 5]).len(), 3);
        assert_eq!(some(&["y".repeat(2 * BYTES_AT_ONCE), String::new()]).len(), 1);
        assert!(some(&[]).is_empty());
    }
}
