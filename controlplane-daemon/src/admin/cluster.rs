//! `/cluster/status` and `/fleet`: what the nodes and the pods are at.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use vocab::{ClusterId, NodeId, PodId, Revision};

use super::problem::Problem;
use super::query::Read;
use super::view::rfc3339;
use super::{Api, answer};
use crate::control_plane::{ClusterStatus, Member};
use crate::fleet::{Fleet, Pod, RejectedResource};
use crate::gitops;

#[derive(Serialize)]
struct StatusView {
    node_id: NodeId,
    cluster_id: Option<ClusterId>,
    version: &'static str,
    role: &'static str,
    leader_id: Option<NodeId>,
    term: u64,
    commit_revision: Revision,
    applied_revision: Revision,
    last_log_revision: Revision,
    snapshot_revision: Revision,
    members: Vec<MemberView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gitops: Option<gitops::Status>,
}

#[derive(Serialize)]
struct MemberView {
    id: NodeId,
    addr: String,
    role: &'static str,
}

impl StatusView {
    fn of(status: ClusterStatus, gitops: Option<gitops::Status>) -> Self {
        let member =
            |Member { id, addr, voter }| MemberView { id, addr, role: if voter { "voter" } else { "learner" } };
        Self {
            node_id: status.node_id,
            cluster_id: status.cluster_id,
            version: env!("CARGO_PKG_VERSION"),
            role: status.role.as_str(),
            leader_id: status.leader,
            term: status.term,
            commit_revision: status.commit,
            applied_revision: status.applied,
            last_log_revision: status.last_log,
            snapshot_revision: status.snapshot,
            members: status.members.into_iter().map(member).collect(),
            gitops,
        }
    }
}

pub(super) async fn status(api: web::Data<Api>, read: Read) -> Result<HttpResponse, Problem> {
    let (revision, ()) = api.read(&read, |_| ()).await?;
    let gitops = api.gitops.as_ref().map(|status| status.lock().clone());
    Ok(answer::show(revision, None, &StatusView::of(api.control.status(), gitops)))
}

#[derive(Serialize)]
struct FleetView {
    revision: Revision,
    pods: Vec<PodView>,
    unreachable_nodes: Vec<NodeId>,
}

#[derive(Serialize)]
struct PodView {
    pod_id: PodId,
    node_id: NodeId,
    version: String,
    address: String,
    acknowledged_revision: Revision,
    lag: u64,
    connected_at: String,
    acknowledged_at: Option<String>,
    rejected: Vec<RejectedView>,
}

#[derive(Serialize)]
struct RejectedView {
    resource: String,
    reason: String,
}

impl FleetView {
    fn of(fleet: Fleet) -> Self {
        let revision = fleet.revision;
        let pod = |pod: Pod| PodView {
            pod_id: pod.pod_id,
            node_id: pod.node_id,
            version: pod.version,
            address: pod.address,
            acknowledged_revision: pod.acknowledged_revision,
            lag: pod.acknowledged_revision.lag_behind(revision),
            connected_at: rfc3339(pod.connected_at),
            acknowledged_at: pod.acknowledged_at.map(rfc3339),
            rejected: pod
                .rejected
                .into_iter()
                .map(|RejectedResource { resource, reason }| RejectedView { resource, reason })
                .collect(),
        };
        Self { revision, pods: fleet.pods.into_iter().map(pod).collect(), unreachable_nodes: fleet.unreachable_nodes }
    }
}

pub(super) async fn fleet(api: web::Data<Api>, read: Read) -> Result<HttpResponse, Problem> {
    let (revision, ()) = api.read(&read, |_| ()).await?;
    Ok(answer::show(revision, None, &FleetView::of(api.control.fleet().await)))
}
