//! Sessions and grants end when their time or their reason has ended, however much they are used. Time passes by SQL.

use serde_json::json;
use tests::browser::Browser;
use tests::relying_party::{Tokens, parameters};
use tests::tenant::{Tenant, User};
use tests::world;

async fn tenant(name: &str) -> (Tenant, User) {
    let world = world::shared().await;
    let lifetimes = json!({ "session_idle_secs": 600, "session_absolute_secs": 3600 });
    let tenant = Tenant::create_with(&world, name, json!({ "lifetimes": lifetimes })).await;
    let alice = tenant.user("alice").await;
    (tenant, alice)
}

async fn sql(tenant: &Tenant, statement: &str) {
    let connection = tenant.database.connect().await;
    let rows = connection.execute(statement, &[]).await.expect("the superuser may");
    assert!(rows > 0, "{statement} changes nothing");
}

/// What a client is told that asks without a page.
async fn silently(tenant: &Tenant, browser: &Browser) -> String {
    let asked = tenant.backend.attempt_with(&[("prompt", Some("none"))]);
    let answer = parameters(&browser.open(&asked.url).await.expect_callback());
    answer.get("error").cloned().unwrap_or_else(|| "a code".to_owned())
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_when_it_is_old_and_with_its_user() {
    for (what, end) in [
        ("idle", "update sessions set last_seen_at = last_seen_at - interval '601 seconds'"),
        // Used a moment ago.
        ("old", "update sessions set expires_at = now()"),
        ("its user is disabled", "update users set status = 'disabled'"),
    ] {
        let (tenant, alice) = tenant("session-ends").await;
        let browser = Browser::new();
        browser.authorize(&tenant.backend.attempt().url, &alice).await;
        assert_eq!(silently(&tenant, &browser).await, "a code", "{what}");
        sql(&tenant, end).await;
        assert_eq!(silently(&tenant, &browser).await, "login_required", "{what}");
        let page = browser.open_page(&tenant.backend.attempt().url).await;
        assert!(page.expect_form().asks_for_password(), "{what}: {page:#?}");
    }
}

#[tokio::test]
async fn a_session_that_is_used_goes_on_to_its_absolute_end_and_no_further() {
    let (tenant, alice) = tenant("session-goes-on").await;
    let browser = Browser::new();
    browser.authorize(&tenant.backend.attempt().url, &alice).await;
    // Six times nine minutes: idle for ten it would have ended.
    for _ in 0..6 {
        let later = "update sessions set last_seen_at = last_seen_at - interval '540 seconds', \
                     expires_at = expires_at - interval '540 seconds'";
        sql(&tenant, later).await;
        assert_eq!(silently(&tenant, &browser).await, "a code");
    }
    sql(&tenant, "update sessions set expires_at = expires_at - interval '540 seconds'").await;
    assert_eq!(silently(&tenant, &browser).await, "login_required");
}

#[tokio::test]
async fn a_family_of_refresh_tokens_ends_though_it_is_used() {
    let (tenant, alice) = tenant("family-ends").await;
    let first = tenant.app.sign_in(&alice).await;
    let connection = tenant.database.connect().await;
    let end = async || -> String {
        let end = "select expires_at::text from grants";
        connection.query_one(end, &[]).await.expect("one grant").get(0)
    };
    let at_first = end().await;
    let mut second = Tokens::read(tenant.app.refresh(first.refresh()).await);
    for _ in 0..3 {
        second = Tokens::read(tenant.app.refresh(second.refresh()).await);
    }
    assert_eq!(end().await, at_first, "it ends when it was to end");
    let beyond =
        "select count(*) from refresh_tokens t join grants g on g.id = t.grant_id where t.expires_at > g.expires_at";
    let beyond: i64 = connection.query_one(beyond, &[]).await.expect("it counts").get(0);
    assert_eq!(beyond, 0, "no token outlives its grant");
    sql(&tenant, "update grants set expires_at = now()").await;
    assert_eq!(tenant.app.refresh(second.refresh()).await.expect(400).code(), "invalid_grant");

    let idle = tenant.app.sign_in(&alice).await;
    sql(&tenant, "update refresh_tokens set expires_at = now() where rotated_at is null").await;
    assert_eq!(tenant.app.refresh(idle.refresh()).await.expect(400).code(), "invalid_grant");
}
