//! Fresh ids: UUIDs of version 7 (RFC 9562 §5.7), by our own clock.

use uuid::Uuid;
use vocab::Clock;

pub fn fresh(clock: &dyn Clock) -> Uuid {
    let millis = u64::try_from(clock.now().millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid()
}
