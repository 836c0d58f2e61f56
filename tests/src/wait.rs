//! Waiting for a condition, with an end.

use std::time::{Duration, Instant};

/// How long anything may take that normally takes a moment: generous, because the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long a program may take until it listens, and then until it is ready: a node reads and applies its log, in a build
/// without optimisation some thousands of entries a second at best, and of two founders one gives its cluster up.
pub const START: Duration = Duration::from_mins(3);

/// Most things take a moment: they are looked at closely at first, so that the figures of the bench are fine, too.
const FIRST: Duration = Duration::from_millis(200);
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const PAUSE: Duration = Duration::from_millis(20);

/// Probes until it answers `Ok`; panics with the last `Err` once `within` has passed.
pub async fn until<T>(what: &str, within: Duration, mut probe: impl AsyncFnMut() -> Result<T, String>) -> T {
    let begin = Instant::now();
    let deadline = begin + within;
    loop {
        match probe().await {
            Ok(value) => return value,
            Err(last) => {
                assert!(Instant::now() < deadline, "waited {within:?} for: {what}; last seen: {last}");
                tokio::time::sleep(if begin.elapsed() < FIRST { FIRST_PAUSE } else { PAUSE }).await;
            }
        }
    }
}
