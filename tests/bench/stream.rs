//! A subscriber of the watch that notes when each revision arrives.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures::StreamExt as _;
use shared_proto::watch::watch_client::WatchClient;
use shared_proto::watch::{Ack, Hello, PodMessage, event, pod_message};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;

/// When each revision came, at every subscriber.
pub(crate) type Arrivals = Arc<Mutex<BTreeMap<u64, Vec<Instant>>>>;

/// Subscribes and acknowledges as a pod does. Returns once the snapshot is complete.
pub(crate) async fn subscribe(channel: Channel, token: &str, name: &str, arrivals: Arrivals) -> JoinHandle<()> {
    let (messages, outgoing) = mpsc::unbounded_channel();
    let hello =
        Hello { pod_id: name.to_owned(), version: "bench".to_owned(), address: String::new(), resume_after: None };
    let say = move |kind| messages.send(PodMessage { kind: Some(kind) }).is_ok();
    say(pod_message::Kind::Hello(hello));
    let mut request = tonic::Request::new(UnboundedReceiverStream::new(outgoing));
    let bearer = format!("Bearer {token}").parse().expect("the token is ASCII");
    request.metadata_mut().insert("authorization", bearer);
    let mut events =
        WatchClient::new(channel).subscribe(request).await.expect("the node takes a subscriber").into_inner();
    let (complete, synced) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async move {
        let mut complete = Some(complete);
        while let Some(Ok(message)) = events.next().await {
            let acknowledged = match message.kind {
                Some(event::Kind::Delta(delta)) => {
                    let now = Instant::now();
                    arrivals.lock().expect("no holder panics").entry(delta.revision).or_default().push(now);
                    delta.revision
                }
                Some(event::Kind::SnapshotEnd(end)) => {
                    if let Some(complete) = complete.take() {
                        let _ = complete.send(());
                    }
                    end.at.map_or(0, |at| at.revision)
                }
                _ => continue,
            };
            if !say(pod_message::Kind::Ack(Ack { revision: acknowledged, ..Ack::default() })) {
                return;
            }
        }
    });
    synced.await.expect("the snapshot arrives");
    task
}
