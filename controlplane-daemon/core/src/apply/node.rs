//! The table of the control plane's nodes.

use std::sync::Arc;

use vocab::{NodeId, Revision};

use super::{Context, Decision, check, check_room, conflict, not_found};
use crate::limits;
use crate::model::{NodeRecord, NodeSpec};
use crate::mutation::{Change, ResourceRef};
use crate::rejection::Rejection;

/// Makes the record or replaces what it says; one that was removed is back.
pub(super) fn put(cx: &Context<'_>, id: NodeId, spec: NodeSpec) -> Result<Decision, Rejection> {
    let old = cx.state.node(id);
    cx.check_precondition(old.map_or(Revision::ZERO, |node| node.revision))?;
    check(spec.validate())?;
    let mut changes = Vec::new();
    if old.is_none() && cx.state.node_count() >= limits::NODES {
        changes.push(forget_oldest(cx)?);
    }
    let now = cx.stamp.at;
    let joined_at = old.filter(|node| node.removed_at.is_none()).map_or(now, |node| node.joined_at);
    changes.push(Change::from(NodeRecord {
        id,
        spec,
        joined_at,
        last_seen: now,
        removed_at: None,
        revision: cx.revision,
    }));
    Ok(Decision { resource: ResourceRef::Node { id }, changes })
}

/// The leader has heard of them. Of those that are not in the table nothing is noted.
pub(super) fn seen(cx: &Context<'_>, ids: &[NodeId]) -> Result<Decision, Rejection> {
    cx.check_precondition(Revision::ZERO)?;
    check_room("nodes of one entry", ids.len(), limits::NODES + 1)?;
    let present = ids.iter().filter_map(|id| cx.state.node(*id)).filter(|node| node.removed_at.is_none());
    let seen = |node: &Arc<NodeRecord>| NodeRecord { last_seen: cx.stamp.at, ..NodeRecord::clone(node) };
    Ok(Decision { resource: ResourceRef::Nodes, changes: present.map(seen).map(Change::from).collect() })
}

pub(super) fn remove(cx: &Context<'_>, id: NodeId) -> Result<Decision, Rejection> {
    let there = cx.state.node(id).filter(|node| node.removed_at.is_none());
    let node = there.ok_or_else(|| not_found(format!("node {id}")))?;
    cx.check_precondition(node.revision)?;
    let mut removed = NodeRecord { removed_at: Some(cx.stamp.at), revision: cx.revision, ..NodeRecord::clone(node) };
    removed.spec.promotion = None;
    Ok(Decision { resource: ResourceRef::Node { id }, changes: vec![removed.into()] })
}

/// The mark of a removed node makes room for a new one.
fn forget_oldest(cx: &Context<'_>) -> Result<Change, Rejection> {
    let removed = cx.state.nodes().filter_map(|node| Some((node.removed_at?, node.id)));
    match removed.min() {
        Some((_, id)) => Ok(Change::NodeDeleted { id }),
        None => Err(conflict(format!("the table of nodes is full: at most {}", limits::NODES))),
    }
}
