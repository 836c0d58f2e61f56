//! Bits that flip in what lies on the disk: named, and never served.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase as _, TableDefinition};
use serde_json::json;
use tests::cluster::{Cluster, Node};
use tests::wait::PATIENCE;

use super::{tenant, tenants};

const FACTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("facts");

async fn written() -> Cluster {
    let cluster = Cluster::start(1).await;
    let admin = cluster.admin(0).await;
    for number in 0..12 {
        let _ = admin.post("/tenants", &tenant(&format!("kept-{number}"))).await.expect(201);
    }
    cluster
}

async fn stopped() -> Cluster {
    let mut cluster = written().await;
    assert_eq!(cluster.nodes[0].stop(PATIENCE).await, Some(0));
    cluster
}

/// The only segment of a young node's log.
pub(super) fn segment(node: &Node) -> PathBuf {
    node.data_dir().join("journal/00000000000000000001.journal")
}

/// How much of it was written; zeros wait behind.
fn written_bytes(segment: &Path) -> usize {
    let bytes = fs::read(segment).expect("readable");
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn flip(path: &Path, at: usize, bit: u8) {
    let mut bytes = fs::read(path).expect("readable");
    bytes[at] ^= 1 << bit;
    fs::write(path, bytes).expect("writable");
}

/// Where `needle` stands in the file, the last time.
fn find(path: &Path, needle: &[u8]) -> usize {
    let bytes = fs::read(path).expect("readable");
    let place = bytes.windows(needle.len()).rposition(|window| window == needle);
    place.unwrap_or_else(|| panic!("{} does not hold it", path.display()))
}

async fn refused(cluster: &Cluster, name: &str) -> String {
    // Again and again the same: no start begins with less than what was there.
    let mut said = String::new();
    for _ in 0..2 {
        let refused = cluster.nodes[0].run_with_env(&[]).await;
        assert_eq!(refused.code, Some(65), "{}", refused.output);
        refused.output.lines().last().unwrap_or_default().clone_into(&mut said);
        assert!(said.contains(name), "{said}");
    }
    said
}

#[tokio::test]
async fn a_flipped_bit_in_a_record_of_the_log_is_named_with_its_position() {
    let mut cluster = stopped().await;
    let log = segment(&cluster.nodes[0]);
    let whole = fs::read(&log).expect("readable");
    // Inside a name, where any other letter would be a name as well.
    let place = find(&log, b"\"slug\":\"kept-7\"") + 9;
    flip(&log, place, 0);
    let said = refused(&cluster, "00001.journal").await;
    assert!(said.contains("at byte") && said.contains("log position") && said.contains("checksum"), "{said}");

    fs::write(&log, &whole).expect("writable");
    cluster.nodes[0].start().await;
    cluster.ready().await;
    assert_eq!(tenants(&cluster.admin(0).await).await, 12);
}

#[tokio::test]
async fn a_flipped_bit_in_the_audit_is_named_and_not_shown() {
    let mut cluster = written().await;
    // From here on the state names these records, and the log need not have them any more.
    let _ = cluster.admin(0).await.post("/cluster/snapshot", &json!({})).await.expect(200);
    assert_eq!(cluster.nodes[0].stop(PATIENCE).await, Some(0));
    let piece = cluster.nodes[0].data_dir().join("audit/00000000000000000001.journal");
    let whole = fs::read(&piece).expect("readable");
    flip(&piece, find(&piece, b"tenants/kept-7") + 9, 0);
    let said = refused(&cluster, "audit/00000000000000000001.journal").await;
    assert!(said.contains("at byte") && said.contains("checksum"), "{said}");

    fs::write(&piece, &whole).expect("writable");
    cluster.nodes[0].start().await;
    cluster.ready().await;
    let report = cluster.admin(0).await.get("/audit/verify").await.expect(200).json;
    assert_eq!((&report["valid"], &report["complete"]), (&true.into(), &true.into()), "{report:#}");
}

#[tokio::test]
async fn what_a_crash_tore_is_cut_off_and_all_that_was_acknowledged_is_there() {
    let mut cluster = written().await;
    for torn in [&[0x5a; 700][..], b"\0\0\x02\0 the head of a block and no more"] {
        cluster.nodes[0].kill();
        let log = segment(&cluster.nodes[0]);
        let file = fs::File::options().write(true).open(&log).expect("writable");
        // A page that never reached the disk, and one behind it that did.
        file.write_all_at(torn, written_bytes(&log) as u64 + 40).expect("writable");
        cluster.nodes[0].start().await;
        cluster.ready().await;
        let told = cluster.logs();
        assert!(told.contains("00001.journal") && told.contains("cut off"), "{told}");
        assert_eq!(tenants(&cluster.admin(0).await).await, 12);
    }
    let admin = cluster.admin(0).await;
    let _ = admin.post("/tenants", &tenant("afterwards")).await.expect(201);
    cluster.nodes[0].kill();
    cluster.nodes[0].start().await;
    cluster.ready().await;
    assert_eq!(cluster.logs().matches("it is cut off").count(), 2, "each once");
    assert_eq!(tenants(&cluster.admin(0).await).await, 13);
}

#[tokio::test]
async fn a_log_that_was_cut_short_is_named_however_much_is_missing() {
    let mut cluster = stopped().await;
    let log = segment(&cluster.nodes[0]);
    let whole = fs::read(&log).expect("readable");
    let written = written_bytes(&log);
    // Inside the last block, at its beginning, some blocks, most of them, all of them, the head, everything.
    for length in [written - 1, written - 40, written - 300, written / 2, 4096, 80, 10, 0] {
        fs::write(&log, &whole[..length.min(written - 1)]).expect("writable");
        let said = refused(&cluster, "00001.journal").await;
        assert!(said.contains("damaged"), "{length} of {written}: {said}");
    }
    fs::write(&log, &whole).expect("writable");
    cluster.nodes[0].start().await;
    cluster.ready().await;
    assert_eq!(tenants(&cluster.admin(0).await).await, 12);
}

#[tokio::test]
async fn a_missing_or_swapped_journal_and_a_damaged_vote_are_named() {
    let cluster = stopped().await;
    let journal = segment(&cluster.nodes[0]);
    let aside = journal.with_extension("aside");
    fs::rename(&journal, &aside).expect("writable");
    assert!(refused(&cluster, "00001.journal").await.contains("missing"));
    let other = stopped().await;
    fs::copy(segment(&other.nodes[0]), &journal).expect("writable");
    assert!(refused(&cluster, "00001.journal").await.contains("another log"));
    fs::rename(&aside, &journal).expect("writable");

    let log = cluster.nodes[0].data_dir().join("log.redb");
    {
        let database = Database::open(&log).expect("the log is closed");
        let mut vote = {
            let facts = database.begin_read().expect("readable").open_table(FACTS).expect("facts");
            facts.get("vote").expect("readable").expect("it has voted").value().to_vec()
        };
        let digit = vote.iter().position(u8::is_ascii_digit).expect("a term");
        vote[digit] ^= 2;
        let transaction = database.begin_write().expect("writable");
        transaction.open_table(FACTS).expect("facts").insert("vote", vote.as_slice()).expect("writable");
        transaction.commit().expect("writable");
    }
    assert!(refused(&cluster, "log.redb").await.contains("vote"));
}

#[tokio::test]
async fn whatever_bit_flips_in_the_log_the_node_serves_all_or_nothing() {
    let mut cluster = stopped().await;
    let files = [cluster.nodes[0].data_dir().join("log.redb"), segment(&cluster.nodes[0])];
    let whole = files.clone().map(|file| fs::read(file).expect("readable"));
    let lengths = [whole[0].len(), written_bytes(&files[1])];
    for (place, length) in lengths.into_iter().enumerate() {
        // Spread over the file: the header, pages of the tree, records, free pages.
        for step in 0..10 {
            let at = if step < 2 { step * 64 + 8 } else { length / 10 * step + 17 };
            for (file, bytes) in files.iter().zip(&whole) {
                fs::write(file, bytes).expect("writable");
            }
            flip(&files[place], at, 4);
            let node = &mut cluster.nodes[0];
            node.launch_mut().log = files[0].with_file_name(format!("run-{place}-{step}"));
            match node.try_start().await {
                Ok(()) => {
                    cluster.ready().await;
                    assert_eq!(tenants(&cluster.admin(0).await).await, 12, "a bit flipped at {at} of file {place}");
                    cluster.nodes[0].kill();
                }
                Err(finished) => {
                    assert!([Some(65), Some(74)].contains(&finished.code), "at {at}: {finished:?}");
                    let named = ["log.redb", ".journal"].iter().any(|name| finished.output.contains(name));
                    assert!(named, "at {at}: {}", finished.output);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_damaged_identity_is_named_and_not_taken_for_a_wrong_key() {
    let cluster = stopped().await;
    let identity = cluster.nodes[0].data_dir().join("node.json");
    let whole = fs::read(&identity).expect("readable");
    let place = find(&identity, b"hjs1.") + 60;
    // Another letter of base64: what is no base64 is told without a checksum.
    let mut bytes = whole.clone();
    bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
    fs::write(&identity, &bytes).expect("writable");
    assert!(refused(&cluster, "node.json").await.contains("checksum"));
    for length in [0, 1, whole.len() / 2, whole.len() - 2] {
        fs::write(&identity, &whole[..length]).expect("writable");
        let _ = refused(&cluster, "node.json").await;
    }
}
