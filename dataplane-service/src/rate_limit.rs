//! How many requests of one tenant this pod answers, so that one tenant's flood is not the others' slowness.
//!
//! The "generic cell rate algorithm" in one atomic number per tenant: asking takes no lock and allocates nothing, so every
//! request asks, before anything is read from a database or signed for it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::tenant::TenantContext;
use crate::throttle::Wait;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub per_second: NonZeroU32,
    /// How many may come at once after a quiet while.
    pub burst: NonZeroU32,
}

#[derive(Debug)]
pub struct Limiter {
    rate: Rate,
    cell: DefaultDirectRateLimiter,
}

impl Limiter {
    pub fn new(rate: Rate) -> Self {
        Self { rate, cell: RateLimiter::direct(Quota::per_second(rate.per_second).allow_burst(rate.burst)) }
    }

    /// What was counted counts on, as long as the rate stays: another change of the tenant is no fresh start.
    pub fn kept(built: Option<&TenantContext>, rate: Rate) -> Arc<Self> {
        let held = built.and_then(|built| built.limiter.as_ref()).filter(|held| held.rate == rate);
        held.map_or_else(|| Arc::new(Self::new(rate)), Arc::clone)
    }

    /// Lets one more request through, or says how long to wait.
    pub fn admit(&self) -> Result<(), Wait> {
        let admitted = self.cell.check();
        admitted.map_err(|not_until| whole_secs(not_until.wait_time_from(self.cell.clock().now())))
    }
}

/// `Retry-After` has whole seconds (RFC 9110 §10.2.3): never fewer than it takes.
fn whole_secs(wait: Duration) -> Wait {
    let secs = wait.as_nanos().div_ceil(1_000_000_000).max(1);
    Wait { secs: u32::try_from(secs).unwrap_or(u32::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(0, 1)]
    #[case(1, 1)]
    #[case(1_000_000_000, 1)]
    #[case(1_000_000_001, 2)]
    fn whoever_comes_back_then_is_not_too_early(#[case] nanos: u64, #[case] secs: u32) {
        assert_eq!(whole_secs(Duration::from_nanos(nanos)), Wait { secs });
    }

    #[test]
    fn another_change_of_the_tenant_is_no_fresh_start() {
        let rate = |per_second| Rate { per_second: NonZeroU32::new(per_second).unwrap(), burst: NonZeroU32::MIN };
        let mut tenant = crate::fixture::tenant();
        let first = Limiter::kept(Some(&tenant), rate(1));
        tenant.limiter = Some(Arc::clone(&first));
        assert!(Arc::ptr_eq(&first, &Limiter::kept(Some(&tenant), rate(1))));
        assert!(!Arc::ptr_eq(&first, &Limiter::kept(Some(&tenant), rate(2))));
    }
}
