//! Passwords: argon2id on threads of its own, so that a storm of sign-ins cannot starve everything else.
//!
//! A hash takes 19 MiB and about 12 ms of one core. [`Hasher`] owns a few threads, each with its memory block kept for
//! the next hash, fed by a bounded queue: when the queue is full the caller is told at once ([`HashError::Busy`], a 503
//! with `Retry-After`) rather than made to wait. Unknown users cost the same as known ones: [`Hasher::verify`] without
//! a stored hash checks against a decoy.

mod chosen;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;
use vocab::Secret;

pub use chosen::{Demands, MIN_CHARS};
use worker::{Job, Pool};

/// Longer input is refused before any hashing. NIST SP 800-63B-4 asks for at least 64 characters; nothing is truncated.
pub const MAX_BYTES: usize = 1024;

/// Waiting hashes per thread: about a third of a second of work, after which refusing is kinder than queueing.
const QUEUED_PER_THREAD: usize = 32;

/// What someone typed, byte for byte: never trimmed, folded or cut.
#[derive(Clone, Debug)]
pub struct Password(Secret<String>);

/// Why a text cannot be taken as a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordProblem {
    #[error("must be at most 1024 bytes long")]
    TooLong,
    #[error("must be at least {0} characters long")]
    TooShort(u32),
    #[error("is one of those that are tried first: it must be another")]
    Common,
    #[error("must be more than a name or an address")]
    Known,
}

impl Password {
    /// A password to compare: only its length is bounded.
    pub fn presented(text: String) -> Result<Self, PasswordProblem> {
        let secret = Secret::new(text);
        if secret.expose().len() > MAX_BYTES { Err(PasswordProblem::TooLong) } else { Ok(Self(secret)) }
    }

    fn bytes(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}

/// An argon2 hash in PHC string form, as it is stored.
#[derive(Clone)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Trusts what the database holds; an unreadable text never matches anything.
    pub const fn stored(phc: String) -> Self {
        Self(phc)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// Why nothing was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// The queue is full: try again in a moment.
    #[error("too many passwords are being checked")]
    Busy,
    /// The hasher is shutting down, or there is no memory for the hash.
    #[error("passwords cannot be checked now")]
    Unavailable,
}

/// A handle on the hashing threads; they end when the last handle is dropped.
#[derive(Clone)]
pub struct Hasher(Arc<Pool>);

impl Hasher {
    /// Starts that many threads.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        Pool::start(threads, threads.saturating_mul(QUEUED_PER_THREAD)).map(|pool| Self(Arc::new(pool)))
    }

    /// The argon2id hash of a new password.
    pub async fn hash(&self, password: Password) -> Result<PasswordHash, HashError> {
        let (reply, answer) = oneshot::channel();
        self.0.submit(Job::Hash { password, reply })?;
        answer.await.unwrap_or(Err(HashError::Unavailable))
    }

    /// Whether `password` is the one `stored` was made of. `None` (no such user, or one without a password) takes the
    /// same time and is always false.
    pub async fn verify(&self, password: Password, stored: Option<PasswordHash>) -> Result<bool, HashError> {
        let (reply, answer) = oneshot::channel();
        self.0.submit(Job::Verify { password, stored, reply })?;
        answer.await.unwrap_or(Err(HashError::Unavailable))
    }

    /// Passwords that wait for a thread, and how many may.
    pub fn waiting(&self) -> (usize, usize) {
        let load = self.0.load();
        (load.queued(), load.most_queued)
    }

    /// Threads that compute at the moment, and those that do not.
    pub fn busy_and_idle(&self) -> (usize, usize) {
        let load = self.0.load();
        let busy = load.busy.load(Ordering::Relaxed).min(load.threads);
        (busy, load.threads - busy)
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_thread() -> Hasher {
        Hasher::start(1).unwrap()
    }

    fn typed(text: &str) -> Password {
        Password::presented(text.to_owned()).unwrap()
    }

    #[test]
    fn lengths_are_checked_before_anything_is_hashed() {
        assert!(matches!(Password::presented("x".repeat(1025)), Err(PasswordProblem::TooLong)));
        assert!(Password::presented("x".repeat(1024)).is_ok());
    }

    #[test]
    fn debug_shows_nothing() {
        let shown = format!("{:?} {:?}", typed("hunter2hunter2"), PasswordHash::stored("$argon2id$x".into()));
        assert!(!shown.contains("hunter2") && !shown.contains("argon2id"), "{shown}");
    }

    #[tokio::test]
    async fn a_hash_verifies_its_password_exactly() {
        let hasher = one_thread();
        let stored = hasher.hash(typed("correct horse ")).await.unwrap();
        assert!(stored.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", stored.as_str());
        assert_eq!(hasher.verify(typed("correct horse "), Some(stored.clone())).await, Ok(true));
        for wrong in ["correct horse", "Correct horse ", "", "correct horse \0"] {
            assert_eq!(hasher.verify(typed(wrong), Some(stored.clone())).await, Ok(false), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn nothing_is_cut_at_72_bytes() {
        let hasher = one_thread();
        let stored = hasher.hash(typed(&format!("{}a", "x".repeat(72)))).await.unwrap();
        assert_eq!(hasher.verify(typed(&format!("{}b", "x".repeat(72))), Some(stored)).await, Ok(false));
    }

    /// Made by the reference implementation: `argon2 somesalt -id -t 2 -k 65536 -p 1`, password "password".
    #[tokio::test]
    async fn a_foreign_phc_string_with_other_costs_verifies() {
        let known = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let hasher = one_thread();
        assert_eq!(hasher.verify(typed("password"), Some(PasswordHash::stored(known.into()))).await, Ok(true));
        assert_eq!(hasher.verify(typed("passwore"), Some(PasswordHash::stored(known.into()))).await, Ok(false));
    }

    #[tokio::test]
    async fn unknown_users_and_unreadable_hashes_never_match() {
        let hasher = one_thread();
        assert_eq!(hasher.verify(typed(""), None).await, Ok(false));
        let greedy = "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        for phc in ["", "plain", "$2b$12$abcdefghijklmnopqrstuv", greedy] {
            assert_eq!(hasher.verify(typed("plain"), Some(PasswordHash::stored(phc.into()))).await, Ok(false), "{phc}");
        }
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let hasher = Hasher(Arc::new(Pool::start(1, 2).unwrap()));
        let many = (0..32).map(|_| hasher.verify(typed("password"), None));
        let answers = futures::future::join_all(many).await;
        let busy = answers.iter().filter(|a| **a == Err(HashError::Busy)).count();
        let done = answers.iter().filter(|a| **a == Ok(false)).count();
        assert!(busy > 0 && done >= 2, "{busy} refused, {done} done");
        assert_eq!(busy + done, 32);
        assert_eq!(hasher.verify(typed("password"), None).await, Ok(false), "and it goes on afterwards");
    }
}
