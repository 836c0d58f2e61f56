//! Introspection: what is told of each kind of token, to whom, and that a client's JWT needs no database for it.

use serde_json::{Value, json};
use tests::relying_party::RelyingParty;
use tests::table::Table;
use tests::tenant::Tenant;
use tests::tokens::{Jwt, verify};
use tests::wait::{PATIENCE, until};
use tests::web;
use tests::world;

/// A client that serves `audience` and asks for nothing itself.
async fn resource_server(tenant: &Tenant, id: &str, audience: &[&str]) -> RelyingParty {
    let client = json!({
        "client_id": id, "name": id, "grant_types": ["client_credentials"], "resource_server_for": audience,
    });
    let secret = tenant.admin.create_client(&tenant.slug, &client).await.secret;
    RelyingParty::new(&tenant.issuer, id, secret, "")
}

#[tokio::test]
async fn each_kind_of_token_is_told_about_to_whom_it_concerns() {
    let world = world::shared().await;
    let tenant = world.tenant("told").await;
    let alice = tenant.user("alice").await;
    tenant.patch_client("backend", &json!({ "audiences": ["https://orders.example"] })).await;
    let orders = resource_server(&tenant, "orders", &["https://orders.example"]).await;
    let tokens = tenant.backend.sign_in(&alice).await;
    let own = tenant.service.client_credentials("hj:users.read").await;

    let told = orders.introspect(&tokens.access).await.expect(200);
    let claims = Jwt::parse(&tokens.access).claims;
    assert_eq!(told.json["active"], true, "{told:#?}");
    assert_eq!(told.json["token_type"], "Bearer");
    for name in ["iss", "sub", "aud", "client_id", "scope", "exp", "iat", "jti", "auth_time", "sid"] {
        assert_eq!(told.json[name], claims[name], "{name}");
    }
    assert_eq!(told.json.get("hj_grant"), None);
    assert_eq!(told.header("cache-control"), Some("no-store"));
    assert_eq!(tenant.backend.introspect(&tokens.access).await.expect(200).json, told.json, "and its own client");

    let told = tenant.backend.introspect(tokens.refresh()).await.expect(200);
    assert_eq!((&told.json["active"], &told.json["sub"]), (&json!(true), &json!(alice.id)), "{told:#?}");
    assert_eq!(told.json["client_id"], "backend");
    assert!(told.json["exp"].is_i64());
    let told = tenant.service.introspect(&own).await.expect(200);
    assert_eq!((&told.json["active"], &told.json["sub"]), (&json!(true), &json!("service")), "{told:#?}");

    // Nobody else's business, no token at all, or no longer one.
    let rotated = tenant.backend.refresh(tokens.refresh()).await.expect(200);
    let (code, _) = tenant.backend.code(&alice).await;
    let foreign = world.tenant("told-not").await.service.client_credentials("hj:users.read").await;
    let ended = tenant.backend.sign_in(&alice).await;
    for token in [&ended.access, ended.refresh()] {
        assert_eq!(tenant.backend.introspect(token).await.expect(200).json["active"], true);
        let _ = tenant.backend.revoke(token).await.expect(200);
    }
    let of_service = tenant.service.client_credentials("hj:users.read").await;
    let _ = tenant.service.revoke(&of_service).await.expect(200);
    let mut table = Table::new();
    for (what, asked_by, token) in [
        ("a service that the token is not for", &tenant.service, &tokens.access),
        ("a resource server asks for a refresh token", &orders, &rotated.text_of("refresh_token")),
        ("a resource server asks for another's audience", &orders, &own),
        ("a token that was replaced", &tenant.backend, &tokens.refresh().to_owned()),
        ("an ID token", &tenant.backend, &tokens.id().to_owned()),
        ("a code", &tenant.backend, &code),
        ("garbage", &tenant.backend, &"x".repeat(43)),
        ("a JWT of nobody", &tenant.backend, &Jwt::parse(&tokens.access).with_alg_none()),
        ("a JWT signed by a public key", &tenant.backend, &Jwt::parse(&tokens.access).with_hs256(b"public")),
        ("a token that was revoked", &tenant.backend, &ended.access),
        ("a service's token that was revoked", &tenant.service, &of_service),
        ("a refresh token that was revoked", &tenant.backend, &ended.refresh().to_owned()),
        ("a JWT of another tenant", &tenant.backend, &foreign),
        ("a JWT of another tenant, to its own client there", &tenant.service, &foreign),
        ("SQL", &tenant.backend, &"' OR 1=1--".to_owned()),
    ] {
        let answer = table.row(what, asked_by.back_channel("introspect", &[("token", token)]), &[200]).await;
        table.check(what, answer.text == r#"{"active":false}"#, || answer.text.clone());
    }
    table.finish(&world).await;
}

#[tokio::test]
async fn of_a_token_that_has_ended_nothing_is_told() {
    let world = world::shared().await;
    let lifetimes = json!({ "access_token_secs": 1 });
    let tenant = Tenant::create_with(&world, "has-ended", json!({ "lifetimes": lifetimes })).await;
    let alice = tenant.user("alice").await;
    let tokens = tenant.backend.sign_in(&alice).await;
    let own = tenant.service.client_credentials("hj:users.read").await;
    for (party, token) in [(&tenant.backend, &tokens.access), (&tenant.service, &own)] {
        until("it has ended", PATIENCE, async || {
            let told = party.introspect(token).await.expect(200).text;
            if told == r#"{"active":false}"# { Ok(()) } else { Err(told) }
        })
        .await;
        let _ = party.userinfo(token).await.expect(401);
    }
}

#[tokio::test]
async fn a_token_dies_with_its_client_its_user_and_its_family() {
    let world = world::shared().await;
    let tenant = world.tenant("dies").await;
    let alice = tenant.user("alice").await;
    let active =
        async |party: &RelyingParty, token: &str| party.introspect(token).await.expect(200).json["active"].clone();
    let tokens = tenant.backend.sign_in(&alice).await;
    let _ = tenant.backend.refresh(tokens.refresh()).await.expect(200);
    assert_eq!(active(&tenant.backend, &tokens.access).await, true);
    let _ = tenant.backend.refresh(tokens.refresh()).await.expect(400);
    assert_eq!(active(&tenant.backend, &tokens.access).await, false, "the family was revoked");

    let tokens = tenant.backend.sign_in(&alice).await;
    let connection = tenant.database.connect().await;
    connection.execute("update users set status = 'disabled'", &[]).await.expect("the user is there");
    assert_eq!(active(&tenant.backend, &tokens.access).await, false, "the user is disabled");
    assert_eq!(active(&tenant.backend, tokens.refresh()).await, false, "the user is disabled");

    let orders = resource_server(&tenant, "orders", &[&tenant.issuer]).await;
    let own = tenant.service.client_credentials("hj:users.read").await;
    assert_eq!(active(&orders, &own).await, true);
    tenant.patch_client("service", &json!({ "enabled": false })).await;
    assert_eq!(active(&orders, &own).await, false, "its client is disabled");
}

#[tokio::test]
async fn the_answer_may_be_signed() {
    let world = world::shared().await;
    let tenant = world.tenant("signed").await;
    let own = tenant.service.client_credentials("hj:users.read").await;
    let ask = async |token: &str| {
        let request = tenant.service.back_channel("introspect", &[("token", token)]);
        web::send(request.header("accept", "application/token-introspection+jwt")).await.expect(200)
    };
    let answer = ask(&own).await;
    assert_eq!(answer.header("content-type"), Some("application/token-introspection+jwt"));
    assert_eq!(Jwt::parse(&answer.text).header["typ"], "token-introspection+jwt");
    let jwks = tenant.service.jwks().await.json;
    let mut claims = verify_signed(&answer.text, &jwks);
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(tenant.issuer), &json!("service")));
    assert!(claims["iat"].is_i64());
    assert_eq!(claims["token_introspection"]["active"], true);
    assert_eq!(claims["token_introspection"]["jti"], Jwt::parse(&own).claims["jti"]);
    // Not to be taken for an access token by who reads the outer claims only (RFC 9701 §8.1).
    for name in ["sub", "exp", "client_id", "scope"] {
        assert_eq!(claims.get(name), None, "{name}");
    }
    claims = verify_signed(&ask("x").await.text, &jwks);
    assert_eq!(claims["token_introspection"], json!({ "active": false }));
    let _ = tenant.service.userinfo(&answer.text).await.expect(401);
}

/// It has no `exp`, which the usual check asks for.
fn verify_signed(jwt: &str, jwks: &Value) -> Value {
    match verify(jwt, jwks) {
        Ok(claims) => claims,
        Err(error) => {
            assert!(error.contains("exp"), "{error}");
            Jwt::parse(jwt).claims
        }
    }
}

#[tokio::test]
async fn who_may_ask_and_how() {
    let world = world::shared().await;
    let tenant = world.tenant("ask").await;
    let own = tenant.service.client_credentials("hj:users.read").await;
    let (http, url) = (&tenant.service.http, tenant.service.endpoint("introspect"));
    let form = [("token", own.as_str())];
    let mut table = Table::new();
    table.row("GET", http.get(&url).query(&form), &[405]).await;
    table.oauth("no client", http.post(&url).form(&form), &[401], &["invalid_client"]).await;
    let public = tenant.app.back_channel("introspect", &form);
    table.oauth("a public client", public, &[401], &["invalid_client"]).await;
    let wrong = tenant.service.with_secret("wrong").back_channel("introspect", &form);
    table.oauth("a wrong secret", wrong, &[401], &["invalid_client"]).await;
    let with = |form: &[(&str, &str)]| tenant.service.back_channel("introspect", form);
    table.oauth("no token", with(&[]), &[400], &["invalid_request"]).await;
    table.oauth("two tokens", with(&[form[0], form[0]]), &[400], &["invalid_request"]).await;
    let in_query = with(&form).query(&form);
    table.oauth("a token in the query", in_query, &[400], &["invalid_request"]).await;
    let json = http.post(&url).basic_auth("service", tenant.service.secret.as_ref()).json(&json!({ "token": own }));
    table.oauth("JSON", json, &[400], &["invalid_request"]).await;
    let hinted = with(&[form[0], ("token_type_hint", "refresh_token")]);
    let answer = table.row("a wrong hint", hinted, &[200]).await;
    table.check("a wrong hint", answer.json["active"] == true, || answer.text.clone());
    table.finish(&world).await;
}

#[tokio::test]
async fn a_clients_token_is_told_about_while_the_database_hangs() {
    let world = world::shared().await;
    let tenant = world.tenant("hangs").await;
    let own = tenant.service.client_credentials("hj:users.read").await;
    assert_eq!(tenant.service.introspect(&own).await.expect(200).json["active"], true);
    let connection = tenant.database.connect().await;
    connection.batch_execute("begin; lock table denied_tokens in access exclusive mode").await.expect("a lock");
    for _ in 0..20 {
        assert_eq!(tenant.service.introspect(&own).await.expect(200).json["active"], true);
    }
    connection.batch_execute("rollback").await.expect("the lock goes");
}
