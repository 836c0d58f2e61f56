//! Delivers messages to clients: logout tokens (OIDC Back-Channel Logout 1.0) and the pings of CIBA; and to users: the
//! mail that tells them of a request of CIBA, or carries a link.
//!
//! ```text
//!   the statement that ends a session ──▶ outbox (the tenant's database) ◀── claims what is due ── every pod
//!                                              ▲                                                       │
//!                                              └── later, after a failure ◀── answer ◀── POST, or mail
//! ```
//!
//! A message is written with what makes it necessary, so it is never forgotten. Any pod claims it for [`LEASE_SECS`],
//! and if that pod dies, the next one that looks after them. So a client gets each message at least once; a client
//! that fails is tried again, later and later, [`MAX_ATTEMPTS`] times.
//!
//! Law: a client that hangs costs its own messages time, nobody else's. Deliveries run side by side up to a bound, each
//! within the fetcher's time, and what failed least often goes first.

mod courier;
mod delivery;

use tokio::sync::mpsc;
use vocab::TenantId;

pub use courier::Courier;

/// Signals of this pod that wait to be seen. At the bound a signal is dropped: the next look at all tenants finds the
/// message.
const SIGNALS: usize = 1024;
/// Deliveries under way at once in this pod.
const MAX_AT_ONCE: usize = 32;
/// Of these, of one tenant.
const MAX_OF_A_TENANT: usize = 16;
/// Most messages that one look at an outbox claims.
const CLAIM: usize = 8;
/// How long a message belongs to the pod that claimed it: longer than a delivery can take.
const LEASE_SECS: i64 = 30;
/// Attempts before a message is given up: the pauses add up to about an hour.
const MAX_ATTEMPTS: u32 = 14;
const MAX_PAUSE_SECS: i64 = 900;

/// How a request tells this pod's courier that there is something to deliver. The others find it when they next look.
#[derive(Clone, Debug)]
pub struct Outbox(mpsc::Sender<TenantId>);

impl Outbox {
    pub fn new() -> (Self, mpsc::Receiver<TenantId>) {
        let (sender, receiver) = mpsc::channel(SIGNALS);
        (Self(sender), receiver)
    }

    pub fn look_at(&self, tenant: TenantId) {
        // Full, or the pod is stopping: whoever looks next finds the message.
        if self.0.try_send(tenant).is_err() {
            metrics::counter!("hj_dp_queue_refused_total", "queue" => "outbox_signals").increment(1);
        }
    }

    /// How many signals wait, and how many may.
    pub fn waiting(&self) -> (usize, usize) {
        let limit = self.0.max_capacity();
        (limit - self.0.capacity(), limit)
    }
}

/// The pause after an attempt that failed: 1, 2, 4, … seconds.
fn pause_secs(attempts: u32) -> i64 {
    1_i64.checked_shl(attempts.saturating_sub(1)).unwrap_or(MAX_PAUSE_SECS).clamp(1, MAX_PAUSE_SECS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_add_up_to_an_hour() {
        let pauses: Vec<i64> = (1..MAX_ATTEMPTS).map(pause_secs).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        assert_eq!(pause_secs(u32::MAX), MAX_PAUSE_SECS);
        assert!((3600..4000).contains(&pauses.iter().sum::<i64>()));
    }
}
