//! What clients know users by, and userinfo as a JWT.

use serde_json::{Value, json};
use tests::browser::Browser;
use tests::relying_party::{RelyingParty, Tokens, parameters};
use tests::tenant::{Tenant, User};
use tests::tokens::{self, Jwt};
use tests::{web, world};

/// A confidential client with that redirect URI, known to every pod.
async fn client(tenant: &Tenant, id: &str, redirect_uri: &str, more: Value) -> RelyingParty {
    let mut client = json!({
        "client_id": id, "name": id, "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "scopes": ["openid", "profile", "email", "offline_access"],
    });
    client.as_object_mut().expect("an object").append(&mut more.as_object().expect("an object").clone());
    let made = tenant.admin.post(&format!("/tenants/{}/clients?wait=fleet&timeout=15s", tenant.slug), &client).await;
    let secret = made.expect_one_of(&[200, 201]).text_of("client_secret");
    RelyingParty::new(&tenant.issuer, id, Some(secret), redirect_uri)
}

async fn pairwise(tenant: &Tenant, id: &str, redirect_uri: &str) -> RelyingParty {
    client(tenant, id, redirect_uri, json!({ "subject_type": "pairwise" })).await
}

fn sub_of(token: &str) -> String {
    Jwt::parse(token).claims["sub"].as_str().expect("a sub").to_owned()
}

async fn sub(client: &RelyingParty, user: &User) -> (String, Tokens) {
    let got = client.sign_in(user).await;
    (sub_of(got.id()), got)
}

#[tokio::test]
async fn a_pairwise_client_knows_users_by_names_of_its_sector() {
    let world = world::shared().await;
    let tenant = world.tenant("pairwise").await;
    let (alice, bob) = (tenant.user("alice").await, tenant.user("bob").await);
    let one = pairwise(&tenant, "one", "https://a.example/cb").await;
    let same = pairwise(&tenant, "same", "https://a.example/other").await;
    let other = pairwise(&tenant, "other", "https://b.example/cb").await;
    let sector = json!({ "subject_type": "pairwise", "sector_identifier_uri": "https://a.example/sector.json" });
    let by_uri = client(&tenant, "by-uri", "https://c.example/cb", sector).await;

    let (known, got) = sub(&one, &alice).await;
    assert_ne!(known, alice.id);
    assert_eq!(sub(&tenant.backend, &alice).await.0, alice.id, "a public client knows the user itself");
    assert_eq!(sub(&same, &alice).await.0, known);
    assert_eq!(sub(&by_uri, &alice).await.0, known);
    assert_ne!(sub(&other, &alice).await.0, known);
    assert_ne!(sub(&one, &bob).await.0, known);

    // Everywhere that it hears of the user.
    assert_eq!(sub_of(&got.access), known, "a JWT that it can read tells no more than the ID token");
    assert!(!Jwt::parse(&got.access).claims.to_string().contains(&alice.id));
    let userinfo = one.userinfo(&got.access).await.expect(200);
    assert_eq!((userinfo.text_of("sub"), userinfo.text_of("email")), (known.clone(), alice.email.clone()));
    for token in [got.access.as_str(), got.refresh()] {
        let ask = one.http.post(one.endpoint("introspect")).form(&[("token", token)]);
        let ask = ask.basic_auth(&one.client_id, one.secret.as_deref());
        let answer = web::send(ask).await.expect(200);
        assert_eq!((&answer.json["active"], answer.text_of("sub")), (&json!(true), known.clone()));
    }
    let refreshed = Tokens::read(one.refresh(got.refresh()).await);
    assert_eq!(sub_of(refreshed.id()), known);

    // For ever: other keys, another name of the client.
    let rotate = format!("/tenants/{}/keys/rotate?wait=fleet&timeout=15s", tenant.slug);
    let _ = tenant.admin.post(&rotate, &json!({})).await.expect(200);
    tenant.patch_client("one", &json!({ "name": "Renamed" })).await;
    assert_eq!(sub(&one, &alice).await.0, known);
    // Another tenant has another salt.
    let elsewhere = world.tenant("elsewhere").await;
    let there = pairwise(&elsewhere, "one", "https://a.example/cb").await;
    assert_ne!(sub(&there, &elsewhere.user("alice").await).await.0, known);
}

#[tokio::test]
async fn a_hint_names_the_user_by_the_name_that_the_client_knows() {
    let world = world::shared().await;
    let tenant = world.tenant("hint").await;
    let (alice, bob) = (tenant.user("alice").await, tenant.user("bob").await);
    let one = pairwise(&tenant, "one", "https://a.example/cb").await;
    let browser = Browser::new();
    let attempt = one.attempt();
    let callback = browser.authorize(&attempt.url, &alice).await;
    let got = Tokens::read(one.redeem(&parameters(&callback)["code"], &attempt.verifier).await);
    let of_bob = one.sign_in(&bob).await;
    for (hint, expected) in [(got.id(), "code"), (of_bob.id(), "error")] {
        let silent = one.attempt_with(&[("prompt", Some("none")), ("id_token_hint", Some(hint))]);
        let answer = parameters(&browser.open(&silent.url).await.expect_callback());
        assert!(answer.contains_key(expected), "{expected}: {answer:?}");
    }
}

#[tokio::test]
async fn a_sector_must_be_one() {
    let world = world::shared().await;
    let tenant = world.tenant("sector").await;
    let path = format!("/tenants/{}/clients", tenant.slug);
    for (redirects, sector) in [
        (json!(["https://a.example/cb", "https://b.example/cb"]), Value::Null),
        (json!(["com.example.app:/cb"]), Value::Null),
        (json!(["https://a.example/cb"]), json!("http://a.example/sector.json")),
    ] {
        let client = json!({
            "client_id": "wrong", "name": "W", "redirect_uris": redirects, "subject_type": "pairwise",
            "sector_identifier_uri": sector,
        });
        let refused = tenant.admin.post(&path, &client).await.expect(422);
        assert!(refused.pointers().contains(&"/sector_identifier_uri"), "{refused:#?}");
    }
}

#[tokio::test]
async fn userinfo_is_signed_for_whom_asks_for_it() {
    let world = world::shared().await;
    let tenant = world.tenant("userinfo").await;
    let alice = tenant.user("alice").await;
    for algorithm in ["ES256", "EdDSA", "RS256", "PS256", "ES384"] {
        tenant.patch_client("backend", &json!({ "userinfo_signed_response_alg": algorithm })).await;
        let got = tenant.backend.sign_in(&alice).await;
        let post = tenant.backend.http.post(tenant.backend.endpoint("userinfo")).form(&[("access_token", &got.access)]);
        for answer in [tenant.backend.userinfo(&got.access).await, web::send(post).await] {
            let answer = answer.expect(200);
            assert_eq!(answer.header("content-type"), Some("application/jwt"));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(Jwt::parse(&answer.text).header["alg"], algorithm);
            let claims = Jwt::parse(&answer.text).claims;
            let expected = json!({ "iss": tenant.issuer, "aud": "backend", "sub": alice.id, "email": alice.email });
            for (name, value) in expected.as_object().expect("an object") {
                assert_eq!(claims[name], *value, "{name}");
            }
            tokens::verify_signature(&answer.text, &tenant.backend.jwks().await.json).expect("verifies");
            // It is no token of any kind.
            let _ = tenant.backend.userinfo(&answer.text).await.expect(401);
        }
    }
    tenant.patch_client("backend", &json!({ "userinfo_signed_response_alg": null })).await;
    let got = tenant.backend.sign_in(&alice).await;
    assert_eq!(tenant.backend.userinfo(&got.access).await.expect(200).text_of("sub"), alice.id);
}

#[tokio::test]
async fn scopes_release_claims_of_the_tenants_own_making() {
    let world = world::shared().await;
    let claims = json!({
        "employee": { "field": "staff_no" }, "org": { "value": { "name": "Acme" } }, "absent": { "field": "nothing" },
        "score": { "aggregated": "bank_jwt" }, "limit": { "aggregated": "bank_jwt" },
        "unsaid": { "aggregated": "staff_no" },
    });
    let tenant = Tenant::create_with(&world, "claims", json!({ "oauth": { "claims": claims } })).await;
    for scope in [
        json!({ "name": "staff", "claims": ["employee", "org", "absent"] }),
        json!({ "name": "credit", "claims": ["score", "limit", "unsaid"] }),
    ] {
        let _ = tenant.admin.post(&format!("/tenants/{}/scopes", tenant.slug), &scope).await.expect(201);
    }
    let types = tenant.app.discovery().await.json["claim_types_supported"].clone();
    assert_eq!(types, json!(["normal", "aggregated"]));
    let hr = client(
        &tenant,
        "hr",
        "https://hr.example/cb",
        json!({ "scopes": ["openid", "staff", "credit", "address", "phone"] }),
    )
    .await;
    // Said and signed by somebody else: it is not looked into.
    let jwt = "eyJhbGciOiJFUzI1NiJ9.eyJzY29yZSI6NywibGltaXQiOjl9.c2lnbmF0dXJl";
    let body = json!({
        "email": "carol@claims.example", "password": "carol is a horse with a staple", "email_verified": true,
        "claims": {
            "staff_no": 12, "address": { "country": "FR" }, "phone_number": "+33 1 23 45 67 89",
            "phone_number_verified": false, "bank_jwt": jwt,
        },
    });
    let token = tenant.service.client_credentials("hj:users.write").await;
    let request = tenant.service.http.post(format!("{}/api/v1/users", tenant.issuer)).bearer_auth(token).json(&body);
    let made = web::send(request).await.expect(201);
    let carol = User {
        id: made.text_of("id"),
        email: "carol@claims.example".to_owned(),
        password: "carol is a horse with a staple".to_owned(),
    };
    let of_bank = json!({
        "sub": carol.id, "_claim_names": { "score": "bank_jwt", "limit": "bank_jwt" },
        "_claim_sources": { "bank_jwt": { "JWT": jwt } },
    });
    for (scope, expected) in [
        ("openid credit", of_bank),
        ("openid staff", json!({ "sub": carol.id, "employee": 12, "org": { "name": "Acme" } })),
        (
            "openid address phone",
            json!({
                "sub": carol.id, "address": { "country": "FR" }, "phone_number": "+33 1 23 45 67 89",
                "phone_number_verified": false,
            }),
        ),
    ] {
        let attempt = hr.attempt_with(&[("scope", Some(scope))]);
        let callback = Browser::new().authorize(&attempt.url, &carol).await;
        let got = Tokens::read(hr.redeem(&parameters(&callback)["code"], &attempt.verifier).await);
        assert_eq!(hr.userinfo(&got.access).await.expect(200).json, expected);
    }
    // In an ID token, too, where one of them is asked for there.
    let wanted = r#"{"id_token":{"score":null}}"#;
    let attempt = hr.attempt_with(&[("scope", Some("openid")), ("claims", Some(wanted))]);
    let callback = Browser::new().authorize(&attempt.url, &carol).await;
    let got = Tokens::read(hr.redeem(&parameters(&callback)["code"], &attempt.verifier).await);
    let id = Jwt::parse(got.id()).claims;
    assert_eq!(id["_claim_names"], json!({ "score": "bank_jwt" }));
    assert_eq!(id["_claim_sources"], json!({ "bank_jwt": { "JWT": jwt } }));
    let wrong = json!({ "settings": { "oauth": { "claims": { "sub": { "value": "root" } } } } });
    let refused = tenant.admin.patch(&format!("/tenants/{}", tenant.slug), &wrong).await.expect(422);
    assert!(refused.pointers().contains(&"/settings/oauth/claims/sub"), "{refused:#?}");
}
