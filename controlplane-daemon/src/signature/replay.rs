//! Which calls were seen before, in a memory that does not grow with them.

use std::collections::HashMap;

use vocab::NodeId;

use super::{Refusal, WINDOW_MS};

/// Calls of one session may overtake each other by this many.
const WINDOW: u64 = 4096;
const WORDS: usize = 64;
/// Sessions at once: a caller opens one per process start.
const MAX_SESSIONS: usize = 256;

/// A sliding window per session, as IPsec has it (RFC 4303 §3.4.3).
#[derive(Debug, Default)]
pub(super) struct Seen {
    sessions: HashMap<(NodeId, u64), Session>,
}

#[derive(Debug)]
struct Session {
    highest: u64,
    /// Bit `counter % WINDOW` is set when that counter was seen.
    bits: [u64; WORDS],
    last_seen_ms: i64,
}

impl Seen {
    /// Remembers the call, or refuses it.
    pub(super) fn first_time(
        &mut self,
        sender: NodeId,
        session: u64,
        counter: u64,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        if !self.sessions.contains_key(&(sender, session)) {
            // What a session signed is stale by itself after the window, on either side of our clock.
            self.sessions.retain(|_, session| now_ms.abs_diff(session.last_seen_ms) <= 2 * WINDOW_MS.unsigned_abs());
            if self.sessions.len() >= MAX_SESSIONS {
                return Err(Refusal::Replayed);
            }
        }
        let session = self.sessions.entry((sender, session)).or_insert(Session {
            highest: 0,
            bits: [0; WORDS],
            last_seen_ms: now_ms,
        });
        session.last_seen_ms = session.last_seen_ms.max(now_ms);
        session.first_time(counter)
    }
}

impl Session {
    fn first_time(&mut self, counter: u64) -> Result<(), Refusal> {
        if counter > self.highest {
            if counter - self.highest >= WINDOW {
                self.bits = [0; WORDS];
            } else {
                for passed in self.highest + 1..counter {
                    *self.word(passed) &= !mask(passed);
                }
                *self.word(counter) &= !mask(counter);
            }
            self.highest = counter;
        } else if self.highest - counter >= WINDOW {
            return Err(Refusal::Replayed);
        }
        let word = self.word(counter);
        if *word & mask(counter) != 0 {
            return Err(Refusal::Replayed);
        }
        *word |= mask(counter);
        Ok(())
    }

    fn word(&mut self, counter: u64) -> &mut u64 {
        let index = usize::try_from(counter % WINDOW / 64).expect("below 64");
        self.bits.get_mut(index).expect("the window has 64 words of 64 bits")
    }
}

const fn mask(counter: u64) -> u64 {
    1 << (counter % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_passes_once_in_any_order_within_the_window() {
        let mut seen = Seen::default();
        let mut call = |counter| seen.first_time(NodeId(1), 7, counter, 0).is_ok();
        for counter in [0, 1, 5, 3, 2, 4, 5000, 4999, 100_000] {
            assert!(call(counter), "{counter}");
            assert!(!call(counter), "{counter} again");
        }
        assert!(!call(100_000 - WINDOW));
        assert!(call(100_001 - WINDOW));
        // Bits of long ago do not stick to the counters that share them.
        for counter in 100_001..100_001 + 3 * WINDOW {
            assert!(call(counter), "{counter}");
        }
    }

    #[test]
    fn sessions_are_bounded_and_forgotten_only_when_stale() {
        let mut seen = Seen::default();
        for session in 0..MAX_SESSIONS as u64 {
            seen.first_time(NodeId(1), session, 0, 0).unwrap();
        }
        assert!(seen.first_time(NodeId(1), 9999, 0, WINDOW_MS).is_err());
        assert!(seen.first_time(NodeId(1), 9999, 0, 2 * WINDOW_MS + 1).is_ok());
    }
}
