//! Spans by OTLP over gRPC, in batches, from a thread of their own.

use std::fmt;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::{Layer, Registry};

use crate::{Service, TRACE};

/// Where spans go, and how many.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    endpoint: String,
    /// Of the traces that begin here: 0 to 1.
    sampled: f64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTraces {
    #[error("must be an http:// or https:// URL of an OTLP/gRPC receiver, such as http://collector:4317")]
    Endpoint,
    #[error("must be a number from 0 to 1, such as 0.05")]
    Ratio,
}

impl Traces {
    pub fn new(endpoint: &str, ratio: &str) -> Result<Self, InvalidTraces> {
        let uri: http::Uri = endpoint.parse().map_err(|_| InvalidTraces::Endpoint)?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return Err(InvalidTraces::Endpoint);
        }
        let sampled: f64 = ratio.parse().map_err(|_| InvalidTraces::Ratio)?;
        if !(0.0..=1.0).contains(&sampled) {
            return Err(InvalidTraces::Ratio);
        }
        Ok(Self { endpoint: endpoint.to_owned(), sampled })
    }
}

/// The exporting side.
#[derive(Clone)]
pub(crate) struct Spans(SdkTracerProvider);

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spans(…)")
    }
}

impl Spans {
    pub(crate) fn stop(&self, within: Duration) {
        if let Err(error) = self.0.shutdown_with_timeout(within) {
            tracing::warn!(%error, "the last spans were not taken");
        }
    }
}

type Exported = Box<dyn Layer<Layered> + Send + Sync>;
/// What lies below: the registry with the lines' layer.
type Layered = tracing_subscriber::layer::Layered<Box<dyn Layer<Registry> + Send + Sync>, Registry>;

pub(crate) fn export(traces: Traces, service: Service) -> Result<(Spans, Exported), ExporterBuildError> {
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(traces.endpoint).build()?;
    let resource = Resource::builder()
        .with_service_name(service.name)
        .with_attributes([
            KeyValue::new("service.version", service.version),
            KeyValue::new("service.instance.id", service.instance),
        ])
        .build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(traces.sampled))))
        .with_resource(resource)
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("hellojohn"))
        .with_location(false)
        .with_threads(false)
        .with_filter(Targets::new().with_target(TRACE, Level::TRACE))
        .boxed();
    Ok((Spans(provider), layer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_an_endpoint_or_a_ratio_is_refused() {
        assert!(Traces::new("http://collector:4317", "0.05").is_ok());
        for endpoint in ["collector:4317", "ftp://x", "", "http://"] {
            assert_eq!(Traces::new(endpoint, "1"), Err(InvalidTraces::Endpoint), "{endpoint}");
        }
        for ratio in ["-0.1", "1.1", "NaN", "half", ""] {
            assert_eq!(Traces::new("https://c", ratio), Err(InvalidTraces::Ratio), "{ratio}");
        }
    }
}
