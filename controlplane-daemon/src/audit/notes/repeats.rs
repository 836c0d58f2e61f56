//! Notes that repeat: the first goes through, the others are counted and told together.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use controlplane_core::{Note, Noted};

/// How long alike ones are counted before they are told.
const INTERVAL: Duration = Duration::from_mins(1);
/// Kinds that are told apart at a time. Beyond it, all are one kind: who comes from everywhere is not worth a record each.
const KINDS: usize = 512;
const ANY_OTHER: &str = "any other";

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
        let Some((key, _)) = noted.note.repeats() else { return Some(noted) };
        let is_known = self.kinds.contains_key(&key);
        let key = if is_known || self.kinds.len() < KINDS { key } else { ANY_OTHER.to_owned() };
        let Some(kind) = self.kinds.get_mut(&key) else {
            self.kinds.insert(key, Kind { told: now, held: None });
            return Some(noted);
        };
        let before = kind.held.as_mut().and_then(|held| held.note.repeats().map(|(_, count)| *count));
        add(&mut noted.note, before.unwrap_or(0));
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

fn add(note: &mut Note, more: u64) {
    if let Some((_, count)) = note.repeats() {
        *count = count.saturating_add(more);
    }
}

#[cfg(test)]
mod tests {
    use controlplane_core::Origin;
    use vocab::{NodeId, Timestamp};

    use super::*;

    fn failed(address: &str) -> Noted {
        let origin = Origin { address: Some(address.to_owned()), ..Origin::default() };
        Noted { at: Timestamp::from_secs(1), node: NodeId(1), note: Note::SignInFailed { origin, count: 1 } }
    }

    fn count(noted: &mut Noted) -> u64 {
        noted.note.repeats().map_or(0, |(_, count)| *count)
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
