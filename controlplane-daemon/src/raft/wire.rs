//! Raft's messages ↔ protobuf.

use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderRequest, VoteRequest, VoteResponse,
};
use shared_proto::peer;

use super::record::{self, RecordError};
use super::types::{LeaderId, LogId, Types, Vote};

/// A message that lacks a part it must have.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("the message lacks {0}")]
    Missing(&'static str),
    #[error("no cluster has come to {what} {number}")]
    Absurd { what: &'static str, number: u64 },
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// A cluster with a million elections or entries a second would take thousands of years to come so far. Beyond it, what is
/// counted on from a number that somebody made up would run over, and a term that was once taken is never given back.
const MOST: u64 = 1 << 58;

fn counted(what: &'static str, number: u64) -> Result<u64, WireError> {
    if number <= MOST { Ok(number) } else { Err(WireError::Absurd { what, number }) }
}

pub const fn log_id(id: LogId) -> peer::LogId {
    peer::LogId { term: id.leader_id.term, node_id: id.leader_id.node_id, index: id.index }
}

pub fn read_log_id(id: peer::LogId) -> Result<LogId, WireError> {
    let leader_id = LeaderId { term: id.term, node_id: id.node_id };
    believable(LogId { leader_id, index: id.index })
}

fn read_place(id: Option<peer::LogId>) -> Result<Option<LogId>, WireError> {
    id.map(read_log_id).transpose()
}

/// Of a place in the log that came by another way than in a message of its own.
pub fn believable(id: LogId) -> Result<LogId, WireError> {
    counted("term", id.leader_id.term)?;
    counted("index", id.index)?;
    Ok(id)
}

pub const fn vote(vote: Vote) -> peer::Vote {
    peer::Vote { term: vote.leader_id.term, node_id: vote.leader_id.node_id, committed: vote.committed }
}

pub fn read_vote(vote: Option<peer::Vote>) -> Result<Vote, WireError> {
    let vote = vote.ok_or(WireError::Missing("a vote"))?;
    let leader_id = LeaderId { term: counted("term", vote.term)?, node_id: vote.node_id };
    Ok(Vote { leader_id, committed: vote.committed })
}

pub fn append(request: &AppendEntriesRequest<Types>) -> peer::AppendRequest {
    peer::AppendRequest {
        vote: Some(vote(request.vote)),
        previous: request.prev_log_id.map(log_id),
        entries: request.entries.iter().map(record::encode).collect(),
        leader_commit: request.leader_commit.map(log_id),
    }
}

pub fn read_append(request: &peer::AppendRequest) -> Result<AppendEntriesRequest<Types>, WireError> {
    let prev_log_id = read_place(request.previous)?;
    let first = prev_log_id.map_or(0, |previous| previous.index + 1);
    let entries = (first..).zip(&request.entries).map(|(index, record)| {
        let entry = record::decode(index, record)?;
        believable(entry.log_id).map(|_| entry)
    });
    Ok(AppendEntriesRequest {
        vote: read_vote(request.vote)?,
        prev_log_id,
        entries: entries.collect::<Result<_, WireError>>()?,
        leader_commit: read_place(request.leader_commit)?,
    })
}

pub fn append_reply(reply: &AppendEntriesResponse<Types>) -> peer::AppendReply {
    use peer::append_reply::Outcome;
    let outcome = match reply {
        AppendEntriesResponse::Success => Outcome::Success(true),
        AppendEntriesResponse::PartialSuccess(Some(upto)) => Outcome::Partial(log_id(*upto)),
        AppendEntriesResponse::PartialSuccess(None) => Outcome::Nothing(true),
        AppendEntriesResponse::Conflict => Outcome::Conflict(true),
        AppendEntriesResponse::HigherVote(higher) => Outcome::HigherVote(vote(*higher)),
    };
    peer::AppendReply { outcome: Some(outcome), log_end: None }
}

/// The answer to one message of a stream.
pub fn stream_reply(result: &StreamAppendResult<Types>) -> peer::AppendReply {
    use peer::append_reply::Outcome;
    let outcome = match result {
        Ok(Some(upto)) => Outcome::Partial(log_id(*upto)),
        Ok(None) => Outcome::Nothing(true),
        Err(StreamAppendError::Conflict(_)) => Outcome::Conflict(true),
        Err(StreamAppendError::HigherVote(higher)) => Outcome::HigherVote(vote(*higher)),
    };
    peer::AppendReply { outcome: Some(outcome), log_end: None }
}

pub fn read_append_reply(reply: peer::AppendReply) -> Result<AppendEntriesResponse<Types>, WireError> {
    use peer::append_reply::Outcome;
    Ok(match reply.outcome.ok_or(WireError::Missing("an outcome"))? {
        Outcome::Success(_) => AppendEntriesResponse::Success,
        Outcome::Partial(upto) => AppendEntriesResponse::PartialSuccess(Some(read_log_id(upto)?)),
        Outcome::Nothing(_) => AppendEntriesResponse::PartialSuccess(None),
        Outcome::Conflict(_) => AppendEntriesResponse::Conflict,
        Outcome::HigherVote(higher) => AppendEntriesResponse::HigherVote(read_vote(Some(higher))?),
    })
}

/// Who asks: a candidate, or a node that wonders whether to become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ballot {
    Real,
    /// Asks only; nothing is persisted.
    Trial,
}

pub fn vote_request(request: &VoteRequest<Types>, ballot: Ballot) -> peer::VoteRequest {
    peer::VoteRequest {
        vote: Some(vote(request.vote)),
        last_log: request.last_log_id.map(log_id),
        leadership_transfer: request.leadership_transfer,
        pre_vote: ballot == Ballot::Trial,
    }
}

pub fn read_vote_request(request: peer::VoteRequest) -> Result<(VoteRequest<Types>, Ballot), WireError> {
    let ballot = if request.pre_vote { Ballot::Trial } else { Ballot::Real };
    let mut read = VoteRequest::new(read_vote(request.vote)?, read_place(request.last_log)?);
    read.leadership_transfer = request.leadership_transfer;
    Ok((read, ballot))
}

pub fn vote_reply(reply: &VoteResponse<Types>) -> peer::VoteReply {
    peer::VoteReply {
        vote: Some(vote(reply.vote)),
        granted: reply.vote_granted,
        last_log: reply.last_log_id.map(log_id),
    }
}

pub fn read_vote_reply(reply: peer::VoteReply) -> Result<VoteResponse<Types>, WireError> {
    Ok(VoteResponse::new(read_vote(reply.vote)?, read_place(reply.last_log)?, reply.granted))
}

pub fn read_snapshot_reply(reply: peer::SnapshotReply) -> Result<SnapshotResponse<Types>, WireError> {
    read_vote(reply.vote).map(SnapshotResponse::new)
}

pub fn transfer(request: &TransferLeaderRequest<Types>) -> peer::TransferLeaderRequest {
    peer::TransferLeaderRequest {
        from_leader: Some(vote(*request.from_leader())),
        to_node_id: *request.to_node_id(),
        last_log: request.last_log_id().copied().map(log_id),
    }
}

pub fn read_transfer(request: peer::TransferLeaderRequest) -> Result<TransferLeaderRequest<Types>, WireError> {
    let last_log = read_place(request.last_log)?;
    Ok(TransferLeaderRequest::new(read_vote(request.from_leader)?, request.to_node_id, last_log))
}
