//! What a rotation waits for, of one owner of keys.

use std::time::Duration;

use controlplane_core::model::KeyRotation;
use controlplane_core::{State, Tenant};

use crate::credential::TOKEN_LIFETIME;

/// Pods take no request object that is good for longer than this.
const LONGEST_REQUEST: Duration = Duration::from_hours(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) max_age: Duration,
    /// How long a verifier may keep a JWK Set that it got.
    pub(super) caches_live: Duration,
    /// How long the last token of a key may be accepted after it stopped signing.
    pub(super) tokens_live: Duration,
    /// How long the last request may be good that was encrypted to a key which is no longer published.
    pub(super) requests_live: Duration,
    /// How long a pod that is cut off may go on.
    pub(super) cut_off_serves: Duration,
}

const fn secs(secs: u32) -> Duration {
    Duration::from_secs(secs as u64)
}

impl Policy {
    /// Of the global keys. Only nodes verify with them, out of their own state: there are no caches.
    pub(super) fn of_global(state: &State) -> Option<Self> {
        let policy = state.settings().spec.key_rotation?;
        Some(Self {
            max_age: secs(policy.max_age_secs?),
            caches_live: Duration::ZERO,
            tokens_live: TOKEN_LIFETIME + secs(policy.clock_skew_secs),
            // Nothing is encrypted to them.
            requests_live: Duration::ZERO,
            cut_off_serves: Duration::ZERO,
        })
    }

    pub(super) fn of_tenant(state: &State, tenant: &Tenant) -> Option<Self> {
        let KeyRotation { max_age_secs, clock_skew_secs } = state.key_rotation_of(tenant)?;
        let (lifetimes, longest) = (&tenant.spec.settings.lifetimes, tenant.longest);
        let caches_live = secs(lifetimes.jwks_cache_secs.max(longest.jwks_cache_secs));
        Some(Self {
            max_age: secs(max_age_secs?),
            caches_live,
            requests_live: caches_live + LONGEST_REQUEST,
            tokens_live: secs(lifetimes.longest_token_secs().max(longest.token_secs)) + secs(clock_skew_secs),
            cut_off_serves: cut_off_serves(state, tenant),
        })
    }
}

/// The longest that the policies of a tenant have ever let a pod go on that was cut off.
pub(super) fn cut_off_serves(state: &State, tenant: &Tenant) -> Duration {
    let longest = tenant.longest;
    let own = state.staleness_of(tenant).refuse_after_secs.max(longest.stale_secs);
    if longest.inherited_staleness || tenant.spec.settings.staleness.is_none() {
        let settings = state.settings();
        return secs(own.max(settings.longest_stale_secs).max(settings.spec.staleness.refuse_after_secs));
    }
    secs(own)
}
