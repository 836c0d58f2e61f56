//! Metrics for Prometheus. [`METRICS`] is the one list of them.

mod table;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

pub use table::METRICS;

/// Seconds: an admin write takes one to some tens of milliseconds.
const BUCKETS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The process's recorder, and the handle that renders it.
pub fn start() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), BUCKETS)?
        .set_buckets_for_metric(Matcher::Full("raft_apply_latency".to_owned()), BUCKETS)?
        .install_recorder()?;
    telemetry::metric::describe(METRICS);
    Ok(handle)
}
