//! Tables of requests and the answers they must get: every row is tried, and all that went wrong is told at once.

use std::time::{Duration, Instant};

use crate::web::{self, Answer};
use crate::world::World;

/// No refusal may take longer: it must not depend on how much nonsense was sent.
const QUICKLY: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub struct Table {
    wrong: Vec<String>,
}

impl Table {
    pub fn new() -> Self {
        Self::default()
    }

    /// The answer must have one of the statuses; it comes back for a closer look.
    pub async fn row(&mut self, what: &str, request: reqwest::RequestBuilder, statuses: &[u16]) -> Answer {
        let started = Instant::now();
        let answer = web::send(request).await;
        self.check(what, statuses.contains(&answer.status), || format!("want {statuses:?}: {}", brief(&answer)));
        self.check(what, started.elapsed() < QUICKLY, || format!("took {:?}", started.elapsed()));
        answer
    }

    /// A refusal as a problem document (RFC 9457) that names the culprit in its text, whatever the case of its letters.
    pub async fn problem(&mut self, what: &str, request: reqwest::RequestBuilder, statuses: &[u16], names: &str) {
        let answer = self.row(what, request, statuses).await;
        let kind = answer.header("content-type").unwrap_or_default();
        self.check(what, kind.starts_with("application/problem+json"), || {
            format!("no problem document: {}", brief(&answer))
        });
        self.check(what, !answer.code().is_empty(), || format!("no code: {}", brief(&answer)));
        let named = answer.text.to_lowercase().contains(&names.to_lowercase());
        self.check(what, named, || format!("does not name {names:?}: {}", brief(&answer)));
    }

    /// A refusal in OAuth's form (RFC 6749 §5.2) with one of the error codes.
    pub async fn oauth(
        &mut self,
        what: &str,
        request: reqwest::RequestBuilder,
        statuses: &[u16],
        errors: &[&str],
    ) -> Answer {
        let answer = self.row(what, request, statuses).await;
        let error = answer.json["error"].as_str().unwrap_or_default();
        self.check(what, errors.contains(&error), || format!("want one of {errors:?}: {}", brief(&answer)));
        answer
    }

    pub fn check(&mut self, what: &str, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(format!("{what}: {}", otherwise()));
        }
    }

    /// Panics with all that went wrong, or when one of the programs did not survive it.
    pub async fn finish(mut self, world: &World) {
        let http = web::client();
        let pods = world.pods.iter().map(|pod| (pod.ops_url(), pod.process().log()));
        let nodes = world.cluster.nodes.iter().map(|node| (node.ops_url(), world.cluster.logs()));
        for (ops, log) in pods.chain(nodes) {
            let alive = web::try_send(http.get(format!("{ops}/livez"))).await;
            self.check(&ops, alive.as_ref().is_ok_and(|answer| answer.status == 200), || format!("{alive:?}"));
            self.check(&ops, !log.contains("panicked at"), || "its log tells of a panic".to_owned());
        }
        assert!(self.wrong.is_empty(), "{} rows are wrong:\n{}", self.wrong.len(), self.wrong.join("\n"));
    }
}

fn brief(answer: &Answer) -> String {
    let text: String = answer.text.chars().take(400).collect();
    format!("{} {:?} {text}", answer.status, answer.header("content-type").unwrap_or_default())
}
