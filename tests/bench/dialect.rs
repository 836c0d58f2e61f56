//! How a change is subscribed to: from a node of the control plane as pods do, or from an etcd.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::Request;
use prost::Message;
use shared_proto::watch::{Ack, Event, Hello, PodMessage, event, pod_message};

use crate::etcd::Header;

/// What is spoken where one subscribes.
#[derive(Clone)]
pub(crate) enum Dialect {
    /// `hellojohn.watch.v1.Watch`, with the pods' token.
    Ours { token: String },
    /// `etcdserverpb.Watch`
    Etcd,
}

/// What a message says to who counts changes.
pub(crate) enum Heard {
    /// From here on every change comes.
    Synced(u64),
    Change(u64),
    /// Acknowledgements are wanted within that time from now on.
    Spread(Duration),
    Nothing,
}

/// `etcdserverpb.WatchRequest`, the one kind used here.
#[derive(Clone, PartialEq, Message)]
struct WatchRequest {
    #[prost(message, optional, tag = "1")]
    create: Option<Create>,
}

/// `etcdserverpb.WatchCreateRequest`, the fields used here.
#[derive(Clone, PartialEq, Message)]
struct Create {
    #[prost(bytes, tag = "1")]
    key: Vec<u8>,
    /// All keys before it.
    #[prost(bytes, tag = "2")]
    range_end: Vec<u8>,
}

/// `etcdserverpb.WatchResponse`, the fields used here.
#[derive(Clone, PartialEq, Message)]
struct WatchResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(bool, tag = "3")]
    created: bool,
    #[prost(message, repeated, tag = "11")]
    events: Vec<Changed>,
}

/// `mvccpb.Event`
#[derive(Clone, PartialEq, Message)]
struct Changed {
    #[prost(message, optional, tag = "2")]
    now: Option<KeyValue>,
}

/// `mvccpb.KeyValue`, the fields used here.
#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(bytes, tag = "1")]
    key: Vec<u8>,
    #[prost(bytes, tag = "5")]
    value: Vec<u8>,
}

impl Dialect {
    pub(crate) fn request(&self) -> Request<()> {
        let (service, token) = match self {
            Self::Ours { token } => ("hellojohn.watch.v1.Watch/Subscribe", Some(token)),
            Self::Etcd => ("etcdserverpb.Watch/Watch", None),
        };
        let mut request = Request::post(format!("https://node/{service}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request.body(()).expect("a valid request")
    }

    /// What a subscriber says first.
    pub(crate) fn hello(&self, name: &str) -> Bytes {
        match self {
            Self::Ours { .. } => {
                let hello = Hello { pod_id: name.to_owned(), version: "bench".to_owned(), ..Hello::default() };
                frame(&PodMessage { kind: Some(pod_message::Kind::Hello(hello)) })
            }
            Self::Etcd => {
                // Keys begin with `bench/`.
                let create = Create { key: b"bench/".to_vec(), range_end: b"bench0".to_vec() };
                frame(&WatchRequest { create: Some(create) })
            }
        }
    }

    pub(crate) fn read(&self, message: &[u8]) -> Heard {
        match self {
            Self::Ours { .. } => match Event::decode(message).expect("a node sends events").kind {
                Some(event::Kind::Delta(delta)) => Heard::Change(delta.revision),
                Some(event::Kind::SnapshotEnd(end)) => Heard::Synced(end.at.map_or(0, |at| at.revision)),
                Some(event::Kind::Heartbeat(heartbeat)) => {
                    Heard::Spread(Duration::from_millis(heartbeat.acknowledge_within_ms.unwrap_or(0).into()))
                }
                _ => Heard::Nothing,
            },
            Self::Etcd => {
                let response = WatchResponse::decode(message).expect("an etcd sends responses");
                let revision = response.header.map_or(0, |header| header.revision);
                match (response.created, response.events.is_empty()) {
                    (true, _) => Heard::Synced(revision),
                    (false, false) => Heard::Change(revision),
                    (false, true) => Heard::Nothing,
                }
            }
        }
    }

    /// What a subscriber says to a change, if anything.
    pub(crate) fn acknowledgement(&self, revision: u64) -> Option<Bytes> {
        match self {
            Self::Ours { .. } => {
                let ack = Ack { revision, ..Ack::default() };
                Some(frame(&PodMessage { kind: Some(pod_message::Kind::Ack(ack)) }))
            }
            Self::Etcd => None,
        }
    }
}

/// A gRPC message: flag, length, protobuf.
fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(5 + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).expect("a small message"));
    message.encode(&mut frame).expect("a BytesMut grows as needed");
    frame.freeze()
}
