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
    #[error(transparent)]
    Record(#[from] RecordError),
}

pub const fn log_id(id: LogId) -> peer::LogId {
    peer::LogId { term: id.leader_id.term, node_id: id.leader_id.node_id, index: id.index }
}

pub const fn read_log_id(id: peer::LogId) -> LogId {
    LogId { leader_id: LeaderId { term: id.term, node_id: id.node_id }, index: id.index }
}

pub const fn vote(vote: Vote) -> peer::Vote {
    peer::Vote { term: vote.leader_id.term, node_id: vote.leader_id.node_id, committed: vote.committed }
}

pub fn read_vote(vote: Option<peer::Vote>) -> Result<Vote, WireError> {
    let vote = vote.ok_or(WireError::Missing("a vote"))?;
    let leader_id = LeaderId { term: vote.term, node_id: vote.node_id };
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
    let prev_log_id = request.previous.map(read_log_id);
    let first = prev_log_id.map_or(0, |previous| previous.index + 1);
    let entries = (first..).zip(&request.entries).map(|(index, record)| record::decode(index, record));
    Ok(AppendEntriesRequest {
        vote: read_vote(request.vote)?,
        prev_log_id,
        entries: entries.collect::<Result<_, _>>()?,
        leader_commit: request.leader_commit.map(read_log_id),
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
    peer::AppendReply { outcome: Some(outcome) }
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
    peer::AppendReply { outcome: Some(outcome) }
}

pub fn read_append_reply(reply: peer::AppendReply) -> Result<AppendEntriesResponse<Types>, WireError> {
    use peer::append_reply::Outcome;
    Ok(match reply.outcome.ok_or(WireError::Missing("an outcome"))? {
        Outcome::Success(_) => AppendEntriesResponse::Success,
        Outcome::Partial(upto) => AppendEntriesResponse::PartialSuccess(Some(read_log_id(upto))),
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
    let mut read = VoteRequest::new(read_vote(request.vote)?, request.last_log.map(read_log_id));
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
    Ok(VoteResponse::new(read_vote(reply.vote)?, reply.last_log.map(read_log_id), reply.granted))
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
    let last_log = request.last_log.map(read_log_id);
    Ok(TransferLeaderRequest::new(read_vote(request.from_leader)?, request.to_node_id, last_log))
}
