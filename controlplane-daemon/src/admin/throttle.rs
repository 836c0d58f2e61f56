//! How often an address may fail to sign in: a bucket of tries per address, in a map that cannot grow without end.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Failures at once, enough for people and for scripts that wait for the first owner.
const BURST: f64 = 30.0;
/// Then this many a second: at that rate no secret of 128 bits is ever found.
const PER_SECOND: f64 = 2.0;
const MAX_ADDRESSES: usize = 4096;

#[derive(Debug, Default)]
pub struct Throttle {
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tries: f64,
    at: Instant,
}

impl Bucket {
    fn tries_at(self, now: Instant) -> f64 {
        (self.tries + now.saturating_duration_since(self.at).as_secs_f64() * PER_SECOND).min(BURST)
    }
}

impl Throttle {
    /// `Err`: wait that long before the next try.
    pub(super) fn check(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let buckets = self.buckets.lock();
        let tries = buckets.get(&key(&buckets, address)).map_or(BURST, |bucket| bucket.tries_at(now));
        if tries >= 1.0 { Ok(()) } else { Err(Duration::from_secs_f64((1.0 - tries) / PER_SECOND)) }
    }

    /// A try that came to nothing.
    pub(super) fn failed(&self, address: IpAddr, now: Instant) {
        let mut buckets = self.buckets.lock();
        if buckets.len() >= MAX_ADDRESSES {
            buckets.retain(|_, bucket| bucket.tries_at(now) < BURST);
        }
        let key = key(&buckets, address);
        let bucket = buckets.entry(key).or_insert(Bucket { tries: BURST, at: now });
        *bucket = Bucket { tries: (bucket.tries_at(now) - 1.0).max(0.0), at: now };
    }
}

/// Whose bucket counts: an IPv6 host has a whole /64 to choose from; when the map is full, strangers share one.
fn key(buckets: &HashMap<IpAddr, Bucket>, address: IpAddr) -> IpAddr {
    let address = match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    };
    if buckets.len() < MAX_ADDRESSES || buckets.contains_key(&address) {
        address
    } else {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_fails_waits_and_others_do_not() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let [bad, neighbour, other]: [IpAddr; 3] =
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|text| text.parse().unwrap());
        for _ in 0..30 {
            throttle.check(bad, start).unwrap();
            throttle.failed(bad, start);
        }
        assert_eq!(throttle.check(bad, start), Err(Duration::from_millis(500)));
        assert!(throttle.check(neighbour, start).is_err(), "the same /64");
        assert!(throttle.check(other, start).is_ok());
        assert!(throttle.check(bad, start + Duration::from_millis(500)).is_ok());
        throttle.failed(bad, start + Duration::from_millis(500));
        assert!(throttle.check(bad, start + Duration::from_millis(500)).is_err());
    }

    #[test]
    fn the_map_is_bounded_and_forgets_who_has_waited() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let address = |n: u32| IpAddr::V4(n.into());
        for n in 0..10_000 {
            throttle.failed(address(n), start);
        }
        assert!(throttle.buckets.lock().len() <= MAX_ADDRESSES + 1);
        throttle.failed(address(20_000), start + Duration::from_mins(1));
        assert_eq!(throttle.buckets.lock().len(), 1);
    }
}
