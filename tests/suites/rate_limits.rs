//! A tenant's limit: its flood is refused at every endpoint, with a true word on when to come back, and nobody else
//! notices.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use tests::tenant::Tenant;
use tests::wait::{PATIENCE, until};
use tests::web::{self, Answer, raw_status};
use tests::{routes, world};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// Sent at once, so that some are too many however slow the machine is.
const AT_ONCE: usize = 6;

async fn at_once(method: &Method, url: &str, many: usize) -> Vec<Answer> {
    let http = web::client();
    join_all((0..many).map(|_| web::send(http.request(method.clone(), url)))).await
}

/// One of a flood that was refused.
async fn refused(method: &Method, url: &str) -> Answer {
    until(&format!("{method} {url} is refused"), PATIENCE, async || {
        let answers = at_once(method, url, AT_ONCE).await;
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        answers.into_iter().find(|answer| answer.status == 429).ok_or_else(|| format!("{statuses:?}"))
    })
    .await
}

/// How a refusal is written.
fn shape(answer: &Answer) -> &'static str {
    let kind = answer.header("content-type").unwrap_or_default();
    match kind.split(';').next() {
        Some("text/html") => "page",
        Some("application/problem+json") if answer.json["code"] == "too_many_requests" => "problem",
        Some("application/json")
            if answer.json["error"] == "temporarily_unavailable" && answer.json["code"] == "too_many_requests" =>
        {
            "oauth"
        }
        _ => panic!("{answer:?}"),
    }
}

async fn limit(tenant: &Tenant, limit: serde_json::Value) {
    tenant.patch(&json!({ "settings": { "rate_limit": limit } })).await;
}

fn keys(tenant: &Tenant) -> String {
    format!("{}/.well-known/jwks.json", tenant.issuer)
}

#[tokio::test]
async fn a_flood_is_refused_everywhere_and_the_neighbour_is_served() {
    let world = world::shared().await;
    let (a, b) = (world.tenant("flood").await, world.tenant("neighbour").await);
    assert!(at_once(&Method::GET, &keys(&a), 40).await.iter().all(|answer| answer.status == 200), "no limit yet");
    limit(&a, json!({ "requests_per_second": 1, "burst": 2 })).await;

    let stop = Arc::new(AtomicBool::new(false));
    let flood = tokio::spawn({
        let (stop, url) = (Arc::clone(&stop), keys(&a));
        async move {
            let mut seen = BTreeSet::new();
            while !stop.load(Ordering::Relaxed) {
                seen.extend(at_once(&Method::GET, &url, AT_ONCE).await.iter().map(|answer| answer.status));
            }
            seen
        }
    });
    let mut shapes = BTreeSet::new();
    for (method, path) in routes::tenant_routes() {
        let url = format!("{}{}", a.issuer, path.replace("{id}", "x").replace("{resource:.+}", "oauth2/userinfo"));
        let answer = refused(&method, &url).await;
        assert_eq!(answer.header("retry-after"), Some("1"), "{method} {url}: {answer:?}");
        let shape = shape(&answer);
        match path.as_str() {
            "/oauth2/token" | "/oauth2/introspect" | "/oauth2/par" => assert_eq!(shape, "oauth", "{path}"),
            "/login" | "/oauth2/authorize" | "/account" => assert_eq!(shape, "page", "{path}"),
            "/.well-known/jwks.json" | "/api/v1/users" => assert_eq!(shape, "problem", "{path}"),
            _ => {}
        }
        shapes.insert(shape);
        // Meanwhile, with the flood going on.
        let _ = b.service.token(&[("grant_type", "client_credentials")]).await.expect(200);
    }
    assert_eq!(shapes, BTreeSet::from(["oauth", "page", "problem"]));
    let alice = b.user("alice").await;
    let _ = b.app.sign_in(&alice).await;
    stop.store(true, Ordering::Relaxed);
    let seen = flood.await.expect("the flood ends");
    assert!(seen.contains(&429) && seen.is_subset(&BTreeSet::from([200, 429])), "{seen:?}");

    let metrics = web::send(web::client().get(format!("{}/metrics", world.pods[0].ops_url()))).await.expect(200).text;
    assert!(metrics.contains(&format!("hj_dp_rate_limited_total{{tenant=\"{}\"}}", a.slug)), "{metrics}");
    assert!(!metrics.contains(&format!("hj_dp_rate_limited_total{{tenant=\"{}\"}}", b.slug)), "{metrics}");

    limit(&a, json!(null)).await;
    assert!(at_once(&Method::GET, &keys(&a), 40).await.iter().all(|answer| answer.status == 200), "lifted");
}

#[tokio::test]
async fn who_comes_back_when_told_is_served() {
    let world = world::shared().await;
    let a = world.tenant("back").await;
    limit(&a, json!({ "requests_per_second": 1 })).await;
    let told = refused(&Method::GET, &keys(&a)).await;
    let heard = Instant::now();
    let wait: u64 = told.header("retry-after").expect("it is told").parse().expect("seconds");
    until("served again", PATIENCE, async || {
        let due = heard.elapsed() >= Duration::from_secs(wait);
        let answer = web::send(web::client().get(keys(&a))).await;
        assert!(!due || answer.status == 200, "refused after the time it told: {answer:?}");
        if answer.status == 200 { Ok(()) } else { Err(format!("{}", answer.status)) }
    })
    .await;
}

/// The count is the tenant's, however a request names it.
#[tokio::test]
async fn another_name_for_the_tenant_is_no_way_around() {
    let world = world::shared().await;
    let a = world.tenant("steady").await;
    limit(&a, json!({ "requests_per_second": 1, "burst": 1 })).await;
    let wrong =
        a.admin.patch(&format!("/tenants/{}", a.slug), &json!({"settings": {"rate_limit": {"burst": 0}}})).await;
    assert_eq!(wrong.expect(422).pointers(), ["/settings/rate_limit/burst"]);
    let (by_path, by_header) = (keys(&a), format!("{}/.well-known/jwks.json", world.pods[0].url()));
    until("a request with another name for the tenant is refused", PATIENCE, async || {
        let http = web::client();
        let named = |_| web::send(http.get(&by_header).header("x-tenant-slug", &a.slug));
        let both = tokio::join!(at_once(&Method::GET, &by_path, AT_ONCE), join_all((0..AT_ONCE).map(named)));
        let refused = |answers: &[Answer]| answers.iter().any(|answer| answer.status == 429);
        if refused(&both.0) && refused(&both.1) { Ok(()) } else { Err("served".to_owned()) }
    })
    .await;
}

/// Who is refused keeps the connection, though nobody wanted the body: a flood over TLS must not pay, and cost, a
/// handshake for each refusal.
#[tokio::test]
async fn a_refused_post_is_answered_and_so_is_the_next_on_its_connection() {
    let world = world::shared().await;
    let a = world.tenant("kept").await;
    limit(&a, json!({ "requests_per_second": 1, "burst": 1 })).await;
    let address = world.pods[0].address();
    // Others use up what the tenant has.
    let stop = Arc::new(AtomicBool::new(false));
    let flood = tokio::spawn({
        let (stop, url) = (Arc::clone(&stop), keys(&a));
        async move {
            while !stop.load(Ordering::Relaxed) {
                let _ = at_once(&Method::GET, &url, AT_ONCE).await;
            }
        }
    });
    let head = |path: &str, length: usize| {
        let kind = "application/x-www-form-urlencoded";
        let slug = &a.slug;
        format!(
            "POST /t/{slug}/{path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    for (path, length) in [("oauth2/token", 60), ("oauth2/token", 60_000), ("login", 60)] {
        let (mut connection, mut refused) = (Connection::to(address).await, 0);
        until("three refusals on one connection", PATIENCE, async || {
            // Head and body apart, so that the answer may be decided before the body is there.
            connection.send(&head(path, length)).await;
            connection.send(&"x".repeat(length)).await;
            refused += usize::from(connection.answer().await == 429);
            if refused == 3 { Ok(()) } else { Err(format!("{path}: {refused}")) }
        })
        .await;
    }
    // A body that is too large to be worth it ends it, as before.
    until("a large one is refused, and the connection is closed", PATIENCE, async || {
        let mut connection = Connection::to(address).await;
        connection.send(&head("oauth2/token", 1 << 20)).await;
        let status = connection.answer().await;
        assert!(connection.is_over().await, "the connection is open after {status}");
        if status == 429 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    flood.await.expect("the flood ends");
}

/// A connection to a pod, in plain bytes.
struct Connection(BufReader<TcpStream>);

impl Connection {
    async fn to(address: &str) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.expect("the pod listens")))
    }

    async fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).await.expect("the connection is there");
        self.0.get_mut().flush().await.expect("the connection is there");
    }

    /// The status of the next answer, which is read to its end.
    async fn answer(&mut self) -> u16 {
        let (mut head, mut line) = (String::new(), String::new());
        while line != "\r\n" {
            line.clear();
            let read = self.0.read_line(&mut line).await.expect("the connection is there");
            assert!(read > 0, "the connection was closed in place of an answer: {head}");
            head.push_str(&line);
        }
        let lower = head.to_ascii_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("its length");
        let mut body = vec![0; length.parse().expect("a number")];
        self.0.read_exact(&mut body).await.expect("the body is whole");
        raw_status(&head).expect("a status")
    }

    /// Whether the pod closed it after its last answer.
    async fn is_over(&mut self) -> bool {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut rest)).await;
        // A reset is an end, too: it was still being sent to.
        ended.is_ok_and(|ended| ended.is_err() || rest.is_empty())
    }
}
