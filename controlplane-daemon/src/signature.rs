//! Every call between nodes is signed: HMAC-SHA256 over method, target, body, time, nonce, cluster, sender and receiver.
//!
//! ```text
//!   x-cluster-signature: v2;<unix ms>;<session>;<counter>;<cluster id or ->;<sender>;<receiver or *>;<SHA-256 of the body>;<HMAC>
//!   HMAC over: the header up to the HMAC, line feed, method, line feed, target (path and query)
//! ```
//!
//! The digest of the body stands in the header, so that a call is refused before its body is read: whoever has no secret
//! cannot fill this node's memory. A signature is good for 30 seconds and once, and only after this process has started:
//! what its predecessor answered, it does not know. The nonce is a random session (one per caller and process) and a counter
//! in it, so that the receiver needs a window per session and not a list of everything it saw ([`replay`]).
//!
//! [`layer`] puts both ends around tonic; [`stream`] is for many messages in one call. For plain HTTP there are [`Signatures::sign`] and [`Signatures::verify`]. An
//! answer can be signed, too: `ANSWER` is its method, the signature of the request its target, the caller its receiver.

pub mod layer;
mod replay;
pub mod stream;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use controlplane_core::Note;
use parking_lot::Mutex;
use tokio::sync::watch;
use vocab::{Clock, ClusterId, ErrorCode, NodeId, Secret};

use self::replay::Seen;
use crate::audit::Notes;

pub const HEADER: &str = "x-cluster-signature";
const VERSION: &str = "v2";
/// How far the clocks of two nodes may differ, and how long a captured call is of use to anybody.
pub const WINDOW_MS: i64 = 30_000;

/// Why a call is refused. A stranger is told no more than that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the call is not signed")]
    Unsigned,
    #[error("the signature cannot be read")]
    Malformed,
    #[error("the signature does not match")]
    Mismatch,
    #[error("the call is signed with what pods have: they have no say among nodes")]
    OfAPod,
    #[error("the signature is older than the window, or the clocks differ")]
    Stale,
    #[error("the call was seen before")]
    Replayed,
    #[error("the call is for another node")]
    OtherReceiver,
    #[error("node {caller} belongs to another cluster: to {theirs}; node {node} belongs to {here}")]
    OtherCluster { caller: NodeId, theirs: ClusterId, node: NodeId, here: ClusterId },
    #[error("the caller does not say which cluster it belongs to, and this node is in none")]
    NoCluster,
    #[error("the caller is no member of the cluster")]
    NotAMember,
    #[error("the body is not the one that was signed")]
    OtherBody,
    #[error("the body is too large, or did not come whole")]
    TooLarge,
}

/// What is asked for; signed with the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    pub method: &'a str,
    /// Path and query, as they stand in the request.
    pub target: &'a str,
}

impl<'a> Call<'a> {
    /// The answer to the call with this signature.
    pub const fn answer_to(signature: &'a str) -> Self {
        Self { method: "ANSWER", target: signature }
    }
}

/// Whom a call is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver {
    Node(NodeId),
    /// Whichever node answers at an address: the caller does not know its id yet. Each node takes such a call once, so
    /// it must be one that may be captured and given to the next.
    AnyNode,
}

impl Refusal {
    /// The label of the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Malformed => "malformed",
            Self::Mismatch => "mismatch",
            Self::OfAPod => "of_a_pod",
            Self::Stale => "stale",
            Self::Replayed => "replayed",
            Self::OtherReceiver => "other_receiver",
            Self::OtherCluster { .. } => "other_cluster",
            Self::NoCluster => "no_cluster",
            Self::NotAMember => "not_a_member",
            Self::OtherBody => "other_body",
            Self::TooLarge => "too_large",
        }
    }

    /// Whether the caller has proved to know the secret: then it may be told what is wrong.
    pub const fn is_among_peers(self) -> bool {
        !matches!(self, Self::Unsigned | Self::Malformed | Self::Mismatch | Self::OfAPod | Self::Replayed)
    }

    /// Who is known and may not is told so (RFC 9110 §15.5.4); everybody else is nobody.
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::OfAPod | Self::NotAMember => ErrorCode::Forbidden,
            _ => ErrorCode::Unauthenticated,
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
    /// What pods present at the watch. It verifies nothing here: it tells a pod from a stranger.
    pods: Option<hmac::Key>,
    notes: Option<Notes>,
    cluster_id: watch::Receiver<Option<ClusterId>>,
    clock: Arc<dyn Clock>,
    session: u64,
    counter: AtomicU64,
    seen: Mutex<Seen>,
    start: Start,
    warned_at_ms: AtomicI64,
}

/// When this process began: by the clock that signatures name, and by one that nobody sets.
#[derive(Clone, Copy, Debug)]
struct Start {
    at_ms: i64,
    at: Instant,
}

impl Start {
    /// What was signed before is stale by itself after the window on either side of our clock. So the start is looked
    /// at for no longer: the clock may have been ahead then, and when it is corrected, everybody would be refused until
    /// it gets there again.
    const LOOKED_AT: Duration = Duration::from_millis(2 * WINDOW_MS.unsigned_abs());

    fn is_stale(self, signed_at_ms: i64, now_ms: i64, now: Instant) -> bool {
        now_ms.abs_diff(signed_at_ms) > WINDOW_MS.unsigned_abs()
            || (signed_at_ms < self.at_ms && now.saturating_duration_since(self.at) < Self::LOOKED_AT)
    }
}

/// A call whose head was verified; its body still has to match.
#[derive(Clone, Debug)]
pub struct Admitted {
    pub sender: NodeId,
    /// `None`: it has not heard of one.
    pub cluster: Option<ClusterId>,
    body: [u8; 32],
    /// The one of ours that the caller has signed with.
    secret: hmac::Key,
}

impl Admitted {
    pub fn check(&self, body: &[u8]) -> Result<NodeId, Refusal> {
        if digest(&SHA256, body).as_ref() == self.body { Ok(self.sender) } else { Err(Refusal::OtherBody) }
    }
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
        let keys = secrets.iter().map(key).collect();
        let start = Start { at_ms: clock.now().millis(), at: Instant::now() };
        let shared = Shared {
            node_id,
            keys,
            pods: None,
            notes: None,
            cluster_id,
            clock,
            session: rand::random(),
            counter: AtomicU64::new(0),
            seen: Mutex::new(Seen::default()),
            start,
            warned_at_ms: AtomicI64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The same node, which knows what pods present at the watch.
    #[must_use]
    pub fn knowing_pods(mut self, token: Option<&Secret<String>>) -> Self {
        self.fresh().pods = token.map(key);
        self
    }

    /// The same node, which puts on record whose calls it refuses.
    #[must_use]
    pub fn reporting(mut self, notes: Notes) -> Self {
        self.fresh().notes = Some(notes);
        self
    }

    fn fresh(&mut self) -> &mut Shared {
        Arc::get_mut(&mut self.shared).expect("nobody shares what was made just now")
    }

    /// The same node, not saying which cluster it belongs to: so it may ask strangers where they belong.
    #[must_use]
    pub fn of_no_cluster(&self) -> Self {
        let Shared { node_id, keys, clock, start, .. } = &*self.shared;
        let shared = Shared {
            node_id: *node_id,
            keys: keys.clone(),
            pods: None,
            notes: None,
            cluster_id: watch::Sender::default().subscribe(),
            clock: Arc::clone(clock),
            session: rand::random(),
            counter: AtomicU64::new(0),
            seen: Mutex::new(Seen::default()),
            start: *start,
            warned_at_ms: AtomicI64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The header of a call to `receiver`; `None` when there is no secret to sign with.
    pub fn sign(&self, receiver: Receiver, call: Call<'_>, body: &[u8]) -> Option<String> {
        let key = self.shared.keys.first()?;
        let cluster = self.shared.cluster_id.borrow().map_or_else(|| "-".to_owned(), |id| id.to_string());
        let receiver = match receiver {
            Receiver::Node(id) => id.to_string(),
            Receiver::AnyNode => "*".to_owned(),
        };
        let claims = format!(
            "{VERSION};{};{:016x};{};{cluster};{};{receiver};{}",
            self.shared.clock.now().millis(),
            self.shared.session,
            self.shared.counter.fetch_add(1, Ordering::Relaxed),
            self.shared.node_id,
            hex(digest(&SHA256, body).as_ref()),
        );
        let tag = hmac::sign(key, &signed(&claims, call));
        Some(format!("{claims};{}", hex(tag.as_ref())))
    }

    /// As the receiver of calls that are for nobody else.
    pub fn this_node(&self) -> Receiver {
        Receiver::Node(self.shared.node_id)
    }

    /// Who signed the call. `taken`: whether one to [`Receiver::AnyNode`] is good enough, or only one to this node.
    /// A refusal is the caller's to [`Self::count`], and to put on record.
    pub fn verify(
        &self,
        header: Option<&str>,
        call: Call<'_>,
        body: &[u8],
        taken: Receiver,
    ) -> Result<NodeId, Refusal> {
        self.admit(header, call, taken).and_then(|admitted| admitted.check(body))
    }

    /// Counts and logs a refusal, and puts it on record.
    pub fn refused(&self, refusal: Refusal, target: &str, from: Option<IpAddr>) {
        let address = from.map(|address| address.to_canonical().to_string());
        self.count(refusal, target, address.as_deref());
        if let Some(notes) = &self.shared.notes {
            notes.note(Note::PeerRefused { address, why: refusal.to_string(), count: 1 });
        }
    }

    /// Counts and logs a refusal.
    pub fn count(&self, refusal: Refusal, target: &str, address: Option<&str>) {
        metrics::counter!("hj_cp_peer_rpc_refused_total", "reason" => refusal.as_str()).increment(1);
        // Once a second: what anybody can cause must not fill the log.
        let now = self.shared.clock.now().millis();
        let before = self.shared.warned_at_ms.load(Ordering::Relaxed);
        if now.abs_diff(before) >= 1000
            && self.shared.warned_at_ms.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            // Without the query: what a stranger puts there may be anything, secrets sent to the wrong place among it.
            let path = target.split('?').next().unwrap_or_default();
            tracing::warn!(%refusal, path, address, "a call between nodes was refused");
        }
    }

    /// Who calls, when the body is worth reading.
    pub fn admit(&self, header: Option<&str>, call: Call<'_>, taken: Receiver) -> Result<Admitted, Refusal> {
        let (claims, tag) = header.ok_or(Refusal::Unsigned)?.rsplit_once(';').ok_or(Refusal::Malformed)?;
        let tag = unhex(tag).ok_or(Refusal::Malformed)?;
        // The signature first: what is not signed is not looked at. aws-lc compares in constant time.
        let message = signed(claims, call);
        let verifies = |key: &&hmac::Key| hmac::verify(key, &message, &tag).is_ok();
        let Some(secret) = self.shared.keys.iter().find(verifies).cloned() else {
            let of_a_pod = self.shared.pods.iter().any(|key| verifies(&key));
            return Err(if of_a_pod { Refusal::OfAPod } else { Refusal::Mismatch });
        };
        let claims = Claims::parse(claims).ok_or(Refusal::Malformed)?;
        if claims.receiver != self.this_node() && (claims.receiver, taken) != (Receiver::AnyNode, Receiver::AnyNode) {
            return Err(Refusal::OtherReceiver);
        }
        let known = *self.shared.cluster_id.borrow();
        // A node that has not heard of its cluster yet says so; a known one must be the same.
        if let (Some(here), Some(theirs)) = (known, claims.cluster)
            && here != theirs
        {
            let (caller, node) = (claims.sender, self.shared.node_id);
            return Err(Refusal::OtherCluster { caller, theirs, node, here });
        }
        let now = self.shared.clock.now().millis();
        if self.shared.start.is_stale(claims.at_ms, now, Instant::now()) {
            return Err(Refusal::Stale);
        }
        self.shared.seen.lock().first_time(claims.sender, claims.session, claims.counter, now)?;
        Ok(Admitted { sender: claims.sender, cluster: claims.cluster, body: claims.body, secret })
    }
}

fn key(secret: &Secret<String>) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes())
}

struct Claims {
    at_ms: i64,
    session: u64,
    counter: u64,
    cluster: Option<ClusterId>,
    sender: NodeId,
    receiver: Receiver,
    body: [u8; 32],
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
            receiver: match parts.next()? {
                "*" => Receiver::AnyNode,
                id => Receiver::Node(NodeId(id.parse().ok()?)),
            },
            body: unhex(parts.next()?)?.try_into().ok()?,
        };
        parts.next().is_none().then_some(claims)
    }
}

/// No part can run into the next: a header, a method and a target hold no line break.
fn signed(claims: &str, call: Call<'_>) -> Vec<u8> {
    [claims, call.method, call.target].join("\n").into_bytes()
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
