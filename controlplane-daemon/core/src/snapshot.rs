//! A state as bytes and back.
//!
//! JSON, a line each: a header with the version and the number of records of each kind, then the records. Equal
//! states give equal bytes. A reader that meets a version or a kind it does not know, fewer or more records than the
//! header counted, or a state that breaks an invariant, refuses the whole snapshot and says why.

use std::io::{self, BufRead, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use vocab::RequestId;

use crate::audit::Chain;
use crate::entry::Actor;
use crate::model::{Admin, Client, ClusterSettings, NodeRecord, PodRecord, Scope, SigningKey, Tenant};
use crate::mutation::Change;
use crate::state::{Counts, Remembered, Resource, State};

/// The version this build writes. It reads this one and every older one.
pub const VERSION: u32 = 3;

const MAGIC: &str = "hellojohn configuration";

/// Why a snapshot is not usable.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("the snapshot could not be read: {0}")]
    Io(#[from] io::Error),
    #[error("not a snapshot of a configuration: {problem}")]
    NotASnapshot { problem: String },
    #[error("snapshot of version {found}; this build reads versions 1 to {known}: run a newer build")]
    UnknownVersion { found: u32, known: u32 },
    #[error("line {line}: unknown record kind {kind:?}: run a newer build")]
    UnknownKind { line: usize, kind: String },
    #[error("line {line} is malformed: {problem}")]
    Malformed { line: usize, problem: String },
    #[error("the snapshot is incomplete or has too much: it counts {expected:?} and holds {found:?}")]
    CountMismatch { expected: Box<Counts>, found: Box<Counts> },
    #[error("the snapshot holds a broken state: {problem}")]
    Broken { problem: String },
}

#[derive(Serialize, Deserialize)]
struct Header {
    snapshot: String,
    version: u32,
    /// Raw, so that a header of another version is named as such whatever it counts.
    counts: Box<RawValue>,
    /// Where the audit stands. Version 1 had none.
    #[serde(default)]
    audit: Chain,
}

#[derive(Serialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
enum Record<'a> {
    Tenant(&'a Arc<Tenant>),
    Scope(&'a Arc<Scope>),
    Key(&'a Arc<SigningKey>),
    Client(&'a Arc<Client>),
    Admin(&'a Arc<Admin>),
    Settings(&'a Arc<ClusterSettings>),
    Pod(&'a Arc<PodRecord>),
    Node(&'a Arc<NodeRecord>),
    Request { actor: &'a Actor, request_id: &'a RequestId, answer: &'a Remembered },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    kind: String,
    #[serde(borrow)]
    value: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestLine {
    actor: Actor,
    request_id: RequestId,
    answer: Remembered,
}

pub fn encode(state: &State, out: &mut impl Write) -> io::Result<()> {
    let counts = serde_json::value::to_raw_value(&state.counts())?;
    write_line(out, &Header { snapshot: MAGIC.to_owned(), version: VERSION, counts, audit: state.audit().clone() })?;
    for resource in state.resources() {
        let record = match resource {
            Resource::Tenant(tenant) => Record::Tenant(tenant),
            Resource::Scope(scope) => Record::Scope(scope),
            Resource::Key(key) => Record::Key(key),
            Resource::Client(client) => Record::Client(client),
            Resource::Admin(admin) => Record::Admin(admin),
            Resource::Settings(settings) => Record::Settings(settings),
            Resource::Pod(pod) => Record::Pod(pod),
            Resource::Node(node) => Record::Node(node),
        };
        write_line(out, &record)?;
    }
    for (actor, request_id, answer) in state.remembered_requests() {
        write_line(out, &Record::Request { actor, request_id, answer })?;
    }
    Ok(())
}

fn write_line(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

pub fn decode(input: impl BufRead) -> Result<State, SnapshotError> {
    let mut lines = input.lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let (expected, audit) = read_header(&first)?;
    let mut state = State::default();
    state.audit = audit;
    let mut found = Counts::default();
    for (index, text) in lines.enumerate() {
        // The header is line 1.
        read_record(&mut state, &mut found, index + 2, &text?)?;
    }
    // What was read and what is there: a record that stands twice makes the two differ.
    if expected != found || expected != state.counts() {
        let (expected, found) = (Box::new(expected), Box::new(found));
        return Err(SnapshotError::CountMismatch { expected, found });
    }
    state.check_invariants().map_err(|problem| SnapshotError::Broken { problem })?;
    Ok(state)
}

fn read_header(text: &str) -> Result<(Counts, Chain), SnapshotError> {
    let not_ours = |problem: String| SnapshotError::NotASnapshot { problem };
    let header: Header = serde_json::from_str(text).map_err(|error| not_ours(error.to_string()))?;
    if header.snapshot != MAGIC {
        return Err(not_ours(format!("it says {:?}", header.snapshot)));
    }
    if !(1..=VERSION).contains(&header.version) {
        return Err(SnapshotError::UnknownVersion { found: header.version, known: VERSION });
    }
    let counts = serde_json::from_str(header.counts.get()).map_err(|error| not_ours(error.to_string()))?;
    Ok((counts, header.audit))
}

fn read_record(state: &mut State, found: &mut Counts, line: usize, text: &str) -> Result<(), SnapshotError> {
    let malformed = |error: serde_json::Error| SnapshotError::Malformed { line, problem: error.to_string() };
    let Line { kind, value } = serde_json::from_str(text).map_err(malformed)?;
    let value = value.get();
    let (count, change) = match kind.as_str() {
        "tenant" => (&mut found.tenants, Change::TenantPut(serde_json::from_str(value).map_err(malformed)?)),
        "scope" => (&mut found.scopes, Change::ScopePut(serde_json::from_str(value).map_err(malformed)?)),
        "key" => (&mut found.keys, Change::KeyPut(serde_json::from_str(value).map_err(malformed)?)),
        "client" => (&mut found.clients, Change::ClientPut(serde_json::from_str(value).map_err(malformed)?)),
        "admin" => (&mut found.admins, Change::AdminPut(serde_json::from_str(value).map_err(malformed)?)),
        "settings" => (&mut found.settings, Change::SettingsPut(serde_json::from_str(value).map_err(malformed)?)),
        "pod" => (&mut found.pods, Change::PodPut(serde_json::from_str(value).map_err(malformed)?)),
        "node" => (&mut found.nodes, Change::NodePut(serde_json::from_str(value).map_err(malformed)?)),
        "request" => {
            let RequestLine { actor, request_id, answer } = serde_json::from_str(value).map_err(malformed)?;
            state.remember(actor, request_id, answer);
            found.requests += 1;
            return Ok(());
        }
        _ => return Err(SnapshotError::UnknownKind { line, kind }),
    };
    *count += 1;
    state.absorb(change);
    Ok(())
}
