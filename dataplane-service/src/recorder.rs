//! Metrics for Prometheus.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// The recorder that all `metrics` macros write to. Buckets in seconds, from a token to a slow login.
pub fn start() -> anyhow::Result<PrometheusHandle> {
    const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
    Ok(PrometheusBuilder::new().set_buckets(&BUCKETS)?.install_recorder()?)
}
