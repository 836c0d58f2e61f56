//! A log entry as bytes, the same on disk and between peers.
//!
//! ```text
//!   u64 term · u64 leader · u8 kind · content          (the position is the key on disk and implied on the wire)
//!     0 blank        -
//!     1 entry        JSON of controlplane_core::Entry
//!     2 membership   JSON of Members
//!     3 cluster id   16 bytes
//! ```

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut as _, Bytes, BytesMut};
use controlplane_core::entry::DecodeError;
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

/// Why bytes are not an entry of this build. The node that meets one stops.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("log position {index}: the record is cut short")]
    Short { index: u64 },
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
    pub fn entry(entry: &controlplane_core::Entry) -> Self {
        let json = entry.encode();
        let mut bytes = BytesMut::with_capacity(1 + json.len());
        bytes.put_u8(NORMAL);
        bytes.extend_from_slice(&json);
        Self(bytes.freeze())
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

pub fn encode(entry: &Entry) -> Bytes {
    let LeaderId { term, node_id } = entry.log_id.leader_id;
    let mut record = BytesMut::new();
    let mut write = |kind_and_content: &[&[u8]]| {
        record.reserve(LEADER + kind_and_content.iter().map(|part| part.len()).sum::<usize>());
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
    record.freeze()
}

pub fn decode(index: u64, record: &Bytes) -> Result<Entry, RecordError> {
    let (log_id, rest) = split(index, record)?;
    let payload = match rest.split_first() {
        Some((&BLANK, _)) => EntryPayload::Blank,
        // Shares the record's memory.
        Some((&(NORMAL | CLUSTER_ID), _)) => EntryPayload::Normal(Payload(record.slice(LEADER..))),
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

/// Who proposed the record at `index`, without reading the rest.
pub fn log_id(index: u64, record: &[u8]) -> Result<LogId, RecordError> {
    split(index, record).map(|(log_id, _)| log_id)
}

fn split(index: u64, record: &[u8]) -> Result<(LogId, &[u8]), RecordError> {
    let short = || RecordError::Short { index };
    let (term, rest) = record.split_first_chunk::<8>().ok_or_else(short)?;
    let (node_id, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    let leader_id = LeaderId { term: u64::from_be_bytes(*term), node_id: u64::from_be_bytes(*node_id) };
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
