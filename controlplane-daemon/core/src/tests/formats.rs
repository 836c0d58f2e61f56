//! The bytes in logs and snapshots. When a golden file differs the format has changed: give it a new number and keep
//! reading the old one. `UPDATE_GOLDEN=1` writes the files.

use std::path::PathBuf;

use super::build::*;
use crate::entry::{Command, DecodeError, Entry, FORMAT, Origin};
use crate::snapshot::{self, SnapshotError};
use crate::state::State;

fn golden_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn golden(name: &str, bytes: &[u8]) {
    let path = golden_path(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, bytes).unwrap();
    }
    let expected = std::fs::read(&path).unwrap();
    assert_eq!(String::from_utf8_lossy(bytes), String::from_utf8_lossy(&expected), "{}", path.display());
}

fn bytes_of(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    snapshot::encode(state, &mut bytes).unwrap();
    bytes
}

fn furnished() -> State {
    let mut world = World::furnished();
    let request_id = Some("r-1".parse().unwrap());
    world.command(Command { request_id, receipt: Some(sealed()), ..command(scope_create("invoices")) }).unwrap();
    world.state
}

#[test]
fn entries() {
    let mut text = Vec::new();
    for (n, mutation) in (1..).zip(catalogue()) {
        let origin = Origin {
            address: Some("192.0.2.7".to_owned()),
            request_id: Some(format!("request-{n}")),
            credential: Some(admin_id(n).to_string()),
            ..Origin::default()
        };
        let entry = entry(Command { origin, ..command(mutation) }, n);
        assert_eq!(Entry::decode(&entry.encode()), Ok(entry.clone()));
        text.extend(entry.encode());
        text.push(b'\n');
    }
    golden("entries-v3.jsonl", &text);
}

#[test]
fn snapshots() {
    let state = furnished();
    let bytes = bytes_of(&state);
    golden("snapshot-v3.jsonl", &bytes);
    assert_eq!(snapshot::decode(bytes.as_slice()).unwrap(), state);
}

/// What earlier builds wrote is read, and says the same.
#[test]
fn older_formats_are_read() {
    let lines = |name: &str| -> Vec<String> {
        let text = std::fs::read_to_string(golden_path(name)).unwrap();
        text.lines().map(ToOwned::to_owned).collect()
    };
    for format in 1..FORMAT {
        for line in lines(&format!("entries-v{format}.jsonl")) {
            let entry = Entry::decode(line.as_bytes()).unwrap();
            assert_eq!(entry.format, format);
            assert_eq!(entry.command.origin.is_unknown(), format == 1);
            assert_eq!(String::from_utf8(entry.encode()).unwrap(), line, "an absent value leaves no trace");
        }
    }
    for version in 1..snapshot::VERSION {
        let old = lines(&format!("snapshot-v{version}.jsonl"));
        let state = snapshot::decode(old.join("\n").as_bytes()).unwrap();
        let new = String::from_utf8(bytes_of(&state)).unwrap();
        let kept = |line: &&String| new.lines().any(|new| new == *line);
        assert_eq!(old.iter().skip(1).find(|line| !kept(line)), None, "every record is still there");
    }
}

/// Nodes of two releases in one cluster make the same lines of the same entries.
#[test]
fn lines_of_the_audit() {
    let mut state = snapshot::decode(std::fs::read(golden_path("snapshot-v3.jsonl")).unwrap().as_slice()).unwrap();
    let mut text = Vec::new();
    let entries = std::fs::read_to_string(golden_path("entries-v3.jsonl")).unwrap();
    for (revision, line) in (1_000..).zip(entries.lines()) {
        let entry = Entry::decode(line.as_bytes()).unwrap();
        // Those that ask for what is not there leave nothing.
        let applied = crate::apply(&mut state, vocab::Revision(revision), entry);
        for record in applied.into_iter().flat_map(|applied| applied.records) {
            text.extend(record.line);
            text.push(b'\n');
        }
    }
    golden("audit-v3.jsonl", &text);
}

#[test]
fn a_newer_entry_stops_the_reader_whatever_it_holds() {
    let newer = br#"{"format":99,"command":{"mutation":{"type":"realm.create"}},"more":1}"#;
    assert_eq!(Entry::decode(newer), Err(DecodeError::NewerFormat { found: 99, known: FORMAT }));
    for bad in ["", "{}", "{\"format\":0}", "{\"format\":1}", "[]"] {
        assert!(matches!(Entry::decode(bad.as_bytes()), Err(DecodeError::Malformed { .. })), "{bad}");
    }
}

#[test]
fn a_snapshot_that_is_not_whole_or_not_known_is_refused() {
    let text = String::from_utf8(bytes_of(&furnished())).unwrap();
    let read = |text: &str| snapshot::decode(text.as_bytes()).unwrap_err();
    let without_last = text.trim_end().rsplit_once('\n').unwrap().0;
    assert!(matches!(read(without_last), SnapshotError::CountMismatch { .. }));
    assert!(matches!(read(&format!("{text}{}\n", text.lines().nth(1).unwrap())), SnapshotError::CountMismatch { .. }));
    assert!(matches!(read(&text[..text.len() - 20]), SnapshotError::Malformed { .. }));
    assert!(matches!(read(""), SnapshotError::NotASnapshot { .. }));
    assert!(matches!(read("{\"a\":1}\n"), SnapshotError::NotASnapshot { .. }));
    let newer = text.replacen(&format!("\"version\":{}", snapshot::VERSION), "\"version\":99", 1);
    assert!(matches!(read(&newer), SnapshotError::UnknownVersion { found: 99, known: snapshot::VERSION }));
    let unknown = text.replacen("{\"kind\":\"scope\"", "{\"kind\":\"realm\"", 1);
    assert!(matches!(read(&unknown), SnapshotError::UnknownKind { kind, .. } if kind == "realm"));
    let broken = text.replacen("\"status\":\"active\",\"public_jwk\"", "\"status\":\"revoked\",\"public_jwk\"", 1);
    assert!(matches!(read(&broken), SnapshotError::Broken { .. }));
}
