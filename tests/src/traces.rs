//! A receiver of traces (OTLP over gRPC) that keeps every span it is sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// Serves until the runtime that started it ends.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    received: Received,
}

type Received = Arc<Mutex<Vec<(String, Span)>>>;

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let received = Received::default();
        let service = TraceServiceServer::new(Keeper(Arc::clone(&received)));
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)));
        Self { address, received }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What there is of one trace, as `service: name of the span`.
    pub fn names(&self, trace_id: &str) -> Vec<String> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let of_it = received.iter().filter(|(_, span)| hex(&span.trace_id) == trace_id);
        of_it.map(|(service, span)| format!("{service}: {}", span.name)).collect()
    }

    /// The traces that have a span of this name, one for each such span.
    pub fn traces_with(&self, name: &str) -> Vec<String> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.iter().filter(|(_, span)| span.name == name).map(|(_, span)| hex(&span.trace_id)).collect()
    }

    /// The spans of one trace.
    pub fn spans(&self, trace_id: &str) -> Vec<Span> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.iter().filter(|(_, span)| hex(&span.trace_id) == trace_id).map(|(_, span)| span.clone()).collect()
    }

    /// Everything, for tests that look for what must not be in it.
    pub fn text(&self) -> String {
        format!("{:?}", self.received.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// As trace ids are written.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

struct Keeper(Received);

#[tonic::async_trait]
impl TraceService for Keeper {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut received = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for of_service in request.into_inner().resource_spans {
            let attributes = of_service.resource.map(|resource| resource.attributes).unwrap_or_default();
            let name = attributes.into_iter().find(|attribute| attribute.key == "service.name");
            let service = name.and_then(|name| name.value?.value).map(|value| format!("{value:?}")).unwrap_or_default();
            let service = service.split('"').nth(1).unwrap_or_default().to_owned();
            let spans = of_service.scope_spans.into_iter().flat_map(|scope| scope.spans);
            received.extend(spans.map(|span| (service.clone(), span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
