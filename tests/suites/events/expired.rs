//! A stream is as good as the token that opened it: it ends with the token's time, though nothing happens.

use reqwest::Method;
use serde_json::json;
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::counters::count;
use tests::operator::Cli;
use tests::wait::{PATIENCE, until};
use tests::wall_clock::WallClock;
use tests::web;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::shell::Running;
use super::websocket::Socket;
use super::{Stream, rename};

#[tokio::test]
async fn streams_end_with_the_time_of_their_token_and_no_new_one_begins() {
    let mut cluster = Cluster::prepare(1, &["--events-heartbeat-secs", "1"]);
    let clock = WallClock::of(cluster.nodes[0].launch_mut());
    cluster.start_all().await;
    cluster.ready().await;
    let owner = cluster.admin(0).await;
    let _ = owner.create_tenant("acme", json!({})).await;
    let credential = owner.create_admin("theirs", json!({ "tenant-admin": "acme" })).await;
    let node = cluster.nodes[0].admin_url();
    let theirs = Admin::sign_in(&node, &credential).await.expect("it signs in");
    let start = rename(&owner, "acme", "Acme 0").await;
    let since = format!("/events?since={start}");
    let (mut stream, mut socket) =
        (Stream::open(&theirs, &since).await, Socket::open(&theirs, &since).await.expect("a socket"));
    let heard = rename(&owner, "acme", "Acme 1").await;
    assert_eq!(stream.change().await.data["revision"].as_u64(), Some(heard));
    assert_eq!(socket.next("tenant.").await["data"]["revision"].as_u64(), Some(heard));
    // One who has heard of nothing yet, and has only the place that the stream began at.
    let following = Running::start(&Cli::at(&node, &credential), &["events"]);
    let ops = cluster.nodes[0].ops_url();
    until("the command listens", PATIENCE, async || match count(&ops, "hj_cp_event_listeners", &[]).await {
        3 => Ok(()),
        other => Err(format!("{other} listen")),
    })
    .await;

    // Of ten minutes eleven.
    clock.set("+11m");
    let missed = rename(&cluster.admin(0).await, "acme", "Acme 2").await;
    let end = stream.next().await.expect("a farewell");
    assert_eq!((end.name.as_str(), &end.data["reason"]), ("closed", &"expired".into()));
    assert!(stream.next().await.is_none());
    assert_eq!(socket.end().await, ("expired".into(), Some(CloseCode::Policy)));
    let refused = web::send(theirs.request(Method::GET, &since)).await.expect(401);
    assert!(refused.header("www-authenticate").is_some_and(|told| told.contains("invalid_token")), "{refused:?}");
    let Err(tungstenite::Error::Http(refused)) = Socket::open(&theirs, &since).await else { panic!("it is let in") };
    assert_eq!(refused.status(), 401);

    // With another token it goes on where it ended.
    assert_eq!(following.line("revision", missed)["action"], "tenant.update");
    let again = Admin::sign_in(&node, &credential).await.expect("the credential is as good as before");
    let mut stream = Stream::open(&again, &format!("/events?since={heard}")).await;
    assert_eq!(stream.change().await.data["revision"].as_u64(), Some(missed));
}
