//! The signature around tonic: the client's end adds it, the server's end refuses what has none.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use shared_proto::status::to_status;
use tonic::body::Body;
use tower::Service;
use transport::connection;
use vocab::{ClusterId, NodeId};

use super::stream::Opened;
use super::{Call, HEADER, Receiver, Refusal, Signatures};

/// What a call's body may have: a message of entries, of which one alone may be large.
pub const MAX_BODY_BYTES: usize = 32 << 20;

/// Calls whose body is a stream: the handler checks each message with the [`super::stream::Opened`] of the request's extensions.
const STREAMS: [&str; 1] = ["/hellojohn.peer.v1.Peer/AppendStream"];

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Signs what goes out to one peer.
#[derive(Clone, Debug)]
pub struct Signing<S> {
    inner: S,
    signatures: Signatures,
    receiver: NodeId,
}

impl<S> Signing<S> {
    pub fn new(inner: S, signatures: Signatures, receiver: NodeId) -> Self {
        Self { inner, signatures, receiver }
    }
}

impl<S> Service<Request<Body>> for Signing<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = tonic::transport::Error> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = tower::BoxError;
    type Future = BoxFuture<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The clone stays behind, the ready one goes (tower's rule).
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let (signatures, receiver) = (self.signatures.clone(), self.receiver);
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            if let Some(signature) = signatures.sign(Receiver::Node(receiver), call(&head), &body) {
                head.headers.insert(HEADER, HeaderValue::try_from(signature)?);
            }
            Ok(inner.call(Request::from_parts(head, Body::new(Full::new(body)))).await?)
        })
    }
}

/// Who signed the call; in the extensions of every request that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    pub node: NodeId,
    /// `None`: it has not heard of one.
    pub cluster: Option<ClusterId>,
    /// Where its connection comes from.
    pub address: Option<IpAddr>,
}

/// Lets only signed calls through.
#[derive(Clone, Debug)]
pub struct Verifying<S> {
    inner: S,
    signatures: Signatures,
}

impl<S> Verifying<S> {
    pub fn new(inner: S, signatures: Signatures) -> Self {
        Self { inner, signatures }
    }
}

impl<S: tonic::server::NamedService> tonic::server::NamedService for Verifying<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Verifying<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let signatures = self.signatures.clone();
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            let address = address(&head);
            if STREAMS.contains(&head.uri.path()) {
                return match open(&signatures, &head) {
                    Ok(opened) => {
                        head.extensions.insert(Caller { node: opened.sender, cluster: opened.cluster, address });
                        head.extensions.insert(opened);
                        inner.call(Request::from_parts(head, body)).await
                    }
                    Err(refusal) => {
                        signatures.refused(refusal, call(&head).target, address);
                        Ok(refuse(refusal))
                    }
                };
            }
            match verify(&signatures, &head, body).await {
                Ok((caller, body)) => {
                    head.extensions.insert(caller);
                    inner.call(Request::from_parts(head, Body::new(Full::new(body)))).await
                }
                Err(refusal) => {
                    signatures.refused(refusal, call(&head).target, address);
                    Ok(refuse(refusal))
                }
            }
        })
    }
}

fn call(head: &http::request::Parts) -> Call<'_> {
    let target = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    Call { method: head.method.as_str(), target }
}

/// As the listener knows it. `None` in tests without one.
fn address(head: &http::request::Parts) -> Option<IpAddr> {
    Some(head.extensions.get::<connection::Caller>()?.address?.ip())
}

async fn verify(signatures: &Signatures, head: &http::request::Parts, body: Body) -> Result<(Caller, Bytes), Refusal> {
    let admitted = signatures.admit(header(head)?, call(head), signatures.this_node())?;
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await.map_err(|_| Refusal::TooLarge)?.to_bytes();
    let node = admitted.check(&body)?;
    Ok((Caller { node, cluster: admitted.cluster, address: address(head) }, body))
}

fn open(signatures: &Signatures, head: &http::request::Parts) -> Result<Opened, Refusal> {
    signatures.admit_stream(header(head)?, call(head))
}

fn header(head: &http::request::Parts) -> Result<Option<&str>, Refusal> {
    head.headers.get(HEADER).map(|value| value.to_str().map_err(|_| Refusal::Malformed)).transpose()
}

fn refuse(refusal: Refusal) -> Response<Body> {
    // A stranger learns nothing of why; one of us may see its mistake in its own log.
    let told = if refusal.is_among_peers() { refusal.to_string() } else { "the call was refused".to_owned() };
    to_status(refusal.code(), told).into_http()
}
