//! What a pod has been sent and has not acknowledged, as spans: each goes on with the trace of its change and lasts until
//! the pod has it. Nothing is kept of changes that are not traced.

use std::collections::VecDeque;

use tracing::{Level, Span};
use vocab::{PodId, Revision};

use crate::feed::Feed;

/// A pod that acknowledges nothing costs no more than this.
const MOST: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Deliveries {
    open: VecDeque<(Revision, Span)>,
}

impl Deliveries {
    pub(super) fn sent(&mut self, revision: Revision, feed: &Feed, pod: &PodId) {
        if !tracing::enabled!(target: telemetry::TRACE, Level::TRACE) {
            return;
        }
        let Some(traceparent) = feed.traceparent(revision) else { return };
        let span = tracing::trace_span!(
            target: telemetry::TRACE,
            "watch",
            otel.kind = "producer",
            revision = revision.get(),
            pod = %pod,
        );
        telemetry::context::adopt(&span, Some(&traceparent));
        if self.open.len() == MOST {
            self.open.pop_front();
        }
        self.open.push_back((revision, span));
    }

    /// The pod uses everything up to here.
    pub(super) fn acknowledged(&mut self, through: Revision) {
        while self.open.front().is_some_and(|(revision, _)| *revision <= through) {
            self.open.pop_front();
        }
    }
}
