//! OIDC Back-Channel Logout 1.0: every client of the session gets its logout token, whatever others do, whichever pod
//! dies.

use std::collections::BTreeSet;

use serde_json::json;
use tests::browser::Browser;
use tests::counters;
use tests::listener::{Answer, Listener, Request};
use tests::tenant::{Tenant, User};
use tests::tokens::{self, Jwt};
use tests::wait::{PATIENCE, until};
use tests::world::World;

use super::{is_signed_in, listens, logout_url, sign_in, world};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

#[track_caller]
fn token(request: &Request) -> String {
    request.parameter("logout_token").unwrap_or_else(|| panic!("no logout token: {request:?}"))
}

/// Signs out with the hint, in that browser.
async fn sign_out(tenant: &Tenant, browser: &Browser, id_token: &str) {
    let page = browser.open_page(&logout_url(tenant, &[("id_token_hint", id_token)])).await;
    assert!(page.text().contains("You are signed out"), "{page:#?}");
}

/// What the outbox of the tenant holds.
async fn waiting(tenant: &Tenant) -> i64 {
    let row = tenant.database.connect().await.query_one("select count(*) from outbox", &[]).await;
    row.expect("the table is there").get(0)
}

async fn nothing_waits(tenant: &Tenant) {
    until("the outbox is empty", PATIENCE, async || {
        let left = waiting(tenant).await;
        if left == 0 { Ok(()) } else { Err(left.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn each_client_of_the_session_gets_one_logout_token_by_the_book() {
    let tenant = Tenant::create(world().await, "told").await;
    let alice = tenant.user("alice").await;
    let (app, backend) = (Listener::start().await, Listener::start().await);
    listens(&tenant, "app", &app).await;
    listens(&tenant, "backend", &backend).await;
    let browser = Browser::new();
    let id = sign_in(&browser, &tenant.backend, &alice).await;
    sign_in(&browser, &tenant.app, &alice).await;
    // Several tokens of one client are one client; another browser is another session.
    sign_in(&browser, &tenant.backend, &alice).await;
    let elsewhere = Browser::new();
    sign_in(&elsewhere, &tenant.backend, &alice).await;

    sign_out(&tenant, &browser, id.id()).await;
    let jwks = tenant.backend.jwks().await.json;
    let sid = &Jwt::parse(id.id()).claims["sid"];
    let mut ids = BTreeSet::new();
    for (listener, client) in [(&app, "app"), (&backend, "backend")] {
        let request = listener.got(1).await.remove(0);
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/logout"));
        assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
        let token = token(&request);
        assert_eq!(Jwt::parse(&token).header["typ"], "logout+jwt");
        assert_eq!(Jwt::parse(&token).header["alg"], "ES256");
        let claims = tokens::verify(&token, &jwks).expect("it is signed by the tenant");
        assert_eq!((&claims["iss"], &claims["aud"]), (&json!(tenant.issuer), &json!(client)));
        assert_eq!((&claims["sub"], &claims["sid"]), (&json!(alice.id), sid));
        assert_eq!(claims["events"], json!({ EVENT: {} }));
        assert_eq!(claims.get("nonce"), None);
        let lifetime = claims["exp"].as_i64().unwrap_or_default() - claims["iat"].as_i64().unwrap_or_default();
        assert!((1..=120).contains(&lifetime), "{claims}");
        ids.insert(claims["jti"].to_string());
    }
    assert_eq!(ids.len(), 2, "{ids:?}");
    nothing_waits(&tenant).await;
    assert_eq!((app.requests().len(), backend.requests().len()), (1, 1));
    assert!(is_signed_in(&tenant, &elsewhere).await);
    let metric = "hj_dp_outbox_deliveries_total";
    let labels = [("tenant", tenant.slug.as_str()), ("kind", "logout"), ("outcome", "delivered")];
    let world = world().await;
    until("both are counted", PATIENCE, async || {
        let mut delivered = 0;
        for pod in &world.pods {
            delivered += counters::count(&pod.ops_url(), metric, &labels).await;
        }
        if delivered == 2 { Ok(()) } else { Err(delivered.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn who_hangs_fails_or_redirects_holds_up_nobody_and_is_told_once_it_is_back() {
    let tenant = Tenant::create(world().await, "troubled").await;
    let alice = tenant.user("alice").await;
    let internal = Listener::start().await;
    let mut troubled = Vec::new();
    let clients = format!("/tenants/{}/clients", tenant.slug);
    for (id, answer) in [
        ("hangs", Answer::Silence),
        ("fails", Answer::Status(500)),
        ("redirects", Answer::Redirect(internal.url("/internal"))),
    ] {
        let listener = Listener::start().await;
        listener.answers(answer);
        let client = json!({
            "client_id": id, "name": id, "redirect_uris": [tenant.backend.redirect_uri], "scopes": ["openid"],
            "grant_types": ["authorization_code"], "backchannel_logout_uri": listener.url("/logout"),
        });
        let _ = tenant.admin.post(&format!("{clients}?wait=fleet&timeout=15s"), &client).await.expect(201);
        troubled.push((id, listener));
    }
    let backend = Listener::start().await;
    listens(&tenant, "backend", &backend).await;
    let browser = Browser::new();
    let id = sign_in(&browser, &tenant.backend, &alice).await;
    for (id, _) in &troubled {
        let attempt = tenant.backend.attempt_with(&[("client_id", Some(id)), ("scope", Some("openid"))]);
        browser.authorize(&attempt.url, &alice).await;
    }
    sign_out(&tenant, &browser, id.id()).await;
    backend.got(1).await;
    for (id, listener) in &troubled {
        // Tried, and tried again.
        listener.got(if *id == "hangs" { 1 } else { 2 }).await;
    }
    assert_eq!(waiting(&tenant).await, 3);
    let labels = [("tenant", tenant.slug.as_str())];
    let world = world().await;
    until("what waits is seen in the metrics", PATIENCE, async || {
        let seen = counters::count(&world.pods[0].ops_url(), "hj_dp_outbox_pending", &labels).await;
        if seen == 3 { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
    for (_, listener) in &troubled {
        listener.answers(Answer::Status(200));
    }
    nothing_waits(&tenant).await;
    assert_eq!(backend.requests().len(), 1);
    assert_eq!(internal.requests().len(), 0, "no redirect is followed");
    // Each attempt is a token of its own: a client may refuse one that it saw before.
    let (_, fails) = &troubled[1];
    let jtis: Vec<String> =
        fails.requests().iter().map(|request| Jwt::parse(&token(request)).claims["jti"].to_string()).collect();
    assert_eq!(jtis.iter().collect::<BTreeSet<_>>().len(), jtis.len(), "{jtis:?}");
}

#[tokio::test]
async fn a_client_that_never_answers_is_given_up_and_one_that_is_gone_is_forgotten() {
    let tenant = Tenant::create(world().await, "given-up").await;
    let alice = tenant.user("alice").await;
    let (app, backend) = (Listener::start().await, Listener::start().await);
    for (id, listener) in [("app", &app), ("backend", &backend)] {
        listener.answers(Answer::Status(400));
        listens(&tenant, id, listener).await;
    }
    let browser = Browser::new();
    let id = sign_in(&browser, &tenant.backend, &alice).await;
    sign_in(&browser, &tenant.app, &alice).await;
    sign_out(&tenant, &browser, id.id()).await;
    app.got(1).await;
    backend.got(1).await;
    // The last attempt of one of them; the other has unsubscribed.
    tenant.patch_client("app", &json!({ "backchannel_logout_uri": null })).await;
    let database = tenant.database.connect().await;
    until("both are put back", PATIENCE, async || {
        let sql = "update outbox set attempts = 13, due_at = now() where due_at > now() or attempts >= 13";
        database.execute(sql, &[]).await.map_err(|error| error.to_string())?;
        let left = waiting(&tenant).await;
        if left == 0 { Ok(()) } else { Err(left.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn a_user_who_is_disabled_is_signed_out_everywhere() {
    let tenant = Tenant::create(world().await, "disabled").await;
    let (alice, bob) = (tenant.user("alice").await, tenant.user("bob").await);
    let backend = Listener::start().await;
    listens(&tenant, "backend", &backend).await;
    for user in [&alice, &alice, &bob] {
        sign_in(&Browser::new(), &tenant.backend, user).await;
    }
    let database = tenant.database.connect().await;
    let sql = "update users set status = 'disabled' where id::text = $1";
    database.execute(sql, &[&alice.id]).await.expect("the table is there");
    backend.got(2).await;
    nothing_waits(&tenant).await;
    let told: Vec<_> =
        backend.requests().iter().map(|request| Jwt::parse(&token(request)).claims["sub"].clone()).collect();
    assert_eq!(told, [json!(alice.id), json!(alice.id)]);
}

#[tokio::test]
async fn another_user_in_the_same_browser_ends_the_session_and_the_same_user_keeps_it() {
    let tenant = Tenant::create(world().await, "replaced").await;
    let (alice, bob) = (tenant.user("alice").await, tenant.user("bob").await);
    let backend = Listener::start().await;
    listens(&tenant, "backend", &backend).await;
    let browser = Browser::new();
    let again = async |user: &User| {
        let attempt = tenant.backend.attempt_with(&[("prompt", Some("login"))]);
        let callback = browser.authorize(&attempt.url, user).await;
        let code = &tests::relying_party::parameters(&callback)["code"];
        let tokens = tests::relying_party::Tokens::read(tenant.backend.redeem(code, &attempt.verifier).await);
        Jwt::parse(tokens.id()).claims["sid"].to_string()
    };
    let first = again(&alice).await;
    assert_eq!(again(&alice).await, first);
    assert_eq!(waiting(&tenant).await, 0);
    assert_ne!(again(&bob).await, first);
    let request = backend.got(1).await.remove(0);
    assert_eq!(Jwt::parse(&token(&request)).claims["sid"].to_string(), first);
}

#[tokio::test]
async fn what_one_pod_took_and_did_not_finish_the_other_delivers() {
    const SESSIONS: usize = 12;
    let mut world = World::with_outbound(2).await;
    let tenant = Tenant::create(&world, "crash").await;
    let backend = Listener::start().await;
    backend.answers(Answer::Silence);
    listens(&tenant, "backend", &backend).await;
    let mut sessions = BTreeSet::new();
    for number in 0..SESSIONS {
        let user = tenant.user(&format!("user-{number}")).await;
        let browser = Browser::new();
        let id = sign_in(&browser, &tenant.backend, &user).await;
        sessions.insert(Jwt::parse(id.id()).claims["sid"].to_string());
        sign_out(&tenant, &browser, id.id()).await;
    }
    // Both pods hold requests that are not answered; the first of them dies with its share.
    backend.got(SESSIONS).await;
    world.pods[0].kill();
    backend.answers(Answer::Status(200));
    let database = tenant.database.connect().await;
    until("the other pod delivers everything", PATIENCE, async || {
        // Leases and pauses run out.
        database.execute("update outbox set due_at = now()", &[]).await.map_err(|error| error.to_string())?;
        let left = waiting(&tenant).await;
        if left == 0 { Ok(()) } else { Err(left.to_string()) }
    })
    .await;
    let told: BTreeSet<String> =
        backend.requests().iter().map(|request| Jwt::parse(&token(request)).claims["sid"].to_string()).collect();
    assert_eq!(told, sessions);
    // And stops when it is told to.
    assert_eq!(world.pods[1].stop(PATIENCE).await, Some(0));
}
