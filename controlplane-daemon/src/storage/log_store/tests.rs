mod killed;

use std::io::{Seek as _, SeekFrom, Write as _};

use proptest::prelude::*;

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
    store.save_vote(b"vote".to_vec()).await;
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

const OLD_LOG: redb::TableDefinition<'_, u64, &[u8]> = redb::TableDefinition::new("log");
const OLD_FACTS: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("facts");

/// A `log.redb` as releases before the journal left it.
fn old_log(path: &Path, positions: Range<u64>) {
    let database = redb::Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut log = transaction.open_table(OLD_LOG).unwrap();
        for (position, record) in positions.map(record) {
            log.insert(position, record.as_ref()).unwrap();
        }
        let mut facts = transaction.open_table(OLD_FACTS).unwrap();
        for (fact, value) in [(Fact::Vote, "vote"), (Fact::Purged, "39"), (Fact::Committed, "{}")] {
            facts.insert(fact.key(), fact::seal(value.as_bytes()).as_slice()).unwrap();
        }
    }
    transaction.commit().unwrap();
}

fn assert_taken_over(store: &LogStore, positions: Range<u64>) {
    assert_eq!(store.read(0..u64::MAX, usize::MAX).unwrap(), positions.map(record).collect::<Vec<_>>());
    for (fact, value) in [(Fact::Vote, "vote"), (Fact::Purged, "39"), (Fact::Committed, "{}")] {
        assert_eq!(store.fact(fact).unwrap().as_deref(), Some(value.as_bytes()));
    }
}

#[tokio::test]
async fn the_log_of_an_older_release_is_taken_over_also_after_a_crash_halfway() {
    for positions in [40..400, 40..40] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.redb");
        old_log(&path, positions.clone());
        // A crash after half of it: begun, and something lies there already.
        let mut facts = Facts::open(&path).unwrap();
        facts.save(&[], &database::Register::begun()).unwrap();
        drop(facts);
        std::fs::create_dir(dir.path().join("journal")).unwrap();
        std::fs::write(dir.path().join("journal/00000000000000000001.journal"), b"half").unwrap();

        for _ in 0..2 {
            let store = LogStore::open_with(&path, ACCEPT, 2000).unwrap();
            assert_taken_over(&store, positions.clone());
            close(store).await;
        }
        facts = Facts::open(&path).unwrap();
        let mut left = 0;
        let counted = facts.old_log(|_, _| {
            left += 1;
            Ok(())
        });
        counted.unwrap();
        assert_eq!(left, 0, "it is in one place only");
        facts.compact().unwrap();
        drop(facts);
        let store = LogStore::open_with(&path, ACCEPT, 2000).unwrap();
        append(&store, positions.end..positions.end + 5).await;
        close(store).await;
        let store = LogStore::open_with(&path, ACCEPT, 2000).unwrap();
        assert_taken_over(&store, positions.start..positions.end + 5);
        close(store).await;
    }
}

#[tokio::test]
async fn a_damaged_old_log_is_refused_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.redb");
    old_log(&path, 40..50);
    let refuse: Check = |position, _| if position == 47 { Err("log position 47: no".to_owned()) } else { Ok(()) };
    for _ in 0..2 {
        let refused = LogStore::open(&path, refuse).unwrap_err();
        assert!(refused.to_string().contains("log position 47"), "{refused}");
    }
    assert_taken_over(&LogStore::open(&path, ACCEPT).unwrap(), 40..50);
}

#[tokio::test]
async fn a_journal_without_its_log_redb_or_the_other_way_round_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.redb");
    let store = LogStore::open(&path, ACCEPT).unwrap();
    append(&store, 0..5).await;
    close(store).await;
    std::fs::rename(&path, dir.path().join("away")).unwrap();
    for _ in 0..2 {
        let refused = LogStore::open(&path, ACCEPT).unwrap_err();
        assert!(matches!(&refused, StorageError::Corrupt { path: named, .. } if *named == path), "{refused}");
    }
    std::fs::rename(dir.path().join("away"), &path).unwrap();
    std::fs::rename(dir.path().join("journal"), dir.path().join("gone")).unwrap();
    let refused = LogStore::open(&path, ACCEPT).unwrap_err();
    assert!(refused.to_string().contains("journal"), "{refused}");
}

#[tokio::test]
async fn after_an_orderly_end_damage_to_the_last_record_is_told_from_a_torn_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.redb");
    let store = LogStore::open(&path, ACCEPT).unwrap();
    append(&store, 0..5).await;
    store.save_committed_lazily(b"4".to_vec());
    close(store).await;
    let segment = dir.path().join("journal/00000000000000000001.journal");
    let mut bytes = std::fs::read(&segment).unwrap();
    let place = bytes.windows(8).rposition(|window| window == b"record 4").unwrap();
    bytes[place] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let refused = LogStore::open(&path, ACCEPT).unwrap_err();
    assert!(refused.to_string().contains("checksum"), "{refused}");
    bytes[place] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let store = LogStore::open(&path, ACCEPT).unwrap();
    assert_eq!(store.fact(Fact::Committed).unwrap().as_deref(), Some(b"4".as_slice()));
    assert_eq!(store.last().unwrap(), Some(record(4)));
}

#[tokio::test]
async fn segments_go_when_all_in_them_is_purged_and_what_is_committed_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.redb");
    let store = LogStore::open_with(&path, ACCEPT, 1000).unwrap();
    store.save_committed_lazily(b"early".to_vec());
    for start in 0..40 {
        append(&store, start * 10..start * 10 + 10).await;
    }
    let segments = || std::fs::read_dir(dir.path().join("journal")).unwrap().count();
    let before = segments();
    assert!(before > 10, "{before}");
    store.purge(379, b"379".to_vec()).await;
    assert!(segments() <= 4, "{}", segments());
    assert_eq!(positions(&store.read(0..1000, usize::MAX).unwrap()), (380..400).collect::<Vec<_>>());
    close(store).await;
    let store = LogStore::open_with(&path, ACCEPT, 1000).unwrap();
    assert_eq!(positions(&store.read(0..1000, usize::MAX).unwrap()), (380..400).collect::<Vec<_>>());
    assert_eq!(store.fact(Fact::Committed).unwrap().as_deref(), Some(b"early".as_slice()));
    // What comes after a snapshot from the leader.
    store.purge(999, b"999".to_vec()).await;
    append(&store, 1000..1003).await;
    close(store).await;
    let store = LogStore::open_with(&path, ACCEPT, 1000).unwrap();
    assert_eq!(positions(&store.read(0..2000, usize::MAX).unwrap()), [1000, 1001, 1002]);
    close(store).await;
}

#[derive(Clone, Debug)]
enum Op {
    Append(u64),
    TakeBack(u64),
    Purge(u64),
    SnapshotAhead(u64),
    Reopen,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => (1_u64..30).prop_map(Op::Append),
        2 => (1_u64..20).prop_map(Op::TakeBack),
        2 => (0_u64..40).prop_map(Op::Purge),
        1 => (1_u64..20).prop_map(Op::SnapshotAhead),
        2 => Just(Op::Reopen),
    ];
    prop::collection::vec(op, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn it_is_a_sequence_that_grows_at_the_end_and_shrinks_at_both(ops in ops()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(behaves_like_a_model(&ops));
    }
}

async fn behaves_like_a_model(ops: &[Op]) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.redb");
    let mut store = LogStore::open_with(&path, ACCEPT, 700).unwrap();
    let (mut start, mut model, mut written) = (0, Vec::new(), 0_u64);
    for op in ops {
        let end = start + model.len() as u64;
        match op {
            Op::Append(count) => {
                // Each record is another one, so that one that came back would be seen.
                let new: Vec<_> = (0..*count).map(|n| Bytes::from(format!("record {}", written + n))).collect();
                written += count;
                let (done, wait) = completion();
                store.append((end..).zip(new.clone()).collect(), done).await;
                wait.await.unwrap();
                model.extend(new);
            }
            Op::TakeBack(count) => {
                let left = (model.len() as u64).saturating_sub(*count);
                store.truncate(start + left).await;
                model.truncate(usize::try_from(left).unwrap());
            }
            Op::Purge(count) => {
                let count = (*count).min(model.len() as u64);
                if count > 0 {
                    start += count;
                    store.purge(start - 1, b"p".to_vec()).await;
                    model.drain(..usize::try_from(count).unwrap());
                }
            }
            Op::SnapshotAhead(by) => {
                start = end + by;
                store.purge(start - 1, b"p".to_vec()).await;
                model.clear();
            }
            Op::Reopen => {
                close(store).await;
                store = LogStore::open_with(&path, ACCEPT, 700).unwrap();
            }
        }
        let expected: Vec<_> = (start..).zip(model.iter().cloned()).collect();
        assert_eq!(store.read(0..u64::MAX, usize::MAX).unwrap(), expected);
        assert_eq!(store.last().unwrap(), expected.last().cloned());
        assert_eq!(store.size_bytes(), model.iter().map(|record| record.len() as u64).sum::<u64>());
    }
    close(store).await;
}
