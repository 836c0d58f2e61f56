//! Slows guessing down without locking anybody out: failures count per account *and* address, and per address.
//!
//! An attempt counts as a failure when it begins and is taken back when it succeeds, so that attempts made side by
//! side cannot slip through. After the free attempts each further one doubles the wait. What an owner does from
//! another address is another row and never waits for the guesser. Rows are forgotten after a quiet quarter of an hour.

use std::collections::HashMap;
use std::net::IpAddr;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use vocab::{TenantId, Timestamp};

/// Failures of one account from one address before it has to wait.
const FREE_PER_ACCOUNT: u32 = 9;
/// Failures of one address, whatever the account (an office may share one), before it has to wait.
const FREE_PER_ADDRESS: u32 = 60;
const MAX_WAIT_SECS: i64 = 300;
const FORGET_AFTER_SECS: i64 = 15 * 60;
/// Bounds the memory: about 10 MB. At the bound, forgotten rows go first; then the table starts afresh, since refusing
/// everybody would be the greater harm.
const MAX_ROWS: usize = 100_000;

/// Rows by SHA-256 of what they count: no name of a user stays in memory.
#[derive(Debug, Default)]
pub struct Throttle {
    rows: Mutex<HashMap<[u8; 32], Row>>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    failures: u32,
    last: Timestamp,
    open_at: Timestamp,
}

/// Too many failures: the seconds to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    pub secs: u32,
}

/// One attempt to sign in, of which it is not known yet how it ends.
#[derive(Debug)]
#[must_use]
pub struct Attempt {
    account: [u8; 32],
    /// `None`: it counts wherever it comes from.
    address: Option<[u8; 32]>,
}

impl Attempt {
    fn keys(&self) -> impl Iterator<Item = [u8; 32]> {
        [Some(self.account), self.address].into_iter().flatten()
    }
}

impl Throttle {
    /// Lets an attempt begin, or says how long to wait. `account` is the normalized name, whether or not it exists.
    pub fn begin(
        &self,
        tenant: TenantId,
        account: &str,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Attempt, Wait> {
        let network = network(address);
        let attempt = Attempt {
            account: key(&[b"account", tenant.as_uuid().as_bytes(), account.as_bytes(), &network]),
            address: Some(key(&[b"address", tenant.as_uuid().as_bytes(), &network])),
        };
        self.start(attempt, now)
    }

    /// As [`Self::begin`], but all addresses count together: for what only who knows the password gets to guess at. To
    /// change the address helps nobody there, and no stranger can make the owner wait.
    pub fn begin_anywhere(&self, tenant: TenantId, account: &str, now: Timestamp) -> Result<Attempt, Wait> {
        let account = key(&[b"account anywhere", tenant.as_uuid().as_bytes(), account.as_bytes()]);
        self.start(Attempt { account, address: None }, now)
    }

    fn start(&self, attempt: Attempt, now: Timestamp) -> Result<Attempt, Wait> {
        let mut rows = self.rows.lock();
        let open_at = attempt
            .keys()
            .filter_map(|key| rows.get(&key))
            .filter(|row| !row.is_forgotten(now))
            .map(|row| row.open_at)
            .max();
        if let Some(open_at) = open_at.filter(|open_at| *open_at > now) {
            let secs = open_at.since(now).as_millis().div_ceil(1000);
            return Err(Wait { secs: u32::try_from(secs).unwrap_or(u32::MAX) });
        }
        if rows.len() + 2 > MAX_ROWS {
            rows.retain(|_, row| !row.is_forgotten(now));
            if rows.len() + 2 > MAX_ROWS {
                rows.clear();
            }
        }
        count(&mut rows, attempt.account, FREE_PER_ACCOUNT, now);
        if let Some(address) = attempt.address {
            count(&mut rows, address, FREE_PER_ADDRESS, now);
        }
        Ok(attempt)
    }

    /// The attempt was the owner's: the account starts afresh, and the address has one failure less.
    pub fn succeeded(&self, attempt: &Attempt) {
        let mut rows = self.rows.lock();
        rows.remove(&attempt.account);
        if let Some(row) = attempt.address.and_then(|address| rows.get_mut(&address)) {
            row.failures = row.failures.saturating_sub(1);
            row.open_at = row.last;
        }
    }

    /// The attempt was never judged (the database was down, say): it counts for nothing.
    pub fn abandoned(&self, attempt: &Attempt) {
        let mut rows = self.rows.lock();
        for key in attempt.keys() {
            if let Some(row) = rows.get_mut(&key) {
                row.failures = row.failures.saturating_sub(1);
                row.open_at = row.last;
            }
        }
    }
}

impl Row {
    fn is_forgotten(&self, now: Timestamp) -> bool {
        self.last.plus_secs(FORGET_AFTER_SECS) <= now
    }
}

fn count(rows: &mut HashMap<[u8; 32], Row>, key: [u8; 32], free: u32, now: Timestamp) {
    let fresh = Row { failures: 0, last: now, open_at: now };
    let row = rows.entry(key).or_insert(fresh);
    if row.is_forgotten(now) {
        *row = fresh;
    }
    row.failures = row.failures.saturating_add(1);
    row.last = now;
    if let Some(over) = row.failures.checked_sub(free.saturating_add(1)) {
        row.open_at = now.plus_secs(1_i64.checked_shl(over.min(16)).unwrap_or(MAX_WAIT_SECS).min(MAX_WAIT_SECS));
    }
}

/// One customer's network: an IPv4 address, or the /64 that is handed out as a whole in IPv6 (RFC 6177).
pub(crate) fn network(address: Option<IpAddr>) -> Vec<u8> {
    match address.map(|address| address.to_canonical()) {
        None => Vec::new(),
        Some(IpAddr::V4(v4)) => v4.octets().to_vec(),
        Some(IpAddr::V6(v6)) => v6.octets().into_iter().take(8).collect(),
    }
}

fn key(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);
    const TENANT: TenantId = TenantId::from_uuid(Uuid::from_u128(1));

    fn from(octet: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, octet])
    }

    fn begin(throttle: &Throttle, account: &str, octet: u8, now: Timestamp) -> Result<Attempt, Wait> {
        throttle.begin(TENANT, account, Some(from(octet)), now)
    }

    #[test]
    fn a_guesser_waits_longer_and_longer_and_the_owner_elsewhere_does_not() {
        let throttle = Throttle::default();
        for _ in 0..10 {
            begin(&throttle, "ada", 1, NOW).map(drop).unwrap();
        }
        assert_eq!(begin(&throttle, "ada", 1, NOW).unwrap_err(), Wait { secs: 1 });
        begin(&throttle, "ada", 1, NOW.plus_secs(1)).map(drop).unwrap();
        assert_eq!(begin(&throttle, "ada", 1, NOW.plus_secs(1)).unwrap_err(), Wait { secs: 2 });
        assert!(begin(&throttle, "ada", 2, NOW.plus_secs(1)).is_ok(), "another address");
        assert!(begin(&throttle, "bob", 1, NOW.plus_secs(1)).is_ok(), "another account");
        assert!(begin(&throttle, "ada", 1, NOW.plus_secs(3600)).is_ok(), "forgotten after a while");
    }

    #[test]
    fn success_starts_afresh() {
        let throttle = Throttle::default();
        for _ in 0..200 {
            let attempt = begin(&throttle, "ada", 1, NOW).unwrap();
            throttle.succeeded(&attempt);
        }
    }

    #[test]
    fn spraying_from_one_address_is_slowed() {
        let throttle = Throttle::default();
        let refused = (0..200).filter(|n| begin(&throttle, &format!("user{n}"), 1, NOW).is_err()).count();
        assert_eq!(refused, 200 - 61);
    }

    #[test]
    fn some_guesses_count_from_everywhere() {
        let throttle = Throttle::default();
        let tries = (0..20).map(|_| throttle.begin_anywhere(TENANT, "ada", NOW).is_ok());
        assert_eq!(tries.filter(|ok| *ok).count(), 10);
        assert!(throttle.begin_anywhere(TENANT, "bob", NOW).is_ok());
        assert!(begin(&throttle, "ada", 1, NOW).is_ok(), "of another kind");
    }

    #[test]
    fn an_ipv6_customer_is_one_address() {
        let throttle = Throttle::default();
        let tries = (0..20_u16).map(|n| {
            let address: IpAddr = [0x2001, 0xdb8, 0, 1, 0, 0, 0, n].into();
            throttle.begin(TENANT, "ada", Some(address), NOW).is_ok()
        });
        assert_eq!(tries.filter(|ok| *ok).count(), 10);
    }

    #[test]
    fn the_table_is_bounded() {
        let throttle = Throttle::default();
        for n in 0..u32::try_from(MAX_ROWS).unwrap() {
            let address = Some(IpAddr::from(n.to_be_bytes()));
            drop(throttle.begin(TENANT, "ada", address, NOW));
        }
        assert!(throttle.rows.lock().len() <= MAX_ROWS);
    }
}
