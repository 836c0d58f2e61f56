//! Logs on stderr, metrics for Prometheus.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::settings::Log;

/// Call once per process.
pub fn start_logging(log: &Log) {
    let filter = log.filter.parse::<Targets>().unwrap_or_default();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    // A second call (tests) keeps the first subscriber.
    let _ = if log.json { registry.with(lines.json()).try_init() } else { registry.with(lines).try_init() };
}

/// The recorder that all `metrics` macros write to. Buckets in seconds, from a token to a slow login.
pub fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
    Ok(PrometheusBuilder::new().set_buckets(&BUCKETS)?.install_recorder()?)
}
