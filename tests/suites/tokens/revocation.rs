//! Revocation: what dies, at which pods, and what is left alone.

use tests::relying_party::RelyingParty;
use tests::table::Table;
use tests::wait::{PATIENCE, until};
use tests::web;
use tests::world;

#[tokio::test]
async fn a_refresh_token_goes_with_its_family() {
    let world = world::shared().await;
    let tenant = world.tenant("family").await;
    let alice = tenant.user("alice").await;
    for (what, party) in [("public", &tenant.app), ("confidential", &tenant.backend)] {
        let first = party.sign_in(&alice).await;
        let second = party.refresh(first.refresh()).await.expect(200);
        let other = party.sign_in(&alice).await;
        // By any of its refresh tokens, the replaced one too.
        let answer = party.revoke(first.refresh()).await.expect(200);
        assert_eq!(answer.text, "", "{what}");
        for access in [&first.access, &second.text_of("access_token")] {
            let _ = party.userinfo(access).await.expect(401);
        }
        assert_eq!(party.refresh(&second.text_of("refresh_token")).await.expect(400).code(), "invalid_grant", "{what}");
        // What the user granted another time stands.
        let _ = party.userinfo(&other.access).await.expect(200);
        let _ = party.refresh(other.refresh()).await.expect(200);
    }
}

#[tokio::test]
async fn an_access_token_goes_alone_and_every_pod_knows() {
    let world = world::shared().await;
    let tenant = world.tenant("alone").await;
    let alice = tenant.user("alice").await;
    let elsewhere = format!("{}/t/{}", world.pods[1].url(), tenant.slug);
    let tokens = tenant.app.sign_in(&alice).await;
    let next = tenant.app.refresh(tokens.refresh()).await.expect(200);
    let _ = tenant.app.revoke(&tokens.access).await.expect(200);
    let _ = tenant.app.userinfo(&tokens.access).await.expect(401);
    // A user's token is asked for in the database: known at once.
    let _ = tenant.app.at(&elsewhere).userinfo(&tokens.access).await.expect(401);
    let _ = tenant.app.userinfo(&next.text_of("access_token")).await.expect(200);

    // A client's own is known from memory, with the bound that is promised.
    let own = tenant.service.client_credentials("hj:users.read").await;
    let there = tenant.service.at(&elsewhere);
    let active = async |party: &RelyingParty| party.introspect(&own).await.expect(200).json["active"] == true;
    assert!(active(&tenant.service).await && active(&there).await);
    let _ = tenant.service.revoke(&own).await.expect(200);
    assert!(!active(&tenant.service).await, "at the pod that revoked it, at once");
    until(
        "the other pod knows",
        PATIENCE,
        async || if active(&there).await { Err("active".to_owned()) } else { Ok(()) },
    )
    .await;
    for base in [&tenant.issuer, &elsewhere] {
        let _ = web::send(there.http.get(format!("{base}/api/v1/users")).bearer_auth(&own)).await.expect(401);
    }
    let another = tenant.service.client_credentials("hj:users.read").await;
    assert!(there.introspect(&another).await.expect(200).json["active"] == true);
    // Until the end of the token, no longer.
    let connection = tenant.database.connect().await;
    let kept = "select count(*) from denied_tokens where expires_at between now() and now() + interval '10 minutes'";
    assert_eq!(connection.query_one(kept, &[]).await.expect("it counts").get::<_, i64>(0), 2);
}

#[tokio::test]
async fn what_is_not_the_clients_is_left_alone() {
    let world = world::shared().await;
    let tenant = world.tenant("left").await;
    let alice = tenant.user("alice").await;
    let tokens = tenant.app.sign_in(&alice).await;
    let mut table = Table::new();
    let by = |party: &RelyingParty, form: &[(&str, &str)]| party.back_channel("revoke", form);
    let (access, refresh) = (("token", tokens.access.as_str()), ("token", tokens.refresh()));
    table.oauth("another's access token", by(&tenant.backend, &[access]), &[400], &["invalid_grant"]).await;
    table.oauth("another's refresh token", by(&tenant.backend, &[refresh]), &[400], &["invalid_grant"]).await;
    let unproven = tenant.backend.with_secret("wrong");
    table.oauth("an unproven client", by(&unproven, &[access]), &[401], &["invalid_client"]).await;
    table.oauth("no token", by(&tenant.app, &[]), &[400], &["invalid_request"]).await;
    table.oauth("in the query", by(&tenant.app, &[]).query(&[access]), &[400], &["invalid_request"]).await;
    table.row("by GET", tenant.app.http.get(tenant.app.endpoint("revoke")).query(&[access]), &[405]).await;
    for unknown in ["x", "' OR 1=1--", "a.b.c", tokens.id()] {
        let answer = table.row("unknown", by(&tenant.app, &[("token", unknown)]), &[200]).await;
        table.check("unknown", answer.text.is_empty(), || answer.text.clone());
    }
    table
        .row("still good", tenant.app.http.get(tenant.app.endpoint("userinfo")).bearer_auth(&tokens.access), &[200])
        .await;
    // A wrong or unheard-of hint does no harm.
    table.row("a wrong hint", by(&tenant.app, &[refresh, ("token_type_hint", "access_token")]), &[200]).await;
    table.row("dead", tenant.app.http.get(tenant.app.endpoint("userinfo")).bearer_auth(&tokens.access), &[401]).await;
    let tokens = tenant.app.sign_in(&alice).await;
    let access = ("token", tokens.access.as_str());
    table.row("an unknown hint", by(&tenant.app, &[access, ("token_type_hint", "x")]), &[200]).await;
    table.row("dead", tenant.app.http.get(tenant.app.endpoint("userinfo")).bearer_auth(&tokens.access), &[401]).await;
    table.finish(&world).await;
}
