//! Refresh tokens: rotated, never widened, dead when their reason is gone.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tests::browser::Browser;
use tests::relying_party::Tokens;
use tests::tenant::User;
use tests::wait::until;
use tests::web;
use tests::world;

#[tokio::test]
async fn a_refresh_never_widens_the_scope() {
    let world = world::shared().await;
    let tenant = world.tenant("scope").await;
    let alice = tenant.user("alice").await;
    let tokens = tenant.app.sign_in(&alice).await;
    let refresh = async |token: &str, scope: &str| {
        tenant.app.token(&[("grant_type", "refresh_token"), ("refresh_token", token), ("scope", scope)]).await
    };
    let refused = refresh(tokens.refresh(), "openid hj:users.write").await.expect(400);
    assert_eq!(refused.code(), "invalid_scope");
    // Less is fine, and does not make the grant smaller for ever.
    let less = refresh(tokens.refresh(), "openid").await.expect(200);
    let scope = less.json["scope"].as_str().map(ToOwned::to_owned);
    assert!(scope.is_none_or(|scope| scope == "openid"), "{less:#?}");
}

#[tokio::test]
async fn of_twenty_refreshes_at_once_one_lineage_survives_at_most() {
    let world = world::shared().await;
    let tenant = world.tenant("parallel").await;
    let tokens = tenant.app.sign_in(&tenant.user("alice").await).await;
    let attempts = (0..20).map(|_| tenant.app.refresh(tokens.refresh()));
    let answers = join_all(attempts).await;
    let mut alive = 0;
    for answer in answers {
        let answer = answer.expect_one_of(&[200, 400]);
        if answer.status == 200 {
            let next = Tokens::read(answer);
            let again = tenant.app.refresh(next.refresh()).await.expect_one_of(&[200, 400]);
            alive += usize::from(again.status == 200);
        }
    }
    assert!(alive <= 1, "{alive} lineages live");
}

#[tokio::test]
async fn a_refresh_token_belongs_to_its_client() {
    let world = world::shared().await;
    let tenant = world.tenant("owner").await;
    let tokens = tenant.app.sign_in(&tenant.user("alice").await).await;
    assert_eq!(tenant.backend.refresh(tokens.refresh()).await.expect(400).code(), "invalid_grant");
    for garbage in ["x", "", "' OR 1=1--", tokens.access.as_str()] {
        let refused = tenant.app.refresh(garbage).await.expect(400);
        assert!(["invalid_grant", "invalid_request"].contains(&refused.code()), "{refused:#?}");
    }
}

#[tokio::test]
async fn a_deleted_or_disabled_client_refreshes_nothing() {
    let world = world::shared().await;
    let tenant = world.tenant("gone").await;
    let alice = tenant.user("alice").await;
    let tokens = tenant.app.sign_in(&alice).await;
    tenant.patch_client("app", &json!({ "enabled": false })).await;
    assert_eq!(tenant.app.refresh(tokens.refresh()).await.expect(401).code(), "invalid_client");
    tenant.patch_client("app", &json!({ "enabled": true })).await;
    let path = format!("/tenants/{}/clients/app?wait=fleet&timeout=15s", tenant.slug);
    let _ = tenant.admin.delete(&path).await.expect_one_of(&[200, 204]);
    assert_eq!(tenant.app.refresh(tokens.refresh()).await.expect(401).code(), "invalid_client");
    let page = web::send(tenant.app.http.get(tenant.app.attempt().url)).await.expect_refused();
    assert_eq!(page.header("location"), None);
}

/// Within a second of the change, at every pod, though nobody waited for the pods to hear of it. Each pod is asked for a
/// refresh token of its own, which worked there before: another's answer, or a token used up, would tell nothing.
#[tokio::test]
async fn what_a_grant_rests_on_ends_it_everywhere_within_a_second() {
    let world = world::shared().await;
    let tenant = world.tenant("ends").await;
    let token = tenant.service.client_credentials("hj:users.write").await;
    let change = async |user: &User, body: Value| {
        let url = format!("{}/api/v1/users/{}", tenant.issuer, user.id);
        let _ = web::send(web::client().patch(url).bearer_auth(&token).json(&body)).await.expect(200);
    };
    let pods: Vec<_> =
        world.pods.iter().map(|pod| tenant.app.at(&format!("{}/t/{}", pod.url(), tenant.slug))).collect();
    let sign_in = async |name: &str| {
        let user = tenant.user(name).await;
        let mut tokens = Vec::new();
        for there in &pods {
            let first = tenant.app.sign_in(&user).await;
            tokens.push(Tokens::read(there.refresh(first.refresh()).await.expect(200)));
        }
        (user, tokens)
    };
    // All are asked at once, and once: what is answered first holds.
    let ended = async |what: &str, tokens: &[Tokens], refusal: (u16, &str)| {
        let asked = pods.iter().zip(tokens).map(|(there, tokens)| there.refresh(tokens.refresh()));
        for (pod, answer) in world.pods.iter().zip(join_all(asked).await) {
            assert_eq!((answer.status, answer.code()), refusal, "{what}: {}: {answer:#?}", pod.name);
        }
    };
    let invalid_grant = (400, "invalid_grant");
    let (alice, tokens) = sign_in("alice").await;
    change(&alice, json!({ "status": "disabled" })).await;
    ended("the user is disabled", &tokens, invalid_grant).await;
    let (bob, tokens) = sign_in("bob").await;
    change(&bob, json!({ "password": "another horse with a staple" })).await;
    ended("the password was changed", &tokens, invalid_grant).await;
    let (carol, tokens) = sign_in("carol").await;
    let browser = Browser::new();
    let account = format!("{}/account", tenant.issuer).parse().expect("a URL");
    let form = browser.open_page(&account).await.expect_form();
    let _ = browser.sign_in(&form, &carol.email, &carol.password).await;
    let form = browser.open_page(&account).await.form_with("client_id");
    let _ = browser.submit(&form, &[], form.buttons.first()).await;
    ended("consent was taken back", &tokens, invalid_grant).await;
    let (_, tokens) = sign_in("dave").await;
    let path = format!("/tenants/{}/clients/app", tenant.slug);
    let _ = tenant.admin.delete(&path).await.expect_one_of(&[200, 204]);
    // This the pods must hear of first; what no token is asks without using one up.
    let invalid_client = (401, "invalid_client");
    join_all(pods.iter().zip(&world.pods).map(async |(there, pod)| {
        until(&format!("{} knows the client no more", pod.name), Duration::from_secs(1), async || {
            let answer = there.refresh("none").await;
            if (answer.status, answer.code()) == invalid_client { Ok(()) } else { Err(format!("{answer:?}")) }
        })
        .await;
    }))
    .await;
    ended("and so is what it had", &tokens, invalid_client).await;
}

#[tokio::test]
async fn a_disabled_user_refreshes_nothing() {
    let world = world::shared().await;
    let tenant = world.tenant("disabled").await;
    let alice = tenant.user("alice").await;
    let tokens = tenant.app.sign_in(&alice).await;
    let connection = tenant.database.connect().await;
    connection.execute("update users set status = 'disabled'", &[]).await.expect("the user is there");
    assert_eq!(tenant.app.refresh(tokens.refresh()).await.expect(400).code(), "invalid_grant");
    let _ = tenant.app.userinfo(&tokens.access).await.expect(401);
}
