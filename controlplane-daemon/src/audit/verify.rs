//! Whether the records are what they were: the chain from its beginning to where the state says that it ends.

use std::ops::ControlFlow;

use controlplane_core::audit::Chain;
use controlplane_core::mutation::Truncation;
use serde::Serialize;
use vocab::{ChainError, ChainHash, ChainWalk, Link};

use super::store::{Extent, Order, Store};
use crate::storage::StorageError;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub valid: bool,
    /// Of the records that were looked at.
    pub first_seq: u64,
    pub last_seq: u64,
    pub records: u64,
    /// Where the replicated state says that the chain ends.
    pub head: Head,
    /// False while this node is still getting older records from its peers: those were not looked at.
    pub complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_through_seq: Option<u64>,
    /// Of the first record that is not right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What signs for older records that were removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncation: Option<Truncation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Head {
    pub seq: u64,
    pub hash: ChainHash,
}

/// Reads every record. `chain` is where the state stands now; records that are newer are not looked at.
/// `signed` judges the signature of a truncation.
///
/// Between the look at the state and the look at the disk the retention may remove records, and a snapshot may bring a
/// state from far ahead; then the two do not belong together, what was found says nothing, and it is looked again.
pub fn verify(
    store: &Store,
    chain: impl Fn() -> Chain,
    signed: impl Fn(&Truncation) -> Result<(), String>,
) -> Result<Report, StorageError> {
    loop {
        let known = chain();
        // What the state knows of is on its way to the disk.
        store.flush();
        let report = compare(store, &known, &signed)?;
        let jumped = report.first_seq > known.seq + 1;
        if report.valid || !jumped && chain().truncation == known.truncation {
            return Ok(report);
        }
    }
}

fn compare(
    store: &Store,
    chain: &Chain,
    signed: impl Fn(&Truncation) -> Result<(), String>,
) -> Result<Report, StorageError> {
    let extent = store.extent();
    let head = Head { seq: chain.seq, hash: chain.hash };
    let mut found = walk(store, &extent, chain)?;
    let next = found.walk.last().map_or(extent.complete_from, |last| last.seq + 1);
    if found.broken.is_none() && next <= chain.seq {
        found.broken = Some((next, "it is missing: the state knows of newer records".to_owned()));
    }
    if found.broken.is_none() && found.walk.last().is_some_and(|last| last.hash != chain.hash) {
        found.broken = Some((chain.seq, "the chain ends in another record than the state names".to_owned()));
    }
    if found.broken.is_none() && extent.missing().is_none() {
        found.broken = found.check_beginning(chain, signed);
    }
    let (broken_at, why) = found.broken.map_or((None, None), |(seq, why)| (Some(seq), Some(why)));
    Ok(Report {
        valid: broken_at.is_none(),
        first_seq: extent.complete_from,
        last_seq: found.walk.last().map_or(0, |last| last.seq),
        records: found.records,
        head,
        complete: extent.missing().is_none(),
        missing_through_seq: extent.missing().map(|missing| *missing.end()),
        broken_at,
        why,
        truncation: chain.truncation.clone(),
    })
}

#[derive(Default)]
struct Found {
    walk: ChainWalk,
    first: Option<Link>,
    records: u64,
    broken: Option<(u64, String)>,
}

fn walk(store: &Store, extent: &Extent, chain: &Chain) -> Result<Found, StorageError> {
    let mut found = Found::default();
    let read = store.read(extent.complete_from, chain.seq, Order::OldestFirst, |seq, line| {
        let step = match found.walk.step(line) {
            Ok(link) if link.seq == seq => Ok(link),
            Ok(link) => Err(ChainError::Missing { expected: seq, found: link.seq }),
            Err(why) => Err(why),
        };
        match step {
            Ok(link) => {
                found.records += 1;
                found.first.get_or_insert(link);
                ControlFlow::Continue(())
            }
            Err(why) => {
                let at = if let ChainError::Missing { expected, .. } = why { expected } else { seq };
                found.broken = Some((at, why.to_string()));
                ControlFlow::Break(())
            }
        }
    });
    match read {
        Err(why @ StorageError::Corrupt { .. }) => {
            let at = found.walk.last().map_or(extent.complete_from, |last| last.seq + 1);
            found.broken.get_or_insert((at, why.to_string()));
        }
        read => read?,
    }
    Ok(found)
}

impl Found {
    /// The first record names the one before it: there is none, or the newest truncation signs for it. That the state's
    /// own word of it counts and not the records' makes no difference to a chain that is whole, and needs no search.
    fn check_beginning(
        &self,
        chain: &Chain,
        signed: impl Fn(&Truncation) -> Result<(), String>,
    ) -> Option<(u64, String)> {
        let first = self.first?;
        if chain.removed_through == 0 {
            let whole = first.seq == 1 && first.previous == ChainHash::ORIGIN;
            return (!whole).then(|| (1, "it is missing, and nothing signs for its removal".to_owned()));
        }
        let Some(truncation) = &chain.truncation else {
            return Some((first.seq, "nothing signs for the removal of the records before it".to_owned()));
        };
        if truncation.through_seq + 1 != first.seq || truncation.last_hash != first.previous {
            return Some((first.seq, "it does not follow the last record that was removed".to_owned()));
        }
        signed(truncation).err().map(|why| (first.seq, format!("the removal of the records before it: {why}")))
    }
}

#[cfg(test)]
mod tests {
    use controlplane_core::audit::Record;
    use vocab::Revision;

    use super::*;

    fn report(spoil: impl Fn(&mut Vec<String>), end: impl Fn(&mut Chain)) -> Report {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("audit"), &Chain::default()).unwrap();
        let mut chain = Chain::default();
        let mut lines = Vec::new();
        for seq in 1..=5 {
            let (link, line) = Link::write(seq, chain.hash, "\"name\":\"Acme\"");
            (chain.seq, chain.hash) = (seq, link.hash);
            lines.push(line);
        }
        spoil(&mut lines);
        end(&mut chain);
        let records =
            (1..).zip(lines).map(|(seq, line)| Record { seq, revision: Revision(seq), line: line.into_bytes() });
        store.append(records.collect());
        store.flush();
        verify(&store, || chain.clone(), |_| Ok(())).unwrap()
    }

    #[test]
    fn the_first_record_that_is_not_right_is_named() {
        let fine = report(|_| {}, |_| {});
        assert!(fine.valid && fine.complete, "{fine:?}");
        assert_eq!((fine.records, fine.last_seq), (5, 5));
        assert_eq!(report(|lines| lines[2] = lines[2].replace("Acme", "Evil"), |_| {}).broken_at, Some(3));
        assert_eq!(report(|lines| lines.truncate(3), |_| {}).broken_at, Some(4));
        assert_eq!(
            report(|lines| lines[4] = Link::write(5, ChainHash::ORIGIN, "\"n\":1").1, |_| {}).broken_at,
            Some(5)
        );
        let other_end = |chain: &mut Chain| chain.hash = ChainHash::ORIGIN;
        assert_eq!(report(|_| {}, other_end).broken_at, Some(5), "rewritten to the end");
        let removed = |chain: &mut Chain| chain.removed_through = 2;
        assert_eq!(report(|_| {}, removed).broken_at, Some(1), "nothing signs for it");
    }

    #[test]
    fn a_chain_may_begin_after_a_removal_that_is_signed_for() {
        let begin_after = |through_seq: u64, forge: fn(&mut Truncation), is_signed: bool| {
            let mut chain = Chain::default();
            let mut records = Vec::new();
            for seq in 1..=5 {
                let (link, line) = Link::write(seq, chain.hash, "\"name\":\"Acme\"");
                (chain.seq, chain.hash) = (seq, link.hash);
                records.push((link, Record { seq, revision: Revision(seq), line: line.into_bytes() }));
            }
            let last_hash = records[1].0.hash;
            let mut truncation = Truncation { through_seq: 2, last_hash, removed: 2, signature: "s".to_owned() };
            forge(&mut truncation);
            let store = Store::in_memory(&Chain::default()).unwrap();
            store.append(records.into_iter().map(|(_, record)| record).collect());
            store.truncate(through_seq);
            store.flush();
            chain.removed_through = through_seq;
            chain.truncation = Some(truncation);
            let signed = |_: &Truncation| if is_signed { Ok(()) } else { Err("forged".to_owned()) };
            verify(&store, || chain.clone(), signed).unwrap()
        };
        let whole = begin_after(2, |_| {}, true);
        assert!(whole.valid && whole.first_seq == 3 && whole.records == 3, "{whole:?}");
        assert_eq!(begin_after(2, |_| {}, false).broken_at, Some(3));
        assert_eq!(begin_after(3, |_| {}, true).broken_at, Some(4));
        assert_eq!(begin_after(2, |forged| forged.last_hash = ChainHash::ORIGIN, true).broken_at, Some(3));
    }

    #[test]
    fn a_state_that_came_without_records_is_not_broken_but_incomplete() {
        let chain = Chain { seq: 5, ..Chain::default() };
        let store = Store::in_memory(&chain).unwrap();
        let report = verify(&store, || chain.clone(), |_| Ok(())).unwrap();
        assert!(report.valid && !report.complete, "{report:?}");
        assert_eq!((report.records, report.missing_through_seq), (0, Some(5)));
    }

    #[test]
    fn records_that_go_while_it_looks_do_not_make_the_chain_look_broken() {
        let store = Store::in_memory(&Chain::default()).unwrap();
        let mut before = Chain::default();
        let mut truncation = None;
        for seq in 1..=5 {
            let (link, line) = Link::write(seq, before.hash, "\"name\":\"Acme\"");
            (before.seq, before.hash) = (seq, link.hash);
            store.append(vec![Record { seq, revision: Revision(seq), line: line.into_bytes() }]);
            if seq == 2 {
                truncation =
                    Some(Truncation { through_seq: 2, last_hash: link.hash, removed: 2, signature: "s".to_owned() });
            }
        }
        let after = Chain { removed_through: 2, truncation, ..before.clone() };
        let looks = std::cell::Cell::new(0);
        let chain = || {
            looks.set(looks.get() + 1);
            // Right after the first look they go.
            if looks.get() == 1 {
                store.truncate(2);
                return before.clone();
            }
            after.clone()
        };
        let report = verify(&store, chain, |_| Ok(())).unwrap();
        assert!(report.valid && report.first_seq == 3 && report.records == 3, "{report:?}");
    }
}
