//! How often somebody may do what costs others something, whether or not it succeeds: so many times a minute, evenly, and
//! as many at once after a quiet minute (the "generic cell rate algorithm").

use std::collections::HashMap;
use std::net::IpAddr;

use parking_lot::Mutex;
use vocab::{TenantId, Timestamp};

use crate::throttle::{Wait, network};

const MINUTE_MILLIS: i64 = 60_000;
/// Bounds the memory: a few MB. At the bound, rows that say nothing any more go; then all, since refusing everybody would
/// be the greater harm.
const MAX_ROWS: usize = 50_000;

/// By tenant and network: until when what was done counts.
#[derive(Debug, Default)]
pub struct Pace {
    rows: Mutex<HashMap<(TenantId, Vec<u8>), Timestamp>>,
}

impl Pace {
    /// Counts one more, or says how long to wait.
    pub fn step(&self, tenant: TenantId, address: Option<IpAddr>, per_minute: u32, now: Timestamp) -> Result<(), Wait> {
        let each = MINUTE_MILLIS / i64::from(per_minute.max(1));
        let key = (tenant, network(address));
        let mut rows = self.rows.lock();
        let busy_until = rows.get(&key).copied().filter(|until| *until > now).unwrap_or(now);
        let over = busy_until.millis() + each - (now.millis() + MINUTE_MILLIS.max(each));
        if over > 0 {
            return Err(Wait { secs: u32::try_from((over + 999) / 1000).unwrap_or(u32::MAX) });
        }
        if rows.len() >= MAX_ROWS {
            rows.retain(|_, until| *until > now);
            if rows.len() >= MAX_ROWS {
                rows.clear();
            }
        }
        rows.insert(key, Timestamp::from_millis(busy_until.millis() + each));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);
    const TENANT: TenantId = TenantId::from_uuid(Uuid::from_u128(1));

    #[test]
    fn so_many_a_minute_and_each_address_by_itself() {
        let (pace, ada) = (Pace::default(), Some(IpAddr::from([192, 0, 2, 1])));
        let at = |secs| NOW.plus_secs(secs);
        let done = (0..20).filter(|_| pace.step(TENANT, ada, 6, NOW).is_ok()).count();
        assert_eq!(done, 6);
        assert_eq!(pace.step(TENANT, ada, 6, NOW), Err(Wait { secs: 10 }));
        assert_eq!(pace.step(TENANT, Some(IpAddr::from([192, 0, 2, 2])), 6, NOW), Ok(()));
        assert_eq!(pace.step(TenantId::from_uuid(Uuid::from_u128(2)), ada, 6, NOW), Ok(()));
        assert_eq!(pace.step(TENANT, ada, 6, at(10)), Ok(()));
        assert!(pace.step(TENANT, ada, 6, at(10)).is_err());
        let later = (0..20).filter(|_| pace.step(TENANT, ada, 6, at(600)).is_ok()).count();
        assert_eq!(later, 6, "a quiet while is no credit beyond a minute");
    }
}
