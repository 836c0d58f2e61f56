//! Notes that repeat: the first goes through, the others are counted and told together.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use controlplane_core::Noted;

/// How long alike ones are counted before they are told.
const INTERVAL: Duration = Duration::from_mins(1);
/// Kinds that are told apart at a time. Beyond it, all of one action are one kind: who comes from everywhere is not
/// worth a record each.
const KINDS: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Repeats {
    kinds: HashMap<String, Kind>,
}

#[derive(Debug)]
struct Kind {
    told: Instant,
    /// What came since, as its last one with the number of all.
    held: Option<Noted>,
}

impl Repeats {
    pub(super) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// What to tell at once.
    pub(super) fn pass(&mut self, mut noted: Noted, now: Instant) -> Option<Noted> {
        let Some(key) = noted.note.repeats() else { return Some(noted) };
        let has_place = self.kinds.contains_key(&key) || self.kinds.len() < KINDS;
        let key = if has_place { key } else { format!("any other {}", noted.note.action()) };
        let Some(kind) = self.kinds.get_mut(&key) else {
            self.kinds.insert(key, Kind { told: now, held: None });
            return Some(noted);
        };
        let before = kind.held.as_mut().and_then(|held| held.note.count_mut()).map_or(0, |count| *count);
        if let Some(count) = noted.note.count_mut() {
            *count = count.saturating_add(before);
        }
        kind.held = Some(noted);
        None
    }

    /// What was counted for long enough.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Noted> {
        let is_due = |kind: &Kind| now.saturating_duration_since(kind.told) >= INTERVAL;
        let mut due = Vec::new();
        self.kinds.retain(|_, kind| {
            if !is_due(kind) {
                return true;
            }
            kind.told = now;
            // A kind that was quiet for a whole interval is news again.
            kind.held.take().map(|held| due.push(held)).is_some()
        });
        due
    }

    /// Everything that was counted and not told.
    pub(super) fn rest(self) -> Vec<Noted> {
        self.kinds.into_values().filter_map(|kind| kind.held).collect()
    }
}

#[cfg(test)]
mod tests {
    use controlplane_core::{Note, Origin};
    use vocab::{NodeId, Timestamp};

    use super::*;

    fn failed(address: &str) -> Noted {
        let origin = Origin { address: Some(address.to_owned()), ..Origin::default() };
        Noted { at: Timestamp::from_secs(1), node: NodeId(1), note: Note::SignInFailed { origin, count: 1 } }
    }

    fn count(noted: &mut Noted) -> u64 {
        noted.note.count_mut().map_or(0, |count| *count)
    }

    #[test]
    fn the_first_is_told_and_the_others_are_counted() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        assert!(repeats.pass(failed("a"), start).is_some());
        assert!(repeats.pass(failed("b"), start).is_some());
        for _ in 0..7 {
            assert!(repeats.pass(failed("a"), start).is_none());
        }
        assert!(repeats.due(start).is_empty());
        let mut due = repeats.due(start + INTERVAL);
        assert_eq!(due.iter_mut().map(count).collect::<Vec<_>>(), [7]);
        assert!(repeats.pass(failed("b"), start + INTERVAL).is_some(), "it was quiet");
        assert!(repeats.pass(failed("a"), start + INTERVAL).is_none(), "it goes on");
        assert_eq!(repeats.rest().len(), 1);
    }

    /// Its note has no count, and yet it is told once an interval only.
    #[test]
    fn a_node_that_asks_again_and_again_is_told_at_intervals() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let mut knock = |address: &str, after: Duration| {
            let (address, why) = (address.to_owned(), "node 4 was removed".to_owned());
            let note = Note::JoinRefused { node_id: Some(NodeId(4)), address, why };
            let told = repeats.pass(Noted { at: Timestamp::from_secs(1), node: NodeId(1), note }, start + after);
            (told.is_some(), repeats.due(start + after).len())
        };
        assert_eq!(knock("a:1", Duration::ZERO), (true, 0));
        assert_eq!(knock("b:1", Duration::ZERO), (true, 0), "another node");
        for secs in (5..60).step_by(5) {
            assert_eq!(knock("a:1", Duration::from_secs(secs)), (false, 0));
        }
        assert_eq!(knock("a:1", INTERVAL), (false, 1));
        assert_eq!(knock("b:1", INTERVAL), (true, 0), "it was quiet");
    }

    #[test]
    fn who_comes_from_everywhere_is_one_kind() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let told = (0..10_000).filter_map(|n| repeats.pass(failed(&n.to_string()), start)).count();
        assert_eq!(told, KINDS + 1);
        let counted: u64 = repeats.due(start + INTERVAL).iter_mut().map(count).sum();
        assert_eq!(counted, 10_000 - told as u64);
        assert!(repeats.due(start + 2 * INTERVAL).is_empty());
        assert!(repeats.is_empty());
    }
}
