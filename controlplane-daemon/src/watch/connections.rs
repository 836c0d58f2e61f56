//! The connections of pods, each of them one task ([`transport::one_task`]): what a change costs is mostly whom it wakes.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming as RequestBody;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::server::Connected as _;
use tower::ServiceExt as _;
use transport::connection::Connection;
use transport::gather::gather;
use transport::incoming::Incoming;
use transport::one_task::OneTask;

/// A pod that vanished without a word is off the list by then, twice this.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// One that takes nothing of what it is sent holds memory of this machine, whether it answers or not.
const PATIENCE: Duration = Duration::from_secs(15);

/// Serves `routes` to whoever comes, until `stopping`; then until the streams have ended.
pub(super) async fn serve(mut incoming: Incoming, routes: Routes, stopping: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            connection = incoming.next() => {
                let Some(Ok(connection)) = connection else { break };
                connections.spawn(serve_one(connection, routes.clone(), stopping.clone()));
            }
            Some(_) = connections.join_next() => {}
            () = stopping.cancelled() => break,
        }
    }
    drop(incoming);
    while connections.join_next().await.is_some() {}
}

async fn serve_one(connection: Connection, routes: Routes, stopping: CancellationToken) {
    let caller = connection.connect_info();
    let service = tower::service_fn(move |request: Request<RequestBody>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(caller.clone());
        routes.clone().oneshot(request)
    });
    let (gathering, outlet) = gather(connection);
    let task = OneTask::new(outlet, PATIENCE);
    let mut connection = pin!(
        http2::Builder::new(task.begin())
            .timer(TokioTimer::new())
            .keep_alive_interval(Some(KEEPALIVE))
            .keep_alive_timeout(KEEPALIVE)
            .serve_connection(TokioIo::new(gathering), TowerToHyperService::new(service))
    );
    let (mut told, mut stops) = (pin!(stopping.cancelled()), false);
    let connection = poll_fn(|context| {
        if !stops && told.as_mut().poll(context).is_ready() {
            stops = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(context)
    });
    if let Err(error) = task.run(connection).await {
        tracing::debug!(%error, "a connection ended");
    }
}
