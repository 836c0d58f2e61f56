//! The same code or refresh token a hundred times at once over three pods, and pods and servers that die in between: never
//! two live successors, and with grace always a way on.

use futures::future::join_all;
use serde_json::json;
use tests::browser::Browser;
use tests::postgres;
use tests::relying_party::{RelyingParty, Tokens};
use tests::tenant::{Tenant, User};
use tests::wait::{PATIENCE, until};
use tests::web::{self, Answer};
use tests::world::World;

/// One after the other: the last one kills the database server.
#[tokio::test]
async fn one_successor_whatever_happens() {
    let mut world = World::start(1, 3).await;
    let tenant = world.tenant("races").await;
    let alice = tenant.user("alice").await;
    tenant.patch_client("backend", &json!({ "refresh_token_grace_secs": 60 })).await;
    // What was acknowledged is on disk, as it is on a server that is meant to last.
    let durable = format!("alter database \"{}\" set synchronous_commit = on", tenant.database.name);
    postgres::server().await.execute(&durable).await;
    of_a_hundred_codes_one_is_redeemed(&world, &tenant, &alice).await;
    of_a_hundred_refreshes_one_wins(&world, &tenant, &alice).await;
    with_grace_a_hundred_refreshes_are_one_family(&world, &tenant, &alice).await;
    of_a_hundred_questions_one_gets_the_answer(&world, &tenant, &alice).await;
    a_connection_that_breaks_is_survived(&world, &tenant, &alice).await;
    a_pod_that_is_killed_leaves_one_successor(&mut world, &tenant, &alice).await;
    a_server_that_is_killed_leaves_one_successor(&world, &tenant, &alice).await;
}

/// The tenant at the pod of that number.
fn at(world: &World, tenant: &Tenant, party: &RelyingParty, pod: usize) -> RelyingParty {
    party.at(&format!("{}/t/{}", world.pods[pod].url(), tenant.slug))
}

/// A hundred times the same request, by turns at the three pods.
async fn hundredfold(
    world: &World,
    tenant: &Tenant,
    party: &RelyingParty,
    ask: impl Fn(&RelyingParty) -> reqwest::RequestBuilder,
) -> Vec<Answer> {
    let parties: Vec<_> = (0..3).map(|pod| at(world, tenant, party, pod)).collect();
    let answers = join_all((0..100).map(|n| web::send(ask(&parties[n % 3])))).await;
    for answer in &answers {
        assert!([200, 400].contains(&answer.status), "{answer:#?}");
    }
    answers.into_iter().filter(|answer| answer.status == 200).collect()
}

async fn live_refresh_tokens(tenant: &Tenant) -> i64 {
    let connection = tenant.database.connect().await;
    let count = "select count(*) from refresh_tokens t join grants g on g.id = t.grant_id \
                 where t.rotated_at is null and g.revoked_at is null";
    connection.query_one(count, &[]).await.expect("it counts").get(0)
}

/// The families so far end, so that the next ones can be counted.
async fn clear(tenant: &Tenant) {
    tenant.database.connect().await.batch_execute("delete from grants").await.expect("they go");
}

async fn of_a_hundred_codes_one_is_redeemed(world: &World, tenant: &Tenant, alice: &User) {
    let (code, attempt) = tenant.backend.code(alice).await;
    let won = hundredfold(world, tenant, &tenant.backend, |party| {
        party.token_request(&[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", &party.redirect_uri),
            ("code_verifier", &attempt.verifier),
        ])
    })
    .await;
    assert_eq!(won.len(), 1);
    // Somebody had a copy: what the winner got is worth nothing (RFC 6749 §4.1.2).
    assert_eq!(live_refresh_tokens(tenant).await, 0);
    clear(tenant).await;
}

fn refresh(token: &str) -> impl Fn(&RelyingParty) -> reqwest::RequestBuilder {
    move |party| party.token_request(&[("grant_type", "refresh_token"), ("refresh_token", token)])
}

async fn of_a_hundred_refreshes_one_wins(world: &World, tenant: &Tenant, alice: &User) {
    let tokens = tenant.app.sign_in(alice).await;
    let won = hundredfold(world, tenant, &tenant.app, refresh(tokens.refresh())).await;
    assert_eq!(won.len(), 1);
    assert_eq!(live_refresh_tokens(tenant).await, 0);
    clear(tenant).await;
}

async fn with_grace_a_hundred_refreshes_are_one_family(world: &World, tenant: &Tenant, alice: &User) {
    let tokens = tenant.backend.sign_in(alice).await;
    let won = hundredfold(world, tenant, &tenant.backend, refresh(tokens.refresh())).await;
    assert_eq!(won.len(), 100);
    let mut successors: Vec<_> = won.iter().map(|answer| answer.text_of("refresh_token")).collect();
    successors.sort();
    successors.dedup();
    assert_eq!(successors.len(), 1, "the same successor for all");
    assert_eq!(live_refresh_tokens(tenant).await, 1);
    let _ = tenant.backend.refresh(&successors[0]).await.expect(200);
    clear(tenant).await;
}

/// A device and a client of CIBA whose user has said yes.
async fn of_a_hundred_questions_one_gets_the_answer(world: &World, tenant: &Tenant, alice: &User) {
    let (device, ciba) = ("urn:ietf:params:oauth:grant-type:device_code", "urn:openid:params:grant-type:ciba");
    let party = &tenant.backend;
    let grants = ["authorization_code", "refresh_token", device, ciba];
    let waits = json!({ "grant_types": grants, "backchannel_token_delivery_mode": "poll" });
    tenant.patch_client("backend", &waits).await;
    let browser = Browser::new();
    browser.authorize(&party.attempt().url, alice).await;
    clear(tenant).await;
    let begin = async |name: &str, form: &[(&str, &str)]| web::send(party.back_channel(name, form)).await.expect(200);
    let scope = ("scope", "openid offline_access");
    let of_device = begin("device_authorization", &[scope]).await;
    let of_ciba = begin("bc-authorize", &[scope, ("login_hint", &alice.email)]).await;
    let account = format!("{}/account", tenant.issuer);
    for (page, grant, name, code) in [
        (of_device.text_of("verification_uri_complete"), device, "device_code", of_device.text_of("device_code")),
        (account, ciba, "auth_req_id", of_ciba.text_of("auth_req_id")),
    ] {
        let page = browser.open_page(&page.parse().expect("a URL")).await;
        assert_eq!(browser.consent(&page.expect_form()).await.status, 200);
        let ask = |party: &RelyingParty| party.token_request(&[("grant_type", grant), (name, &code)]);
        let won = hundredfold(world, tenant, party, ask).await;
        assert_eq!(won.len(), 1, "{name}");
        assert_eq!(live_refresh_tokens(tenant).await, 1, "{name}");
        assert_eq!(web::send(ask(party)).await.expect(400).code(), "invalid_grant", "{name}");
        let _ = party.refresh(&won[0].text_of("refresh_token")).await.expect(200);
        clear(tenant).await;
    }
}

/// Waits until a statement of a pod waits for a lock in the tenant's database; its backend's process.
async fn blocked(tenant: &Tenant) -> i32 {
    let connection = tenant.database.connect().await;
    let waits = "select pid from pg_stat_activity \
                 where datname = current_database() and wait_event_type = 'Lock' and application_name = 'hellojohn'";
    until("a statement waits", PATIENCE, async || {
        let row = connection.query_opt(waits, &[]).await.map_err(|error| error.to_string())?;
        row.map(|row| row.get(0)).ok_or_else(|| "none waits".to_owned())
    })
    .await
}

/// Holds up whatever writes to the table.
async fn hold(tenant: &Tenant, table: &str) -> tokio_postgres::Client {
    let connection = tenant.database.connect().await;
    connection.batch_execute(&format!("begin; lock table {table} in share mode")).await.expect("a lock");
    connection
}

/// A code and a refresh token whose connection is cut while they are used: the pod finds out what came of it.
async fn a_connection_that_breaks_is_survived(world: &World, tenant: &Tenant, alice: &User) {
    let cut = async |pid: i32| {
        let connection = tenant.database.connect().await;
        connection.execute("select pg_terminate_backend($1)", &[&pid]).await.expect("the superuser may");
    };
    let (code, attempt) = tenant.backend.code(alice).await;
    let held = hold(tenant, "authorization_codes").await;
    let redeeming = tokio::spawn(at(world, tenant, &tenant.backend, 0).redeem(&code, &attempt.verifier));
    cut(blocked(tenant).await).await;
    held.batch_execute("rollback").await.expect("the lock goes");
    let tokens = Tokens::read(redeeming.await.expect("the request ends"));
    let held = hold(tenant, "refresh_tokens").await;
    let refreshing = tokio::spawn(at(world, tenant, &tenant.backend, 0).refresh(tokens.refresh()));
    cut(blocked(tenant).await).await;
    held.batch_execute("rollback").await.expect("the lock goes");
    let _ = Tokens::read(refreshing.await.expect("the request ends"));
    assert_eq!(live_refresh_tokens(tenant).await, 1);
    clear(tenant).await;
}

/// `kill -9` of the pod whose statement is under way: nobody hears what came of it.
async fn a_pod_that_is_killed_leaves_one_successor(world: &mut World, tenant: &Tenant, alice: &User) {
    let tokens = tenant.backend.sign_in(alice).await;
    let held = hold(tenant, "refresh_tokens").await;
    let party = at(world, tenant, &tenant.backend, 2);
    let lost = tokio::spawn(web::try_send(refresh(tokens.refresh())(&party)));
    let pid = blocked(tenant).await;
    world.pods[2].kill();
    assert!(lost.await.expect("the request ends").is_err(), "its pod died");
    held.batch_execute("rollback").await.expect("the lock goes");
    // The server goes on with the statement, whoever asked for it.
    let connection = tenant.database.connect().await;
    until("the statement ends", PATIENCE, async || {
        let busy = "select count(*) from pg_stat_activity where pid = $1 and state = 'active'";
        let row = connection.query_one(busy, &[&pid]).await.map_err(|error| error.to_string())?;
        if row.get::<_, i64>(0) == 0 { Ok(()) } else { Err("it runs".to_owned()) }
    })
    .await;
    assert_eq!(live_refresh_tokens(tenant).await, 1);
    goes_on(world, tenant, &tokens).await;
}

/// The client asks again at another pod, and goes on.
async fn goes_on(world: &World, tenant: &Tenant, tokens: &Tokens) {
    let again = Tokens::read(at(world, tenant, &tenant.backend, 1).refresh(tokens.refresh()).await);
    let _ = tenant.backend.userinfo(&again.access).await.expect(200);
    assert_eq!(live_refresh_tokens(tenant).await, 1);
    let _ = tenant.backend.refresh(again.refresh()).await.expect(200);
    clear(tenant).await;
}

/// `kill -9` of the server's process for the pod: PostgreSQL then ends all of them and recovers from its log.
async fn a_server_that_is_killed_leaves_one_successor(world: &World, tenant: &Tenant, alice: &User) {
    let tokens = tenant.backend.sign_in(alice).await;
    let held = hold(tenant, "refresh_tokens").await;
    let party = at(world, tenant, &tenant.backend, 0);
    let lost = tokio::spawn(web::send(refresh(tokens.refresh())(&party)));
    let pid = blocked(tenant).await;
    // The tests' server commits without waiting for its disk; what is at stake here is not whether that loses something.
    tenant.database.connect().await.batch_execute("checkpoint").await.expect("the superuser may");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).expect("it runs here");
    drop(held);
    let answer = lost.await.expect("the request ends").expect_one_of(&[200, 503]);
    // At each pod: one that has just been refused a connection does not try again for a while.
    for pod in [0, 1] {
        until("the server is back", PATIENCE, async || {
            let answer = at(world, tenant, &tenant.backend, pod).introspect(tokens.refresh()).await;
            if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
        })
        .await;
    }
    assert_eq!(live_refresh_tokens(tenant).await, 1, "{answer:?}");
    goes_on(world, tenant, &tokens).await;
}
