//! The grace of a replaced refresh token: the same successor again, never two, and only while nobody used it.

use serde_json::json;
use tests::relying_party::Tokens;
use tests::tenant::Tenant;
use tests::world;

#[tokio::test]
async fn a_lost_answer_is_answered_again() {
    let world = world::shared().await;
    let tenant = world.tenant("grace").await;
    let alice = tenant.user("alice").await;
    tenant.patch_client("app", &json!({ "refresh_token_grace_secs": 60 })).await;
    tenant.patch_client("backend", &json!({ "refresh_token_grace_secs": 60, "access_token_format": "opaque" })).await;
    let elsewhere = format!("{}/t/{}", world.pods[1].url(), tenant.slug);
    for party in [&tenant.app, &tenant.backend] {
        let first = party.sign_in(&alice).await;
        let lost = Tokens::read(party.refresh(first.refresh()).await);
        let again = Tokens::read(party.at(&elsewhere).refresh(first.refresh()).await);
        assert_eq!(again.refresh(), lost.refresh(), "the same successor");
        assert_ne!(again.access, lost.access, "a token of its own");
        for access in [&again.access, &lost.access] {
            let _ = party.userinfo(access).await.expect(200);
        }
        assert!(!tenant.database.dump().await.contains(lost.refresh()), "sealed for who holds the one before");
        assert_eq!(live_refresh_tokens(&tenant, party.client_id.as_str()).await, 1);
        // The successor was used: so it arrived, and who still shows the old one is somebody else.
        let next = Tokens::read(party.refresh(again.refresh()).await);
        assert_eq!(party.refresh(first.refresh()).await.expect(400).code(), "invalid_grant");
        assert_eq!(party.refresh(next.refresh()).await.expect(400).code(), "invalid_grant", "the family is revoked");
        let _ = party.userinfo(&next.access).await.expect(401);
    }
}

#[tokio::test]
async fn the_grace_ends_and_is_not_for_others() {
    let world = world::shared().await;
    let tenant = world.tenant("grace-ends").await;
    let alice = tenant.user("alice").await;
    tenant.patch(&json!({ "settings": { "oauth": { "refresh_token_grace_secs": 60 } } })).await;
    tenant.patch_client("backend", &json!({ "refresh_token_grace_secs": 0 })).await;
    let tokens = tenant.app.sign_in(&alice).await;
    let next = Tokens::read(tenant.app.refresh(tokens.refresh()).await);
    let stolen = tenant.backend.refresh(tokens.refresh()).await.expect(400);
    assert_eq!(stolen.code(), "invalid_grant");
    let connection = tenant.database.connect().await;
    let moved =
        "update refresh_tokens set rotated_at = rotated_at - interval '61 seconds' where rotated_at is not null";
    connection.batch_execute(moved).await.expect("it was rotated");
    let late = tenant.app.refresh(tokens.refresh()).await.expect(400);
    assert_eq!(late.code(), "invalid_grant");
    assert_eq!(tenant.app.refresh(next.refresh()).await.expect(400).code(), "invalid_grant", "the family is revoked");
    // A client's own setting comes first.
    let tokens = tenant.backend.sign_in(&alice).await;
    let _ = tenant.backend.refresh(tokens.refresh()).await.expect(200);
    let _ = tenant.backend.refresh(tokens.refresh()).await.expect(400);
}

async fn live_refresh_tokens(tenant: &Tenant, client_id: &str) -> i64 {
    let connection = tenant.database.connect().await;
    let count = "select count(*) from refresh_tokens t join grants g on g.id = t.grant_id \
                 where t.rotated_at is null and g.revoked_at is null and g.client_id = $1";
    connection.query_one(count, &[&client_id]).await.expect("it counts").get(0)
}
