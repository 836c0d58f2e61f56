//! A pod's side of the watch, by hand, so that it can be slow, wrong or from the future.

use shared_proto::watch::event::Kind;
use shared_proto::watch::watch_client::WatchClient;
use shared_proto::watch::{Event, Hello, PodMessage, Position, pod_message};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::transport::Endpoint;
use tonic::{Request, Status, Streaming};

pub(super) struct Watcher {
    _messages: mpsc::Sender<PodMessage>,
    events: Streaming<Event>,
}

impl Watcher {
    /// `Err` holds whatever refused it: the connection or the node.
    pub(super) async fn open(
        endpoint: Endpoint,
        name: &str,
        token: Option<&str>,
        resume_after: Option<Position>,
    ) -> Result<Self, Status> {
        let channel = endpoint.connect().await.map_err(|error| Status::from_error(Box::new(error)))?;
        let (sender, messages) = mpsc::channel(8);
        let hello =
            Hello { pod_id: name.to_owned(), version: "1".to_owned(), address: "test:1".to_owned(), resume_after };
        let hello = PodMessage { kind: Some(pod_message::Kind::Hello(hello)) };
        sender.send(hello).await.expect("the receiver is below");
        let mut request = Request::new(ReceiverStream::new(messages));
        if let Some(token) = token {
            let bearer = MetadataValue::try_from(format!("Bearer {token}")).expect("a token is ASCII");
            request.metadata_mut().insert("authorization", bearer);
        }
        let events = WatchClient::new(channel).subscribe(request).await?.into_inner();
        Ok(Self { _messages: sender, events })
    }

    /// The next event that is not a heartbeat.
    pub(super) async fn next(&mut self) -> Kind {
        loop {
            let event = self.events.message().await.expect("the stream goes on").expect("the stream goes on");
            match event.kind.expect("an event has a kind") {
                Kind::Heartbeat(_) => {}
                other => return other,
            }
        }
    }

    /// Reads a whole snapshot, its begin included.
    pub(super) async fn snapshot(&mut self) -> (Position, u64) {
        let Kind::SnapshotBegin(_) = self.next().await else { panic!("no snapshot begins") };
        self.rest_of_snapshot().await
    }

    pub(super) async fn rest_of_snapshot(&mut self) -> (Position, u64) {
        let mut count = 0;
        loop {
            match self.next().await {
                Kind::SnapshotPart(part) => count += part.resources.len() as u64,
                Kind::SnapshotEnd(end) => {
                    assert_eq!(end.resource_count, count);
                    return (end.at.expect("a snapshot has a position"), count);
                }
                other => panic!("{other:?} inside a snapshot"),
            }
        }
    }
}
