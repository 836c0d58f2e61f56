use std::io::Read as _;

use super::*;

fn folder() -> (tempfile::TempDir, Snapshots) {
    let dir = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(dir.path().join("snapshots")).unwrap();
    (dir, snapshots)
}

fn write(snapshots: &Snapshots, position: u64, body: &[u8]) -> SnapshotFile {
    snapshots.write(position, b"header", |out| out.write_all(body)).unwrap()
}

fn content(file: &SnapshotFile) -> Result<(Vec<u8>, Vec<u8>), StorageError> {
    file.verify()?;
    let (header, mut reader) = file.read()?;
    let mut body = Vec::new();
    reader.read_to_end(&mut body).unwrap();
    Ok((header, body))
}

fn names(dir: &tempfile::TempDir) -> usize {
    std::fs::read_dir(dir.path().join("snapshots")).unwrap().count()
}

#[test]
fn the_newest_two_are_kept_and_come_back_as_written() {
    let (dir, snapshots) = folder();
    let first = write(&snapshots, 3, b"first");
    for position in [20, 100] {
        write(&snapshots, position, &vec![7; 100_000]);
    }
    let kept = snapshots.list().unwrap();
    assert_eq!((kept.len(), names(&dir)), (2, 2));
    assert!(kept[0].path().ends_with("00000000000000000100.snap"));
    assert!(kept[0].len() < 10_000);
    assert_eq!(content(&kept[0]).unwrap(), (b"header".to_vec(), vec![7; 100_000]));
    assert_eq!(content(&first).unwrap().1, b"first", "who has it open reads on");
}

#[test]
fn any_flipped_bit_and_any_cut_is_noticed() {
    let (dir, snapshots) = folder();
    let whole = std::fs::read(write(&snapshots, 1, b"some body that is not empty").path()).unwrap();
    let path = dir.path().join("damaged");
    let noticed = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        matches!(content(&SnapshotFile::open(path.clone()).unwrap()), Err(StorageError::Corrupt { .. }))
    };
    assert!(!noticed(&whole));
    for position in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[position] ^= 1;
        assert!(noticed(&damaged), "bit flipped at {position}");
        assert!(noticed(&whole[..position]), "cut at {position}");
    }
}

#[test]
fn pieces_make_the_same_snapshot_elsewhere() {
    let (_one, sender) = folder();
    let (two, receiver) = folder();
    let file = write(&sender, 9, &[1, 2, 3]);
    let gather = || {
        let mut incoming = receiver.incoming("../../etc/ab12").unwrap();
        loop {
            let piece = file.chunk(incoming.offset(), 5).unwrap();
            if piece.is_empty() {
                break incoming.finish().unwrap();
            }
            incoming.push(&piece).unwrap();
        }
    };
    let gathered = gather();
    assert!(gathered.path().ends_with("snapshots/incoming-ecab12.tmp"));
    let adopted = receiver.adopt(&gathered, 9).unwrap();
    drop(gathered);
    assert_eq!(content(&adopted).unwrap(), content(&file).unwrap());
    assert_eq!((receiver.list().unwrap().len(), names(&two)), (1, 1));
    // Whole, but wanted by nobody.
    drop(gather());
    assert_eq!(names(&two), 1);
}

#[test]
fn an_abandoned_transfer_and_a_failed_write_leave_nothing() {
    let (dir, snapshots) = folder();
    snapshots.incoming("ab").unwrap().push(b"half").unwrap();
    let failed = snapshots.write(5, b"header", |out| {
        out.write_all(b"half")?;
        Err(io::ErrorKind::StorageFull.into())
    });
    assert!(matches!(failed, Err(StorageError::Io { .. })));
    assert_eq!(names(&dir), 0);
}

#[test]
fn half_written_files_are_swept_at_the_start() {
    let (dir, _) = folder();
    std::fs::write(dir.path().join("snapshots/incoming-ab.tmp"), b"half").unwrap();
    let snapshots = Snapshots::open(dir.path().join("snapshots")).unwrap();
    assert_eq!(names(&dir), 0);
    assert!(snapshots.list().unwrap().is_empty());
}
