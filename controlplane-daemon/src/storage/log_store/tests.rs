use std::io::{Seek as _, SeekFrom, Write as _};

use super::*;

const ACCEPT: Check = |_, _| Ok(());

fn record(n: u64) -> (u64, Bytes) {
    (n, Bytes::from(format!("record {n}")))
}

async fn append(store: &LogStore, positions: Range<u64>) {
    let (done, wait) = completion();
    store.append(positions.map(record).collect(), done).await;
    wait.await.unwrap();
}

async fn close(store: LogStore) {
    let ended = store.ended();
    drop(store);
    ended.await;
}

fn positions(records: &[(u64, Bytes)]) -> Vec<u64> {
    records.iter().map(|(position, _)| *position).collect()
}

#[tokio::test]
async fn records_are_readable_at_once_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.redb");
    let store = LogStore::open(&path, ACCEPT).unwrap();
    assert_eq!(store.last().unwrap(), None);
    let (done, wait) = completion();
    store.append((0..10).map(record).collect(), done).await;
    assert_eq!(positions(&store.read(2..5, 1 << 20).unwrap()), [2, 3, 4]);
    wait.await.unwrap();
    store.save(Fact::Vote, b"vote".to_vec()).await;
    close(store).await;

    let store = LogStore::open(&path, ACCEPT).unwrap();
    assert_eq!(store.read(0..u64::MAX, 1 << 20).unwrap(), (0..10).map(record).collect::<Vec<_>>());
    assert_eq!(store.last().unwrap(), Some(record(9)));
    assert_eq!(store.fact(Fact::Vote).unwrap().as_deref(), Some(b"vote".as_slice()));
    assert_eq!(store.fact(Fact::Committed).unwrap(), None);
    append(&store, 10..12).await;
    assert_eq!(positions(&store.read(8..12, 1 << 20).unwrap()), [8, 9, 10, 11]);
}

#[tokio::test]
async fn truncating_and_purging_hold_in_memory_on_disk_and_in_the_size() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.redb");
    let store = LogStore::open(&path, ACCEPT).unwrap();
    append(&store, 0..10).await;
    store.truncate(6).await;
    store.purge(2, b"2".to_vec()).await;
    assert_eq!(positions(&store.read(0..100, 1 << 20).unwrap()), [3, 4, 5]);
    append(&store, 6..8).await;
    assert_eq!(store.size_bytes(), 5 * 8);
    close(store).await;
    let store = LogStore::open(&path, ACCEPT).unwrap();
    assert_eq!(positions(&store.read(0..100, 1 << 20).unwrap()), [3, 4, 5, 6, 7]);
    assert_eq!(store.size_bytes(), 5 * 8);
    store.truncate(4).await;
    assert_eq!(store.last().unwrap(), Some(record(3)));
    // A snapshot from the leader may be ahead of the whole log.
    store.purge(50, b"50".to_vec()).await;
    assert_eq!(store.last().unwrap(), None);
    append(&store, 51..53).await;
    assert_eq!(positions(&store.read(0..100, 1 << 20).unwrap()), [51, 52]);
}

#[tokio::test]
async fn a_read_stops_at_its_limit_but_gives_at_least_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(&dir.path().join("log.redb"), ACCEPT).unwrap();
    append(&store, 0..10).await;
    assert_eq!(positions(&store.read(0..10, 0).unwrap()), [0]);
    assert_eq!(positions(&store.read(0..10, 17).unwrap()), [0, 1]);
}

#[tokio::test]
async fn old_records_leave_memory_and_are_still_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(&dir.path().join("log.redb"), ACCEPT).unwrap();
    let big = Bytes::from(vec![1; 1 << 20]);
    for position in 0..12 {
        let (done, wait) = completion();
        store.append(vec![(position, big.clone())], done).await;
        wait.await.unwrap();
    }
    assert!(store.shared.tail.lock().read(&(0..1)).1 > 0);
    assert_eq!(positions(&store.read(0..12, usize::MAX).unwrap()), (0..12).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_damaged_or_cut_file_is_named_and_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.redb");
    let store = LogStore::open(&path, ACCEPT).unwrap();
    append(&store, 0..100).await;
    assert!(matches!(LogStore::open(&path, ACCEPT), Err(StorageError::InUse { .. })));
    close(store).await;

    let whole = std::fs::read(&path).unwrap();
    let mut file = std::fs::File::options().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.write_all(&[0xFF; 64]).unwrap();
    assert!(matches!(LogStore::open(&path, ACCEPT), Err(StorageError::Corrupt { .. })));
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(LogStore::open(&path, ACCEPT), Err(StorageError::Corrupt { .. } | StorageError::Io { .. })));
}

#[tokio::test]
async fn concurrent_appends_share_commits_and_all_complete() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(&dir.path().join("log.redb"), ACCEPT).unwrap();
    let mut waits = Vec::new();
    for position in 0..500 {
        let (done, wait) = completion();
        store.append(vec![record(position)], done).await;
        waits.push(wait);
    }
    for wait in waits {
        wait.await.unwrap();
    }
    assert_eq!(store.read(0..500, usize::MAX).unwrap().len(), 500);
}
