//! Waiting for a condition, with an end.

use std::time::{Duration, Instant};

/// How long anything may take that normally takes a moment: generous, because the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

const PAUSE: Duration = Duration::from_millis(20);

/// Probes until it answers `Ok`; panics with the last `Err` once `within` has passed.
pub async fn until<T>(what: &str, within: Duration, mut probe: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + within;
    loop {
        match probe().await {
            Ok(value) => return value,
            Err(last) => {
                assert!(Instant::now() < deadline, "waited {within:?} for: {what}; last seen: {last}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
