//! Audit records that this node does not have, from its peers.
//!
//! Whoever installs a snapshot learns where the chain ends, not what stands in it. The records are fetched backwards from
//! there: each must have the hash that the one after it names, so a peer can leave something out but not change it.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vocab::{Link, NodeId};

use super::cluster::Cluster;
use crate::audit::{Order, Store};

/// Until the next try when no peer had more.
const RETRY: Duration = Duration::from_secs(1);
/// What one answer holds, far below what a message may.
const PAGE_RECORDS: usize = 1_000;
const PAGE_BYTES: usize = 512 << 10;

/// Runs until `stopping`.
pub(super) async fn run(cluster: Cluster, stopping: CancellationToken) {
    let store = cluster.replica.records().clone();
    let mut extents = store.extents();
    loop {
        let is_missing = extents.borrow_and_update().missing().is_some();
        if is_missing && fetch(&cluster, &store).await {
            continue;
        }
        tokio::select! {
            changed = extents.changed(), if !is_missing => if changed.is_err() { return },
            () = tokio::time::sleep(RETRY), if is_missing => {}
            () = stopping.cancelled() => return,
        }
    }
}

/// Whether a peer had some.
async fn fetch(cluster: &Cluster, store: &Store) -> bool {
    for node in cluster.others() {
        let extent = store.extent();
        let Some(missing) = extent.missing() else { return true };
        let Some(lines) = cluster.records_of(node, *missing.start(), *missing.end()).await else { continue };
        let mut checked = Vec::with_capacity(lines.len());
        let (mut next, mut anchor) = (*missing.end(), extent.anchor);
        for line in lines {
            match Link::read(&line) {
                Ok(link) if link.seq == next && link.hash == anchor => {
                    (next, anchor) = (link.seq.saturating_sub(1), link.previous);
                    checked.push((link, line));
                }
                _ => {
                    tracing::error!(%node, seq = next, "a peer's audit record does not fit the chain");
                    break;
                }
            }
        }
        if !checked.is_empty() {
            tracing::info!(%node, from = next + 1, through = missing.end(), "audit records were fetched");
            let filling = store.clone();
            // The writer has taken them up before the next look at what is missing.
            let filled = tokio::task::spawn_blocking(move || {
                filling.fill(checked);
                filling.flush();
            });
            return filled.await.is_ok();
        }
    }
    false
}

/// What a peer is answered. Reads the disk.
pub(super) fn page(store: &Store, first: u64, last: u64) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut next, mut bytes) = (last, 0);
    let read = store.read(first, last, Order::NewestFirst, |seq, line| {
        if seq != next || lines.len() == PAGE_RECORDS || bytes > PAGE_BYTES {
            return ControlFlow::Break(());
        }
        next = seq.saturating_sub(1);
        bytes += line.len();
        lines.push(line.to_owned());
        ControlFlow::Continue(())
    });
    if let Err(why) = read {
        tracing::error!(%why, "audit records cannot be read");
    }
    lines
}

impl Cluster {
    /// Backwards from `last`. `None`: the node does not answer.
    async fn records_of(&self, node: NodeId, first: u64, last: u64) -> Option<Vec<String>> {
        let request = shared_proto::peer::ListRecordsRequest { first_seq: first, last_seq: last };
        let mut client = self.client(node)?;
        let asked = tokio::time::timeout(super::cluster::QUESTION_TIMEOUT, client.list_records(request)).await;
        Some(asked.ok()?.ok()?.into_inner().lines)
    }
}
