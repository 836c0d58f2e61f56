//! The API against a real node: Raft, disk and all, a cluster of one.

mod abuse;
mod access;
mod apply;
mod import;
mod resources;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix_web::body::to_bytes;
use actix_web::http::Method;
use actix_web::http::header::HeaderMap;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, web};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use transport::forwarded::{ForwardingHeader, TrustedProxies};
use uuid::Uuid;
use vocab::{AdminId, Keyring, ManualClock, MasterKey, NodeId, Secret};

use super::{Api, Throttle, VerifiedTokens, routes};
use crate::bootstrap::{self, FirstOwner};
use crate::control_plane::{self, NodeConfig};
use crate::credential::Credential;
use crate::settings::FollowerWrites;

/// A node, and an owner who is signed in.
struct Node {
    api: web::Data<Api>,
    clock: Arc<ManualClock>,
    owner: String,
    _dir: tempfile::TempDir,
}

/// An answer, its body read as JSON (null when there is none).
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }
}

impl Node {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        };
        let raft_listener = listener();
        let config = NodeConfig {
            node_id: NodeId(1),
            advertise_addr: raft_listener.local_addr().unwrap().to_string(),
            raft_listener,
            watch_listener: listener(),
            advertise_admin_url: None,
            bootstrap: crate::membership::Bootstrap::LowestId,
            admission: crate::membership::Admission::Learner,
            peers: BTreeMap::new(),
            data_dir: dir.path().to_owned(),
            hmac_secrets: Vec::new(),
            watch_token: Some(Secret::new("a-token-for-the-watch".to_owned())),
            tls: None,
            heartbeat: Duration::from_millis(20),
            election_timeout_min: Duration::from_millis(60),
            election_timeout_max: Duration::from_millis(120),
            snapshot_every: 10_000,
        };
        let keyring = Keyring::new(MasterKey::new([5; 32]), vec![]);
        let clock = Arc::new(ManualClock::at(SystemTime::now().into()));
        let control = control_plane::start(config, keyring.clone(), clock.clone()).await.unwrap();
        let owner = Credential::generate(AdminId::from_uuid(Uuid::from_u128(1)));
        let stop = CancellationToken::new();
        bootstrap::run(control.clone(), FirstOwner::Given(owner.clone()), &mut std::io::sink(), stop).await;
        let api = Api {
            control,
            keyring,
            clock: clock.clone(),
            follower_writes: FollowerWrites::Forward,
            throttle: Throttle::default(),
            uses: super::Uses::default(),
            oidc: None,
            trusted_proxies: TrustedProxies::parse("10.0.0.0/8", ForwardingHeader::Forwarded).unwrap(),
            tokens: VerifiedTokens::default(),
            gitops: None,
            audit_token: Some(Secret::new("the-token-of-the-audit".to_owned())),
            listeners: super::Listeners::new(std::time::Duration::from_secs(10)),
            certificates: crate::tls::CertificateEnds::default(),
            leaving: Arc::default(),
        };
        let mut node = Self { api: web::Data::new(api), clock, owner: String::new(), _dir: dir };
        node.owner = node.sign_in(owner.reveal().expose()).await;
        node
    }

    async fn send(&self, request: TestRequest) -> Answer {
        let app = App::new().app_data(self.api.clone()).configure(routes::configure);
        let app = init_service(app).await;
        let (_, response) = call_service(&app, request.to_request()).await.into_parts();
        let (head, body) = response.into_parts();
        let bytes = to_bytes(body).await.ok().unwrap();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Answer { status: head.status().as_u16(), headers: head.headers().clone(), body }
    }

    fn request(token: &str, method: Method, path: &str) -> TestRequest {
        TestRequest::with_uri(&format!("/api/v1{path}"))
            .method(method)
            .insert_header(("authorization", format!("Bearer {token}")))
    }

    /// As the owner.
    async fn call(&self, method: Method, path: &str, body: Value) -> Answer {
        self.call_as(&self.owner, method, path, body).await
    }

    async fn call_as(&self, token: &str, method: Method, path: &str, body: Value) -> Answer {
        let request = Self::request(token, method, path);
        self.send(if body.is_null() { request } else { request.set_json(body) }).await
    }

    async fn call_with(&self, header: (&str, &str), method: Method, path: &str, body: Value) -> Answer {
        let request = Self::request(&self.owner, method, path).insert_header(header);
        self.send(if body.is_null() { request } else { request.set_json(body) }).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, Value::Null).await
    }

    async fn sign_in(&self, credential: &str) -> String {
        let request = TestRequest::post().uri("/api/v1/auth/token").set_json(json!({"credential": credential}));
        let answer = self.send(request).await.expect(200);
        assert_eq!(answer.body["token_type"], "Bearer");
        assert_eq!(answer.body["expires_in"], 600);
        answer.body["access_token"].as_str().unwrap().to_owned()
    }

    /// A token of a fresh administrator with that role, and its id.
    async fn hire(&self, role: Value) -> (String, String) {
        let made = self.call(Method::POST, "/admins", json!({"name": "a", "role": role})).await.expect(201);
        let token = self.sign_in(made.body["credential"].as_str().unwrap()).await;
        (token, made.body["id"].as_str().unwrap().to_owned())
    }

    async fn tenant(&self, slug: &str) -> Answer {
        self.call(Method::POST, "/tenants", json!({"slug": slug, "display_name": slug})).await.expect(201)
    }
}
