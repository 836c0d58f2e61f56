//! The same stream over a WebSocket.

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::wait::PATIENCE;
use tests::web;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::rename;

/// A listener: messages as they come.
pub(super) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(super) async fn open(admin: &Admin, path: &str) -> Result<Self, tungstenite::Error> {
        let url = admin.url(path).replacen("http://", "ws://", 1);
        let mut request = url.into_client_request().expect("a URL");
        let bearer = format!("Bearer {}", admin.token()).parse().expect("a header");
        request.headers_mut().insert("authorization", bearer);
        let (socket, _) = tokio_tungstenite::connect_async(request).await?;
        Ok(Self(socket))
    }

    pub(super) async fn message(&mut self) -> Option<Message> {
        let message = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("something comes");
        message.transpose().ok()?
    }

    /// The next message of that kind: the name of an event, or how it begins.
    pub(super) async fn next(&mut self, kind: &str) -> Value {
        loop {
            let message = self.message().await.expect("a message");
            let Message::Text(text) = message else { continue };
            let event: Value = serde_json::from_str(&text).expect("JSON");
            if event["event"].as_str().expect("a name").starts_with(kind) {
                return event;
            }
        }
    }

    /// How it ends: the last word, and the code that the WebSocket is closed with.
    pub(super) async fn end(&mut self) -> (Value, Option<CloseCode>) {
        let last = self.next("closed").await;
        let code = match self.message().await {
            Some(Message::Close(frame)) => frame.map(|frame| frame.code),
            other => panic!("{other:?}"),
        };
        (last["data"]["reason"].clone(), code)
    }
}

#[tokio::test]
async fn a_web_socket_tells_the_same_to_the_same_people() {
    let mut cluster = Cluster::start_with(1, &["--events-heartbeat-secs", "1"]).await;
    let owner = cluster.admin(0).await;
    for slug in ["acme", "other"] {
        let _ = owner.create_tenant(slug, json!({})).await;
    }
    let start = rename(&owner, "acme", "Acme 0").await;
    let first = rename(&owner, "other", "Other 1").await;
    let second = rename(&owner, "acme", "Acme 1").await;
    let credential = owner.create_admin("theirs", json!({"tenant-admin": "acme"})).await;
    let theirs = Admin::sign_in(&cluster.nodes[0].admin_url(), &credential).await.expect("it signs in");

    let mut all = Socket::open(&owner, &format!("/events?since={start}")).await.expect("a socket");
    let mut own = Socket::open(&theirs, &format!("/events?since={start}")).await.expect("a socket");
    assert!(all.next("opened").await["data"]["revision"].as_u64() >= Some(second));
    let heard = [all.next("tenant.").await, all.next("tenant.").await];
    assert_eq!(heard.each_ref().map(|event| event["data"]["revision"].as_u64()), [Some(first), Some(second)]);
    assert_eq!(heard[0]["event"], "tenant.update");
    assert_eq!(heard[0]["data"]["changes"][0]["fields"][0]["after"], "Other 1");
    assert_eq!(own.next("tenant.").await["data"]["revision"].as_u64(), Some(second), "its own tenant only");
    // By the id of the last event.
    let id = heard[0]["id"].as_str().expect("an id");
    let mut resumed = Socket::open(&owner, &format!("/events?since={id}")).await.expect("a socket");
    assert_eq!(resumed.next("tenant.").await["data"]["revision"].as_u64(), Some(second));

    // It says that it is alive; a ping is answered, anything else is nobody's business.
    assert!(all.next("heartbeat").await["data"]["revision"].as_u64() >= Some(second));
    for message in [Message::text("hello"), Message::binary(vec![1, 2, 3]), Message::Ping(vec![7].into())] {
        all.0.send(message).await.expect("sent");
    }
    loop {
        if let Message::Pong(payload) = all.message().await.expect("it goes on") {
            assert_eq!(&payload[..], [7]);
            break;
        }
    }
    let third = rename(&owner, "acme", "Acme 2").await;
    assert_eq!(all.next("tenant.").await["data"]["revision"].as_u64(), Some(third));
    assert_eq!(own.next("tenant.").await["data"]["revision"].as_u64(), Some(third));

    // Who may not listen is told so by HTTP.
    let refused = |outcome: Result<Socket, tungstenite::Error>| match outcome {
        Err(tungstenite::Error::Http(answer)) => answer.status().as_u16(),
        Err(other) => panic!("{other}"),
        Ok(_) => 101,
    };
    assert_eq!(refused(Socket::open(&owner.with_token("made-up"), "/events").await), 401);
    let future = format!("/events?since={}", third + 1_000);
    assert_ne!(refused(Socket::open(&owner, &future).await), 101);
    let other = web::client().get(owner.url("/events")).bearer_auth(owner.token());
    let other = other.header("upgrade", "h2c").header("connection", "upgrade");
    assert_eq!(web::send(other).await.expect(400).code(), "invalid_request");

    // The credential goes, and with it the socket; a server that stops says goodbye.
    let id = credential.split('_').nth(1).expect("hja_<id>_<secret>");
    let _ = owner.delete(&format!("/admins/{id}")).await.expect(204);
    rename(&owner, "acme", "Acme 3").await;
    assert_eq!(own.end().await, ("revoked".into(), Some(CloseCode::Policy)));
    let (stopped, end) = tokio::join!(cluster.nodes[0].stop(PATIENCE), all.end());
    assert_eq!((stopped, end), (Some(0), ("stopping".into(), Some(CloseCode::Away))));
}
