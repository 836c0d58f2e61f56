//! What was made of fetched documents: one fetch at a time per URL, kept for as long as the answer allowed within
//! bounds; failures are remembered, too, so that a dead host is not asked for each request.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{FetchError, Fetcher};

/// Whatever the answer says, it is kept for at least and at most so long.
const MIN_AGE: Duration = Duration::from_secs(30);
const MAX_AGE: Duration = Duration::from_hours(1);
const USUAL_AGE: Duration = Duration::from_mins(5);
/// After a failure the URL is left alone for so long; what was known before goes on serving until it is [`MAX_AGE`] old.
const FAILURE_AGE: Duration = Duration::from_secs(10);
/// A document that lacks what was looked for is fetched anew, but not again within this: a client that replaced its keys
/// a moment after it used them is understood, and one that makes names up has us ask twice.
const RENEWAL_AGE: Duration = Duration::from_secs(5);
/// Documents that are kept.
const CAPACITY: usize = 4096;

type Parse<T> = fn(&[u8]) -> Result<T, String>;

/// Values of type `T`, each parsed from the document at a URL.
pub struct Cache<T> {
    parse: Parse<T>,
    slots: Mutex<HashMap<String, Arc<Slot<T>>>>,
}

/// One URL. Whoever holds the lock fetches; the others wait for what comes of it.
struct Slot<T>(tokio::sync::Mutex<Entry<T>>);

struct Entry<T> {
    good: Option<Good<T>>,
    failed: Option<(FetchError, Instant)>,
}

struct Good<T> {
    value: Arc<T>,
    fetched: Instant,
    because: Because,
    fresh_for: Duration,
}

/// Why a document was fetched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Because {
    /// It was not known, or old.
    Wanted,
    /// What was known lacked something.
    Lacking,
}

impl<T> fmt::Debug for Cache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

impl<T> Cache<T> {
    pub fn new(parse: Parse<T>) -> Self {
        Self { parse, slots: Mutex::default() }
    }

    /// The value at `url`, fetched if it is not known or has become old.
    pub async fn get(&self, fetcher: &Fetcher, url: &str) -> Result<Arc<T>, FetchError> {
        self.obtain(fetcher, url, Because::Wanted, |good| good.fetched.elapsed() < good.fresh_for).await
    }

    /// As [`Cache::get`], for somebody who did not find what it wanted in `seen`: fetched anew, unless that was done by
    /// somebody else in the meantime or a moment ago.
    pub async fn renew(&self, fetcher: &Fetcher, url: &str, seen: &Arc<T>) -> Result<Arc<T>, FetchError> {
        let was_renewed = |good: &Good<T>| good.because == Because::Lacking && good.fetched.elapsed() < RENEWAL_AGE;
        let will_do = |good: &Good<T>| !Arc::ptr_eq(&good.value, seen) || was_renewed(good);
        self.obtain(fetcher, url, Because::Lacking, will_do).await
    }

    async fn obtain(
        &self,
        fetcher: &Fetcher,
        url: &str,
        because: Because,
        will_do: impl Fn(&Good<T>) -> bool,
    ) -> Result<Arc<T>, FetchError> {
        let slot = self.slot(url);
        let mut entry = slot.0.lock().await;
        if let Some(good) = entry.good.as_ref().filter(|good| will_do(good)) {
            return Ok(Arc::clone(&good.value));
        }
        let failed_lately = entry.failed.as_ref().filter(|(_, when)| when.elapsed() < FAILURE_AGE);
        if let Some((error, _)) = failed_lately {
            return entry.stale().ok_or_else(|| error.clone());
        }
        let answer = fetcher.get(url).await.and_then(|answer| {
            let value = (self.parse)(&answer.body).map_err(FetchError::Unusable)?;
            Ok((value, answer.max_age))
        });
        match answer {
            Ok((value, max_age)) => {
                let value = Arc::new(value);
                let fresh_for = max_age.unwrap_or(USUAL_AGE).clamp(MIN_AGE, MAX_AGE);
                let good = Good { value: Arc::clone(&value), fetched: Instant::now(), because, fresh_for };
                *entry = Entry { good: Some(good), failed: None };
                Ok(value)
            }
            Err(error) => {
                tracing::warn!(url, %error, "a document could not be fetched");
                entry.failed = Some((error.clone(), Instant::now()));
                entry.stale().ok_or(error)
            }
        }
    }

    fn slot(&self, url: &str) -> Arc<Slot<T>> {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get(url) {
            return Arc::clone(slot);
        }
        if slots.len() >= CAPACITY {
            // What is in use is kept; the rest may be fetched again.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        let slot = Arc::new(Slot(tokio::sync::Mutex::new(Entry { good: None, failed: None })));
        slots.insert(url.to_owned(), Arc::clone(&slot));
        slot
    }
}

impl<T> Entry<T> {
    /// What was good before, while nobody would call it ancient.
    fn stale(&self) -> Option<Arc<T>> {
        self.good.as_ref().filter(|good| good.fetched.elapsed() < MAX_AGE).map(|good| Arc::clone(&good.value))
    }
}
