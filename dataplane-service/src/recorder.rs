//! Metrics for Prometheus. [`METRICS`] is the one list of them.

mod table;
pub mod tenants;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

pub use table::METRICS;
pub use tenants::tenant_label;

/// The recorder that all `metrics` macros write to. Buckets in seconds, from a token to a slow login. `most_tenants` are
/// named in labels.
pub fn start(most_tenants: usize) -> anyhow::Result<PrometheusHandle> {
    const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
    let handle = PrometheusBuilder::new().set_buckets(&BUCKETS)?.install_recorder()?;
    tenants::limit(most_tenants);
    telemetry::metric::describe(METRICS);
    Ok(handle)
}
