//! Token exchange: what a service gets for a token that it was handed, and what it does not.

use serde_json::{Value, json};
use tests::browser::Browser;
use tests::relying_party::{RelyingParty, Tokens, parameters};
use tests::table::Table;
use tests::tenant::Tenant;
use tests::tokens::Jwt;
use tests::wait::{PATIENCE, until};
use tests::world;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const REFRESH: &str = "urn:ietf:params:oauth:token-type:refresh_token";
const ID: &str = "urn:ietf:params:oauth:token-type:id_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// A service that may exchange the backend's tokens in these modes.
async fn gateway(tenant: &Tenant, id: &str, modes: &Value) -> RelyingParty {
    let client = json!({
        "client_id": id, "name": id, "grant_types": [GRANT, "client_credentials"],
        "scopes": ["openid", "profile", "hj:users.read"],
        "token_exchange": { "subject_clients": ["backend"], "audiences": ["https://orders.example"], "modes": modes },
    });
    let secret = tenant.admin.create_client(&tenant.slug, &client).await.secret;
    RelyingParty::new(&tenant.issuer, id, secret, "")
}

fn form<'a>(token: &'a str, kind: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("grant_type", GRANT), ("subject_token", token), ("subject_token_type", kind)], more].concat()
}

#[tokio::test]
async fn every_kind_of_token_is_exchanged_for_less() {
    let world = world::shared().await;
    let tenant = world.tenant("exchange").await;
    let alice = tenant.user("alice").await;
    let gateway = gateway(&tenant, "gateway", &json!(["impersonation", "delegation"])).await;
    let tokens = tenant.backend.sign_in(&alice).await;
    let subject = Jwt::parse(&tokens.access).claims;
    for (kind, token) in [
        (ACCESS, tokens.access.as_str()),
        (JWT, &tokens.access),
        (REFRESH, tokens.refresh()),
        (ID, tokens.id()),
        (JWT, tokens.id()),
    ] {
        let answer = gateway.token(&form(token, kind, &[("scope", "profile")])).await.expect(200);
        assert_eq!(answer.json["issued_token_type"], ACCESS, "{kind}: {answer:#?}");
        assert_eq!(answer.json["token_type"], "Bearer");
        assert_eq!(answer.json.get("refresh_token"), None);
        let claims = Jwt::parse(&answer.text_of("access_token")).claims;
        assert_eq!(claims["sub"], alice.id, "{kind}");
        assert_eq!(claims["client_id"], "gateway");
        assert_eq!(claims["aud"], "https://orders.example");
        assert_eq!(claims["scope"], "profile");
        assert_eq!(claims.get("act"), None);
        if kind == ACCESS {
            assert!(claims["exp"].as_i64() <= subject["exp"].as_i64());
        }
    }
    // What was shown stays as it is; what came of it dies with the family.
    let answer = gateway.token(&form(&tokens.access, ACCESS, &[("audience", &tenant.issuer)])).await.expect(200);
    let exchanged = answer.text_of("access_token");
    let _ = gateway.userinfo(&exchanged).await.expect(200);
    let next = Tokens::read(tenant.backend.refresh(tokens.refresh()).await);
    let _ = tenant.backend.revoke(next.refresh()).await.expect(200);
    let _ = gateway.userinfo(&exchanged).await.expect(401);
    assert_eq!(gateway.introspect(&exchanged).await.expect(200).json, json!({ "active": false }));
}

#[tokio::test]
async fn who_acts_is_told() {
    let world = world::shared().await;
    let tenant = world.tenant("acts").await;
    let alice = tenant.user("alice").await;
    let first = gateway(&tenant, "first", &json!(["delegation"])).await;
    let second = gateway(&tenant, "second", &json!(["delegation"])).await;
    let patch = json!({ "token_exchange": { "subject_clients": ["first"], "modes": ["delegation"] } });
    tenant.patch_client("second", &patch).await;
    let tokens = tenant.backend.sign_in(&alice).await;
    let answer = first.token(&form(&tokens.access, ACCESS, &[])).await.expect(200);
    let delegated = answer.text_of("access_token");
    assert_eq!(Jwt::parse(&delegated).claims["act"], json!({ "sub": "first" }));
    let answer = second.token(&form(&delegated, ACCESS, &[])).await.expect(200);
    let chain = json!({ "sub": "second", "act": { "sub": "first" } });
    assert_eq!(Jwt::parse(&answer.text_of("access_token")).claims["act"], chain);
    assert_eq!(second.introspect(&answer.text_of("access_token")).await.expect(200).json["act"], chain);
    // By a token of its own, too.
    let own = first.client_credentials("hj:users.read").await;
    let actor = [("actor_token", own.as_str()), ("actor_token_type", ACCESS)];
    let answer = first.token(&form(&tokens.access, ACCESS, &actor)).await.expect(200);
    assert_eq!(Jwt::parse(&answer.text_of("access_token")).claims["act"], json!({ "sub": "first" }));
    let refused = second.token(&form(&delegated, ACCESS, &actor)).await.expect(400);
    assert_eq!(refused.code(), "invalid_request", "another client's actor_token");

    // The backend's tokens name who may act: nobody else does.
    tenant.patch_client("backend", &json!({ "may_act": "second" })).await;
    let tokens = tenant.backend.sign_in(&alice).await;
    assert_eq!(Jwt::parse(&tokens.access).claims["may_act"], json!({ "sub": "second" }));
    let refused = first.token(&form(&tokens.access, ACCESS, &[])).await.expect(400);
    assert_eq!(refused.code(), "unauthorized_client");
}

#[tokio::test]
async fn what_has_ended_is_not_exchanged() {
    let world = world::shared().await;
    let lifetimes = json!({ "lifetimes": { "access_token_secs": 1, "id_token_secs": 1 } });
    let tenant = Tenant::create_with(&world, "ended", lifetimes).await;
    let alice = tenant.user("alice").await;
    let gateway = gateway(&tenant, "gateway", &json!(["impersonation"])).await;
    let tokens = tenant.backend.sign_in(&alice).await;
    for (kind, token) in [(ACCESS, tokens.access.as_str()), (ID, tokens.id())] {
        until("it has ended", PATIENCE, async || {
            let answer = gateway.token(&form(token, kind, &[("scope", "profile")])).await;
            if answer.status == 400 && answer.code() == "invalid_request" { Ok(()) } else { Err(answer.text) }
        })
        .await;
    }
}

#[tokio::test]
async fn nothing_is_widened() {
    let world = world::shared().await;
    let tenant = world.tenant("widened").await;
    let (alice, stranger) = (tenant.user("alice").await, world.tenant("stranger").await);
    let gateway = gateway(&tenant, "gateway", &json!(["impersonation"])).await;
    let (tokens, of_app) = (tenant.backend.sign_in(&alice).await, tenant.app.sign_in(&alice).await);
    let foreign = stranger.service.client_credentials("hj:users.read").await;
    let forged = Jwt::parse(&tokens.access).with_alg_none();
    let narrow = tenant.backend.attempt_with(&[("scope", Some("openid"))]);
    let callback = parameters(&Browser::new().authorize(&narrow.url, &alice).await);
    let narrow = Tokens::read(tenant.backend.redeem(&callback["code"], &narrow.verifier).await);
    let own = gateway.client_credentials("hj:users.read").await;
    let access = tokens.access.as_str();
    let mut table = Table::new();
    let request = ["invalid_request"];
    for (what, form, errors) in [
        ("an unknown type", form(access, "urn:x", &[]), &request[..]),
        ("SAML", form(access, "urn:ietf:params:oauth:token-type:saml2", &[]), &request),
        ("another type than it is", form(access, ID, &[]), &request),
        ("garbage", form("x", ACCESS, &[]), &request),
        ("another issuer's", form(&foreign, ACCESS, &[]), &request),
        ("forged", form(&forged, ACCESS, &[]), &request),
        ("of a client that it may not", form(&of_app.access, ACCESS, &[]), &request),
        ("a refresh token of that client", form(of_app.refresh(), REFRESH, &[]), &request),
        ("an ID token of that client", form(of_app.id(), ID, &[]), &request),
        ("an unknown audience", form(access, ACCESS, &[("audience", "urn:unknown")]), &["invalid_target"]),
        ("an unknown resource", form(access, ACCESS, &[("resource", "https://x.example")]), &["invalid_target"]),
        ("more than the client may", form(access, ACCESS, &[("scope", "email")]), &["invalid_scope"]),
        ("more than the token may", form(access, ACCESS, &[("scope", "hj:users.read")]), &["invalid_scope"]),
        ("more than was granted", form(&narrow.access, ACCESS, &[("scope", "profile")]), &["invalid_scope"]),
        ("a refresh token for it", form(access, ACCESS, &[("requested_token_type", REFRESH)]), &request),
        (
            "an actor where it may only impersonate",
            form(access, ACCESS, &[("actor_token", access), ("actor_token_type", ACCESS)]),
            &["unauthorized_client", "invalid_request"],
        ),
        ("an actor without a type", form(access, ACCESS, &[("actor_token", &own)]), &request),
        ("no subject", vec![("grant_type", GRANT)], &request),
    ] {
        table.oauth(what, gateway.token_request(&form), &[400], errors).await;
    }
    let unregistered = tenant.service.token_request(&form(access, ACCESS, &[]));
    table.oauth("a client that is not registered for it", unregistered, &[400], &["unauthorized_client"]).await;
    table.row("the same, allowed", gateway.token_request(&form(access, ACCESS, &[])), &[200]).await;
    // What has ended or was revoked is not exchanged.
    let _ = tenant.backend.revoke(access).await.expect(200);
    table.oauth("a revoked token", gateway.token_request(&form(access, ACCESS, &[])), &[400], &request).await;
    let _ = tenant.backend.revoke(tokens.refresh()).await.expect(200);
    for (kind, token) in [(REFRESH, tokens.refresh()), (ID, tokens.id())] {
        let refused = gateway.token_request(&form(token, kind, &[]));
        // The session has another grant, the narrow one, and the ID token is as good as that.
        if kind == REFRESH {
            table.oauth("of a revoked family", refused, &[400], &request).await;
        } else {
            table
                .oauth(
                    "of a revoked family, wider",
                    gateway.token_request(&form(token, kind, &[("scope", "profile")])),
                    &[400],
                    &["invalid_scope", "invalid_request"],
                )
                .await;
        }
    }
    table.finish(&world).await;
}
