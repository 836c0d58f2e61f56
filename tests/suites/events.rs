//! What changes, as it changes: resumed, filtered by role, ended with the credential.

#[path = "events/endings.rs"]
mod endings;
#[path = "events/expired.rs"]
mod expired;
#[path = "events/roles.rs"]
mod roles;
#[path = "events/shell.rs"]
mod shell;
#[path = "events/websocket.rs"]
mod websocket;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::wait::PATIENCE;

/// A listener: frames as they come.
struct Stream {
    response: Response,
    text: String,
}

#[derive(Debug)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

impl Stream {
    async fn open(admin: &Admin, path: &str) -> Self {
        let response = admin.request(Method::GET, path).send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event; comments are passed over. `None`: the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((frame, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    frame.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
                };
                let event = Event {
                    name: field("event:"),
                    id: field("id:"),
                    data: serde_json::from_str(&field("data:")).unwrap_or_default(),
                };
                let rest = rest.to_owned();
                self.text = rest;
                if !event.name.is_empty() {
                    return Some(event);
                }
            }
            let piece = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("something comes");
            self.text.push_str(&String::from_utf8_lossy(&piece.ok()??));
        }
    }

    /// The next change of a tenant: a cluster that has just begun also tells of its nodes.
    async fn change(&mut self) -> Event {
        loop {
            let event = self.next().await.expect("an event");
            if event.name.starts_with("tenant.") {
                return event;
            }
        }
    }
}

async fn rename(admin: &Admin, slug: &str, name: &str) -> u64 {
    admin.patch(&format!("/tenants/{slug}"), &json!({"display_name": name})).await.expect(200).revision()
}

/// Where nothing happens comments come, and each names the place to go on from.
#[tokio::test]
async fn a_silent_stream_is_told_that_it_is_alive() {
    let cluster = Cluster::start_with(1, &["--events-heartbeat-secs", "1"]).await;
    let mut stream = Stream::open(&cluster.admin(0).await, "/events").await;
    // The first is what the stream was opened with.
    while stream.text.matches("\n: revision ").count() < 3 {
        let piece = tokio::time::timeout(PATIENCE, stream.response.chunk()).await.expect("something comes");
        stream.text.push_str(&String::from_utf8_lossy(&piece.expect("the stream goes on").expect("and does not end")));
    }
    let frames = stream.text.split("\n\n").filter(|frame| frame.contains("\n: revision "));
    assert!(frames.clone().count() >= 3 && frames.clone().all(|frame| frame.starts_with("id: ")), "{}", stream.text);
}

#[tokio::test]
async fn changes_are_heard_everywhere_resumed_and_only_by_those_they_are_for() {
    let cluster = Cluster::start(3).await;
    cluster.leader().await;
    let owner = cluster.admin(0).await;
    for slug in ["acme", "other"] {
        let _ = owner.create_tenant(slug, json!({})).await;
    }
    let credential = owner.create_admin("theirs", json!({"tenant-admin": "acme"})).await;
    let theirs = Admin::sign_in(&cluster.nodes[1].admin_url(), &credential).await.expect("it signs in");
    let everywhere = cluster.admin(2).await;
    let start = rename(&owner, "acme", "Acme 0").await;
    let read = everywhere.get(&format!("/tenants?min_revision={start}")).await;
    assert_eq!(read.status, 200);
    let _ = theirs.get(&format!("/tenants?min_revision={start}")).await.expect(200);

    let (mut all, mut own) = (
        Stream::open(&everywhere, &format!("/events?since={start}")).await,
        Stream::open(&theirs, &format!("/events?since={start}")).await,
    );
    let first = rename(&owner, "other", "Other 1").await;
    let second = rename(&owner, "acme", "Acme 1").await;
    let heard = [all.change().await, all.change().await];
    let revisions = heard.each_ref().map(|event| event.data["revision"].as_u64().expect("a revision"));
    assert_eq!(revisions, [first, second]);
    assert_eq!(heard[0].name, "tenant.update");
    assert_eq!(heard[0].data["changes"][0]["fields"][0]["after"], "Other 1");
    assert!(heard[0].data.get("source_address").is_none());
    let heard_own = own.change().await;
    assert_eq!((&heard_own.data["tenant"], heard_own.data["revision"].as_u64()), (&"acme".into(), Some(second)));

    // By revision, and by the id of the last event, as a browser does.
    let mut resumed = Stream::open(&everywhere, &format!("/events?since={first}")).await;
    assert_eq!(resumed.change().await.data["revision"], second);
    let request = everywhere.request(Method::GET, "/events").header("last-event-id", &heard[0].id);
    let mut resumed = Stream { response: request.send().await.expect("an answer"), text: String::new() };
    assert_eq!(resumed.change().await.data["revision"], second);
    // It keeps the address that it began with.
    let request = everywhere.request(Method::GET, &format!("/events?since={start}"));
    let request = request.header("last-event-id", &heard[0].id);
    let mut resumed = Stream { response: request.send().await.expect("an answer"), text: String::new() };
    assert_eq!(resumed.change().await.data["revision"], second, "what it had is not sent again");
    let future = everywhere.get(&format!("/events?since={}", second + 1_000)).await;
    assert_eq!(future.text_of("code"), "revision_not_reached");

    // The credential goes, and with it the stream: at once, by the next change.
    let id = credential.split('_').nth(1).expect("hja_<id>_<secret>");
    let admins = owner.get("/admins").await.expect(200).json;
    let items = admins["items"].as_array().expect("items").clone();
    let gone =
        items.iter().find(|item| item["id"].as_str().is_some_and(|it| it.replace('-', "") == id)).expect("it is there");
    let _ = owner.delete(&format!("/admins/{}", gone["id"].as_str().expect("an id"))).await.expect(204);
    rename(&owner, "acme", "Acme 2").await;
    let end = own.next().await.expect("a farewell");
    assert_eq!((end.name.as_str(), &end.data["reason"]), ("closed", &"revoked".into()));
    assert!(own.next().await.is_none());
}
