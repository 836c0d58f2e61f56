//! What stands in the log.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vocab::{AdminId, KeyId, RequestId, Revision, Sealed, Timestamp};

use crate::model::KeyFamily;
use crate::mutation::Mutation;

/// The version of the entry format this build writes. It reads this one and every older one, and stops at a newer one.
///
/// * 1: the first.
/// * 2: where a command came from, notes, and the mutations of cluster operation.
/// * 3: clients that register themselves, and what clients and tenants say of OAuth beyond the first fields.
pub const FORMAT: u16 = 3;

/// What somebody asked for, before the leader stamped it. Any node makes one and sends it to the leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    pub actor: Actor,
    /// `Idempotency-Key`; scoped to the actor.
    #[serde(default)]
    pub request_id: Option<RequestId>,
    /// `If-Match`: the revision the addressed resource must have.
    #[serde(default)]
    pub expected_revision: Option<Revision>,
    /// The revision by which the asking node judged the request, when nobody named one: it must still hold when the
    /// command is applied. No part of the request, so a retry that is judged by a later one is still the same request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub based_on: Option<Revision>,
    /// Boxed: it is as large as the largest of them, and a command goes by value through many steps.
    pub mutation: Box<Mutation>,
    /// What is shown once (a client secret, an admin credential), sealed, so that a replay of the same request can be
    /// answered with it. Forgotten together with the request.
    #[serde(default)]
    pub receipt: Option<Sealed>,
    /// Where it came from, for the audit.
    #[serde(default, skip_serializing_if = "Origin::is_unknown")]
    pub origin: Origin,
}

impl Command {
    /// Without conditions, of unknown origin.
    pub fn new(actor: Actor, mutation: Mutation) -> Self {
        Self {
            actor,
            request_id: None,
            expected_revision: None,
            based_on: None,
            mutation: Box::new(mutation),
            receipt: None,
            origin: Origin::default(),
        }
    }
}

/// Where a command came from, as the node that took it in saw it. Never decides anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Origin {
    /// The requester's IP address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// `X-Request-Id`, the requester's or one that the node made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Which credential was presented: its id, or the subject of an OpenID Connect issuer. Never the credential itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// W3C `traceparent` of the request, when it is traced: what applies the command, on whatever node, goes on with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl Origin {
    /// Whether it says nothing.
    pub const fn is_unknown(&self) -> bool {
        self.address.is_none() && self.request_id.is_none() && self.credential.is_none() && self.traceparent.is_none()
    }
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Actor {
    /// The cluster itself: bootstrap, the first global key.
    System,
    Admin {
        id: AdminId,
    },
    /// The leader itself, for the files of its `--gitops-dir`.
    Gitops,
    /// Somebody at a tenant's registration endpoint, for a client of its own (RFC 7591).
    Registrant,
    /// Somebody whom the administrators' OpenID Connect issuer vouches for.
    Subject {
        issuer: String,
        subject: String,
    },
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::Admin { id } => id.fmt(f),
            Self::Gitops => f.write_str("gitops"),
            Self::Registrant => f.write_str("registrant"),
            Self::Subject { issuer, subject } => write!(f, "{subject} of {issuer}"),
        }
    }
}

/// Everything that is not deterministic, added once, by the leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    pub at: Timestamp,
    /// A fresh UUIDv7, for a mutation that makes something.
    pub id: Uuid,
    /// For mutations that need a key made: `tenant.create`, most of `key.rotate`, and whatever makes a tenant sign with an
    /// algorithm for which it has no key yet.
    #[serde(default)]
    pub key: Option<FreshKey>,
    /// The keys beyond the first. Each mutation takes those of its families, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_keys: Vec<FreshKey>,
}

impl Stamp {
    /// The stamp with the keys that [`Mutation::fresh_keys`] asked for.
    pub fn new(at: Timestamp, id: Uuid, keys: Vec<FreshKey>) -> Self {
        let mut keys = keys.into_iter();
        Self { at, id, key: keys.next(), more_keys: keys.collect() }
    }

    pub fn keys(&self) -> impl Iterator<Item = &FreshKey> {
        self.key.iter().chain(&self.more_keys)
    }
}

/// A key fresh from the generator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreshKey {
    pub kid: KeyId,
    #[serde(rename = "algorithm")]
    pub family: KeyFamily,
    pub public_jwk: String,
    pub private_key: Sealed,
}

/// A log entry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub format: u16,
    pub command: Command,
    pub stamp: Stamp,
}

/// Why bytes of the log are not an entry this build can apply. A node that meets one stops: it never skips an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("log entry of format {found}; this build reads formats 1 to {known}: run a newer build")]
    NewerFormat { found: u64, known: u16 },
    #[error("log entry is malformed: {problem}")]
    Malformed { problem: String },
}

/// What is read of an entry that cannot be: one of a newer format is named as such whatever else it holds.
#[derive(Deserialize)]
struct Probe {
    format: u64,
}

/// An entry as it is written. It borrows, since a command may have to be proposed again.
#[derive(Serialize)]
struct Written<'a> {
    format: u16,
    command: &'a Command,
    stamp: &'a Stamp,
}

impl Written<'_> {
    fn encode_to(&self, bytes: &mut Vec<u8>) {
        serde_json::to_writer(bytes, self).expect("an entry has string keys only and serializes");
    }
}

impl Entry {
    /// An entry of the format that this build writes.
    pub const fn new(command: Command, stamp: Stamp) -> Self {
        Self { format: FORMAT, command, stamp }
    }

    /// Writes an entry of the format that this build writes behind what is there.
    pub fn write(command: &Command, stamp: &Stamp, bytes: &mut Vec<u8>) {
        Written { format: FORMAT, command, stamp }.encode_to(bytes);
    }

    /// JSON. The same entry gives the same bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        Written { format: self.format, command: &self.command, stamp: &self.stamp }.encode_to(&mut bytes);
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let malformed = |problem: &dyn fmt::Display| DecodeError::Malformed { problem: problem.to_string() };
        let text = simdutf8::basic::from_utf8(bytes).map_err(|why| malformed(&why))?;
        // Read once; only what cannot be used is looked at again.
        let whole = match serde_json::from_str::<Self>(text) {
            Ok(entry) if (1..=FORMAT).contains(&entry.format) => return Ok(entry),
            whole => whole,
        };
        let Probe { format } = serde_json::from_str(text).map_err(|why| malformed(&why))?;
        if format > u64::from(FORMAT) {
            return Err(DecodeError::NewerFormat { found: format, known: FORMAT });
        }
        if format == 0 {
            return Err(DecodeError::Malformed { problem: "format 0 does not exist".to_owned() });
        }
        whole.map_err(|why| malformed(&why))
    }
}
