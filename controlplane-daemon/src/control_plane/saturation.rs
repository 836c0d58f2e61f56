//! How full the node's queues are, for whoever asks for its metrics: gauges that move by themselves are set when somebody
//! looks.

use super::ControlPlane;

impl ControlPlane {
    pub fn record_saturation(&self) {
        let (node, feed) = (&self.inner.node, self.cluster().replica.feed());
        let queues = [
            ("log_writes", node.log_writes_waiting()),
            ("audit_records", Some(self.records().waiting())),
            ("audit_notes", Some(node.notes.waiting())),
        ];
        for (queue, waiting) in queues {
            // A node that is stopping has let go of its log.
            let Some((length, limit)) = waiting else { continue };
            metrics::gauge!("hj_cp_queue_length", "queue" => queue).set(number(length));
            metrics::gauge!("hj_cp_queue_limit", "queue" => queue).set(number(limit));
        }
        let held = feed.held();
        metrics::gauge!("hj_cp_watch_ring_frames").set(number(held.count));
        metrics::gauge!("hj_cp_watch_ring_bytes").set(number(held.bytes));
        let applied = self.applied_revision().get();
        let behind = node.pods.slowest().map_or(0, |slowest| applied.saturating_sub(slowest.get()));
        metrics::gauge!("hj_cp_watch_slowest_lag_revisions").set(number(usize::try_from(behind).unwrap_or(usize::MAX)));
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has floats only; exact up to 2^53")]
const fn number(count: usize) -> f64 {
    count as f64
}
