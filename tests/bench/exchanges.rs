//! What becomes of tokens: introspection of a JWT per CPU-second; refresh rotations and code redemptions beside what
//! `pgbench` gets of the same server at as many connections.
//!
//! Twice: on a server that answers before anything is on disk, as that of the tests does, where the processor is the limit;
//! and on one that commits to its disk, as they are in earnest. And beside two statements of `pgbench`, each of which
//! updates a row and inserts one: [`Yardstick`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane_service::store::codes::{self, NewCode};
use futures::StreamExt as _;
use oauth_core::authorization_details::AuthorizationDetails;
use oauth_core::claims_request::ClaimsRequest;
use serde_json::json;
use tests::postgres::{self, Database};
use tests::stores;
use tests::tenant::{BACKEND_REDIRECT, Tenant};
use tests::wait::{PATIENCE, until};
use tests::world::World;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vocab::{Clock as _, SystemClock};

use crate::cpu;
use crate::load::{self, float};
use crate::options::Options;
use crate::table::{self, count, ratio, row};
use crate::tokens::measure;

/// Requests at once, and connections of the pool.
const CONNECTIONS: usize = 16;
/// Codes that are redeemed, each once.
const CODES: usize = 10_000;
/// Codes that are redeemed before, while the pod opens connections and prepares statements.
const WARM_UP: usize = 1000;

pub(crate) async fn run(options: &Options) {
    let world = World::start(1, 1).await;
    let tenant = world.tenant("bench").await;
    tenant
        .patch(&json!({ "settings": { "database": { "dsn": tenant.database.dsn(), "max_connections": CONNECTIONS } } }))
        .await;
    introspection(&world, &tenant).await;
    for durability in [Durability::None, Durability::Disk] {
        durability.set(&tenant.database).await;
        exchanges(&world, &tenant, durability, options.measured).await;
    }
}

/// What an answer of the server promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durability {
    None,
    Disk,
}

impl Durability {
    /// Of the server of this process, connections that are open included.
    async fn set(self, database: &Database) {
        let value = if self == Self::Disk { "on" } else { "off" };
        let server = postgres::server().await;
        for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
            server.execute(&format!("alter system set {setting} = {value}")).await;
        }
        server.execute("select pg_reload_conf()").await;
        until("the setting holds", PATIENCE, async || {
            let row = database.connect().await.query_one("show fsync", &[]).await.map_err(|error| error.to_string())?;
            if row.get::<_, String>(0) == value { Ok(()) } else { Err("not yet".to_owned()) }
        })
        .await;
    }

    const fn told(self) -> &'static str {
        match self {
            Self::None => "a server that does not wait for its disk",
            Self::Disk => "a server that commits to its disk",
        }
    }
}

/// What something took, per second and in CPU of each side.
#[derive(Clone, Copy, Debug)]
struct Figure {
    per_second: f64,
    /// None: the pod had no part in it.
    pod_micros: Option<f64>,
    postgres_micros: f64,
}

/// Runs `work`, which says how often it did what is measured.
async fn figure(pod: u32, postgres: u32, work: impl Future<Output = u64>) -> Figure {
    let (before, began) = ((cpu::time(pod), cpu::of_family(postgres)), Instant::now());
    let many = float(work.await);
    let took = began.elapsed();
    let micros = |now: Duration, then: Duration| now.saturating_sub(then).as_secs_f64() * 1e6 / many;
    Figure {
        per_second: many / took.as_secs_f64(),
        pod_micros: Some(micros(cpu::time(pod), before.0)),
        postgres_micros: micros(cpu::of_family(postgres), before.1),
    }
}

/// What `pgbench` does of either kind.
struct Yardsticks {
    bare: Figure,
    alike: Figure,
}

impl Yardsticks {
    async fn measure(tenant: &Tenant, postgres: u32, measured: Duration) -> Self {
        let of = async |yardstick| {
            let (before, processes) = (cpu::of_family(postgres), cpu::children(postgres).len());
            let (many, per_second) = pgbench(&tenant.database, yardstick, measured).await;
            // What a process used counts as its parent's when that has taken note of its end.
            until("the connections are gone", PATIENCE, async || {
                let now = cpu::children(postgres).len();
                if now <= processes { Ok(()) } else { Err(format!("{now} processes, {processes} before")) }
            })
            .await;
            let used = cpu::of_family(postgres).saturating_sub(before);
            Figure { per_second, pod_micros: None, postgres_micros: used.as_secs_f64() * 1e6 / many }
        };
        Self { bare: of(Yardstick::Bare).await, alike: of(Yardstick::Alike).await }
    }

    fn midpoint(&self, other: &Self) -> Self {
        let of = |one: &Figure, other: &Figure| Figure {
            per_second: f64::midpoint(one.per_second, other.per_second),
            pod_micros: None,
            postgres_micros: f64::midpoint(one.postgres_micros, other.postgres_micros),
        };
        Self { bare: of(&self.bare, &other.bare), alike: of(&self.alike, &other.alike) }
    }
}

async fn exchanges(world: &World, tenant: &Tenant, durability: Durability, measured: Duration) {
    let (pod, postgres) = (world.pods[0].process().id(), server_process(&tenant.database).await);
    let mut codes = issue(tenant).await;
    let chains = codes.split_off(codes.len() - CONNECTIONS);
    let warm_up = codes.split_off(CODES);
    redeem(world, tenant, warm_up).await;
    let before = Yardsticks::measure(tenant, postgres, measured).await;
    let redemptions = figure(pod, postgres, redeem(world, tenant, codes)).await;
    let chains = begin(world, tenant, chains).await;
    let rotations = figure(pod, postgres, refresh(tenant, chains, measured)).await;
    let Yardsticks { bare, alike } = before.midpoint(&Yardsticks::measure(tenant, postgres, measured).await);
    let line = |what: &str, it: Figure| {
        let beside = [bare, alike].map(|yardstick| ratio(it.per_second, yardstick.per_second));
        let pod = it.pod_micros.map(|micros| format!("{micros:.0}")).unwrap_or_default();
        let postgres = format!("{:.0}", it.postgres_micros);
        row([what, &count(it.per_second), &beside[0], &beside[1], &pod, &postgres])
    };
    table::print(
        &format!("exchanges that use something up, on {}", durability.told()),
        &format!("Per second of the wall clock; {CONNECTIONS} connections; aim: 0.6 of pgbench."),
        &[
            row(["what", "per second", "of bare rows", "of rows alike", "CPU µs of the pod", "of PostgreSQL"]),
            line("pgbench: bare rows", bare),
            line("pgbench: rows alike", alike),
            line("refresh rotation", rotations),
            line("code redemption", redemptions),
        ],
    );
}

/// The process that started all others of the server.
async fn server_process(database: &Database) -> u32 {
    let row = database.connect().await.query_one("select pg_backend_pid()", &[]).await.expect("it has a number");
    let backend = u32::try_from(row.get::<_, i32>(0)).expect("a process has a positive number");
    cpu::parent(backend).expect("the server started it")
}

/// Codes to be redeemed, to warm up with, and to begin chains of refresh tokens with.
async fn issue(tenant: &Tenant) -> Vec<String> {
    let db = stores::open(&tenant.database, id_of(tenant).await);
    let alice = tenant.user(&tests::tenant::unique("user")).await.id.parse().expect("a user's id is a UUID");
    let (claims, details) = <(ClaimsRequest, AuthorizationDetails)>::default();
    let one = async |_: usize| {
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
        codes::issue(&db, &new).await.expect("the database does as told").expose().clone()
    };
    let many = CODES + WARM_UP + CONNECTIONS;
    futures::stream::iter(0..many).map(one).buffer_unordered(CONNECTIONS).collect().await
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

/// How many codes were redeemed: all.
async fn redeem(world: &World, tenant: &Tenant, codes: Vec<String>) -> u64 {
    let many = codes.len() as u64;
    let requests: Vec<_> = codes.iter().map(|code| redemption(tenant, code)).collect();
    let make = Arc::new(move |n: u64| requests[usize::try_from(n).expect("an index")].clone());
    let failures = load::all(world.pods[0].address(), CONNECTIONS, 200, many, make).await;
    assert_eq!(failures, 0, "every code is good once");
    many
}

/// A connection, and the refresh token that is next on it.
type Chain = (TcpStream, String);

async fn begin(world: &World, tenant: &Tenant, codes: Vec<String>) -> Vec<Chain> {
    let mut chains = Vec::new();
    for code in codes {
        let mut stream = TcpStream::connect(world.pods[0].address()).await.expect("the pod listens");
        let _ = stream.set_nodelay(true);
        let token = exchange(&mut stream, &redemption(tenant, &code)).await;
        chains.push((stream, token));
    }
    chains
}

/// How many refresh tokens were rotated in that time: each connection uses what it was answered last.
async fn refresh(tenant: &Tenant, chains: Vec<Chain>, measured: Duration) -> u64 {
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
    futures::future::join_all(rotations).await.into_iter().sum()
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

/// What `pgbench` does: in one statement, a row updated and one inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Yardstick {
    /// The least there can be of that: two numbers to a row, nothing else.
    Bare,
    /// Rows as refresh tokens are: found by a random digest, another index, a row that they belong to.
    Alike,
}

impl Yardstick {
    const fn schema(self) -> &'static str {
        match self {
            Self::Bare => {
                "create table if not exists bench_rows (id integer primary key, used timestamptz);
                 create table if not exists bench_log (id bigserial primary key, row integer, at timestamptz);
                 insert into bench_rows select n, null from generate_series(1, 10000) n on conflict do nothing"
            }
            Self::Alike => {
                "create table if not exists bench_families (id integer primary key);
                 insert into bench_families select n from generate_series(1, 10000) n on conflict do nothing;
                 create table if not exists bench_tokens (
                     digest bytea primary key, family integer not null references bench_families (id),
                     created_at timestamptz not null, expires_at timestamptz not null, used_at timestamptz);
                 create index if not exists bench_tokens_by_family on bench_tokens (family, expires_at);
                 insert into bench_tokens
                 select sha256(int4send(n)), n, now(), now(), null from generate_series(1, 10000) n on conflict do nothing"
            }
        }
    }

    const fn script(self) -> &'static str {
        match self {
            Self::Bare => {
                "\\set id random(1, 10000)\n\
                 with used as (update bench_rows set used = now() where id = :id returning id) \
                 insert into bench_log (row, at) select id, now() from used;\n"
            }
            Self::Alike => {
                "\\set id random(1, 10000)\n\
                 with used as (update bench_tokens set used_at = now() where digest = sha256(int4send(:id)) returning family) \
                 insert into bench_tokens (digest, family, created_at, expires_at) \
                 select sha256(uuid_send(gen_random_uuid())), family, now(), now() from used;\n"
            }
        }
    }
}

/// Transactions of the yardstick, and how many per second.
async fn pgbench(database: &Database, yardstick: Yardstick, measured: Duration) -> (f64, f64) {
    let connection = database.connect_as_role(&database.name).await.expect("the role may connect");
    connection.batch_execute(yardstick.schema()).await.expect("the role may create tables");
    let script = tests::scratch::folder("pgbench").join("script.sql");
    std::fs::write(&script, yardstick.script()).expect("the scratch folder is writable");
    let output = tokio::process::Command::new(postgres::binary("pgbench"))
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=1"])
        .arg(format!("--client={CONNECTIONS}"))
        .arg(format!("--time={}", measured.as_secs().max(1)))
        .arg(format!("--file={}", script.display()))
        .arg(database.dsn())
        // As the pod connects: left to itself `pgbench` would encrypt.
        .env("PGSSLMODE", "disable")
        .output()
        .await
        .expect("pgbench runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let figure = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let figure = line.and_then(|line| line.split([' ', '/']).next()).and_then(|figure| figure.parse().ok());
        figure.unwrap_or_else(|| panic!("pgbench: {text}{}", String::from_utf8_lossy(&output.stderr)))
    };
    (figure("number of transactions actually processed: "), figure("tps = "))
}
