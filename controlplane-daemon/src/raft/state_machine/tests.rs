use openraft::testing::log::{StoreBuilder, Suite};

use vocab::{ClusterId, Timestamp};

use super::*;
use crate::raft::log_storage::LogStorage;
use crate::storage::log_store::LogStore;

struct OnDisk;

impl StoreBuilder<Types, LogStorage, StateMachine, tempfile::TempDir> for OnDisk {
    async fn build(&self) -> Result<(tempfile::TempDir, LogStorage, StateMachine), openraft::StorageError<Types>> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = LogStore::open(&dir.path().join("log.redb"), |_, _| Ok(())).expect("a log");
        let snapshots = Snapshots::open(dir.path().join("snapshots")).expect("a folder");
        let machine = StateMachine::open(snapshots, None, feed::Limits::default(), audit::Store::in_memory)
            .expect("a state machine");
        Ok((dir, LogStorage::new(store), machine))
    }
}

#[tokio::test]
async fn openraft_s_own_storage_suite_passes() {
    Suite::test_all(OnDisk).await.expect("the suite passes");
}

fn at(index: u64) -> Contents {
    let leader_id = crate::raft::types::LeaderId { term: 1, node_id: 1 };
    Contents {
        last_applied: Some(LogId { leader_id, index }),
        cluster_id: Some(ClusterId::from_uuid(uuid::Uuid::from_u128(u128::from(index)))),
        last_stamp: Timestamp::from_secs(1),
        ..Contents::default()
    }
}

#[test]
fn a_damaged_newest_snapshot_falls_back_when_the_log_covers_it() {
    let dir = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(dir.path().to_owned()).unwrap();
    for index in [10, 20] {
        snapshot::save(&snapshots, &at(index)).unwrap();
    }
    let restored = restore(&snapshots, Some(10)).unwrap();
    assert_eq!(restored.last_applied, at(20).last_applied);
    assert_eq!(restored.cluster_id, at(20).cluster_id);

    let newest = snapshots.list().unwrap()[0].path().to_owned();
    let mut bytes = std::fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&newest, bytes).unwrap();

    let restored = restore(&snapshots, Some(10)).unwrap();
    assert_eq!(restored.last_applied, at(10).last_applied);
    assert!(newest.with_extension("damaged").exists());
    assert!(restore(&snapshots, Some(15)).is_err(), "between 10 and 15 there is a hole");
}

#[test]
fn with_every_snapshot_damaged_only_a_whole_log_helps() {
    let dir = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(dir.path().to_owned()).unwrap();
    let written = snapshot::save(&snapshots, &at(10)).unwrap();
    std::fs::write(written.path(), b"HJSNAP01").unwrap();
    assert!(matches!(restore(&snapshots, Some(5)), Err(StorageError::Corrupt { .. })));
    assert!(restore(&snapshots, None).unwrap().last_applied.is_none());
}

#[test]
fn stamps_never_step_back_and_the_first_cluster_id_counts() {
    use crate::raft::record::Content;
    let dir = tempfile::tempdir().unwrap();
    let records = audit::Store::open(&dir.path().join("audit"), &controlplane_core::audit::Chain::default()).unwrap();
    let replica = Replica::new(at(10), feed::Limits::default(), records);
    let LogId { leader_id, .. } = at(10).last_applied.unwrap();
    let other = ClusterId::from_uuid(uuid::Uuid::from_u128(77));
    assert!(replica.apply(LogId { leader_id, index: 11 }, Content::ClusterId(other)).is_none());
    assert_eq!(replica.cluster_id(), at(10).cluster_id);
    assert_eq!(replica.applied(), vocab::Revision(11));
}
