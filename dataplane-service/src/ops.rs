//! For the cluster's operators: is it alive, is it ready, what does it know. No tenant's data, no secret.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;

use crate::directory::LiveDirectory;
use crate::http::endpoint;
use crate::store::pool::PodPools;
use crate::sync::status::Status;

pub struct Ops {
    pub directory: Arc<LiveDirectory>,
    pub status: Arc<Status>,
    pub pools: Arc<PodPools>,
    pub metrics: PrometheusHandle,
}

impl std::fmt::Debug for Ops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ops").finish_non_exhaustive()
    }
}

pub fn configure(config: &mut web::ServiceConfig) {
    config
        .service(endpoint("/livez").get(livez))
        .service(endpoint("/readyz").get(readyz))
        .service(endpoint("/metrics").get(metrics))
        .service(endpoint("/debug/config").get(debug_config))
        .default_service(web::to(crate::http::not_found));
}

async fn livez() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "alive" }))
}

async fn readyz(ops: web::Data<Ops>) -> HttpResponse {
    match ops.status.why_not_ready() {
        None => HttpResponse::Ok().json(json!({ "status": "ready" })),
        Some(reason) => HttpResponse::ServiceUnavailable().json(json!({ "status": "not ready", "reason": reason })),
    }
}

async fn metrics(ops: web::Data<Ops>) -> HttpResponse {
    // Gauges that move by themselves are set when somebody looks.
    metrics::gauge!("hj_dp_config_staleness_seconds").set(ops.status.staleness().as_secs_f64());
    ops.pools.record_metrics();
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(ops.metrics.render())
}

async fn debug_config(ops: web::Data<Ops>) -> HttpResponse {
    let directory = ops.directory.load();
    let view = ops.status.view();
    HttpResponse::Ok().json(json!({
        "revision": directory.revision,
        "cluster_id": directory.cluster_id,
        "staleness_ms": u64::try_from(ops.status.staleness().as_millis()).unwrap_or(u64::MAX),
        "synced": view.synced,
        "connected_to": view.connected_to,
        "tenants": directory.tenant_count(),
        "source": view.source,
        "rejected": view.rejected,
    }))
}
