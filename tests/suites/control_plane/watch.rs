//! The watch and its worst subscribers.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use shared_proto::watch::Position;
use shared_proto::watch::event::Kind;
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::wait::PATIENCE;
use tests::web;
use tonic::Code;
use tonic::transport::Endpoint;

use super::tenant;
use super::watcher::Watcher;

fn endpoint(cluster: &Cluster, node: usize) -> Endpoint {
    let address = &cluster.nodes[node].addresses().watch;
    Endpoint::from_shared(format!("http://{address}")).expect("an address is a URI's authority")
}

#[tokio::test]
async fn without_the_token_nothing_is_seen() {
    let cluster = Cluster::start(1).await;
    let token = &cluster.secrets.watch_token;
    let almost = &token[..token.len() - 1];
    let owner = cluster.admin(0).await;
    // What is good for one tenant only is good for no pod, which is shown them all.
    let _ = owner.post("/tenants", &tenant("acme")).await.expect(201);
    let credential = owner.create_admin("of acme", json!({ "tenant-admin": "acme" })).await;
    let theirs = Admin::sign_in(&cluster.nodes[0].admin_url(), &credential).await.expect("a fresh credential");
    let wrong = [None, Some(""), Some("x"), Some(almost), Some(&cluster.secrets.cluster_hmac), Some(owner.token())];
    for wrong in wrong.into_iter().chain([Some(theirs.token()), Some(&credential)]) {
        let refused = Watcher::open(endpoint(&cluster, 0), "stranger", wrong, None).await;
        assert_eq!(refused.err().map(|status| status.code()), Some(Code::Unauthenticated), "{wrong:?}");
    }
    assert_eq!(owner.get("/fleet").await.expect(200).json["pods"], json!([]));
    let mut right = Watcher::open(endpoint(&cluster, 0), "pod", Some(token), None).await.expect("it is let in");
    right.snapshot().await;
}

#[tokio::test]
async fn a_subscriber_that_stops_reading_is_reset_and_nobody_else_notices() {
    // More than any buffer on the way and the sixteen megabytes that the feed holds.
    const WRITES: usize = 420;
    let cluster = Cluster::start(1).await;
    let token = Some(cluster.secrets.watch_token.as_str());
    let admin = cluster.admin(0).await;
    let _ = admin.post("/tenants", &tenant("acme")).await.expect(201);
    let client = |number: usize| {
        let uri = |place: usize| format!("https://app.example/{number}/{place}/{}", "x".repeat(1950));
        json!({ "name": format!("write {number}"), "redirect_uris": (0..50).map(uri).collect::<Vec<_>>() })
    };
    let mut first = client(0);
    first["client_id"] = json!("web");
    let _ = admin.post("/tenants/acme/clients", &first).await.expect(201);

    let mut slow = Watcher::open(endpoint(&cluster, 0), "slow", token, None).await.expect("it is let in");
    let mut quick = Watcher::open(endpoint(&cluster, 0), "quick", token, None).await.expect("it is let in");
    let (before, _) = slow.snapshot().await;
    let (_, _) = quick.snapshot().await;
    let reader = tokio::spawn(async move {
        let mut revisions = Vec::new();
        while revisions.len() < WRITES {
            match quick.next().await {
                Kind::Delta(delta) => revisions.extend((!delta.changes.is_empty()).then_some(delta.revision)),
                other => panic!("{other:?} for a quick reader"),
            }
        }
        revisions
    });
    let mut written = Vec::new();
    let mut longest = Duration::ZERO;
    for number in 1..=WRITES {
        let began = Instant::now();
        let put = admin.request(Method::PUT, "/tenants/acme/clients/web").json(&client(number));
        written.push(web::send(put).await.expect(200).revision());
        longest = longest.max(began.elapsed());
    }
    assert_eq!(reader.await.expect("the quick reader reads on"), written, "every change, once, in order");
    assert!(longest < PATIENCE, "a write took {longest:?}");

    // What was on its way still comes, without a gap; then Reset, and the newest state.
    let mut last = before.revision;
    loop {
        match slow.next().await {
            Kind::Delta(delta) => {
                assert_eq!(delta.revision, last + 1);
                last = delta.revision;
            }
            Kind::Reset(_) => break,
            other => panic!("{other:?} instead of Reset"),
        }
    }
    let newest = *written.last().expect("there were writes");
    assert!(last < newest);
    let (position, _) = slow.snapshot().await;
    assert!(position.revision > last, "{position:?}");

    // Whoever comes back with what is no longer held is given a snapshot at once.
    let old = Some(before.clone());
    let mut back = Watcher::open(endpoint(&cluster, 0), "back", token, old).await.expect("it is let in");
    let (position, _) = back.snapshot().await;
    assert!(position.revision > before.revision);
}

#[tokio::test]
async fn a_pod_from_the_future_is_given_what_there_is() {
    let cluster = Cluster::start(3).await;
    let follower = (cluster.leader().await + 1) % 3;
    let token = Some(cluster.secrets.watch_token.as_str());
    let revision = cluster.admin(follower).await.post("/tenants", &tenant("acme")).await.expect(201).revision();
    let mut pod = Watcher::open(endpoint(&cluster, follower), "pod", token, None).await.expect("it is let in");
    let (now, _) = pod.snapshot().await;
    assert!(now.revision >= revision);
    let future = Position { revision: now.revision + 1_000_000, ..now.clone() };
    let mut pod = Watcher::open(endpoint(&cluster, follower), "pod", token, Some(future)).await.expect("it is let in");
    let (position, _) = pod.snapshot().await;
    assert!(position.revision >= now.revision && position.revision < now.revision + 1000);
}
