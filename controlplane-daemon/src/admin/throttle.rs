//! Who fails to prove who he is too often has to wait, each time longer: by source address, and by credential.
//!
//! The address counts because whoever guesses must send from somewhere; the credential, because many addresses can guess
//! at one. That second lock must not become a way to keep an owner out: it does not hold for addresses that signed in
//! with this credential of late, nor for the first try of an address that has not failed. So a guesser who knows an
//! owner's id costs that owner nothing, as long as the owner is not behind the guesser's own address; then the wait is
//! at most [`LONGEST`] after the guesser's last try. Where more networks fail than are counted apart (an IPv6 /48 has
//! 65,536 of them), the others share a record, which does not hold for who is known either.
//!
//! Each node counts for itself and forgets with its process: a lock that is replicated could be used against the log.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use vocab::AdminId;

/// Failures without a wait: enough for people, and for scripts that wait for the first owner.
const OF_ADDRESS: u32 = 30;
/// Of tokens: a revoked signing key makes every client of an address fail at once, and a signature is quickly checked.
const OF_BEARERS: u32 = 1000;
const OF_CREDENTIAL: u32 = 10;
/// Of requests to join that no node has signed: one that is set up wrongly asks every few seconds.
const OF_JOINS: u32 = 100;
/// The first wait; it doubles with every further failure.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);
/// After so long without a failure all is forgiven.
const MEMORY: Duration = Duration::from_mins(15);
/// How long an address that signed in with a credential is known for it.
const KNOWN: Duration = Duration::from_hours(24);
/// Of each kind. At the bound strangers share one record.
const MOST: usize = 4096;

#[derive(Debug, Default)]
pub struct Throttle {
    records: Mutex<Records>,
}

#[derive(Debug, Default)]
struct Records {
    addresses: HashMap<IpAddr, Record>,
    bearers: HashMap<IpAddr, Record>,
    joins: HashMap<IpAddr, Record>,
    credentials: HashMap<AdminId, Record>,
    /// Who signed in from where, and when last.
    known: HashMap<(AdminId, IpAddr), Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    failures: u32,
    last: Instant,
}

/// What was presented to no avail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// At `/auth/token`; with an id when it had the form of a credential.
    SignIn(Option<AdminId>),
    /// A token of ours that is none.
    Bearer,
    /// A request to join without the signature of a node.
    Join,
}

/// Who has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Locked {
    Address(IpAddr),
    Credential(AdminId),
}

impl Locked {
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Address(_) => "address",
            Self::Credential(_) => "credential",
        }
    }
}

impl Record {
    fn failures_at(self, now: Instant) -> u32 {
        if now.saturating_duration_since(self.last) < MEMORY { self.failures } else { 0 }
    }

    /// What is left to wait after more than `free` failures.
    fn wait(self, free: u32, now: Instant) -> Option<Duration> {
        let over = self.failures_at(now).checked_sub(free)?;
        let whole = SHORTEST.saturating_mul(1_u32.checked_shl(over.min(16)).unwrap_or(u32::MAX)).min(LONGEST);
        whole.checked_sub(now.saturating_duration_since(self.last)).filter(|left| !left.is_zero())
    }
}

impl Records {
    /// Whether that credential was used to sign in from there of late.
    fn is_known(&self, id: AdminId, from: IpAddr, now: Instant) -> bool {
        self.known.get(&(id, from)).is_some_and(|at| now.saturating_duration_since(*at) < KNOWN)
    }

    /// Whether anybody has signed in from there of late. Looks at all of them: for when strangers share a record.
    fn knows(&self, from: IpAddr, now: Instant) -> bool {
        self.known.iter().any(|((_, at), since)| *at == from && now.saturating_duration_since(*since) < KNOWN)
    }
}

impl Throttle {
    /// `Err`: wait that long before the next sign-in.
    pub(super) fn check(&self, from: IpAddr, credential: Option<AdminId>, now: Instant) -> Result<(), Duration> {
        let (records, from) = (self.records.lock(), network(from));
        let is_known = credential.is_some_and(|id| records.is_known(id, from, now));
        let place = place(&records.addresses, from);
        // What many strangers did together is not held against who is known here.
        let of_address = records.addresses.get(&place).filter(|_| place == from || !is_known);
        if let Some(wait) = of_address.and_then(|record| record.wait(OF_ADDRESS, now)) {
            return Err(wait);
        }
        let Some(id) = credential else { return Ok(()) };
        let clean = of_address.is_none_or(|record| record.failures_at(now) == 0);
        match records.credentials.get(&id).and_then(|record| record.wait(OF_CREDENTIAL, now)) {
            Some(wait) if !clean && !is_known => Err(wait),
            _ => Ok(()),
        }
    }

    /// `Err`: wait that long before presenting another token that this node does not know.
    pub(super) fn check_bearer(&self, from: IpAddr, now: Instant) -> Result<(), Duration> {
        let (records, from) = (self.records.lock(), network(from));
        match wait_of(&records.bearers, from, OF_BEARERS, now) {
            Err(_) if !records.bearers.contains_key(&from) && records.knows(from, now) => Ok(()),
            checked => checked,
        }
    }

    /// `Err`: it has knocked so often that it is not answered for that long.
    pub(super) fn check_join(&self, from: IpAddr, now: Instant) -> Result<(), Duration> {
        wait_of(&self.records.lock().joins, network(from), OF_JOINS, now)
    }

    /// A try that came to nothing; whom it locks out now who was not before.
    pub(super) fn failed(&self, from: IpAddr, what: Failed, now: Instant) -> Vec<Locked> {
        let mut records = self.records.lock();
        let from = network(from);
        let mut locked = Vec::new();
        match what {
            Failed::Bearer => {
                if count(&mut records.bearers, from, now) == OF_BEARERS {
                    locked.push(Locked::Address(from));
                }
            }
            // Its refusals are on record; there is nobody to tell whom it locks out.
            Failed::Join => {
                count(&mut records.joins, from, now);
            }
            Failed::SignIn(credential) => {
                if count(&mut records.addresses, from, now) == OF_ADDRESS {
                    locked.push(Locked::Address(from));
                }
                // A full map of made-up ids is no reason to lock out those that share a place in it.
                let room = |records: &Records, id: &AdminId| {
                    records.credentials.len() < MOST || records.credentials.contains_key(id)
                };
                if let Some(id) = credential.filter(|id| room(&records, id))
                    && count(&mut records.credentials, id, now) == OF_CREDENTIAL
                {
                    locked.push(Locked::Credential(id));
                }
            }
        }
        locked
    }

    pub(super) fn succeeded(&self, from: IpAddr, credential: AdminId, now: Instant) {
        let mut records = self.records.lock();
        if records.known.len() >= MOST {
            records.known.retain(|_, at| now.saturating_duration_since(*at) < KNOWN);
        }
        if records.known.len() < MOST {
            records.known.insert((credential, network(from)), now);
        }
    }
}

fn wait_of(records: &HashMap<IpAddr, Record>, from: IpAddr, free: u32, now: Instant) -> Result<(), Duration> {
    let record = records.get(&place(records, from));
    record.and_then(|record| record.wait(free, now)).map_or(Ok(()), Err)
}

/// One failure more; how many there are.
fn count<K: Place>(records: &mut HashMap<K, Record>, key: K, now: Instant) -> u32 {
    if records.len() >= MOST {
        records.retain(|_, record| record.failures_at(now) > 0);
    }
    let record = records.entry(place(records, key)).or_insert(Record { failures: 0, last: now });
    *record = Record { failures: record.failures_at(now).saturating_add(1), last: now };
    record.failures
}

/// Where a stranger is counted when there is no room for a record of his own.
trait Place: Copy + Eq + Hash {
    fn shared(self) -> Self;
}

impl Place for IpAddr {
    fn shared(self) -> Self {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    }
}

impl Place for AdminId {
    fn shared(self) -> Self {
        self
    }
}

fn place<K: Place>(records: &HashMap<K, Record>, key: K) -> K {
    if records.len() < MOST || records.contains_key(&key) { key } else { key.shared() }
}

/// An IPv6 host has a whole /64 to choose its address from.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const OWNER: AdminId = AdminId::from_uuid(Uuid::from_u128(1));

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn fail(throttle: &Throttle, from: &str, times: u32, now: Instant) -> Vec<Locked> {
        let fail = |_| throttle.failed(address(from), Failed::SignIn(Some(OWNER)), now);
        (0..times).flat_map(fail).collect()
    }

    #[test]
    fn an_address_that_fails_waits_twice_as_long_each_time_and_others_do_not() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        assert_eq!(fail(&throttle, "2001:db8::1", 29, start), [Locked::Credential(OWNER)]);
        let check = |from: &str, now| throttle.check(address(from), None, now);
        check("2001:db8::1", start).unwrap();
        assert_eq!(fail(&throttle, "2001:db8::1", 1, start), [Locked::Address(address("2001:db8::"))]);
        assert_eq!(check("2001:db8::1", start), Err(Duration::from_secs(1)));
        assert!(check("2001:db8::2", start).is_err(), "the same /64");
        assert!(check("2001:db8:0:1::1", start).is_ok());
        let later = start + Duration::from_secs(1);
        check("2001:db8::1", later).unwrap();
        assert_eq!(fail(&throttle, "2001:db8::1", 1, later), [], "told once");
        assert_eq!(check("2001:db8::1", later), Err(Duration::from_secs(2)));
        fail(&throttle, "2001:db8::1", 50, later);
        assert_eq!(check("2001:db8::1", later), Err(LONGEST), "there is a longest wait");
        check("2001:db8::1", later + LONGEST).unwrap();
        assert_eq!(fail(&throttle, "2001:db8::1", 1, later + MEMORY), [], "all is forgiven");
        check("2001:db8::1", later + MEMORY).unwrap();
    }

    /// Who guesses at an owner from many addresses keeps himself out, not the owner.
    #[test]
    fn a_locked_credential_still_opens_for_its_true_holder() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let check = |from: &str| throttle.check(address(from), Some(OWNER), start);
        for n in 1..=10 {
            check(&format!("192.0.2.{n}")).unwrap();
            fail(&throttle, &format!("192.0.2.{n}"), 1, start);
        }
        assert!(check("192.0.2.1").is_err(), "it failed once, and the credential is locked");
        check("198.51.100.1").expect("an address that has not failed has one try");
        fail(&throttle, "198.51.100.1", 1, start);
        assert!(check("198.51.100.1").is_err(), "one");
        throttle.succeeded(address("198.51.100.1"), OWNER, start);
        check("198.51.100.1").expect("it is known for this credential");
        assert!(throttle.check(address("192.0.2.1"), None, start).is_ok(), "other credentials are not held up");
    }

    #[test]
    fn bearers_are_counted_apart() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let from = address("192.0.2.1");
        for n in 1..=1000 {
            throttle.check_bearer(from, start).unwrap();
            assert_eq!(throttle.failed(from, Failed::Bearer, start).len(), usize::from(n == 1000));
        }
        assert!(throttle.check_bearer(from, start).is_err());
        throttle.check(from, Some(OWNER), start).unwrap();
    }

    /// An IPv6 /48 is one site's, and has more networks than there are records.
    #[test]
    fn who_fails_from_everywhere_does_not_keep_out_who_is_known() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let (home, away) = (address("198.51.100.1"), address("198.51.100.2"));
        throttle.succeeded(home, OWNER, start);
        for n in 0..MOST as u128 + 1_050 {
            let from = IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) | (n << 64)));
            throttle.failed(from, Failed::SignIn(None), start);
            throttle.failed(from, Failed::Bearer, start);
        }
        let stranger = AdminId::from_uuid(Uuid::from_u128(2));
        for (from, id) in [(away, Some(OWNER)), (home, Some(stranger)), (home, None)] {
            assert!(throttle.check(from, id, start).is_err(), "strangers share a record");
        }
        throttle.check(home, Some(OWNER), start).expect("it is known");
        assert!(throttle.check_bearer(away, start).is_err());
        throttle.check_bearer(home, start).expect("the token that it got is looked at");
    }

    #[test]
    fn the_maps_are_bounded_and_forget_who_has_waited() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        for n in 0..10_000_u32 {
            let id = AdminId::from_uuid(Uuid::from_u128(n.into()));
            throttle.failed(IpAddr::V4(n.into()), Failed::SignIn(Some(id)), start);
            throttle.failed(IpAddr::V4(n.into()), Failed::Bearer, start);
            throttle.succeeded(IpAddr::V4(n.into()), id, start);
        }
        let sizes = |throttle: &Throttle| {
            let records = throttle.records.lock();
            [records.addresses.len(), records.bearers.len(), records.credentials.len(), records.known.len()]
        };
        assert!(sizes(&throttle).into_iter().all(|size| size <= MOST + 1), "{:?}", sizes(&throttle));
        throttle.failed(address("192.0.2.1"), Failed::SignIn(None), start + MEMORY);
        assert_eq!(sizes(&throttle)[0], 1);
    }
}
