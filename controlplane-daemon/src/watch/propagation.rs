//! How long a change takes from this node to its use in a pod, as the pod's acknowledgement tells.

use std::time::Duration;

use vocab::Revision;

use crate::feed::Feed;

/// What needs no measuring in one pod: it was there before the pod came, or is measured.
#[derive(Debug)]
pub(super) struct Propagation {
    through: Revision,
}

impl Propagation {
    /// `resumed`: what the pod came with. A node that is behind may not have that yet.
    pub(super) fn new(feed: &Feed, resumed: Revision) -> Self {
        Self { through: resumed.max(*feed.newest().borrow()) }
    }

    /// The pod is given everything up to here at once.
    pub(super) fn skip(&mut self, through: Revision) {
        self.through = self.through.max(through);
    }

    /// For how long this node has had what the pod uses from now on. Changes that are acknowledged together count once,
    /// by the oldest; what is no longer held does not.
    pub(super) fn acknowledged(&mut self, revision: Revision, feed: &Feed) -> Option<Duration> {
        let oldest = Revision(self.through.0.checked_add(1)?);
        let newest = revision.min(*feed.newest().borrow());
        if newest < oldest {
            return None;
        }
        self.through = newest;
        feed.since(oldest).map(|since| since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::feed::Limits;

    fn append(feed: &Feed, revisions: impl IntoIterator<Item = u64>) {
        revisions.into_iter().for_each(|revision| feed.append(Revision(revision), Bytes::new(), None));
    }

    #[test]
    fn changes_acknowledged_together_are_measured_by_the_oldest() {
        let feed = Feed::new(Some(Revision(4)), Limits { count: 1, bytes: 100 });
        let mut pod = Propagation::new(&feed, Revision(4));
        append(&feed, 5..=6);
        assert_eq!(pod.acknowledged(Revision(6), &feed), None, "the newest is held, and says nothing of the oldest");
        append(&feed, [7]);
        assert!(pod.acknowledged(Revision(7), &feed).is_some());
    }

    #[test]
    fn each_acknowledgement_of_something_newer_is_measured_once() {
        let feed = Feed::new(Some(Revision(4)), Limits { count: 4, bytes: 100 });
        append(&feed, 5..=6);
        let mut pod = Propagation::new(&feed, Revision(5));
        append(&feed, 7..=9);
        let measured = [6, 8, 8, 7, 9, 9, 10].map(|it| pod.acknowledged(Revision(it), &feed).is_some());
        assert_eq!(measured, [false, true, false, false, true, false, false]);
        append(&feed, [10]);
        assert!(pod.acknowledged(Revision(10), &feed).is_some(), "what it said it had before does not count");
    }

    #[test]
    fn what_came_at_once_or_is_no_longer_held_is_not_measured() {
        let feed = Feed::new(Some(Revision(4)), Limits { count: 2, bytes: 100 });
        let mut ahead = Propagation::new(&feed, Revision(6));
        let mut behind = Propagation::new(&feed, Revision(4));
        append(&feed, 5..=7);
        assert_eq!([5, 6].map(|it| ahead.acknowledged(Revision(it), &feed)), [None, None]);
        assert!(ahead.acknowledged(Revision(7), &feed).is_some());
        assert_eq!(behind.acknowledged(Revision(5), &feed), None);
        behind.skip(Revision(7));
        assert_eq!([6, 7].map(|it| behind.acknowledged(Revision(it), &feed)), [None, None]);
    }
}
