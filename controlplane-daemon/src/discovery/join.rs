//! Asks one node, by a signed `POST /cluster/join` at its admin API, to have this one taken in.

use std::path::PathBuf;
use std::time::Duration;

use controlplane_core::model::NodeSource;
use reqwest::{Certificate, Client, StatusCode};
use serde::Deserialize;
use vocab::NodeId;

use super::seed::Seed;
use crate::control_plane::ControlPlane;
use crate::signature::{Call, HEADER, Receiver, Refusal};

/// Where a node asks to be taken in.
const JOIN_PATH: &str = "/api/v1/cluster/join";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The leader may have to be found first.
const TIMEOUT: Duration = Duration::from_secs(20);
const MAX_ANSWER_BYTES: usize = 16 << 10;

/// How other nodes' admin APIs are spoken to.
#[derive(Clone, Debug)]
pub struct Joiner {
    /// Where an address says nothing: as this node's own.
    pub scheme: &'static str,
    /// Who signs their certificates.
    pub authorities: Option<PathBuf>,
}

/// What a node says.
#[derive(Debug)]
pub enum Answer {
    TakenIn,
    /// It is in a cluster, which has no leader now, or not the time.
    NotYet,
    Refused(String),
    InNoCluster,
    /// It is in no cluster, and is to make one.
    WouldFound(NodeId),
    /// It was not reached, or not understood.
    Silent(String),
}

#[derive(Default, Deserialize)]
struct Problem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    detail: String,
    /// Of a node in no cluster; one of the release before does not say.
    #[serde(default)]
    would_found: bool,
}

impl Joiner {
    pub async fn ask(&self, control: &ControlPlane, seed: &Seed, source: NodeSource) -> Answer {
        self.try_ask(control, seed, source).await.unwrap_or_else(|why| Answer::Silent(explain(&*why)))
    }

    async fn try_ask(
        &self,
        control: &ControlPlane,
        seed: &Seed,
        source: NodeSource,
    ) -> Result<Answer, tower::BoxError> {
        let body = serde_json::to_vec(&control.announcement(source).change)?;
        let call = Call { method: "POST", target: JOIN_PATH };
        let Some(signature) = control.signatures().sign(Receiver::AnyNode, call, &body) else {
            return Ok(Answer::Refused("there is no CLUSTER_HMAC_SECRET to sign with".to_owned()));
        };
        let url = format!("{}://{}{JOIN_PATH}", seed.scheme.unwrap_or(self.scheme), seed.authority);
        let request =
            self.client(seed)?.post(url).header(HEADER, &signature).header("content-type", "application/json");
        let mut response = request.body(body).send().await?;
        let status = response.status();
        if status.is_success() {
            return Ok(Answer::TakenIn);
        }
        let signed = response.headers().get(HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if text.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err("the answer has no end".into());
            }
            text.extend_from_slice(&chunk);
        }
        let signer = signed.map(|signed| {
            let signatures = control.signatures();
            signatures.verify(Some(&signed), Call::answer_to(&signature), &text, signatures.this_node())
        });
        Ok(read(status, &text, signer))
    }

    /// Made anew: it is needed rarely, and certificates are replaced while this node runs.
    fn client(&self, seed: &Seed) -> Result<Client, tower::BoxError> {
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT);
        if let Some(file) = &self.authorities {
            builder = builder.tls_certs_only(Certificate::from_pem_bundle(&std::fs::read(file)?)?);
        }
        if let Some(address) = seed.address {
            let host = seed.authority.rsplit_once(':').map_or(seed.authority.as_str(), |(host, _)| host);
            builder = builder.resolve(host, address);
        }
        Ok(builder.build()?)
    }
}

/// `signer`: who has signed it, if anybody has. Only a node that would make a cluster is kept to that: who believed others
/// could be made to wait for ever.
fn read(status: StatusCode, text: &[u8], signer: Option<Result<NodeId, Refusal>>) -> Answer {
    let problem: Problem = serde_json::from_slice(text).unwrap_or_default();
    match (status, signer) {
        (StatusCode::SERVICE_UNAVAILABLE, signer) if problem.code == "unavailable" => match signer {
            Some(Ok(node)) if problem.would_found => Answer::WouldFound(node),
            Some(Err(refusal)) => Answer::Refused(format!("its answer is not believed: {refusal}")),
            _ => Answer::InNoCluster,
        },
        (StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT, _) => Answer::NotYet,
        _ => Answer::Refused(format!("{status}: {}", problem.detail)),
    }
}

/// With what lies below: reqwest's own text names only the URL, not the certificate that is wrong.
fn explain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_has_signed_it_is_to_make_the_cluster() {
        let said = |text: &str, signer| read(StatusCode::SERVICE_UNAVAILABLE, text.as_bytes(), signer);
        let (would, would_not) =
            (r#"{"code":"unavailable","would_found":true}"#, r#"{"code":"unavailable","would_found":false}"#);
        assert!(matches!(said(would, Some(Ok(NodeId(1)))), Answer::WouldFound(NodeId(1))));
        assert!(matches!(said(would, Some(Err(Refusal::Mismatch))), Answer::Refused(_)));
        assert!(matches!(said(would, None), Answer::InNoCluster));
        assert!(matches!(said(would_not, Some(Ok(NodeId(1)))), Answer::InNoCluster));
        // Of the release before.
        assert!(matches!(said(r#"{"code":"unavailable"}"#, None), Answer::InNoCluster));
        assert!(matches!(said(r#"{"code":"no_leader"}"#, None), Answer::NotYet));
    }
}
