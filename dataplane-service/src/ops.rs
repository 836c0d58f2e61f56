//! For the cluster's operators: is it alive, is it ready, what does it know. No tenant's data, no secret.

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::{HttpResponse, web};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use telemetry::Filter;
use telemetry::log::Lines;
use vocab::ErrorCode;

use crate::app::App;
use crate::directory::LiveDirectory;
use crate::http::endpoint;
use crate::problem::Problem;
use crate::staleness::Verdict;
use crate::store::pool::PodPools;
use crate::sync::status::Status;

pub struct Ops {
    pub directory: Arc<LiveDirectory>,
    pub status: Arc<Status>,
    pub pools: Arc<PodPools>,
    pub metrics: PrometheusHandle,
    pub lines: Lines,
    /// Whose queues are measured.
    pub app: web::Data<App>,
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
        .service(endpoint("/debug/log").get(log).method(Method::PUT, set_log))
        .default_service(web::to(crate::http::not_found));
}

async fn livez() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "alive" }))
}

/// `?tenant=SLUG` asks about one tenant.
#[derive(serde::Deserialize)]
struct About {
    tenant: Option<String>,
}

async fn readyz(ops: web::Data<Ops>, about: web::Query<About>) -> HttpResponse {
    match ops.why_not_ready(about.tenant.as_deref()) {
        None => HttpResponse::Ok().json(json!({ "status": "ready" })),
        Some(reason) => HttpResponse::ServiceUnavailable().json(json!({ "status": "not ready", "reason": reason })),
    }
}

impl Ops {
    /// A pod is of use as long as it may serve any tenant: the strict policy of one takes nothing from the others.
    fn why_not_ready(&self, about: Option<&str>) -> Option<String> {
        if let Some(reason) = self.status.why_not_ready() {
            return Some(reason);
        }
        let (directory, age) = (self.directory.load(), self.status.staleness());
        let verdict = match about {
            Some(slug) => match directory.by_slug(slug) {
                Some(tenant) => directory.staleness_of(tenant).judge(age),
                None => return Some(format!("there is no tenant {slug}")),
            },
            None => match directory.judge(age).into_keys().next() {
                Some(mildest) => mildest,
                None => directory.staleness.judge(age),
            },
        };
        (verdict >= Verdict::NotReady).then(|| format!("the configuration is {} s old", age.as_secs()))
    }
}

impl Ops {
    fn record_saturation(&self) {
        let app = &self.app;
        let queues = [
            ("passwords", app.hasher.waiting()),
            ("outbound", app.fetcher.under_way()),
            ("outbox_signals", app.outbox.waiting()),
        ];
        for (queue, (length, limit)) in queues {
            metrics::gauge!("hj_dp_queue_length", "queue" => queue).set(number(length));
            metrics::gauge!("hj_dp_queue_limit", "queue" => queue).set(number(limit));
        }
        let (busy, idle) = app.hasher.busy_and_idle();
        metrics::gauge!("hj_dp_password_threads", "state" => "busy").set(number(busy));
        metrics::gauge!("hj_dp_password_threads", "state" => "idle").set(number(idle));
        if let Some(overflows) = telemetry::machine::listen_overflows() {
            metrics::counter!("hj_dp_accept_queue_overflows_total").absolute(overflows);
        }
    }
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

async fn metrics(ops: web::Data<Ops>) -> HttpResponse {
    // Gauges that move by themselves are set when somebody looks.
    metrics::gauge!("hj_dp_config_staleness_seconds").set(ops.status.staleness().as_secs_f64());
    metrics::gauge!("hj_dp_config_rejected_resources").set(number(ops.status.view().rejected));
    let judged = ops.directory.load().judge(ops.status.staleness());
    for verdict in [Verdict::Fresh, Verdict::Warn, Verdict::NotReady, Verdict::Refuse] {
        let tenants = u32::try_from(judged.get(&verdict).copied().unwrap_or_default()).unwrap_or(u32::MAX);
        metrics::gauge!("hj_dp_config_tenants", "staleness" => verdict.as_str()).set(f64::from(tenants));
    }
    ops.pools.record_metrics();
    ops.record_saturation();
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(ops.metrics.render())
}

async fn debug_config(ops: web::Data<Ops>) -> HttpResponse {
    let directory = ops.directory.load();
    let view = ops.status.view();
    let age = ops.status.staleness();
    HttpResponse::Ok().json(json!({
        "revision": directory.revision,
        "cluster_id": directory.cluster_id,
        "staleness_ms": u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
        "synced": view.synced,
        "connected_to": view.connected_to,
        "tenants": directory.tenant_count(),
        "source": view.source,
        "rejected": view.rejected,
        "draining": *ops.status.stopping().borrow(),
        "tenants_by_staleness": directory.judge(age),
    }))
}

async fn log(ops: web::Data<Ops>) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "level": ops.lines.filter().to_string() }))
}

/// The body is the new value of `--log-level`, until the pod stops.
async fn set_log(ops: web::Data<Ops>, body: String) -> Result<HttpResponse, Problem> {
    let filter: Filter = body
        .parse()
        .map_err(|error: telemetry::InvalidFilter| Problem::new(ErrorCode::InvalidRequest, error.to_string()))?;
    tracing::info!(level = %filter, "the log's level was changed");
    ops.lines.set(filter);
    Ok(log(ops).await)
}
