//! Which of the oldest records are to go now: those that are too old, and those for which there is no room.
//!
//! Each removal leaves a record of its own, so that a little is gathered before it is worth one: a sixteenth of the age
//! (an hour at most) and of the room.

use std::borrow::Cow;
use std::ops::ControlFlow;

use controlplane_core::audit::Chain;
use controlplane_core::model::AuditRetention;
use serde::Deserialize;
use vocab::{ChainHash, Link, Timestamp};

use super::store::{Order, Store};
use crate::storage::StorageError;

/// Records that one removal looks at; the next goes on from there.
const LOOKED_AT: u64 = 20_000;
const GATHERED: u32 = 16;
const LONGEST_GATHERED_SECS: u32 = 3_600;
const TRUNCATE: &str = "audit.truncate";

/// The oldest records, up to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub through_seq: u64,
    pub last_hash: ChainHash,
    pub removed: u64,
    pub removed_bytes: u64,
}

#[derive(Deserialize)]
struct Facts<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    action: Cow<'a, str>,
}

/// What goes by `policy`. Nothing beyond `delivered` goes, nor the newest record. Reads the disk.
pub fn due(
    store: &Store,
    chain: &Chain,
    policy: AuditRetention,
    delivered: u64,
    now: Timestamp,
) -> Result<Option<Cut>, StorageError> {
    let extent = store.extent();
    // Older records that are still on their way here cannot be counted.
    if extent.missing().is_some() {
        return Ok(None);
    }
    let last = chain.seq.saturating_sub(1).min(extent.newest).min(delivered);
    let room = policy.max_bytes.filter(|most| chain.bytes > *most);
    let excess = room.map_or(0, |most| chain.bytes - (most - most / u64::from(GATHERED)));
    let gather_secs = policy.max_age_secs.map_or(0, |age| (age / GATHERED).min(LONGEST_GATHERED_SECS));
    let before = |secs: u32| text(now.plus_secs(-i64::from(secs)));
    let too_old = policy.max_age_secs.map(before);
    let worth_it = policy.max_age_secs.map(|age| before(age.saturating_add(gather_secs)));

    let (mut cut, mut bytes) = (None, 0);
    // What only signs for earlier removals is no reason for another one: that would go on for ever.
    let mut is_more_than_signatures = false;
    store.read(chain.first_seq(), last, Order::OldestFirst, |seq, line| {
        let (Ok(link), Ok(facts)) = (Link::read(line), serde_json::from_str::<Facts<'_>>(line)) else {
            // Damaged: whoever verifies is to find it.
            return ControlFlow::Break(());
        };
        let is_first = seq == chain.first_seq();
        let goes_by_age = too_old.as_ref().is_some_and(|end| *facts.time < **end)
            && (!is_first || worth_it.as_ref().is_some_and(|end| *facts.time < **end));
        if bytes >= excess && !goes_by_age {
            return ControlFlow::Break(());
        }
        is_more_than_signatures |= facts.action != TRUNCATE;
        bytes += line.len() as u64;
        let removed = seq - chain.removed_through;
        cut = Some(Cut { through_seq: seq, last_hash: link.hash, removed, removed_bytes: bytes });
        if removed == LOOKED_AT { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(cut.filter(|_| is_more_than_signatures))
}

/// What this node lacks, as a removal: for when nobody can have it any more. Nothing before a newer record is there, since
/// a removal leaves one. Reads the disk.
pub fn gap(store: &Store, chain: &Chain) -> Result<Option<Cut>, StorageError> {
    // What the state knows of is on its way to the disk.
    store.flush();
    let extent = store.extent();
    let Some(through_seq) = extent.missing().map(|missing| *missing.end()) else { return Ok(None) };
    if through_seq >= chain.seq || through_seq <= chain.removed_through {
        return Ok(None);
    }
    let mut kept_bytes = 0;
    store.read(extent.complete_from, chain.seq, Order::OldestFirst, |_, line| {
        kept_bytes += line.len() as u64;
        ControlFlow::Continue(())
    })?;
    let removed = through_seq - chain.removed_through;
    let removed_bytes = chain.bytes.saturating_sub(kept_bytes);
    Ok(Some(Cut { through_seq, last_hash: extent.anchor, removed, removed_bytes }))
}

/// As records have it: text that sorts like time.
fn text(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.millis()).map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use controlplane_core::audit::Record;
    use vocab::Revision;

    use super::*;

    const HOUR: i64 = 3_600;

    /// A record per hour, of 200 bytes and a little each.
    fn hourly(actions: &[&str]) -> (Store, Chain) {
        let mut chain = Chain::default();
        let store = Store::in_memory(&chain).unwrap();
        let mut records = Vec::new();
        for (seq, action) in (1..).zip(actions) {
            let time = text(Timestamp::from_secs(HOUR * seq));
            let members = format!("\"time\":\"{time}\",\"action\":\"{action}\"");
            let (link, line) = Link::write(seq.unsigned_abs(), chain.hash, &members);
            (chain.seq, chain.hash) = (link.seq, link.hash);
            chain.bytes += line.len() as u64;
            records.push(Record { seq: link.seq, revision: Revision(link.seq), line: line.into_bytes() });
        }
        store.append(records);
        store.flush();
        (store, chain)
    }

    fn through(actions: &[&str], policy: AuditRetention, delivered: u64) -> Option<u64> {
        let (store, chain) = hourly(actions);
        let now = Timestamp::from_secs(HOUR * i64::try_from(actions.len()).unwrap());
        due(&store, &chain, policy, delivered, now).unwrap().map(|cut| {
            assert_eq!(cut.removed, cut.through_seq);
            assert_eq!(cut.last_hash, Link::read(&store.record(cut.through_seq).unwrap().unwrap()).unwrap().hash);
            cut.through_seq
        })
    }

    fn by_age(hours: u32) -> AuditRetention {
        AuditRetention { max_age_secs: Some(hours * 3_600), max_bytes: None }
    }

    #[test]
    fn what_is_too_old_goes_once_it_is_worth_it() {
        let ten = ["tenant.update"; 10];
        assert_eq!(through(&ten, AuditRetention::default(), u64::MAX), None);
        // The one that is exactly as old as allowed stays.
        assert_eq!(through(&ten, by_age(5), u64::MAX), Some(4));
        assert_eq!(through(&ten, by_age(9), u64::MAX), None);
        assert_eq!(through(&ten, by_age(100), u64::MAX), None);
        assert_eq!(through(&ten, by_age(5), 2), Some(2), "what no sink has got yet stays");
        assert_eq!(through(&ten, by_age(5), 0), None);
        let none = AuditRetention { max_age_secs: Some(1), max_bytes: None };
        assert_eq!(through(&ten[..1], none, u64::MAX), None, "the newest stays");
        let signatures = [TRUNCATE, TRUNCATE, "tenant.update"];
        assert_eq!(through(&signatures, by_age(1), u64::MAX), None);
        assert_eq!(through(&["note", TRUNCATE, TRUNCATE, "note"], by_age(1), u64::MAX), Some(2));
    }

    #[test]
    fn what_there_is_no_room_for_goes_and_a_sixteenth_more() {
        let many = ["tenant.update"; 100];
        let (_, chain) = hourly(&many);
        let most = |max_bytes| AuditRetention { max_age_secs: None, max_bytes: Some(max_bytes) };
        assert_eq!(through(&many, most(chain.bytes), u64::MAX), None);
        let cut = through(&many, most(chain.bytes - 1), u64::MAX).unwrap();
        assert!((6..=8).contains(&cut), "{cut}");
        assert_eq!(through(&many, most(1), u64::MAX), Some(99), "the newest stays");
        assert_eq!(through(&many, most(1), 50), Some(50));
    }

    #[test]
    fn what_nobody_has_any_more_is_a_removal_once_there_is_a_record_after_it() {
        let (whole, chain) = hourly(&["tenant.update"; 10]);
        assert_eq!(gap(&whole, &chain).unwrap(), None);
        let mut middle = Chain::default();
        let mut kept_bytes = 0;
        let mut newer = Vec::new();
        whole
            .read(1, 10, Order::OldestFirst, |seq, line| {
                if seq == 7 {
                    (middle.seq, middle.hash) = (7, Link::read(line).unwrap().hash);
                } else if seq > 7 {
                    kept_bytes += line.len() as u64;
                    newer.push(Record { seq, revision: Revision(seq), line: line.as_bytes().to_vec() });
                }
                ControlFlow::Continue(())
            })
            .unwrap();
        // As a node has it whose state came without records.
        let store = Store::in_memory(&middle).unwrap();
        assert_eq!(gap(&store, &middle).unwrap(), None, "nothing would be left");
        store.append(newer);
        let cut = gap(&store, &chain).unwrap().unwrap();
        assert_eq!((cut.through_seq, cut.last_hash, cut.removed), (7, middle.hash, 7));
        assert_eq!(chain.bytes - cut.removed_bytes, kept_bytes);
        let some_gone = Chain { removed_through: 4, ..chain.clone() };
        assert_eq!(gap(&store, &some_gone).unwrap().map(|cut| cut.removed), Some(3));
        let all_gone = Chain { removed_through: 7, ..chain };
        assert_eq!(gap(&store, &all_gone).unwrap(), None);
    }
}
