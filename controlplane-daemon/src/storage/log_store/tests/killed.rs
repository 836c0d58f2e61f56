//! The process is killed in the middle of its writes, again and again, on the same directory.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::*;

/// Where the child writes. Without it there is nothing to do.
const FOLDER: &str = "HJ_TEST_KILLED_IN";
const NAME: &str = "storage::log_store::tests::killed::the_child_that_writes";
const SEGMENT_BYTES: u64 = 64 << 10;
/// Positions that are kept.
const KEPT: u64 = 200;

/// Its size differs, so that blocks end anywhere.
fn record_at(position: u64) -> Bytes {
    Bytes::from(format!("record {position} ").repeat(1 + usize::try_from(position % 90).unwrap()))
}

/// Writes without end, several appends at a time, and tells what is durable.
#[tokio::test]
async fn the_child_that_writes() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = LogStore::open_with(&Path::new(&folder).join("log.redb"), ACCEPT, SEGMENT_BYTES).unwrap();
    let mut next = store.last().unwrap().map_or(0, |(last, _)| last + 1);
    loop {
        let mut waits = Vec::new();
        for count in 1..4 {
            let (done, wait) = completion();
            store.append((next..next + count).map(|at| (at, record_at(at))).collect(), done).await;
            store.save_committed_lazily(next.to_string().into_bytes());
            waits.push(wait);
            next += count;
        }
        for wait in waits {
            wait.await.unwrap();
        }
        println!("durable {}", next - 1);
        if next % 50 < 6 && next > KEPT {
            store.purge(next - KEPT, b"p".to_vec()).await;
        }
    }
}

#[tokio::test]
async fn all_that_was_acknowledged_is_there_after_each_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = None;
    for round in 0..8_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(FOLDER, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut durable = || told.find_map(|line| line.rsplit_once("durable ")?.1.parse::<u64>().ok());
        for _ in 0..20 + round * 7 {
            acknowledged = Some(durable().unwrap());
        }
        child.kill().unwrap();
        // What it told before it was gone counts, too.
        while let Some(last) = durable() {
            acknowledged = Some(last);
        }
        child.wait().unwrap();

        let store = LogStore::open_with(&dir.path().join("log.redb"), ACCEPT, SEGMENT_BYTES).unwrap();
        let records = store.read(0..u64::MAX, usize::MAX).unwrap();
        let (first, last) = (records.first().unwrap().0, records.last().unwrap().0);
        assert!(Some(last) >= acknowledged, "{acknowledged:?} was acknowledged, {last} is there");
        assert!(first <= last.saturating_sub(KEPT - 20), "no more is gone than was purged: {first} to {last}");
        for (position, record) in &records {
            assert_eq!(*record, record_at(*position));
        }
        close(store).await;
    }
    assert!(acknowledged > Some(700), "segments came and went: {acknowledged:?}");
    assert!(!dir.path().join("journal/00000000000000000001.journal").exists());
}
