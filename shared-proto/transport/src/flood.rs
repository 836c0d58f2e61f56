//! Frames of HTTP/2 that carry nothing and that we would have to answer or look at: SETTINGS, PING, PRIORITY and what is
//! unknown. They cost their sender next to nothing (RFC 9113 §10.5), and h2, which counts resets, CONTINUATION and empty
//! DATA, does not count these. More than anybody has a use for end the connection.

use std::time::{Duration, Instant};

/// So many in [`WINDOW`]: those who keep a connection alive or measure its delay send a few a second.
const MOST: u32 = 1_000;
const WINDOW: Duration = Duration::from_secs(10);

/// Length, type, flags, stream (RFC 9113 §4.1).
const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// GOAWAY with ENHANCE_YOUR_CALM (RFC 9113 §6.8, §7); the last stream that was begun is not known here, so any may have been.
pub(crate) const CALM: &[u8] = &[0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0x0b];

/// Of one connection, from behind the preface on.
#[derive(Debug)]
pub(crate) struct Watcher {
    /// The part of a frame's head that has come.
    head: [u8; HEAD],
    filled: usize,
    /// What of the frame's payload is still to come.
    payload: usize,
    counted: u32,
    since: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flood;

impl Watcher {
    pub(crate) fn new() -> Self {
        Self { head: [0; HEAD], filled: 0, payload: 0, counted: 0, since: Instant::now() }
    }

    /// Takes note of what was read, in whatever pieces.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) -> Result<(), Flood> {
        while !bytes.is_empty() {
            let skipped = self.payload.min(bytes.len());
            self.payload -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let missing = self.head.get_mut(self.filled..).unwrap_or_default();
            let taken = missing.len().min(bytes.len());
            for (place, byte) in missing.iter_mut().zip(bytes) {
                *place = *byte;
            }
            self.filled += taken;
            bytes = bytes.get(taken..).unwrap_or_default();
            if self.filled == HEAD {
                self.begin()?;
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Flood> {
        let [high, middle, low, kind, ..] = self.head;
        self.filled = 0;
        self.payload = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        if matches!(kind, DATA | HEADERS | RST_STREAM | GOAWAY | WINDOW_UPDATE | CONTINUATION) {
            return Ok(());
        }
        if self.since.elapsed() > WINDOW {
            (self.counted, self.since) = (0, Instant::now());
        }
        self.counted += 1;
        if self.counted > MOST { Err(Flood) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, 0], &vec![kind; payload]].concat()
    }

    #[rstest]
    #[case::settings(4, 0)]
    #[case::settings_with_something_in_them(4, 36)]
    #[case::ping(6, 8)]
    #[case::priority(2, 5)]
    #[case::unknown(0xaa, 300)]
    fn many_frames_that_carry_nothing_are_a_flood(#[case] kind: u8, #[case] payload: usize) {
        let frames = frame(kind, payload).repeat(MOST as usize + 1);
        // However they are cut.
        for piece in [1, 7, 16_384, frames.len()] {
            let mut watcher = Watcher::new();
            let (before, last) = frames.split_at(frames.len() - payload - HEAD);
            assert!(before.chunks(piece).all(|bytes| watcher.read(bytes) == Ok(())), "{piece}");
            assert!(last.chunks(piece).any(|bytes| watcher.read(bytes) == Err(Flood)), "{piece}");
        }
    }

    #[test]
    fn what_streams_are_made_of_may_come_as_it_likes() {
        let mut watcher = Watcher::new();
        for (kind, payload) in [(DATA, 16_384), (HEADERS, 100), (WINDOW_UPDATE, 4), (CONTINUATION, 9), (RST_STREAM, 4)]
        {
            let frames = frame(kind, payload).repeat(2 * MOST as usize);
            assert_eq!(watcher.read(&frames), Ok(()), "{kind}");
        }
    }
}
