//! The same values in two tenants: each opens in its own tenant what it opens there, and using it up, or up against the
//! rules, changes nothing in the other.

use reqwest::Method;
use serde_json::json;
use tests::export;
use tests::pod::Pod;
use tests::relying_party::{RelyingParty, Tokens};
use tests::tenant::{Tenant, User};
use tests::tokens::Jwt;
use tests::wait::{PATIENCE, until};
use tests::web;
use tests::world::{self, World};
use vocab::TenantId;

struct Side {
    tenant: Tenant,
    id: TenantId,
    alice: User,
}

impl Side {
    async fn of(world: &World, name: &str) -> Self {
        let tenant = world.tenant(name).await;
        let shown = tenant.admin.get(&format!("/tenants/{}", tenant.slug)).await.expect(200);
        let id = shown.text_of("id").parse().expect("a tenant's id");
        let alice = tenant.user("alice").await;
        Self { tenant, id, alice }
    }

    fn backend(&self) -> &RelyingParty {
        &self.tenant.backend
    }

    /// Makes `value` stand for what `own` stood for.
    async fn rename(&self, table: &str, column: &str, own: &str, value: &str) {
        let digest = |value: &str| dataplane_service::opaque::digest(self.id, value);
        let statement = format!("update {table} set {column} = $1 where {column} = $2");
        let connection = self.tenant.database.connect().await;
        let changed = connection.execute(&statement, &[&digest(value), &digest(own)]).await;
        assert_eq!(changed.expect("the superuser may"), 1, "{table}");
    }

    /// Whose token it is here.
    async fn is_alices(&self, access: &str) {
        let told = self.backend().userinfo(access).await.expect(200);
        assert_eq!(told.text_of("sub"), self.alice.id, "{}", self.tenant.slug);
    }

    async fn is_refused(&self, access: &str) {
        let _ = self.backend().userinfo(access).await.expect(401);
    }
}

async fn sides(world: &World, name: &str) -> (Side, Side) {
    (Side::of(world, name).await, Side::of(world, name).await)
}

#[tokio::test]
async fn a_code_of_two_tenants_is_redeemed_in_each_and_misused_in_one() {
    let world = world::shared().await;
    let (a, b) = sides(&world, "same-code").await;
    let (code, attempt) = a.backend().code(&a.alice).await;
    let (own, other) = b.backend().code(&b.alice).await;
    b.rename("authorization_codes", "code_hash", &own, &code).await;
    let of_b = Tokens::read(b.backend().redeem(&code, &other.verifier).await);
    let of_a = Tokens::read(a.backend().redeem(&code, &attempt.verifier).await);
    for (side, tokens, foreign) in [(&a, &of_a, &of_b), (&b, &of_b, &of_a)] {
        assert_eq!(Jwt::parse(tokens.id()).claims["sub"], side.alice.id);
        side.is_alices(&tokens.access).await;
        side.is_refused(&foreign.access).await;
        assert_eq!(side.backend().refresh(foreign.refresh()).await.expect(400).code(), "invalid_grant");
    }
    assert_eq!(b.backend().redeem(&code, &other.verifier).await.expect(400).code(), "invalid_grant");
    b.is_refused(&of_b.access).await;
    assert_eq!(b.backend().refresh(of_b.refresh()).await.expect(400).code(), "invalid_grant");
    a.is_alices(&of_a.access).await;
    let _ = a.backend().refresh(of_a.refresh()).await.expect(200);
}

#[tokio::test]
async fn a_refresh_token_of_two_tenants_rotates_in_each_and_is_replayed_in_one() {
    let world = world::shared().await;
    let (a, b) = sides(&world, "same-refresh").await;
    let (of_a, of_b) = (a.backend().sign_in(&a.alice).await, b.backend().sign_in(&b.alice).await);
    let value = of_a.refresh();
    b.rename("refresh_tokens", "token_hash", of_b.refresh(), value).await;
    let next_a = Tokens::read(a.backend().refresh(value).await);
    let next_b = Tokens::read(b.backend().refresh(value).await);
    a.is_alices(&next_a.access).await;
    b.is_alices(&next_b.access).await;
    assert_eq!(a.backend().refresh(value).await.expect(400).code(), "invalid_grant", "a replay");
    a.is_refused(&next_a.access).await;
    assert_eq!(a.backend().refresh(next_a.refresh()).await.expect(400).code(), "invalid_grant");
    b.is_alices(&next_b.access).await;
    let _ = b.backend().refresh(next_b.refresh()).await.expect(200);
}

#[tokio::test]
async fn an_opaque_token_of_two_tenants_is_whose_it_is_in_each_and_revoked_in_one() {
    let world = world::shared().await;
    let (a, b) = sides(&world, "same-opaque").await;
    for side in [&a, &b] {
        side.tenant.patch_client("backend", &json!({ "access_token_format": "opaque" })).await;
    }
    let value = a.backend().sign_in(&a.alice).await.access;
    a.is_alices(&value).await;
    b.is_refused(&value).await;
    let own = b.backend().sign_in(&b.alice).await.access;
    b.rename("access_tokens", "token_hash", &own, &value).await;
    for side in [&a, &b, &a] {
        side.is_alices(&value).await;
        assert_eq!(side.backend().introspect(&value).await.expect(200).json["sub"], side.alice.id);
    }
    let _ = b.backend().revoke(&value).await.expect(200);
    b.is_refused(&value).await;
    assert_eq!(b.backend().introspect(&value).await.expect(200).text, r#"{"active":false}"#);
    a.is_alices(&value).await;
    assert_eq!(a.backend().introspect(&value).await.expect(200).json["active"], true);
}

/// A client's own token, which pods look up in memory: its name stands in the list of the other tenant, as if that had
/// given up a token of the same name.
#[tokio::test]
async fn a_jti_that_one_tenant_revoked_is_good_in_the_other() {
    let world = world::shared().await;
    let (a, b) = sides(&world, "same-jti").await;
    let token = async |side: &Side| side.tenant.service.client_credentials("hj:users.read").await;
    let (of_a, of_b) = (token(&a).await, token(&b).await);
    let is_active = async |side: &Side, pod: &Pod, token: &str| {
        let there = side.tenant.service.at(&format!("{}/t/{}", pod.url(), side.tenant.slug));
        there.introspect(token).await.expect(200).json["active"] == true
    };
    let connection = a.tenant.database.connect().await;
    // In this order, so that a pod that knows of the second one knows of the first.
    for token in [&of_b, &of_a] {
        let jti = Jwt::parse(token).claims["jti"].as_str().map(str::to_owned);
        let deny = "insert into denied_tokens (jti, expires_at) values ($1::text::uuid, now() + interval '1 hour')";
        connection.execute(deny, &[&jti]).await.expect("the superuser may");
    }
    for pod in &world.pods {
        until("the pod knows what A revoked", PATIENCE, async || {
            if is_active(&a, pod, &of_a).await { Err("active".to_owned()) } else { Ok(()) }
        })
        .await;
        assert!(is_active(&b, pod, &of_b).await, "{}", pod.name);
    }
    let users = web::client().get(format!("{}/api/v1/users", b.tenant.issuer)).bearer_auth(&of_b);
    let _ = web::send(users).await.expect(200);
    // It is B's to give up, and that it stands in A's list is no hindrance.
    let _ = b.tenant.service.revoke(&of_b).await.expect(200);
    assert!(!is_active(&b, &world.pods[0], &of_b).await);
}

/// Two keys of one name, as only a file can bring them in.
#[tokio::test]
async fn a_key_of_the_same_name_signs_for_its_own_tenant_alone() {
    let world = World::start(1, 1).await;
    let (a, b) = sides(&world, "same-kid").await;
    let token = async |side: &Side| side.tenant.service.client_credentials("hj:users.read").await;
    let kid = |token: &str| Jwt::parse(token).header["kid"].as_str().map(str::to_owned).expect("a key's name");
    let (of_a, of_b) = (kid(&token(&a).await), kid(&token(&b).await));
    let admin = &a.tenant.admin;
    let file = web::send(admin.request(Method::GET, "/export?consistency=linearizable")).await.expect(200).text;
    let renamed = export::sealed(file.lines().map(|line| line.replace(&of_b, &of_a)));
    let _ = web::send(admin.request(Method::POST, "/import?mode=merge").body(renamed)).await.expect(200);
    let signed_by_b = until("the pod knows", PATIENCE, async || {
        let token = token(&b).await;
        if kid(&token) == of_a { Ok(token) } else { Err(token) }
    })
    .await;
    let signed_by_a = token(&a).await;
    assert_eq!(kid(&signed_by_a), of_a);
    let look = async |side: &Side, token: &str| {
        let users = format!("{}/api/v1/users", side.tenant.issuer);
        let status = web::send(web::client().get(users).bearer_auth(token)).await.status;
        (status, side.tenant.service.introspect(token).await.expect(200).text)
    };
    for (side, own, foreign) in [(&a, &signed_by_a, &signed_by_b), (&b, &signed_by_b, &signed_by_a)] {
        let (status, told) = look(side, own).await;
        assert!(status == 200 && told.contains("\"active\":true"), "{status} {told}");
        assert_eq!(look(side, foreign).await, (401, r#"{"active":false}"#.to_owned()));
    }
    // A person's, too.
    let (of_a, of_b) = (a.backend().sign_in(&a.alice).await, b.backend().sign_in(&b.alice).await);
    a.is_alices(&of_a.access).await;
    b.is_alices(&of_b.access).await;
    a.is_refused(&of_b.access).await;
    b.is_refused(&of_a.access).await;
}
