//! Bits that flip in what lies on the disk: named, and never served.

use std::fs;
use std::path::Path;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use tests::cluster::Cluster;
use tests::wait::PATIENCE;

use super::{tenant, tenants};

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const FACTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("facts");

async fn stopped() -> Cluster {
    let mut cluster = Cluster::start(1).await;
    let admin = cluster.admin(0).await;
    for number in 0..12 {
        let _ = admin.post("/tenants", &tenant(&format!("kept-{number}"))).await.expect(201);
    }
    assert_eq!(cluster.nodes[0].stop(PATIENCE).await, Some(0));
    cluster
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
    let log = cluster.nodes[0].data_dir().join("log.redb");
    let whole = fs::read(&log).expect("readable");
    // Inside a name, where any other letter would be a name as well.
    let place = find(&log, b"\"slug\":\"kept-7\"") + 9;
    flip(&log, place, 0);
    let said = refused(&cluster, "log.redb").await;
    assert!(said.contains("log position") && said.contains("checksum"), "{said}");

    fs::write(&log, &whole).expect("writable");
    cluster.nodes[0].start().await;
    cluster.ready().await;
    assert_eq!(tenants(&cluster.admin(0).await).await, 12);
}

#[tokio::test]
async fn a_record_under_another_position_and_a_damaged_vote_are_named() {
    let cluster = stopped().await;
    let log = cluster.nodes[0].data_dir().join("log.redb");
    let whole = fs::read(&log).expect("readable");
    {
        let database = Database::open(&log).expect("the log is closed");
        let transaction = database.begin_write().expect("writable");
        {
            let mut table = transaction.open_table(LOG).expect("a log");
            let (last, record) = {
                let (position, record) = table.last().expect("readable").expect("not empty");
                (position.value(), record.value().to_vec())
            };
            table.insert(last - 1, record.as_slice()).expect("writable");
        }
        transaction.commit().expect("writable");
    }
    assert!(refused(&cluster, "log.redb").await.contains("checksum"));

    fs::write(&log, &whole).expect("writable");
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
    let log = cluster.nodes[0].data_dir().join("log.redb");
    let whole = fs::read(&log).expect("readable");
    // Spread over the file: the header, pages of the tree, records, free pages.
    for step in 0..12 {
        let mut damaged = whole.clone();
        let at = if step < 2 { 64 + step * 64 } else { whole.len() / 12 * step + 17 };
        damaged[at] ^= 0x10;
        fs::write(&log, &damaged).expect("writable");
        let node = &mut cluster.nodes[0];
        node.launch_mut().log = log.with_file_name(format!("run-{step}"));
        match node.try_start().await {
            Ok(()) => {
                cluster.ready().await;
                assert_eq!(tenants(&cluster.admin(0).await).await, 12, "a bit flipped at {at}");
                cluster.nodes[0].kill();
            }
            Err(finished) => {
                assert!([Some(65), Some(74)].contains(&finished.code), "at {at}: {finished:?}");
                assert!(finished.output.contains("log"), "at {at}: {}", finished.output);
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
