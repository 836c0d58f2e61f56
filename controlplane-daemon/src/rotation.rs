//! Which step the automatic rotation of signing keys may take next.
//!
//! ```text
//!            age                 every pod has it,            every pod signs with it,
//!                                caches have run out          old tokens have run out
//!   active ───────▶ next published ───────▶ next is active, old retiring ───────▶ old revoked
//! ```
//!
//! Each family of an owner's keys (`ES256`, `EdDSA`, RSA, `ES384`, and those for encryption) goes through this by itself.
//! A key for encryption is published once it is active: by then every pod has it, and opens what comes.
//!
//! Where a rotation stands is only what the keys' states say, so any leader can go on from any point. A wait is measured
//! by the leader's monotonic clock since it saw for itself what is waited for: a new leader waits anew, and no clock that
//! jumps makes a step come early. Wall clocks decide only when a rotation begins.
//!
//! A step is held up by pods that are connected and have not acknowledged (or reject the key), as long as they are; and by
//! pods that are cut off, until the tenant's staleness policy has ended their service. `fleet.rs` knows both.

mod evidence;
mod policy;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use controlplane_core::model::{KeyFamily, KeyOwner, KeyStatus, SigningKey};
use controlplane_core::mutation::RotateStep;
use controlplane_core::{Mutation, State};
use vocab::{KeyId, Revision, Slug, Timestamp};

pub use evidence::Evidence;
use policy::Policy;

/// Requests that were under way when a pod acknowledged are answered by then; nodes have noticed by then that they are
/// cut off, so that pods do not take their word any longer.
const MARGIN: Duration = Duration::from_secs(1);
const CUT_OFF_MARGIN: Duration = Duration::from_secs(5);

/// What this leader has seen so far of each key that is waited for.
#[derive(Debug, Default)]
pub struct Rotation {
    waits: BTreeMap<(KeyOwner, KeyId), Wait>,
}

#[derive(Clone, Copy, Debug)]
struct Wait {
    /// The state of the key that this is about.
    status: KeyStatus,
    /// When this leader first saw it so, and last that a connected pod rejects it: whoever has it not is as old as that.
    seen: Instant,
    /// Since when nobody holds the step up.
    clear: Option<Instant>,
}

/// A step to take now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub name: &'static str,
    pub tenant: Option<Slug>,
    pub mutation: Mutation,
    /// `If-Match`: the revision of the key that the step was judged by.
    pub expected: Revision,
}

/// The longest that a pod that was cut off may go on, for whatever tenant.
pub fn longest_cut_off(state: &State) -> Duration {
    let tenants = state.tenants_after(None).map(|tenant| policy::cut_off_serves(state, tenant));
    tenants.max().unwrap_or_default() + CUT_OFF_MARGIN
}

/// The newest change to a key that a rotation which is under way needs everybody to have; zero: there is none.
pub fn awaited(state: &State) -> Revision {
    let rotating = state.tenants_after(None).filter(|tenant| Policy::of_tenant(state, tenant).is_some());
    let keys = rotating.flat_map(|tenant| state.keys_of(KeyOwner::Tenant(tenant.id)));
    let awaited = keys.filter_map(|key| match key.status {
        KeyStatus::Next => Some(key.revision),
        KeyStatus::Retiring => Some(state.active_key(key.owner, key.family).map_or(key.revision, |it| it.revision)),
        KeyStatus::Active | KeyStatus::Revoked => None,
    });
    awaited.max().unwrap_or_default()
}

impl Rotation {
    /// All steps that are due, of every owner.
    pub fn due(&mut self, state: &State, evidence: &Evidence, now: Instant, wall: Timestamp) -> Vec<Step> {
        let before = std::mem::take(&mut self.waits);
        let mut round = Round { evidence, now, wall, before, waits: BTreeMap::new(), steps: Vec::new() };
        if let Some(policy) = Policy::of_global(state) {
            round.look(state, KeyOwner::Global, None, policy);
        }
        for tenant in state.tenants_after(None) {
            if let Some(policy) = Policy::of_tenant(state, tenant) {
                round.look(state, KeyOwner::Tenant(tenant.id), Some(&tenant.slug), policy);
            }
        }
        self.waits = round.waits;
        round.steps
    }

    /// How many keys are waited for, by what they are.
    pub fn record_metrics(&self) {
        for (status, label) in [(KeyStatus::Next, "next"), (KeyStatus::Retiring, "retiring")] {
            let waits = self.waits.values().filter(|wait| wait.status == status);
            let (mut all, mut held_up) = (0_u32, 0_u32);
            for wait in waits {
                all += 1;
                held_up += u32::from(wait.clear.is_none());
            }
            metrics::gauge!("hj_cp_key_rotation_waiting", "status" => label).set(f64::from(all));
            metrics::gauge!("hj_cp_key_rotation_held_up", "status" => label).set(f64::from(held_up));
        }
    }
}

/// One look at everything.
struct Round<'a> {
    evidence: &'a Evidence,
    now: Instant,
    wall: Timestamp,
    before: BTreeMap<(KeyOwner, KeyId), Wait>,
    waits: BTreeMap<(KeyOwner, KeyId), Wait>,
    steps: Vec<Step>,
}

impl Round<'_> {
    fn look(&mut self, state: &State, owner: KeyOwner, tenant: Option<&Slug>, policy: Policy) {
        for family in KeyFamily::ALL {
            self.look_at(family, state, owner, tenant, policy);
        }
    }

    fn look_at(&mut self, family: KeyFamily, state: &State, owner: KeyOwner, tenant: Option<&Slug>, policy: Policy) {
        let active = state.active_key(owner, family);
        let old = active.is_some_and(|active| self.is_old(active, policy));
        let of_family = |key: &&Arc<SigningKey>| key.family == family && key.status == KeyStatus::Retiring;
        let retiring: Vec<_> = state.keys_of(owner).filter(of_family).collect();
        for key in &retiring {
            // Nobody may sign with it any more, and whoever rejects the active key does.
            let used: Vec<&SigningKey> = [*key].into_iter().chain(active).map(AsRef::as_ref).collect();
            let hold = if family.is_for_encryption() { policy.requests_live } else { policy.tokens_live };
            if self.waited(key, tenant, &used, policy, hold) {
                let mutation = Mutation::KeyRevoke { tenant: tenant.cloned(), kid: key.kid.clone() };
                self.step("revoke", tenant, mutation, key.revision);
            }
        }
        if let Some(next) = state.next_key(owner, family) {
            if self.waited(next, tenant, &[next.as_ref()], policy, policy.caches_live) {
                let mutation = Mutation::KeyActivate { tenant: tenant.cloned(), kid: next.kid.clone() };
                self.step("activate", tenant, mutation, next.revision);
            }
        } else if let Some(active) = active
            && old
            && retiring.is_empty()
        {
            // One rotation at a time, so that the number of published keys stays small.
            // The tenant's own is not named: that much an older build understands, too.
            let own = |slug| state.tenant(slug).is_some_and(|it| it.spec.settings.signing_algorithm.family() == family);
            let named = tenant.filter(|slug| !own(slug)).map(|_| family);
            let step = RotateStep::Publish;
            let mutation = Mutation::KeyRotate { tenant: tenant.cloned(), step, family: named };
            self.step("publish", tenant, mutation, active.revision);
        }
    }

    fn step(&mut self, name: &'static str, tenant: Option<&Slug>, mutation: Mutation, expected: Revision) {
        self.steps.push(Step { name, tenant: tenant.cloned(), mutation, expected });
    }

    /// Whether nobody has held the step after `key` up for `hold`, as this leader has seen.
    fn waited(
        &mut self,
        key: &SigningKey,
        tenant: Option<&Slug>,
        used: &[&SigningKey],
        policy: Policy,
        hold: Duration,
    ) -> bool {
        let id = (key.owner, key.kid.clone());
        let mut wait = self.before.get(&id).filter(|wait| wait.status == key.status).copied().unwrap_or(Wait {
            status: key.status,
            seen: self.now,
            clear: None,
        });
        let held_up = match tenant {
            None => self.evidence.holds_up_nodes(key.revision),
            Some(slug) => {
                let needed = used.iter().map(|key| key.revision).max().unwrap_or_default();
                let is_rejected = self.evidence.is_rejected_by_connected(slug, used);
                if is_rejected {
                    // It is told everything and does not grow old: its time begins when it is cut off.
                    wait.seen = self.now;
                }
                let seen_for = self.now.saturating_duration_since(wait.seen);
                is_rejected
                    || self.evidence.is_lacked_by_connected(needed)
                    || (seen_for < policy.cut_off_serves + CUT_OFF_MARGIN
                        && self.evidence.holds_up_cut_off(needed, slug, used))
            }
        };
        wait.clear = if held_up { None } else { wait.clear.or(Some(self.now)) };
        self.waits.insert(id, wait);
        wait.clear.is_some_and(|clear| self.now.saturating_duration_since(clear) >= hold + MARGIN)
    }

    /// By the wall clock, or by how long this leader has seen it sign, in case that clocks were set back.
    fn is_old(&mut self, active: &SigningKey, policy: Policy) -> bool {
        let id = (active.owner, active.kid.clone());
        let known = self.before.get(&id).filter(|wait| wait.status == KeyStatus::Active).copied();
        let wait = known.unwrap_or(Wait { status: KeyStatus::Active, seen: self.now, clear: None });
        self.waits.insert(id, wait);
        let seen_for = self.now.saturating_duration_since(wait.seen);
        self.wall.since(active.status_since).max(seen_for) >= policy.max_age
    }
}

#[cfg(test)]
mod tests;
