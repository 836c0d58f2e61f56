use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;

const ACCEPT: Check = |_, _| Ok(());
const SEGMENT: u64 = 600;

/// What the journal must say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    records: BTreeMap<u64, Vec<u8>>,
    committed: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
enum Op {
    Append(Vec<u8>),
    TakeBack(u64),
    Committed(u8),
}

impl Model {
    fn end(&self) -> u64 {
        self.records.last_key_value().map_or(0, |(last, _)| last + 1)
    }

    fn apply(&mut self, op: &Op, block: &mut Block) {
        match op {
            Op::Append(record) => {
                block.append(self.end(), record);
                self.records.insert(self.end(), record.clone());
            }
            Op::TakeBack(count) => {
                let from = self.end().saturating_sub(*count);
                block.truncate(from);
                self.records.split_off(&from);
            }
            Op::Committed(fact) => {
                block.committed(&[*fact]);
                self.committed = Some(vec![*fact]);
            }
        }
    }

    fn of(opened: &Opened) -> Self {
        let records = opened.index.range(&(0..u64::MAX));
        let records = records.map(|(position, place)| (position, place.read().unwrap().to_vec())).collect();
        Self { records, committed: opened.committed.clone() }
    }
}

fn home(dir: &Path) -> Home {
    Home { folder: dir.join("journal"), id: 7, segment_bytes: SEGMENT }
}

fn blocks() -> impl Strategy<Value = Vec<Vec<Op>>> {
    let op = prop_oneof![
        5 => prop::collection::vec(any::<u8>(), 0..120).prop_map(Op::Append),
        1 => (1_u64..4).prop_map(Op::TakeBack),
        1 => any::<u8>().prop_map(Op::Committed),
    ];
    prop::collection::vec(prop::collection::vec(op, 1..4), 1..12)
}

/// After a block: where the newest segment ended, and what there was.
struct Step {
    segment: u64,
    end: u64,
    model: Model,
}

/// Writes the blocks; a restart after every third must change nothing.
fn write(dir: &Path, blocks: &[Vec<Op>]) -> Vec<Step> {
    let mut journal = Journal::create(home(dir)).unwrap();
    let mut index = Mutex::new(Index::default());
    let mut model = Model::default();
    let mut steps = vec![Step { segment: 1, end: segment::HEAD_BYTES, model: model.clone() }];
    for (number, ops) in blocks.iter().enumerate() {
        let mut block = Block::default();
        for op in ops {
            model.apply(op, &mut block);
        }
        if journal.is_full(block.len()) {
            journal.rotate().unwrap();
            steps.push(Step {
                segment: journal.number(),
                end: journal.end,
                model: steps.last().unwrap().model.clone(),
            });
        }
        journal.write(&mut block, &index).unwrap();
        steps.push(Step { segment: journal.number(), end: journal.end, model: model.clone() });
        if number % 3 == 2 {
            let last = journal.number();
            drop(journal);
            let opened = Journal::open(home(dir), 1..=last, ACCEPT).unwrap();
            assert_eq!(Model::of(&opened), model);
            assert_eq!(opened.index.bytes(), model.records.values().map(|record| record.len() as u64).sum::<u64>());
            (journal, index) = (opened.journal, Mutex::new(opened.index));
        }
    }
    steps
}

#[derive(Clone, Copy, Debug)]
enum Harm {
    Cut,
    Zeros,
    Noise,
    Flip(u8),
}

impl Harm {
    fn apply(self, bytes: &mut Vec<u8>, at: usize) {
        match self {
            Self::Cut => bytes.truncate(at),
            Self::Zeros => bytes[at..].fill(0),
            Self::Noise => bytes[at..].fill(0xA7),
            Self::Flip(bit) => bytes[at] ^= 1 << bit,
        }
    }
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![Just(Harm::Cut), Just(Harm::Zeros), Just(Harm::Noise), (0_u8..8).prop_map(Harm::Flip)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever is cut off, zeroed, overwritten or flipped from any byte of any segment: what is read is what there was
    /// after some block, namely after the last one that is whole; or it is refused, if an intact one is behind.
    #[test]
    fn a_torn_tail_is_cut_and_damage_is_refused(
        blocks in blocks(), harm in harm(), place in any::<prop::sample::Index>(), old in 0_u64..4,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let steps = write(dir.path(), &blocks);
        let newest = steps.last().unwrap().segment;
        let harmed = newest.saturating_sub(old / 2).max(1);
        let path = Segment::path_of(&home(dir.path()).folder, harmed);
        let whole = std::fs::read(&path).unwrap();
        // Mostly where there are blocks, sometimes in the zeros behind.
        let end = steps.iter().rfind(|step| step.segment == harmed).unwrap().end;
        let at = place.index(whole.len().min(usize::try_from(end).unwrap() + 20));
        let mut bytes = whole.clone();
        harm.apply(&mut bytes, at);
        std::fs::write(&path, &bytes).unwrap();

        let kept = whole.iter().zip(&bytes).take_while(|(a, b)| a == b).count() as u64;
        let opened = Journal::open(home(dir.path()), 1..=newest, ACCEPT);
        let untouched = bytes == whole;
        let only_zeros_cut = matches!(harm, Harm::Cut) && kept >= end;
        let loses_the_rest = !matches!(harm, Harm::Flip(_));
        if kept < segment::HEAD_BYTES {
            prop_assert!(matches!(opened, Err(StorageError::Corrupt { .. })), "{opened:?}");
            return Ok(());
        }
        let is_end_of_all = kept >= steps.iter().rfind(|step| step.segment == harmed && step.end <= kept).unwrap().end
            && (loses_the_rest || steps.iter().filter(|step| step.segment == harmed && step.end > kept).count() <= 1);
        if untouched || only_zeros_cut || (harmed == newest && is_end_of_all) {
            let opened = opened.unwrap();
            let step = steps.iter().rfind(|step| step.segment == harmed && step.end <= kept).unwrap();
            let expected = if harmed == newest { &step.model } else { &steps.last().unwrap().model };
            prop_assert_eq!(&Model::of(&opened), expected);
            // It goes on from there, and what was cut off does not come back.
            let (mut journal, index) = (opened.journal, Mutex::new(opened.index));
            let mut expected = expected.clone();
            let mut block = Block::default();
            expected.apply(&Op::Append(b"after".to_vec()), &mut block);
            journal.write(&mut block, &index).unwrap();
            drop(journal);
            let again = Journal::open(home(dir.path()), 1..=newest, ACCEPT).unwrap();
            prop_assert_eq!(Model::of(&again), expected);
        } else {
            let refused = opened.map(|opened| Model::of(&opened)).unwrap_err();
            let named = refused.to_string();
            prop_assert!(matches!(refused, StorageError::Corrupt { .. }), "{}", named);
            prop_assert!(named.contains(".journal is damaged"), "{}", named);
        }
    }
}

/// A journal of `count` blocks of one record each.
fn filled(dir: &Path, count: usize) -> Vec<Step> {
    write(dir, &vec![vec![Op::Append(vec![1; 100])]; count])
}

#[test]
fn a_segment_that_is_missing_strange_or_of_another_journal_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let newest = filled(dir.path(), 20).last().unwrap().segment;
    assert!(newest > 3);
    let open = |last| Journal::open(home(dir.path()), 1..=last, ACCEPT).map(|_| ()).unwrap_err().to_string();
    assert!(open(newest + 1).contains("missing"));
    // One more than is known, and written to.
    assert!(open(newest - 1).contains("not known to log.redb"));
    let path = |number| Segment::path_of(&home(dir.path()).folder, number);
    std::fs::rename(path(2), dir.path().join("away")).unwrap();
    assert!(open(newest).contains("00002.journal is damaged: it is missing"));
    std::fs::copy(path(3), path(2)).unwrap();
    assert!(open(newest).contains("another log"));
    std::fs::rename(dir.path().join("away"), path(2)).unwrap();
    let other = Home { id: 8, ..home(dir.path()) };
    assert!(Journal::open(other, 1..=newest, ACCEPT).is_err());
    assert!(Journal::open(home(dir.path()), 1..=newest, ACCEPT).is_ok());
    let refuse: Check = |position, _| if position == 4 { Err("log position 4: no".to_owned()) } else { Ok(()) };
    let refused = Journal::open(home(dir.path()), 1..=newest, refuse).map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("log position 4: no"));
}

#[test]
fn what_a_crash_left_half_done_is_swept_away() {
    let dir = tempfile::tempdir().unwrap();
    let steps = filled(dir.path(), 20);
    let newest = steps.last().unwrap().segment;
    // Purged but not removed yet, made but not known yet, and not finished.
    let opened = Journal::open(home(dir.path()), 1..=newest, ACCEPT).unwrap();
    let floor = opened.index.range(&(0..u64::MAX)).find(|(_, place)| place.segment_number() == 3).unwrap().0;
    let mut journal = opened.journal;
    journal.rotate().unwrap();
    drop(journal);
    std::fs::write(dir.path().join("journal/next.tmp"), b"half").unwrap();
    let opened = Journal::open(home(dir.path()), 3..=newest, ACCEPT).unwrap();
    assert_eq!(opened.index.hole(Some(floor)), None);
    assert_eq!(opened.index.hole(Some(floor - 1)), Some(floor));
    let mut expected = steps.last().unwrap().model.clone();
    expected.records = expected.records.split_off(&floor);
    assert_eq!(Model::of(&opened), expected);
    let left = std::fs::read_dir(dir.path().join("journal")).unwrap().count() as u64;
    assert_eq!(left, newest - 2);
}

#[test]
fn a_spare_is_used_and_has_room_for_a_whole_segment() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(home(dir.path())).unwrap();
    let index = Mutex::new(Index::default());
    while journal.number() < 3 {
        let mut block = Block::default();
        block.append(index.lock().last().map_or(0, |(last, _)| last + 1), &[1; 100]);
        if journal.is_full(block.len()) {
            journal.rotate().unwrap();
            assert_eq!(journal.allocated, SEGMENT, "zeros wait to be written over");
        }
        journal.write(&mut block, &index).unwrap();
    }
}

#[test]
fn bytes_of_an_older_segment_are_no_block_of_this_one() {
    let mut block = Block::default();
    block.append(3, b"three");
    let bytes = block.seal(block::Seed::of(7, 1), 9).to_vec();
    assert_eq!(block::read(&bytes, block::Seed::of(7, 1), 9).unwrap().changes, block.changes());
    assert_eq!(block::read(&bytes, block::Seed::of(7, 1), 8), Err(block::Fault::Number));
    assert_eq!(block::read(&bytes, block::Seed::of(7, 2), 9), Err(block::Fault::Checksum));
    assert_eq!(block::read(&bytes, block::Seed::of(8, 1), 9), Err(block::Fault::Checksum));
}

/// The format is fixed: a journal of the first release that has one is read by every later one.
#[test]
fn the_bytes_of_a_segment_are_as_the_first_release_wrote_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(home(dir.path())).unwrap();
    let index = Mutex::new(Index::default());
    let mut block = Block::default();
    block.append(5, b"five");
    block.append(6, b"six");
    block.committed(b"{}");
    journal.write(&mut block, &index).unwrap();
    block.clear();
    block.truncate(6);
    block.close();
    journal.write(&mut block, &index).unwrap();
    assert!(journal.is_closed());
    let bytes = std::fs::read(Segment::path_of(&home(dir.path()).folder, 1)).unwrap();
    let mut written = String::new();
    for byte in &bytes[..usize::try_from(journal.end).unwrap()] {
        write!(written, "{byte:02x}").unwrap();
    }
    assert_eq!(written, include_str!("golden/segment-v1.hex").replace(char::is_whitespace, ""));
}
