//! A provider that says what a test wants it to say.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::key::{Key, now};

pub(super) const CLIENT: &str = "us";

pub(super) struct Upstream {
    pub(super) issuer: String,
    pub(super) key: Key,
    documents: Arc<Mutex<Documents>>,
}

struct Documents {
    metadata: Value,
    jwks: Value,
    token: Value,
}

impl Upstream {
    /// Its metadata are good but for `changes`.
    pub(super) async fn start(changes: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let issuer = format!("http://{}", listener.local_addr().expect("it is bound"));
        let mut metadata = json!({
            "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/jwks"),
        });
        for (name, value) in changes.as_object().expect("members") {
            metadata[name] = value.clone();
        }
        let key = Key::new("up");
        let documents = Documents { metadata, jwks: json!({ "keys": [key.jwk] }), token: json!({}) };
        let documents = Arc::new(Mutex::new(documents));
        let served = Arc::clone(&documents);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&served)));
            }
        });
        Self { issuer, key, documents }
    }

    /// As a tenant trusts it.
    pub(super) fn as_provider(&self, id: &str, people: &str) -> Value {
        json!({ "id": id, "display_name": id, "issuer": self.issuer, "client_id": CLIENT, "people": people })
    }

    /// Good claims for this nonce.
    pub(super) fn claims(&self, nonce: &str) -> Value {
        json!({
            "iss": self.issuer, "sub": "mallory", "aud": CLIENT, "iat": now(), "exp": now() + 60, "nonce": nonce,
            "email": "mallory@corp.example", "email_verified": true,
        })
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        self.key.sign(&json!({ "alg": "ES256", "kid": "up" }), claims)
    }

    /// What the token endpoint says from now on.
    pub(super) fn gives(&self, id_token: &str) {
        let token = json!({ "access_token": "x", "token_type": "Bearer", "id_token": id_token });
        self.documents.lock().expect("nobody panics with it").token = token;
    }
}

async fn serve(mut stream: TcpStream, documents: Arc<Mutex<Documents>>) {
    let mut request = Vec::new();
    // The head says which document is wanted; a form behind it is read so that nothing is cut off.
    while !whole(&request) {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    let body = {
        let documents = documents.lock().expect("nobody panics with it");
        let path = head.split(' ').nth(1).unwrap_or_default();
        match path {
            "/jwks" => documents.jwks.to_string(),
            "/token" => documents.token.to_string(),
            _ => documents.metadata.to_string(),
        }
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all((head + &body).as_bytes()).await;
}

fn whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    body.len() >= length.unwrap_or(0)
}
