//! What metrics say of the pools: how many connections there are, how many there may be, who waits, who got none.

use std::collections::BTreeMap;

use deadpool_postgres::Pool;
use vocab::Slug;

use super::PodPools;
use crate::recorder::tenant_label;

/// By the label of the tenant; those beyond the named are one.
pub(super) type Shown = BTreeMap<String, Numbers>;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbers {
    idle: usize,
    used: usize,
    limit: usize,
    waiting: usize,
}

/// A request that was given no connection.
pub(super) fn failed(tenant: &Slug, reason: &'static str) {
    let tenant = tenant_label(tenant);
    metrics::counter!("hj_dp_tenant_pool_failures_total", "tenant" => tenant, "reason" => reason).increment(1);
}

impl PodPools {
    /// Of every pool that was opened; a pool that is gone has nothing left.
    pub fn record_metrics(&self) {
        let mut shown = self.shown.lock();
        shown.values_mut().for_each(|numbers| *numbers = Numbers::default());
        for database in self.open() {
            let Some(status) = database.pool.get().map(Pool::status) else { continue };
            let numbers = shown.entry(tenant_label(&database.slug)).or_default();
            let idle = status.available.min(status.size);
            numbers.idle += idle;
            numbers.used += status.size - idle;
            numbers.limit += status.max_size;
            numbers.waiting += status.waiting;
        }
        for (tenant, numbers) in shown.iter() {
            for (state, count) in [("idle", numbers.idle), ("used", numbers.used)] {
                metrics::gauge!("hj_dp_tenant_pool_connections", "tenant" => tenant.clone(), "state" => state)
                    .set(number(count));
            }
            metrics::gauge!("hj_dp_tenant_pool_limit", "tenant" => tenant.clone()).set(number(numbers.limit));
            metrics::gauge!("hj_dp_tenant_pool_waiting", "tenant" => tenant.clone()).set(number(numbers.waiting));
        }
        let free = self.permits.available_permits();
        for (state, count) in [("open", self.limits.total.saturating_sub(free)), ("free", free)] {
            metrics::gauge!("hj_dp_pool_connections", "state" => state).set(number(count));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges of small numbers")]
const fn number(count: usize) -> f64 {
    count as f64
}
