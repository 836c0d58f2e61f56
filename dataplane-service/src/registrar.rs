//! Asks the control plane for what a pod has no right to do: registering clients (RFC 7591).
//!
//! One connection to each node, opened when it is first needed. A node that does not answer is passed over; every request
//! has an id of its own, so that asking a second time does nothing twice.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shared_proto::status::error_code;
use shared_proto::watch::registration_client::RegistrationClient;
use shared_proto::watch::registration_reply::Outcome;
use shared_proto::watch::{Registrant, RegistrationReply};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Response, Status};
use transport::client::Connector;
use vocab::ErrorCode;

use crate::opaque;
use crate::sync::subscription::PodIdentity;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A failover of the control plane fits in.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub struct Registrar {
    pod_id: String,
    token: Option<MetadataValue<Ascii>>,
    nodes: Vec<RegistrationClient<Channel>>,
    /// Which of the nodes answered last.
    answering: AtomicUsize,
}

/// Nobody answered, or nobody knows what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the control plane does not answer")]
pub struct Unreachable;

impl Registrar {
    /// Must be called on the runtime that carries the connections.
    pub fn new(endpoints: &[Uri], pod: &PodIdentity) -> Self {
        let node = |uri: &Uri| {
            let tls = match uri.scheme_str() {
                Some("https") => Some(pod.tls.clone()?),
                _ => None,
            };
            // TLS is the connector's, which takes the address as it is.
            let endpoint = Endpoint::from_shared(format!("http://{}", uri.authority()?)).ok()?;
            let endpoint =
                endpoint.origin(uri.clone()).http2_keep_alive_interval(KEEPALIVE).keep_alive_timeout(KEEPALIVE);
            Some(RegistrationClient::new(endpoint.connect_with_connector_lazy(Connector::new(tls, CONNECT_TIMEOUT))))
        };
        let token = pod.token.as_ref().and_then(|token| {
            let mut value: MetadataValue<_> = format!("Bearer {}", token.expose()).parse().ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Self {
            pod_id: pod.pod_id.to_string(),
            token,
            nodes: endpoints.iter().filter_map(node).collect(),
            answering: AtomicUsize::new(0),
        }
    }

    /// Whose request it is, for the control plane's audit.
    pub fn registrant(&self, address: Option<std::net::IpAddr>) -> Registrant {
        Registrant {
            pod_id: self.pod_id.clone(),
            address: address.map(|address| address.to_string()),
            request_id: opaque::fresh_jti().to_string(),
        }
    }

    /// Asks one node after the other, beginning with the one that answered last, until one does.
    pub async fn ask<M: Clone>(
        &self,
        message: &M,
        call: impl AsyncFn(RegistrationClient<Channel>, Request<M>) -> Result<Response<RegistrationReply>, Status>,
    ) -> Result<Outcome, Unreachable> {
        let first = self.answering.load(Ordering::Relaxed);
        let asking = async {
            for (index, node) in self.nodes.iter().enumerate().cycle().skip(first).take(self.nodes.len()) {
                let mut request = Request::new(message.clone());
                if let Some(token) = &self.token {
                    request.metadata_mut().insert("authorization", token.clone());
                }
                match call(node.clone(), request).await {
                    Ok(reply) => {
                        self.answering.store(index, Ordering::Relaxed);
                        return reply.into_inner().outcome.ok_or(Unreachable);
                    }
                    Err(status) if is_worth_another(&status) => {
                        tracing::warn!(code = %status.code(), why = status.message(), "a node cannot register clients now");
                    }
                    Err(status) => {
                        tracing::error!(code = %status.code(), why = status.message(), "a registration failed");
                        return Err(Unreachable);
                    }
                }
            }
            Err(Unreachable)
        };
        tokio::time::timeout(ANSWER_TIMEOUT, asking).await.unwrap_or(Err(Unreachable))
    }
}

fn is_worth_another(status: &Status) -> bool {
    match error_code(status) {
        Some(code) => matches!(
            code,
            ErrorCode::NoLeader | ErrorCode::Unavailable | ErrorCode::OutcomeUnknown | ErrorCode::NotFound
        ),
        // The transport's own, or a node of the release before.
        None => matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Unimplemented),
    }
}
