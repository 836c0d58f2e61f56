//! The whole state as frames, encoded once for all pods that ask at about the same time.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use shared_proto::watch;
use tokio::sync::Mutex;
use vocab::{ClusterId, Revision};

use crate::feed::encode;
use crate::raft::replica::Replica;

/// A part is closed when it has this much: small enough for any receiver, large enough to be cheap.
const PART_BYTES: usize = 64 << 10;
/// An encoded snapshot is used again while the pod has only this many deltas to catch up after it.
const REUSE_WITHIN: u64 = 512;

#[derive(Debug, Default)]
pub(super) struct SnapshotCache {
    newest: Mutex<Option<Arc<Frames>>>,
}

/// Begin, parts, end.
#[derive(Debug)]
pub(super) struct Frames {
    pub(super) revision: Revision,
    pub(super) frames: Vec<Bytes>,
}

impl SnapshotCache {
    /// A snapshot from which the feed can be continued.
    pub(super) async fn get(&self, cluster_id: ClusterId, replica: &Arc<Replica>) -> Option<Arc<Frames>> {
        // Held while encoding: whoever else needs one waits for this instead of encoding the same.
        let mut newest = self.newest.lock().await;
        if let Some(frames) = newest.as_ref()
            && frames.revision.lag_behind(replica.applied()) <= REUSE_WITHIN
            && replica.feed().covers(frames.revision)
        {
            return Some(Arc::clone(frames));
        }
        let replica = Arc::clone(replica);
        let encoded = tokio::task::spawn_blocking(move || encode(cluster_id, &replica)).await.ok()?;
        Some(Arc::clone(newest.insert(Arc::new(encoded))))
    }
}

fn encode(cluster_id: ClusterId, replica: &Replica) -> Frames {
    use watch::event::Kind;
    let (revision, state) = replica.state();
    let at = || Some(watch::Position { cluster_id: cluster_id.to_string(), revision: revision.0 });
    let mut frames = vec![encode::frame(Kind::SnapshotBegin(watch::SnapshotBegin { at: at() }))];
    let mut part = watch::SnapshotPart::default();
    let (mut part_bytes, mut resource_count) = (0, 0);
    for resource in state.resources().filter_map(|resource| encode::resource(&resource)) {
        resource_count += 1;
        part_bytes += resource.encoded_len();
        part.resources.push(resource);
        if part_bytes >= PART_BYTES {
            frames.push(encode::frame(Kind::SnapshotPart(std::mem::take(&mut part))));
            part_bytes = 0;
        }
    }
    if !part.resources.is_empty() {
        frames.push(encode::frame(Kind::SnapshotPart(part)));
    }
    frames.push(encode::frame(Kind::SnapshotEnd(watch::SnapshotEnd { at: at(), resource_count })));
    Frames { revision, frames }
}
