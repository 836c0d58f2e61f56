//! What becomes of tokens: introspection of a JWT per CPU-second; refresh rotations and code redemptions beside what
//! `pgbench` gets of the same server with a statement of one update and one insert, at as many connections.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane_service::store::codes::{self, NewCode};
use serde_json::json;
use tests::postgres::{self, Database};
use tests::stores;
use tests::tenant::{BACKEND_REDIRECT, Tenant};
use tests::world::World;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vocab::{Clock as _, SystemClock};

use crate::load::{self, float};
use crate::options::Options;
use crate::table::{self, count, ratio, row};
use crate::tokens::measure;

/// Requests at once, and connections of the pool.
const CONNECTIONS: usize = 16;
/// Codes that are redeemed, each once.
const CODES: u64 = 4000;

pub(crate) async fn run(options: &Options) {
    let world = World::start(1, 1).await;
    let tenant = world.tenant("bench").await;
    tenant
        .patch(&json!({ "settings": { "database": { "dsn": tenant.database.dsn(), "max_connections": CONNECTIONS } } }))
        .await;
    introspection(&world, &tenant).await;

    let db = stores::open(&tenant.database, id_of(&tenant).await);
    let alice = tenant.user("alice").await.id.parse().expect("a user's id is a UUID");
    let claims = oauth_core::claims_request::ClaimsRequest::default();
    let details = oauth_core::authorization_details::AuthorizationDetails::default();
    let mut codes = Vec::new();
    for _ in 0..CODES + CONNECTIONS as u64 {
        let now = SystemClock.now();
        let new = NewCode {
            user_id: alice,
            client_id: "backend",
            sid: None,
            scopes: vec!["openid".to_owned(), "offline_access".to_owned()],
            audience: &[],
            nonce: None,
            claims: &claims,
            details: &details,
            auth_time: now,
            amr: &[],
            redirect_uri: BACKEND_REDIRECT,
            code_challenge: None,
            dpop_jkt: None,
            now,
            expires_at: now.plus_secs(600),
            grant_expires_at: now.plus_secs(86_400),
        };
        codes.push(codes::issue(&db, &new).await.expect("the database does as told").expose().clone());
    }
    let yardstick = pgbench(&tenant.database, options.measured).await;
    let redemptions = redeem(&world, &tenant, codes.split_off(CONNECTIONS)).await;
    let rotations = refresh(&world, &tenant, codes, options.measured).await;
    let after = pgbench(&tenant.database, options.measured).await;
    let yardstick = f64::midpoint(yardstick, after);
    table::print(
        "exchanges that use something up",
        &format!("Per second of the wall clock; {CONNECTIONS} connections; aim: 0.6 of pgbench."),
        &[
            row(["what", "per second", "of pgbench"]),
            row(["pgbench: one row updated, one inserted", &count(yardstick), "1.00"]),
            row(["refresh rotation", &count(rotations), &ratio(rotations, yardstick)]),
            row(["code redemption", &count(redemptions), &ratio(redemptions, yardstick)]),
        ],
    );
}

async fn introspection(world: &World, tenant: &Tenant) {
    let pod = &world.pods[0];
    let token = tenant.service.client_credentials("hj:users.read").await;
    let basic = basic(tenant.service.secret.as_deref(), "service");
    let path = |name: &str| format!("/t/{}{name}", tenant.slug);
    let headers = [("authorization", basic.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let ask = load::request("POST", &path("/oauth2/introspect"), &headers, &format!("token={token}"));
    let constant = load::request("GET", &path("/.well-known/jwks.json"), &[], "");
    let (constants, _) = measure(pod.address(), pod.process().id(), constant).await;
    let (answers, outcome) = measure(pod.address(), pod.process().id(), ask).await;
    table::print(
        "introspection of a JWT, ES256",
        "Per CPU-second of the pod; no database query.",
        &[
            row(["what", "per CPU-second", "introspection / this", "failures"]),
            row(["introspection", &count(answers), "1.00", &outcome.failures.to_string()]),
            row(["constant answer of the same server (JWKS)", &count(constants), &ratio(answers, constants), ""]),
        ],
    );
}

/// The tenant's id, which is part of every digest.
async fn id_of(tenant: &Tenant) -> u128 {
    let document = tenant.admin.get(&format!("/tenants/{}", tenant.slug)).await.expect(200);
    document.text_of("id").parse::<uuid::Uuid>().expect("a tenant's id is a UUID").as_u128()
}

fn basic(secret: Option<&str>, client: &str) -> String {
    use base64::Engine as _;
    let credentials = format!("{client}:{}", secret.expect("a confidential client has a secret"));
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(credentials))
}

fn token_request(tenant: &Tenant, body: &str) -> Vec<u8> {
    let basic = basic(tenant.backend.secret.as_deref(), "backend");
    let headers = [("authorization", basic.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    load::request("POST", &format!("/t/{}/oauth2/token", tenant.slug), &headers, body)
}

fn redemption(tenant: &Tenant, code: &str) -> Vec<u8> {
    let redirect: String = url::form_urlencoded::byte_serialize(BACKEND_REDIRECT.as_bytes()).collect();
    token_request(tenant, &format!("grant_type=authorization_code&code={code}&redirect_uri={redirect}"))
}

/// Codes redeemed per second.
async fn redeem(world: &World, tenant: &Tenant, codes: Vec<String>) -> f64 {
    let many = codes.len() as u64;
    let requests: Vec<_> = codes.iter().map(|code| redemption(tenant, code)).collect();
    let make = Arc::new(move |n: u64| requests[usize::try_from(n).expect("an index")].clone());
    let began = Instant::now();
    let failures = load::all(world.pods[0].address(), CONNECTIONS, 200, many, make).await;
    assert_eq!(failures, 0, "every code is good once");
    float(many) / began.elapsed().as_secs_f64()
}

/// Refresh tokens rotated per second: each connection uses what it was answered last.
async fn refresh(world: &World, tenant: &Tenant, codes: Vec<String>, measured: Duration) -> f64 {
    let address = world.pods[0].address();
    let mut chains = Vec::new();
    for code in codes {
        let mut stream = TcpStream::connect(address).await.expect("the pod listens");
        let _ = stream.set_nodelay(true);
        let token = exchange(&mut stream, &redemption(tenant, &code)).await;
        chains.push((stream, token));
    }
    let began = Instant::now();
    let rotations = chains.into_iter().map(|(mut stream, mut token)| async move {
        let mut rotated = 0;
        while began.elapsed() < measured {
            let body = format!("grant_type=refresh_token&refresh_token={token}");
            token = exchange(&mut stream, &token_request(tenant, &body)).await;
            rotated += 1;
        }
        rotated
    });
    let rotated: u64 = futures::future::join_all(rotations).await.into_iter().sum();
    float(rotated) / began.elapsed().as_secs_f64()
}

/// Sends a token request; the refresh token of its answer.
async fn exchange(stream: &mut TcpStream, request: &[u8]) -> String {
    stream.write_all(request).await.expect("the pod reads");
    let mut answer = Vec::with_capacity(4096);
    loop {
        assert_ne!(stream.read_buf(&mut answer).await.expect("the pod answers"), 0, "the pod hung up");
        let text = String::from_utf8_lossy(&answer);
        if let Some((_, rest)) = text.split_once("\"refresh_token\":\"")
            && let Some((token, _)) = rest.split_once('"')
            && text.ends_with('}')
        {
            return token.to_owned();
        }
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    }
}

/// Transactions per second of the yardstick.
async fn pgbench(database: &Database, measured: Duration) -> f64 {
    let connection = database.connect_as_role(&database.name).await.expect("the role may connect");
    connection
        .batch_execute(
            "create table if not exists bench_rows (id integer primary key, used timestamptz);
             create table if not exists bench_log (id bigserial primary key, row integer, at timestamptz);
             insert into bench_rows select n, null from generate_series(1, 10000) n on conflict do nothing",
        )
        .await
        .expect("the role may create tables");
    let script = tests::scratch::folder("pgbench").join("script.sql");
    let sql = "\\set id random(1, 10000)\n\
               with used as (update bench_rows set used = now() where id = :id returning id) \
               insert into bench_log (row, at) select id, now() from used;\n";
    std::fs::write(&script, sql).expect("the scratch folder is writable");
    let output = tokio::process::Command::new(postgres::binary("pgbench"))
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=1"])
        .arg(format!("--client={CONNECTIONS}"))
        .arg(format!("--time={}", measured.as_secs().max(1)))
        .arg(format!("--file={}", script.display()))
        .arg(database.dsn())
        .output()
        .await
        .expect("pgbench runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("tps = "));
    let figure = line.and_then(|line| line.split(' ').next()).and_then(|figure| figure.parse().ok());
    figure.unwrap_or_else(|| panic!("pgbench: {text}{}", String::from_utf8_lossy(&output.stderr)))
}
