use vocab::Revision;

use super::*;

fn chain(count: u64) -> (Vec<Record>, Chain) {
    let mut chain = Chain::default();
    let records = (1..=count)
        .map(|seq| {
            let (link, line) = Link::write(seq, chain.hash, "\"n\":1");
            chain.seq = seq;
            chain.hash = link.hash;
            Record { seq, revision: Revision(seq), line: line.into_bytes() }
        })
        .collect();
    (records, chain)
}

fn seqs(store: &Store, order: Order) -> Vec<u64> {
    let mut seen = Vec::new();
    store
        .read(0, u64::MAX, order, |seq, _| {
            seen.push(seq);
            ControlFlow::Continue(())
        })
        .unwrap();
    seen
}

#[test]
fn records_are_there_after_a_restart_and_given_twice_they_stand_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit");
    let (records, end) = chain(5);
    let store = Store::open(&path, &Chain::default()).unwrap();
    store.append(records[..3].to_vec());
    store.append(records.clone());
    store.flush();
    assert_eq!(seqs(&store, Order::OldestFirst), [1, 2, 3, 4, 5]);
    assert_eq!(seqs(&store, Order::NewestFirst), [5, 4, 3, 2, 1]);
    store.truncate(2);
    store.flush();
    let mut ended = store.extents();
    drop(store);
    // The file is closed when the writer has ended.
    futures::executor::block_on(async { while ended.changed().await.is_ok() {} });
    let store = Store::open(&path, &Chain { removed_through: 2, ..end }).unwrap();
    assert_eq!(seqs(&store, Order::OldestFirst), [3, 4, 5]);
    assert_eq!(store.extent().missing(), None);
    assert_eq!(store.record(2).unwrap(), None);
    assert!(store.record(3).unwrap().is_some());
}

#[test]
fn what_a_snapshot_jumps_over_is_missing_until_it_is_filled_in() {
    let dir = tempfile::tempdir().unwrap();
    let (records, end) = chain(6);
    let store = Store::open(&dir.path().join("audit"), &Chain::default()).unwrap();
    store.append(records[..1].to_vec());
    let at =
        |seq: usize| Chain { seq: seq as u64, hash: Link::read(records[seq - 1].text()).unwrap().hash, ..end.clone() };
    store.jump(&at(4));
    store.append(records[4..].to_vec());
    store.flush();
    assert_eq!(store.extent().missing(), Some(1..=4));
    let link = |seq: usize| (Link::read(records[seq - 1].text()).unwrap(), records[seq - 1].text().to_owned());
    store.fill(vec![link(4), link(3)]);
    store.flush();
    assert_eq!((store.extent().missing(), store.extent().anchor), (Some(1..=2), link(2).0.hash));
    store.fill(vec![link(2), link(1)]);
    store.flush();
    assert_eq!(store.extent().missing(), None);
    assert_eq!(seqs(&store, Order::OldestFirst), [1, 2, 3, 4, 5, 6]);
}

/// A peer's answer that was on its way when they were removed from the chain.
#[test]
fn what_was_removed_meanwhile_is_not_filled_in() {
    let dir = tempfile::tempdir().unwrap();
    let (records, _) = chain(6);
    let store = Store::open(&dir.path().join("audit"), &Chain::default()).unwrap();
    store.jump(&at(&records, 4));
    store.append(records[4..].to_vec());
    store.truncate(2);
    let link = |seq: usize| (Link::read(records[seq - 1].text()).unwrap(), records[seq - 1].text().to_owned());
    store.fill([4, 3, 2, 1].map(link).into());
    store.flush();
    let extent = store.extent();
    assert_eq!((extent.missing(), extent.complete_from, extent.anchor), (None, 3, link(2).0.hash));
    assert_eq!(seqs(&store, Order::OldestFirst), [3, 4, 5, 6]);
}

fn lines(store: &Store) -> Vec<(u64, String)> {
    let mut seen = Vec::new();
    let extent = store.extent();
    store
        .read(extent.complete_from, extent.newest, Order::OldestFirst, |seq, line| {
            seen.push((seq, line.to_owned()));
            ControlFlow::Continue(())
        })
        .unwrap();
    seen
}

/// Returns once the files are closed.
fn close(store: Store) {
    store.flush();
    let mut ended = store.extents();
    drop(store);
    futures::executor::block_on(async { while ended.changed().await.is_ok() {} });
}

fn at(records: &[Record], seq: usize) -> Chain {
    let hash = Link::read(records[seq - 1].text()).unwrap().hash;
    Chain { seq: u64::try_from(seq).unwrap(), hash, ..Chain::default() }
}

fn pieces(folder: &Path) -> Vec<std::path::PathBuf> {
    let listing = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut pieces: Vec<_> = listing.filter(|path| path.extension().is_some_and(|it| it == "journal")).collect();
    pieces.sort();
    pieces
}

/// So long that a few hundred fill more than one piece, and each block has a few.
fn long_chain(count: u64) -> Vec<Record> {
    let mut hash = ChainHash::ORIGIN;
    let long = "x".repeat(25_000);
    let record = |seq| {
        let (link, line) = Link::write(seq, hash, &format!("\"long\":\"{long}\""));
        hash = link.hash;
        Record { seq, revision: Revision(seq), line: line.into_bytes() }
    };
    (1..=count).map(record).collect()
}

#[test]
fn what_the_state_does_not_know_yet_is_left_to_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("audit");
    let (records, _) = chain(9);
    for known in [9, 6, 5, 1] {
        let store = Store::open(&folder, &at(&records, known)).unwrap();
        // The folder is empty the first time: then it is older than the state.
        let had = lines(&store).len();
        assert!(had == known || known == 9 && had == 0, "{known}: {had}");
        close(store);
        std::fs::remove_dir_all(&folder).unwrap();
        let store = Store::open(&folder, &Chain::default()).unwrap();
        store.append(records.clone());
        close(store);
    }
    let store = Store::open(&folder, &at(&records, 4)).unwrap();
    store.append(records[4..7].to_vec());
    store.flush();
    let expected: Vec<_> = records[..7].iter().map(|record| (record.seq, record.text().to_owned())).collect();
    assert_eq!(lines(&store), expected);
}

#[test]
fn records_of_many_pieces_are_read_from_anywhere_and_go_piece_by_piece() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("audit");
    let records = long_chain(1_500);
    let store = Store::open(&folder, &Chain::default()).unwrap();
    records.chunks(7).for_each(|some| store.append(some.to_vec()));
    store.flush();
    assert!(pieces(&folder).len() > 2);
    let check = |store: &Store| {
        for from in [1, 2, 3, 640, 671, 672, 1_200, 1_500] {
            let through = (from + 40).min(1_500);
            let mut seen = Vec::new();
            for order in [Order::OldestFirst, Order::NewestFirst] {
                let visit = |seq, line: &str| {
                    assert_eq!(line, records[usize::try_from(seq).unwrap() - 1].text());
                    seen.push(seq);
                    ControlFlow::Continue(())
                };
                store.read(from, through, order, visit).unwrap();
            }
            let expected: Vec<u64> = (from..=through).chain((from..=through).rev()).collect();
            assert_eq!(seen, expected);
        }
    };
    check(&store);
    close(store);
    let store = Store::open(&folder, &at(&records, 1_500)).unwrap();
    check(&store);
    let before = pieces(&folder).len();
    store.truncate(1_000);
    store.flush();
    assert!(pieces(&folder).len() < before);
    assert_eq!(lines(&store).first().map(|(seq, _)| *seq), Some(1_001));
    close(store);
    let store = Store::open(&folder, &Chain { removed_through: 1_000, ..at(&records, 1_500) }).unwrap();
    assert_eq!((lines(&store).len(), store.extent().missing()), (500, None));
}

#[test]
fn who_reads_while_records_go_reads_on() {
    let dir = tempfile::tempdir().unwrap();
    let records = long_chain(800);
    let store = Store::open(&dir.path().join("audit"), &Chain::default()).unwrap();
    store.append(records);
    store.flush();
    let mut seen = 0;
    let visit = |seq, _: &str| {
        if seq == 1 {
            store.jump(&Chain { seq: 900, ..Chain::default() });
            store.flush();
        }
        seen += 1;
        ControlFlow::Continue(())
    };
    store.read(1, 800, Order::OldestFirst, visit).unwrap();
    assert_eq!((seen, store.extent().complete_from), (800, 901));
}

#[test]
fn a_flipped_byte_is_named_and_never_read_over() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("audit");
    let records = long_chain(1_000);
    let end = at(&records, 1_000);
    let store = Store::open(&folder, &Chain::default()).unwrap();
    store.append(records);
    close(store);
    for (number, file) in pieces(&folder).iter().enumerate() {
        let whole = std::fs::read(file).unwrap();
        for place in [5, 60, whole.len() / 2, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[place] ^= 4;
            std::fs::write(file, &damaged).unwrap();
            let told = Store::open(&folder, &end).and_then(|store| {
                assert_eq!(number, 0, "the newest is read at the start");
                let read = store.read(1, 1_000, Order::OldestFirst, |_, _| ControlFlow::Continue(()));
                close(store);
                read
            });
            let told = told.unwrap_err();
            let named = file.display().to_string();
            assert!(
                matches!(told, StorageError::Corrupt { .. }) && told.to_string().contains(&named),
                "{place}: {told}"
            );
        }
        std::fs::write(file, &whole).unwrap();
    }
    std::fs::remove_file(&pieces(&folder)[0]).unwrap();
    let store = Store::open(&folder, &end).unwrap();
    assert!(store.extent().missing().is_some(), "the oldest can be fetched again");
}

#[test]
fn what_a_crash_has_torn_is_cut_off_unless_the_state_knows_it() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("audit");
    let (records, _) = chain(6);
    let store = Store::open(&folder, &Chain::default()).unwrap();
    for record in &records {
        store.append(vec![record.clone()]);
        store.flush();
    }
    close(store);
    let file = pieces(&folder).remove(0);
    let whole = std::fs::read(&file).unwrap();
    for torn in 1..60 {
        std::fs::write(&file, &whole[..whole.len() - torn]).unwrap();
        let refused = Store::open(&folder, &at(&records, 6)).unwrap_err();
        assert!(matches!(refused, StorageError::Corrupt { .. }), "{torn}: {refused}");
        let store = Store::open(&folder, &at(&records, 3)).unwrap();
        assert_eq!(lines(&store).len(), 3);
        store.append(records[3..].to_vec());
        store.flush();
        assert_eq!(lines(&store).len(), 6);
        close(store);
    }
}

#[test]
fn the_file_of_a_release_before_is_taken_over_whenever_that_was_broken_off() {
    use redb::{Database, TableDefinition};
    let dir = tempfile::tempdir().unwrap();
    let (folder, old) = (dir.path().join("audit"), dir.path().join("audit.redb"));
    let (records, end) = chain(20);
    let make_old = || {
        let database = Database::create(&old).unwrap();
        let transaction = database.begin_write().unwrap();
        {
            let mut table = transaction.open_table(TableDefinition::<u64, &str>::new("records")).unwrap();
            // What stands before the run was left by a jump.
            for record in records.iter().filter(|record| record.seq < 3 || record.seq > 5) {
                table.insert(record.seq, record.text()).unwrap();
            }
            let mut facts = transaction.open_table(TableDefinition::<&str, &str>::new("facts")).unwrap();
            facts.insert("complete_from", "6").unwrap();
            facts.insert("anchor", "unused").unwrap();
        }
        transaction.commit().unwrap();
    };
    let check = || {
        let store = Store::open(&folder, &end).unwrap();
        assert_eq!(lines(&store).len(), 15);
        let extent = store.extent();
        assert_eq!((extent.missing(), extent.anchor), (Some(1..=5), Link::read(records[4].text()).unwrap().hash));
        close(store);
        assert!(!old.exists());
    };
    make_old();
    // Broken off before the new folder had its name, and before the old file was gone.
    std::fs::create_dir(dir.path().join("audit.tmp")).unwrap();
    std::fs::write(dir.path().join("audit.tmp/00000000000000000001.journal"), b"half").unwrap();
    check();
    make_old();
    check();
    std::fs::write(&old, b"no database").unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(matches!(Store::open(&folder, &end), Err(StorageError::Corrupt { .. })));
}

/// What is on the disks of others. It is read as it is; another form gets another number and a file beside this one.
#[test]
fn the_golden_piece_is_what_is_written_and_read() {
    use std::fmt::Write as _;
    let dir = tempfile::tempdir().unwrap();
    let piece = piece::Piece::whole(dir.path(), 7, [(7, "one"), (8, "two")].into_iter()).unwrap();
    let mut written = String::new();
    for byte in std::fs::read(&pieces(dir.path())[0]).unwrap() {
        write!(written, "{byte:02x}").unwrap();
    }
    assert_eq!(written, include_str!("golden/piece-v1.hex").replace(char::is_whitespace, ""));
    let mut seen = Vec::new();
    let visit = &mut |seq, line: &str| {
        seen.push((seq, line.to_owned()));
        ControlFlow::Continue(())
    };
    assert!(piece.read(&(0..9), 8, Order::OldestFirst, visit).unwrap().is_continue());
    assert_eq!(seen, [(7, "one".to_owned()), (8, "two".to_owned())]);
}
