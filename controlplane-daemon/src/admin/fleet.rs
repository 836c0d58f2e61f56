//! `/fleet`: what the pods are at, and waiting for them.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use controlplane_core::Mutation;
use serde::Serialize;
use vocab::{NodeId, PodId, Revision};

use super::auth::Principal;
use super::problem::Problem;
use super::query::{Create, Read, WaitFor};
use super::view::rfc3339;
use super::{Api, answer};
use crate::fleet::{Fleet, FleetPod, FleetWait, RejectedResource};

#[derive(Serialize)]
struct FleetView {
    revision: Revision,
    pods: Vec<PodView>,
    unreachable_nodes: Vec<NodeId>,
}

#[derive(Serialize)]
struct PodView {
    pod_id: PodId,
    state: &'static str,
    since: String,
    /// Whether it stays listed when it vanishes.
    recorded: bool,
    node_id: NodeId,
    version: String,
    address: String,
    acknowledged_revision: Revision,
    lag: u64,
    lag_ms: Option<u64>,
    staleness_ms: Option<u64>,
    acknowledged_at: Option<String>,
    /// The signing keys first; of very many only some.
    rejected: Vec<RejectedView>,
    rejected_count: u64,
}

#[derive(Serialize)]
struct RejectedView {
    resource: String,
    reason: String,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl PodView {
    fn of(FleetPod { state, since, recorded, pod, lag }: FleetPod, revision: Revision) -> Self {
        Self {
            pod_id: pod.pod_id,
            state: state.as_str(),
            since: rfc3339(since),
            recorded,
            node_id: pod.node_id,
            version: pod.version,
            address: pod.address,
            acknowledged_revision: pod.acknowledged_revision,
            lag: pod.acknowledged_revision.lag_behind(revision),
            lag_ms: lag.map(millis),
            staleness_ms: pod.staleness.map(millis),
            acknowledged_at: pod.acknowledged_at.map(rfc3339),
            rejected_count: pod.rejected_count,
            rejected: pod
                .rejected
                .into_iter()
                .map(|RejectedResource { resource, reason }| RejectedView { resource, reason })
                .collect(),
        }
    }
}

impl FleetView {
    fn of(fleet: Fleet) -> Self {
        let revision = fleet.revision;
        let pods = fleet.pods.into_iter().map(|pod| PodView::of(pod, revision)).collect();
        Self { revision, pods, unreachable_nodes: fleet.unreachable_nodes }
    }
}

pub(super) async fn list(api: web::Data<Api>, read: Read) -> Result<HttpResponse, Problem> {
    let (revision, ()) = api.read(&read, |_| ()).await?;
    Ok(answer::show(revision, None, &FleetView::of(api.control.fleet().await)))
}

#[derive(Serialize)]
struct WaitView {
    revision: Revision,
    complete: bool,
    /// As `/fleet` shows them.
    laggards: Vec<PodView>,
    unreachable_nodes: Vec<NodeId>,
    /// Connected pods that cannot use something.
    rejecting: Vec<PodId>,
}

/// Answers when every connected pod has acknowledged the revision, or time is up.
pub(super) async fn wait(api: web::Data<Api>, wait: WaitFor) -> Result<HttpResponse, Problem> {
    let WaitFor { revision, timeout } = wait;
    let outcome = api.control.wait_for_fleet(revision, timeout).await;
    let complete = outcome.is_complete();
    let laggards = if complete { Vec::new() } else { laggards(api.control.fleet().await, &outcome.laggards, revision) };
    let FleetWait { unreachable_nodes, rejecting, .. } = outcome;
    let view = WaitView { revision, complete, laggards, unreachable_nodes, rejecting };
    Ok(answer::show(api.control.applied_revision(), None, &view))
}

fn laggards(fleet: Fleet, named: &[PodId], revision: Revision) -> Vec<PodView> {
    let pods = fleet.pods.into_iter().filter(|it| named.contains(&it.pod.pod_id));
    pods.map(|pod| PodView::of(pod, revision)).collect()
}

/// Strikes a pod off that is gone for good, so that nothing waits for it any longer.
pub(super) async fn forget(
    api: web::Data<Api>,
    who: Principal,
    path: web::Path<String>,
    write: Create,
) -> Result<HttpResponse, Problem> {
    let pod_id: PodId = path.parse().map_err(|_| Problem::not_found("the pod"))?;
    let connected =
        api.control.fleet().await.pods.into_iter().any(|it| it.pod.pod_id == pod_id && it.state.is_connected());
    if connected {
        return Err(Problem::new(
            vocab::ErrorCode::Conflict,
            "the pod is connected: only one that is gone can be forgotten",
        ));
    }
    // By itself it would be what the cluster has seen of itself, which is not on record.
    let items = vec![Mutation::FleetUpdate { sightings: Vec::new(), forget: vec![pod_id] }];
    let mutation = Mutation::Batch { items, planned_on: Vec::new(), managed_by: None };
    let done = api.change(&who, &write.0, mutation, None).await?;
    Ok(answer::deleted(&done))
}
