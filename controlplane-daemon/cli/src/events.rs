//! `hellojohn events`: what changes, as it changes. A stream that ends is taken up again where it ended.

use std::time::Duration;

use reqwest::Response;
use serde_json::Value;

use crate::api::Api;
use crate::args::Connection;
use crate::failure::Failure;
use crate::output::{Reader, note, tell};

const AGAIN: Duration = Duration::from_secs(1);

pub(crate) async fn run(connection: &Connection, since: Option<u64>) -> Result<(), Failure> {
    let mut since = since.map(|revision| revision.to_string());
    let mut api = Api::connect(connection).await?;
    loop {
        let query: Vec<_> = since.iter().map(|since| ("since".to_owned(), since.clone())).collect();
        match api.stream(&["events"], &query).await {
            Ok(response) => {
                if print(response, &mut since).await? == Reader::Gone {
                    return Ok(());
                }
            }
            Err(Failure::Unreachable { .. }) => {}
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(AGAIN).await;
        // With a token of its own: the old one may have ended while the stream went on.
        api = Api::reconnect(connection).await?;
    }
}

/// Until the stream ends, or nobody reads any more; `since` is then where to go on.
async fn print(mut response: Response, since: &mut Option<String>) -> Result<Reader, Failure> {
    let mut text = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        text.extend_from_slice(&piece);
        while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
            let frame: Vec<u8> = text.drain(..end + 2).collect();
            let frame = String::from_utf8_lossy(&frame);
            let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name).map(str::trim));
            if let Some(id) = field("id:") {
                *since = Some(id.to_owned());
            }
            let data = field("data:").and_then(|data| serde_json::from_str::<Value>(data).ok());
            match (field("event:"), data) {
                (Some("closed"), Some(data)) => {
                    match data["reason"].as_str() {
                        Some("revoked") => return Err(anyhow::anyhow!("the credential is no longer valid").into()),
                        // Every ten minutes, and it goes on with another token.
                        Some("expired") => {}
                        _ => note(format_args!("The stream was closed: {}", data["reason"])),
                    }
                }
                (Some("reset"), Some(data)) => {
                    *since = None;
                    let from = &data["revision"];
                    note(format_args!("What was asked for is no longer kept; going on from revision {from}."));
                }
                (Some(_), Some(data)) => match tell(data)? {
                    Reader::There => {}
                    Reader::Gone => return Ok(Reader::Gone),
                },
                _ => {}
            }
        }
    }
    Ok(Reader::There)
}
