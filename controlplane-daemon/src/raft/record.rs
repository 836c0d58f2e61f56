//! A log entry as bytes, on disk and between peers.
//!
//! ```text
//!   u64 term · u64 leader · u8 kind · content          (the position is the key on disk and implied on the wire)
//!     0 blank        -
//!     1 entry        JSON of controlplane_core::Entry
//!     2 membership   JSON of Members
//!     3 cluster id   16 bytes
//! ```
//!
//! On disk the term's highest bit says that a CRC-32 of the position and all before follows, so that a record which is
//! not what was written is named and not applied. The first release wrote none; its records are read as they are.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut as _, Bytes, BytesMut};
use controlplane_core::entry::DecodeError;
use controlplane_core::{Command, Stamp};
use openraft::BasicNode;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vocab::ClusterId;

use super::types::{Entry, EntryPayload, LeaderId, LogId, Membership, Payload};

const BLANK: u8 = 0;
const NORMAL: u8 = 1;
const MEMBERSHIP: u8 = 2;
const CLUSTER_ID: u8 = 3;
/// Bytes before the kind.
const LEADER: usize = 16;
const CHECKSUM: usize = 4;
/// Most entries are shorter.
const USUAL_BYTES: usize = 2 << 10;
/// Of a record's first byte; no term ever gets that far.
const HAS_CHECKSUM: u8 = 0x80;

/// Why bytes are not an entry of this build. The node that meets one stops.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("log position {index}: the record is cut short")]
    Short { index: u64 },
    #[error("log position {index}: the record is damaged: the checksum does not match")]
    Checksum { index: u64 },
    #[error("log position {index}: records of kind {kind} are not known to this build")]
    UnknownKind { index: u64, kind: u8 },
    #[error("log position {index}: the membership cannot be read: {why}")]
    Membership { index: u64, why: String },
    #[error("log position {index}: the entry cannot be read: {why}")]
    Entry { index: u64, why: DecodeError },
}

/// A membership in our own words, so that openraft's may change theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Members {
    /// One set of voters; two while the membership changes.
    pub voters: Vec<BTreeSet<u64>>,
    /// The address of every node, learners included.
    pub addresses: BTreeMap<u64, String>,
}

impl From<&Membership> for Members {
    fn from(membership: &Membership) -> Self {
        Self {
            voters: membership.get_joint_config().clone(),
            addresses: membership.nodes().map(|(id, node)| (*id, node.addr.clone())).collect(),
        }
    }
}

impl TryFrom<Members> for Membership {
    type Error = String;

    fn try_from(members: Members) -> Result<Self, String> {
        if members == Members::default() {
            return Ok(Self::default());
        }
        let nodes: BTreeMap<u64, BasicNode> =
            members.addresses.into_iter().map(|(id, addr)| (id, BasicNode { addr })).collect();
        Self::new(members.voters, nodes).map_err(|why| why.to_string())
    }
}

/// What a payload of ours says.
#[derive(Debug)]
pub enum Content {
    Entry(Box<controlplane_core::Entry>),
    ClusterId(ClusterId),
}

impl Payload {
    /// A payload is the record from its kind on, so that it is sliced out of one without a copy.
    pub fn entry(command: &Command, stamp: &Stamp) -> Self {
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        bytes.push(NORMAL);
        controlplane_core::Entry::write(command, stamp, &mut bytes);
        Self(bytes.into())
    }

    pub fn cluster_id(id: ClusterId) -> Self {
        let mut bytes = BytesMut::with_capacity(17);
        bytes.put_u8(CLUSTER_ID);
        bytes.extend_from_slice(id.as_uuid().as_bytes());
        Self(bytes.freeze())
    }

    pub fn content(&self, index: u64) -> Result<Content, RecordError> {
        match self.0.split_first() {
            Some((&NORMAL, json)) => controlplane_core::Entry::decode(json)
                .map(|entry| Content::Entry(Box::new(entry)))
                .map_err(|why| RecordError::Entry { index, why }),
            Some((&CLUSTER_ID, id)) => Uuid::from_slice(id)
                .map(|id| Content::ClusterId(ClusterId::from_uuid(id)))
                .map_err(|_| RecordError::Short { index }),
            Some((&kind, _)) => Err(RecordError::UnknownKind { index, kind }),
            None => Err(RecordError::Short { index }),
        }
    }
}

/// Whether the record, as it is stored, says which cluster it is of.
pub fn names_cluster(record: &[u8]) -> bool {
    record.get(LEADER) == Some(&CLUSTER_ID)
}

/// As peers send it.
pub fn encode(entry: &Entry) -> Bytes {
    build(entry).freeze()
}

/// As it is stored.
pub fn encode_stored(entry: &Entry) -> Bytes {
    let mut record = build(entry);
    if let Some(first) = record.first_mut() {
        *first |= HAS_CHECKSUM;
    }
    let checksum = checksum(entry.log_id.index, &record);
    record.put_u32(checksum);
    record.freeze()
}

fn checksum(index: u64, record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&index.to_be_bytes());
    hasher.update(record);
    hasher.finalize()
}

/// The record without its checksum, if it has one; an error when that is wrong.
fn checked(index: u64, record: &[u8]) -> Result<&[u8], RecordError> {
    if record.first().is_none_or(|first| first & HAS_CHECKSUM == 0) {
        return Ok(record);
    }
    match record.split_last_chunk::<CHECKSUM>() {
        Some((content, written)) if checksum(index, content) == u32::from_be_bytes(*written) => Ok(content),
        Some(_) => Err(RecordError::Checksum { index }),
        None => Err(RecordError::Short { index }),
    }
}

/// Whether a stored record is what was written, as far as its age allows to say.
pub fn check_stored(index: u64, record: &[u8]) -> Result<(), RecordError> {
    checked(index, record).map(|_| ())
}

fn build(entry: &Entry) -> BytesMut {
    let LeaderId { term, node_id } = entry.log_id.leader_id;
    let mut record = BytesMut::new();
    let mut write = |kind_and_content: &[&[u8]]| {
        record.reserve(LEADER + CHECKSUM + kind_and_content.iter().map(|part| part.len()).sum::<usize>());
        record.put_u64(term);
        record.put_u64(node_id);
        for part in kind_and_content {
            record.extend_from_slice(part);
        }
    };
    match &entry.payload {
        EntryPayload::Blank => write(&[&[BLANK]]),
        EntryPayload::Normal(Payload(bytes)) => write(&[bytes]),
        EntryPayload::Membership(membership) => {
            let json = serde_json::to_vec(&Members::from(membership)).expect("members have string keys and serialize");
            write(&[&[MEMBERSHIP], &json]);
        }
    }
    record
}

/// From a peer or from the disk.
pub fn decode(index: u64, record: &Bytes) -> Result<Entry, RecordError> {
    let content = checked(index, record)?;
    let (log_id, rest) = split(index, content)?;
    let payload = match rest.split_first() {
        Some((&BLANK, [])) => EntryPayload::Blank,
        Some((&BLANK, _)) => return Err(RecordError::Checksum { index }),
        // Shares the record's memory.
        Some((&(NORMAL | CLUSTER_ID), _)) => EntryPayload::Normal(Payload(record.slice(LEADER..content.len()))),
        Some((&MEMBERSHIP, json)) => {
            let members: Result<Members, _> = serde_json::from_slice(json).map_err(|why| why.to_string());
            let membership = members.and_then(Membership::try_from);
            EntryPayload::Membership(membership.map_err(|why| RecordError::Membership { index, why })?)
        }
        Some((&kind, _)) => return Err(RecordError::UnknownKind { index, kind }),
        None => return Err(RecordError::Short { index }),
    };
    Ok(Entry { log_id, payload })
}

/// Who proposed the record at `index`.
pub fn log_id(index: u64, record: &[u8]) -> Result<LogId, RecordError> {
    split(index, checked(index, record)?).map(|(log_id, _)| log_id)
}

fn split(index: u64, record: &[u8]) -> Result<(LogId, &[u8]), RecordError> {
    let short = || RecordError::Short { index };
    let (term, rest) = record.split_first_chunk::<8>().ok_or_else(short)?;
    let (node_id, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    let term = u64::from_be_bytes(*term) & !(u64::from(HAS_CHECKSUM) << 56);
    let leader_id = LeaderId { term, node_id: u64::from_be_bytes(*node_id) };
    Ok((LogId { leader_id, index }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(payload: EntryPayload) -> Entry {
        Entry { log_id: LogId { leader_id: LeaderId { term: 7, node_id: 2 }, index: 5 }, payload }
    }

    #[test]
    fn every_kind_round_trips() {
        let members = Members {
            voters: vec![BTreeSet::from([1, 2]), BTreeSet::from([1])],
            addresses: BTreeMap::from([(1, "a:1".to_owned()), (2, "b:2".to_owned()), (3, "c:3".to_owned())]),
        };
        for payload in [
            EntryPayload::Blank,
            EntryPayload::Normal(Payload::cluster_id(ClusterId::from_uuid(Uuid::from_u128(9)))),
            EntryPayload::Normal(Payload(Bytes::from_static(b"\x01{}"))),
            EntryPayload::Membership(members.try_into().unwrap()),
        ] {
            let entry = entry(payload);
            let record = encode(&entry);
            assert_eq!(decode(5, &record).unwrap(), entry);
            assert_eq!(log_id(5, &record).unwrap(), entry.log_id);
            assert!(decode(5, &record.slice(..LEADER)).is_err());

            let stored = encode_stored(&entry);
            assert_eq!(decode(5, &stored).unwrap(), entry);
            assert_eq!(log_id(5, &stored).unwrap(), entry.log_id);
            assert!(matches!(decode(6, &stored), Err(RecordError::Checksum { index: 6 })), "at another position");
        }
    }

    #[test]
    fn any_flipped_bit_of_a_stored_record_is_noticed() {
        for payload in
            [EntryPayload::Blank, EntryPayload::Normal(Payload::cluster_id(ClusterId::from_uuid(Uuid::nil())))]
        {
            let stored = encode_stored(&entry(payload));
            for bit in 0..stored.len() * 8 {
                let mut damaged = stored.to_vec();
                damaged[bit / 8] ^= 1 << (bit % 8);
                let damaged = Bytes::from(damaged);
                // Without the mark it is an old record, of which only the content can tell.
                let told = decode(5, &damaged).and_then(|entry| match entry.payload {
                    EntryPayload::Normal(payload) => payload.content(5).map(|_| ()),
                    _ => Ok(()),
                });
                assert!(told.is_err(), "bit {bit}");
            }
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let unknown = encode(&entry(EntryPayload::Normal(Payload(Bytes::from_static(b"\x09?")))));
        assert!(matches!(decode(5, &unknown), Err(RecordError::UnknownKind { index: 5, kind: 9 })));
        let newer = Payload(Bytes::from_static(b"\x01{\"format\":99}"));
        let error = newer.content(5).unwrap_err();
        assert!(error.to_string().starts_with("log position 5: the entry cannot be read"), "{error}");
    }
}
