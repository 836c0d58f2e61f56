//! `/cluster/status`: what the nodes are at.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use vocab::{ClusterId, NodeId, Revision};

use super::problem::Problem;
use super::query::Read;
use super::view::rfc3339;
use super::{Api, answer};
use crate::control_plane::{ClusterStatus, Member};
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
    feature_level: u16,
    members: Vec<MemberView>,
    /// This node's clock.
    time: String,
    certificates: Vec<CertificateView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gitops: Option<gitops::Status>,
}

#[derive(Serialize)]
struct MemberView {
    id: NodeId,
    addr: String,
    role: &'static str,
    /// As the leader sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag: Option<u64>,
}

/// A file of certificates, and when the first of them ends.
#[derive(Serialize)]
struct CertificateView {
    file: String,
    not_after: String,
}

impl StatusView {
    fn of(status: ClusterStatus, api: &Api) -> Self {
        let member = |Member { id, addr, voter, answers, lag }| MemberView {
            id,
            addr,
            role: if voter { "voter" } else { "learner" },
            answers,
            lag,
        };
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
            feature_level: status.feature_level,
            members: status.members.into_iter().map(member).collect(),
            time: rfc3339(api.clock.now()),
            certificates: api
                .certificates
                .list()
                .into_iter()
                .map(|(file, end)| CertificateView { file, not_after: rfc3339(end) })
                .collect(),
            gitops: api.gitops.as_ref().map(|status| status.lock().clone()),
        }
    }
}

pub(super) async fn status(api: web::Data<Api>, read: Read) -> Result<HttpResponse, Problem> {
    let (revision, ()) = api.read(&read, |_| ()).await?;
    Ok(answer::show(revision, None, &StatusView::of(api.control.status(), &api)))
}
