//! What is under way: a gauge that counts those who hold it.

use std::fmt;

use metrics::Gauge;

/// One of them; it is over when this is dropped, however the work ended.
#[must_use]
pub struct Held(Gauge);

impl Held {
    pub fn of(gauge: &Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}
