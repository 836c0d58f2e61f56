//! Appends to a follower as one stream: the next goes out before the last one is answered.
//!
//! ```text
//!   leader    openraft's requests ─▶ at most IN_FLIGHT unanswered ─▶ sign ─▶ ┐ one HTTP/2 stream, in order
//!   follower  answers, in order   ◀─ raft.stream_append ◀─ check ◀───────────┘
//! ```
//!
//! While a message travels and is written, the log goes on; how many messages may be under way is what makes entries
//! gather into batches under load. A message that does not fit its place ends the stream, and openraft opens another one
//! from what the follower has acknowledged.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, future, stream};
use openraft::async_runtime::WatchReceiver as _;
use openraft::base::BoxStream;
use openraft::errors::{NetworkError, RPCError, Timeout, Unreachable};
use openraft::network::RPCTypes;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, StreamAppendResult};
use parking_lot::Mutex;
use prost::Message as _;
use shared_proto::peer;
use shared_proto::peer::append_reply::Outcome;
use shared_proto::status::to_status;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status, Streaming};
use vocab::{ErrorCode, NodeId};

use super::acknowledged::{Follower, Question};
use super::cluster::Cluster;
use super::network::{APPEND_TIMEOUT, append_timeout};
use super::peers::StreamClient;
use super::types::Types;
use super::wire;
use crate::signature::stream::{Opened, Tags};
use crate::signature::{Call, HEADER, Refusal, Signatures};

/// Messages that may be unanswered: while one is on the follower's disk, the next one travels and a third gathers.
const IN_FLIGHT: usize = 3;
pub const PATH: &str = "/hellojohn.peer.v1.Peer/AppendStream";

pub type Replies<'a> = BoxStream<'a, Result<StreamAppendResult<Types>, RPCError<Types>>>;

/// Between whom.
#[derive(Clone, Debug)]
pub struct Ends {
    pub from: NodeId,
    pub to: Follower,
}

/// What was asked and is not answered yet, in order.
#[derive(Debug)]
struct Unanswered {
    ends: Ends,
    room: Semaphore,
    asked: Mutex<VecDeque<Asked>>,
}

#[derive(Debug)]
struct Asked {
    question: Question,
    bytes: usize,
    at: Instant,
    /// For the answer: what is asked before it travels first.
    timeout: Duration,
}

/// The leader's end. Ends when `requests` do, or with the first error.
///
/// The first request is taken before anything is opened: openraft's pause after a failure lies in it, and without the
/// pause a follower that is down would be called again at once, and again.
pub async fn open<'a, S>(
    ends: Ends,
    mut client: StreamClient,
    signatures: Signatures,
    mut requests: S,
) -> Result<Replies<'a>, RPCError<Types>>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
{
    let Some(first) = requests.next().await else { return Ok(Box::pin(stream::empty())) };
    let requests = stream::iter([first]).chain(requests);
    let opening = signatures.open_stream(ends.to.id, Call { method: "POST", target: PATH });
    let (header, tags) = opening.ok_or_else(|| unreachable("there is no secret to sign with"))?;
    let header = header.parse().map_err(|_| unreachable("the signature is no header"))?;
    let unanswered = Arc::new(Unanswered { ends, room: Semaphore::new(IN_FLIGHT), asked: Mutex::default() });
    let messages = outgoing(requests, tags, Arc::clone(&unanswered));
    let mut request = Request::new(messages);
    request.metadata_mut().insert(HEADER, header);
    let replies = match tokio::time::timeout(APPEND_TIMEOUT, client.append_stream(request)).await {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(status)) => return Err(unreachable(status)),
        Err(_) => return Err(timed_out(&unanswered.ends, APPEND_TIMEOUT)),
    };
    let state = Some((replies, unanswered));
    Ok(Box::pin(stream::unfold(state, |state| async move {
        let (mut replies, unanswered) = state?;
        let reply = next_reply(&mut replies, &unanswered).await?;
        unanswered.room.add_permits(1);
        let goes_on = matches!(reply, Ok(Ok(_)));
        Some((reply, goes_on.then_some((replies, unanswered))))
    })))
}

fn outgoing<S>(
    requests: S,
    tags: Tags,
    unanswered: Arc<Unanswered>,
) -> impl Stream<Item = peer::SignedAppend> + Send + 'static
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
{
    stream::unfold((requests, tags, unanswered), |(mut requests, mut tags, unanswered)| async move {
        // Before the request is made: the longer it waits, the more it carries. Given back with the answer.
        unanswered.room.acquire().await.ok()?.forget();
        let request = requests.next().await?;
        let append = Bytes::from(wire::append(&request).encode_to_vec());
        unanswered.ask(unanswered.ends.to.ask(&request), append.len());
        let signature = Bytes::copy_from_slice(tags.sign(&append).as_ref());
        Some((peer::SignedAppend { append, signature }, (requests, tags, unanswered)))
    })
}

/// `None` when the follower has answered everything and ended the stream.
async fn next_reply(
    replies: &mut Streaming<peer::AppendReply>,
    unanswered: &Unanswered,
) -> Option<Result<StreamAppendResult<Types>, RPCError<Types>>> {
    let reply = loop {
        match tokio::time::timeout(APPEND_TIMEOUT / 2, replies.message()).await {
            Ok(reply) => break reply,
            // Nothing to answer, or not asked for long.
            Err(_) => {
                if let Some(timeout) = unanswered.overdue() {
                    return Some(Err(timed_out(&unanswered.ends, timeout)));
                }
            }
        }
    };
    match reply {
        Ok(Some(reply)) => {
            let Some(Asked { question, .. }) = unanswered.asked.lock().pop_front() else {
                return Some(Err(RPCError::Network(NetworkError::from_string("an answer to nothing"))));
            };
            let reply = answered(&unanswered.ends.to, &question, reply);
            Some(reply.map(|reply| reply.into_stream_result(question.previous, question.last)))
        }
        Ok(None) if unanswered.asked.lock().is_empty() => None,
        Ok(None) => Some(Err(unreachable("the stream has ended before the last answer"))),
        Err(status) => Some(Err(unreachable(status))),
    }
}

/// What a follower's reply says, if it can be believed.
pub fn answered(
    follower: &Follower,
    question: &Question,
    reply: peer::AppendReply,
) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
    let read = wire::read_append_reply(reply).map_err(|why| RPCError::Network(NetworkError::new(&why)))?;
    // Only an append after something can conflict: whoever says otherwise is not believed.
    if read.is_conflict() && question.previous.is_none() {
        return Err(RPCError::Network(NetworkError::from_string("a conflict with nothing")));
    }
    follower.answered(question, &read, reply.log_end);
    Ok(read)
}

impl Unanswered {
    fn ask(&self, question: Question, bytes: usize) {
        let mut asked = self.asked.lock();
        let under_way = asked.iter().map(|before| before.bytes).sum::<usize>() + bytes;
        asked.push_back(Asked { question, bytes, at: Instant::now(), timeout: append_timeout(under_way) });
    }

    /// The timeout of the oldest, if that is over.
    fn overdue(&self) -> Option<Duration> {
        let asked = self.asked.lock();
        let oldest = asked.front()?;
        (oldest.at.elapsed() >= oldest.timeout).then_some(oldest.timeout)
    }
}

/// The follower's end: checks each message and answers in order. A message that is not the next one ends it, and `refused`
/// is told why.
pub fn answer(
    cluster: &Cluster,
    opened: &Opened,
    refused: impl Fn(Refusal) + Send + 'static,
    messages: Streaming<peer::SignedAppend>,
) -> BoxStream<'static, Result<peer::AppendReply, Status>> {
    let end = Arc::new(Mutex::new(None));
    let requests = checked(messages, opened.tags(), refused, Arc::clone(&end));
    let cluster = cluster.clone();
    let answers = cluster.raft.stream_append(requests).map(move |answer| match answer {
        Ok(result) => {
            if result.is_ok() {
                cluster.contact.heard();
            }
            Ok(with_log_end(wire::stream_reply(&result), &cluster))
        }
        Err(stopped) => Err(to_status(ErrorCode::Unavailable, stopped.to_string())),
    });
    let why = stream::once(async move { end.lock().take() }).filter_map(async |why: Option<Status>| why.map(Err));
    Box::pin(answers.chain(why))
}

/// With a conflict, where the log ends: it may once have reached further.
pub fn with_log_end(reply: peer::AppendReply, cluster: &Cluster) -> peer::AppendReply {
    if !matches!(reply.outcome, Some(Outcome::Conflict(_))) {
        return reply;
    }
    let last = cluster.raft.metrics().borrow_watched().last_log_index;
    peer::AppendReply { log_end: Some(last.map_or(0, |last| last + 1)), ..reply }
}

/// The leader keeps it open for as long as it leads: a node that stops would wait for that in vain.
pub fn until(
    stopping: CancellationToken,
    answers: BoxStream<'static, Result<peer::AppendReply, Status>>,
) -> BoxStream<'static, Result<peer::AppendReply, Status>> {
    let why = to_status(ErrorCode::Unavailable, "this node is stopping");
    let told = stopping.clone();
    let last = stream::once(async move { told.is_cancelled().then_some(Err(why)) }).filter_map(future::ready);
    Box::pin(answers.take_until(stopping.cancelled_owned()).chain(last))
}

fn checked(
    messages: Streaming<peer::SignedAppend>,
    tags: Tags,
    refused: impl Fn(Refusal) + Send + 'static,
    end: Arc<Mutex<Option<Status>>>,
) -> impl Stream<Item = AppendEntriesRequest<Types>> + Send + 'static {
    stream::unfold((messages, tags, refused), move |(mut messages, mut tags, refused)| {
        let end = Arc::clone(&end);
        async move {
            let read = match messages.message().await {
                Ok(Some(message)) => read(&message, &mut tags, &refused),
                Ok(None) => return None,
                Err(status) => Err(status),
            };
            match read {
                Ok(request) => Some((request, (messages, tags, refused))),
                Err(status) => {
                    *end.lock() = Some(status);
                    None
                }
            }
        }
    })
}

fn read(
    message: &peer::SignedAppend,
    tags: &mut Tags,
    refused: impl Fn(Refusal),
) -> Result<AppendEntriesRequest<Types>, Status> {
    tags.check(&message.append, &message.signature).map_err(|refusal| {
        refused(refusal);
        to_status(ErrorCode::Unauthenticated, "the message was refused")
    })?;
    let garbled = |why: &dyn std::fmt::Display| to_status(ErrorCode::InvalidRequest, why.to_string());
    let append = peer::AppendRequest::decode(message.append.clone()).map_err(|why| garbled(&why))?;
    wire::read_append(&append).map_err(|why| garbled(&why))
}

fn unreachable(why: impl std::fmt::Display) -> RPCError<Types> {
    RPCError::Unreachable(Unreachable::from_string(why))
}

fn timed_out(ends: &Ends, timeout: Duration) -> RPCError<Types> {
    let (id, target) = (ends.from.0, ends.to.id.0);
    RPCError::Timeout(Timeout { action: RPCTypes::AppendEntries, id, target, timeout })
}

#[cfg(test)]
mod tests {
    use super::super::acknowledged::Followers;
    use super::super::types::Vote;
    use super::*;

    #[test]
    fn an_append_may_take_as_long_as_a_slow_link_takes_to_carry_it_and_what_is_before_it() {
        let to = Followers::default().get(NodeId(2));
        let nothing = AppendEntriesRequest {
            vote: Vote::new_committed(3, 1),
            prev_log_id: None,
            entries: vec![],
            leader_commit: None,
        };
        let ends = Ends { from: NodeId(1), to: to.clone() };
        let unanswered = Unanswered { ends, room: Semaphore::new(IN_FLIGHT), asked: Mutex::default() };
        for bytes in [0, 16 << 20, 1 << 18] {
            unanswered.ask(to.ask(&nothing), bytes);
        }
        let timeouts = |unanswered: &Unanswered| -> Vec<u64> {
            unanswered.asked.lock().iter().map(|asked| asked.timeout.as_secs()).collect()
        };
        assert_eq!(timeouts(&unanswered), [2, 66, 67]);
        assert_eq!(unanswered.overdue(), None);

        // What is answered is not waited for.
        unanswered.asked.lock().clear();
        unanswered.ask(to.ask(&nothing), 1 << 18);
        assert_eq!(timeouts(&unanswered), [3]);
        for (waited, overdue) in [(2, None), (4, Some(Duration::from_secs(3)))] {
            let before = Instant::now().checked_sub(Duration::from_secs(waited)).unwrap();
            unanswered.asked.lock()[0].at = before;
            assert_eq!(unanswered.overdue(), overdue);
        }
    }
}
