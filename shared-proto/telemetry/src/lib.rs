//! What both daemons tell of themselves: log lines, traces that go on from process to process, and what a metric is.
//!
//! ```text
//!   tracing::info!(…) ────────────────▶ log::Lines ──▶ stderr for people, stdout as JSON
//!   tracing::trace_span!(target: TRACE) ──▶ trace ──▶ OTLP, when an endpoint is set
//!   context::current / context::adopt ◀──▶ W3C traceparent: HTTP header, log entry, watch message
//!   metric::describe(recorder::METRICS) ──▶ HELP and TYPE lines of /metrics, rows of docs/metrics.md
//! ```
//!
//! A package of its own since both planes need the same and may not import each other. The metrics themselves are not
//! here, because their names say the plane: each has its table in its `recorder`.
//!
//! Spans of traces have the target [`TRACE`] and the level TRACE, so that nobody makes them unless they are exported:
//! `tracing` finds a span that nobody wants by one comparison.
//!
//! # Decisions
//!
//! * The target of access lines is [`ACCESS`], which the usual filter leaves out below a warning: a line for each of
//!   thirty thousand tokens a second is worth asking for.
//! * A process that traces goes on with a caller's decision to sample (W3C Trace Context §3.2.2.5.1) and decides for
//!   itself only where nobody did.

pub mod console;
pub mod context;
pub mod dumps;
pub mod held;
pub mod log;
pub mod machine;
pub mod metric;
pub mod request_id;
pub mod started_with;
mod trace;

use std::time::Duration;

pub use log::{Filter, Format, InvalidFilter};
pub use trace::{InvalidTraces, Traces};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The target of spans that are exported.
pub const TRACE: &str = "hj_trace";
/// The target of lines that tell of one request each.
pub const ACCESS: &str = "access";

/// How long a stopping process waits for its last spans to be taken.
const FLUSH: Duration = Duration::from_secs(3);

/// What a process wants.
#[derive(Debug)]
pub struct Settings {
    pub format: Format,
    pub filter: Filter,
    /// `None`: no spans are made.
    pub traces: Option<Traces>,
    pub service: Service,
}

/// Who speaks (OpenTelemetry semantic conventions, `service.*`).
#[derive(Debug)]
pub struct Service {
    pub name: &'static str,
    pub version: &'static str,
    /// The node's id or the pod's name.
    pub instance: String,
}

/// Why spans cannot be exported.
#[derive(Debug, thiserror::Error)]
#[error("the exporter of traces cannot be made: {0}")]
pub struct StartError(opentelemetry_otlp::ExporterBuildError);

/// A running process's logs and traces.
#[derive(Clone, Debug)]
pub struct Telemetry {
    lines: log::Lines,
    spans: Option<trace::Spans>,
}

impl Telemetry {
    /// Once per process, inside its runtime. A second call (tests) leaves the first one's in place.
    pub fn start(settings: Settings) -> Result<Self, StartError> {
        let (lines, layer) = log::layer(settings.format, &settings.filter);
        let registry = tracing_subscriber::registry().with(layer);
        // No layer rather than one that is absent: beside an absent one `tracing` remembers nothing of what the filter
        // leaves out, and asks it, behind its lock, for each access line that is not written.
        let (spans, started) = match settings.traces {
            None => (None, registry.try_init()),
            Some(traces) => {
                let (spans, exported) = trace::export(traces, settings.service).map_err(StartError)?;
                (Some(spans), registry.with(exported).try_init())
            }
        };
        if let Err(error) = started {
            tracing::debug!(%error, "logging was set up before");
        }
        Ok(Self { lines, spans })
    }

    /// The lines that are written, and how to write others.
    pub fn lines(&self) -> &log::Lines {
        &self.lines
    }

    /// Call last: what is still held goes out, unless nobody takes it.
    pub fn stop(&self) {
        if let Some(spans) = &self.spans {
            spans.stop(FLUSH);
        }
    }
}
