//! `/livez`, `/readyz`, `/metrics`: what the machine that runs us asks. No secrets, no authentication; what changes
//! anything (`/hand-over`) is for callers on this machine.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Responder};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use telemetry::Filter;
use telemetry::log::Lines;
use vocab::Revision;

use crate::admin::routes::no_such_path;
use crate::control_plane::{BarrierError, Consistency, ControlPlane};
use crate::hand_over;

/// Less than a probe's patience.
const CATCH_UP: Duration = Duration::from_millis(500);

#[derive(Clone, Debug)]
pub struct Ops {
    control: ControlPlane,
    metrics: PrometheusHandle,
    /// Whether this node was as fresh as the leader once since its start.
    caught_up: Arc<AtomicBool>,
    stopping: Arc<AtomicBool>,
    data_dir: PathBuf,
    lines: Lines,
}

impl Ops {
    pub fn new(control: ControlPlane, metrics: PrometheusHandle, data_dir: PathBuf, lines: Lines) -> Self {
        Self { control, metrics, caught_up: Arc::default(), stopping: Arc::default(), data_dir, lines }
    }

    /// From now on not ready, so that nothing new is sent here.
    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// `Err` says why not. The leader's own word is needed once: whom this node followed before a restart proves nothing,
    /// and neither does what it had applied then.
    async fn ready(&self) -> Result<Revision, Cow<'static, str>> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err("stopping".into());
        }
        if let Some(why) = self.control.dismissal().borrow().clone() {
            return Err(why.into());
        }
        if let Some(why) = self.control.unfounded() {
            return Err(why.into());
        }
        if !self.caught_up.load(Ordering::Relaxed) {
            self.control.barrier(Consistency::Linearizable, CATCH_UP).await.map_err(|why| match why {
                BarrierError::NoLeader => "no leader has answered yet",
                BarrierError::NotReached { .. } => "has not yet applied what is committed",
                BarrierError::Stopping => "stopping",
            })?;
            self.caught_up.store(true, Ordering::Relaxed);
        }
        let missing = self.control.missing_master_keys();
        if !missing.is_empty() {
            return Err(format!(
                "SECRETBOX_MASTER_KEY lacks keys that secrets are sealed with: {}",
                missing.join(", ")
            )
            .into());
        }
        Ok(self.control.applied_revision())
    }
}

pub fn configure(ops: Ops) -> impl Fn(&mut ServiceConfig) + Clone {
    move |config| {
        config
            .app_data(web::Data::new(ops.clone()))
            .route("/livez", web::get().to(livez))
            .route("/readyz", web::get().to(readyz))
            .route("/metrics", web::get().to(metrics))
            .route(hand_over::PATH, web::post().to(give_away))
            .route("/debug/log", web::get().to(log))
            .route("/debug/log", web::put().to(set_log))
            .default_service(web::to(no_such_path));
    }
}

async fn livez() -> impl Responder {
    HttpResponse::Ok().json(json!({"status": "alive"}))
}

async fn readyz(ops: web::Data<Ops>) -> impl Responder {
    match ops.ready().await {
        Ok(revision) => HttpResponse::Ok().json(json!({"status": "ready", "applied_revision": revision})),
        Err(reason) => HttpResponse::ServiceUnavailable().json(json!({"status": "not_ready", "reason": reason})),
    }
}

async fn give_away(ops: web::Data<Ops>, request: HttpRequest) -> impl Responder {
    if !is_here(request.peer_addr()) {
        return HttpResponse::Forbidden().json(json!({"reason": "only callers on this machine may ask for that"}));
    }
    ops.control.hand_over().await;
    let status = ops.control.status();
    HttpResponse::Ok().json(json!({"leader": status.leader, "leads": status.leader == Some(status.node_id)}))
}

fn is_here(caller: Option<SocketAddr>) -> bool {
    caller.is_some_and(|caller| caller.ip().to_canonical().is_loopback())
}

async fn metrics(ops: web::Data<Ops>) -> impl Responder {
    let status = ops.control.status();
    metrics::gauge!("hj_cp_revision", "kind" => "commit").set(number(status.commit.get()));
    metrics::gauge!("hj_cp_revision", "kind" => "applied").set(number(status.applied.get()));
    metrics::gauge!("hj_cp_revision", "kind" => "snapshot").set(number(status.snapshot.get()));
    metrics::gauge!("hj_cp_audit_bytes").set(number(ops.control.read(|state| state.audit().bytes)));
    metrics::gauge!("hj_cp_leader").set(f64::from(u8::from(status.leader == Some(status.node_id))));
    let voters = status.members.iter().filter(|member| member.voter).count();
    for (role, count) in [("voter", voters), ("learner", status.members.len() - voters)] {
        metrics::gauge!("hj_cp_members", "role" => role).set(u32::try_from(count).unwrap_or(u32::MAX));
    }
    if let Some(bytes) = free_bytes(&ops.data_dir) {
        metrics::gauge!("hj_cp_data_dir_free_bytes").set(bytes);
    }
    ops.control.record_saturation();
    if let Some(overflows) = telemetry::machine::listen_overflows() {
        metrics::counter!("hj_cp_accept_queue_overflows_total").absolute(overflows);
    }
    ops.metrics.run_upkeep();
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(ops.metrics.render())
}

/// What this process may still write to the file system of `folder`. A full one stops the node.
#[expect(clippy::cast_precision_loss, reason = "Prometheus has floats only")]
fn free_bytes(folder: &Path) -> Option<f64> {
    let found = nix::sys::statvfs::statvfs(folder).ok()?;
    Some(found.blocks_available() as f64 * found.fragment_size() as f64)
}

async fn log(ops: web::Data<Ops>) -> HttpResponse {
    HttpResponse::Ok().json(json!({"level": ops.lines.filter().to_string()}))
}

/// The body is the new value of `--log-level`, until the node stops.
async fn set_log(ops: web::Data<Ops>, body: String) -> HttpResponse {
    match body.parse::<Filter>() {
        Ok(filter) => {
            tracing::info!(level = %filter, "the log's level was changed");
            ops.lines.set(filter);
            log(ops).await
        }
        Err(why) => HttpResponse::BadRequest().json(json!({"status": "refused", "reason": why.to_string()})),
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has floats only; exact up to 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_here() {
        for here in ["127.0.0.1:9", "127.3.2.1:9", "[::1]:9", "[::ffff:127.0.0.1]:9"] {
            assert!(is_here(Some(here.parse().unwrap())), "{here}");
        }
        for elsewhere in ["10.0.0.1:9", "[fe80::1]:9", "[::ffff:10.0.0.1]:9", "0.0.0.0:9"] {
            assert!(!is_here(Some(elsewhere.parse().unwrap())), "{elsewhere}");
        }
        assert!(!is_here(None));
    }
}
