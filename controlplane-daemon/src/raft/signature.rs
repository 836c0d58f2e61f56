//! Every peer call is signed: HMAC-SHA256 over path, body, time, nonce, cluster, sender and receiver.
//!
//! ```text
//!   x-cluster-signature: v1;<unix ms>;<session>;<counter>;<cluster id or ->;<sender>;<receiver>;<hex of the HMAC>
//! ```
//!
//! A signature is good for 30 seconds and once. The nonce is a random session (one per caller and process) and a counter
//! in it, so that the receiver needs a window per session and not a list of everything it saw ([`replay`]).
//! [`layer`] puts both ends around tonic.

pub mod layer;
mod replay;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use parking_lot::Mutex;
use tokio::sync::watch;
use vocab::{Clock, ClusterId, NodeId, Secret};

use self::replay::Seen;

pub const HEADER: &str = "x-cluster-signature";
const VERSION: &str = "v1";
/// How far the clocks of two nodes may differ, and how long a captured call is of use to anybody.
pub const WINDOW_MS: i64 = 30_000;

/// Why a call is refused. The caller is told no more than that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the call is not signed")]
    Unsigned,
    #[error("the signature cannot be read")]
    Malformed,
    #[error("the signature does not match")]
    Mismatch,
    #[error("the signature is older than the window, or the clocks differ")]
    Stale,
    #[error("the call was seen before")]
    Replayed,
    #[error("the call is for another node")]
    OtherReceiver,
    #[error("the caller belongs to another cluster")]
    OtherCluster,
    #[error("the body is too large")]
    TooLarge,
}

impl Refusal {
    /// The label of the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Malformed => "malformed",
            Self::Mismatch => "mismatch",
            Self::Stale => "stale",
            Self::Replayed => "replayed",
            Self::OtherReceiver => "other_receiver",
            Self::OtherCluster => "other_cluster",
            Self::TooLarge => "too_large",
        }
    }
}

/// The cluster's shared secrets, and who signs with them.
#[derive(Clone)]
pub struct Signatures {
    shared: Arc<Shared>,
}

struct Shared {
    node_id: NodeId,
    /// The first signs, each verifies, so that a secret can be replaced without an outage.
    keys: Vec<hmac::Key>,
    cluster_id: watch::Receiver<Option<ClusterId>>,
    clock: Arc<dyn Clock>,
    session: u64,
    counter: AtomicU64,
    seen: Mutex<Seen>,
}

impl fmt::Debug for Signatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signatures").field("node_id", &self.shared.node_id).finish_non_exhaustive()
    }
}

impl Signatures {
    /// Without secrets nothing is accepted: a cluster of one has no peers.
    pub fn new(
        node_id: NodeId,
        secrets: &[Secret<String>],
        cluster_id: watch::Receiver<Option<ClusterId>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let keys = secrets.iter().map(|s| hmac::Key::new(hmac::HMAC_SHA256, s.expose().as_bytes())).collect();
        let shared = Shared {
            node_id,
            keys,
            cluster_id,
            clock,
            session: rand::random(),
            counter: AtomicU64::new(0),
            seen: Mutex::new(Seen::default()),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The header of a call to `receiver`; `None` when there is no secret to sign with.
    pub fn sign(&self, receiver: NodeId, path: &str, body: &[u8]) -> Option<String> {
        let key = self.shared.keys.first()?;
        let cluster = self.shared.cluster_id.borrow().map_or_else(|| "-".to_owned(), |id| id.to_string());
        let claims = format!(
            "{VERSION};{};{:016x};{};{cluster};{};{receiver}",
            self.shared.clock.now().millis(),
            self.shared.session,
            self.shared.counter.fetch_add(1, Ordering::Relaxed),
            self.shared.node_id,
        );
        let tag = hmac::sign(key, &signed(&claims, path, body));
        Some(format!("{claims};{}", hex(tag.as_ref())))
    }

    /// Who called, when the call may be answered.
    pub fn verify(&self, header: Option<&str>, path: &str, body: &[u8]) -> Result<NodeId, Refusal> {
        let (claims, tag) = header.ok_or(Refusal::Unsigned)?.rsplit_once(';').ok_or(Refusal::Malformed)?;
        let tag = unhex(tag).ok_or(Refusal::Malformed)?;
        // The signature first: what is not signed is not looked at. aws-lc compares in constant time.
        let message = signed(claims, path, body);
        if !self.shared.keys.iter().any(|key| hmac::verify(key, &message, &tag).is_ok()) {
            return Err(Refusal::Mismatch);
        }
        let claims = Claims::parse(claims).ok_or(Refusal::Malformed)?;
        if claims.receiver != self.shared.node_id {
            return Err(Refusal::OtherReceiver);
        }
        let known = *self.shared.cluster_id.borrow();
        // A node that has not heard of its cluster yet says so; a known one must be the same.
        if let (Some(known), Some(theirs)) = (known, claims.cluster)
            && known != theirs
        {
            return Err(Refusal::OtherCluster);
        }
        let now = self.shared.clock.now().millis();
        if now.abs_diff(claims.at_ms) > WINDOW_MS.unsigned_abs() {
            return Err(Refusal::Stale);
        }
        self.shared.seen.lock().first_time(claims.sender, claims.session, claims.counter, now)?;
        Ok(claims.sender)
    }
}

struct Claims {
    at_ms: i64,
    session: u64,
    counter: u64,
    cluster: Option<ClusterId>,
    sender: NodeId,
    receiver: NodeId,
}

impl Claims {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';');
        if parts.next()? != VERSION {
            return None;
        }
        let claims = Self {
            at_ms: parts.next()?.parse().ok()?,
            session: u64::from_str_radix(parts.next()?, 16).ok()?,
            counter: parts.next()?.parse().ok()?,
            cluster: match parts.next()? {
                "-" => None,
                id => Some(id.parse().ok()?),
            },
            sender: NodeId(parts.next()?.parse().ok()?),
            receiver: NodeId(parts.next()?.parse().ok()?),
        };
        parts.next().is_none().then_some(claims)
    }
}

/// No part can run into the next: the claims and the path hold no line break, the digest comes last.
fn signed(claims: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(claims.len() + path.len() + 34);
    message.extend_from_slice(claims.as_bytes());
    message.push(b'\n');
    message.extend_from_slice(path.as_bytes());
    message.push(b'\n');
    message.extend_from_slice(digest(&SHA256, body).as_ref());
    message
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests;
