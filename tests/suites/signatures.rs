//! Keys of several families in one tenant: each made when it is first asked for, all published, each signing what is
//! asked of it.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::tenant::Tenant;
use tests::tokens::{self, Jwt};
use tests::world;

const ALL: [&str; 5] = ["ES256", "EdDSA", "RS256", "PS256", "ES384"];

/// `(algorithm, status, kid, revision)` of every key.
async fn keys(tenant: &Tenant) -> Vec<(String, String, String, u64)> {
    let answer = tenant.admin.get(&format!("/tenants/{}/keys", tenant.slug)).await.expect(200);
    let text = |key: &Value, name: &str| key[name].as_str().expect("a text").to_owned();
    let items = answer.json["items"].as_array().expect("items").clone();
    let row = |key: &Value| {
        (text(key, "algorithm"), text(key, "status"), text(key, "kid"), key["revision"].as_u64().expect("a number"))
    };
    items.iter().map(row).collect()
}

#[tokio::test]
async fn a_clients_id_tokens_are_signed_as_it_asks() {
    let world = world::shared().await;
    let tenant = world.tenant("asked").await;
    let alice = tenant.user("alice").await;
    assert_eq!(keys(&tenant).await.len(), 1);
    for algorithm in ALL {
        tenant.patch_client("backend", &json!({ "id_token_signed_response_alg": algorithm })).await;
        let got = tenant.backend.sign_in(&alice).await;
        let jwks = tenant.backend.jwks().await.json;
        let claims = tokens::verify(got.id(), &jwks).unwrap_or_else(|error| panic!("{algorithm}: {error}"));
        assert_eq!(Jwt::parse(got.id()).header["alg"], algorithm);
        assert_eq!(claims["at_hash"], tokens::at_hash_by(algorithm, &got.access));
        // Who takes access tokens is not asked by a client what it can verify.
        assert_eq!(Jwt::parse(&got.access).header["alg"], "ES256");
        let refreshed = tests::relying_party::Tokens::read(tenant.backend.refresh(got.refresh()).await);
        assert_eq!(Jwt::parse(refreshed.id()).header["alg"], algorithm);
        let _ = tokens::verify(refreshed.id(), &jwks).unwrap_or_else(|error| panic!("{algorithm}: {error}"));
    }
    // PS256 made no key of its own.
    let made: Vec<String> = keys(&tenant).await.into_iter().map(|(algorithm, ..)| algorithm).collect();
    assert_eq!(
        made.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        BTreeSet::from(["ES256", "EdDSA", "RS256", "ES384"])
    );
    assert_eq!(made.len(), 4);
    let jwks = tenant.app.jwks().await.json;
    let published = jwks["keys"].as_array().expect("keys");
    let kids: BTreeSet<_> = published.iter().map(|key| key["kid"].as_str().expect("a kid")).collect();
    assert_eq!((published.len(), kids.len()), (4, 4));
    // The others go on as the tenant signs.
    assert_eq!(Jwt::parse(tenant.app.sign_in(&alice).await.id()).header["alg"], "ES256");
}

#[tokio::test]
async fn the_key_is_in_the_write_that_asks_for_it() {
    let world = world::shared().await;
    let tenant = world.tenant("stamped").await;
    let client = json!({
        "client_id": "old", "name": "Old", "grant_types": ["client_credentials"], "id_token_signed_response_alg": "RS256",
    });
    let made = tenant.admin.post(&format!("/tenants/{}/clients", tenant.slug), &client).await.expect(201);
    let rsa: Vec<_> = keys(&tenant).await.into_iter().filter(|(algorithm, ..)| algorithm == "RS256").collect();
    assert_eq!(rsa.len(), 1);
    assert_eq!((rsa[0].1.as_str(), rsa[0].3), ("active", made.json["revision"].as_u64().expect("a revision")));
    // Of another tenant nothing happened, and no key is two tenants'.
    let other = world.tenant("bystander").await;
    let of_other = keys(&other).await;
    assert_eq!(of_other.len(), 1);
    assert!(keys(&tenant).await.iter().all(|(.., kid, _)| *kid != of_other[0].2));
    for wrong in ["none", "HS256", "rs256", ""] {
        let patch = json!({ "id_token_signed_response_alg": wrong });
        let path = format!("/tenants/{}/clients/old", tenant.slug);
        let _ = tenant.admin.patch(&path, &patch).await.expect_one_of(&[400, 422]);
    }
}

/// Many clients at once ask for the first RSA key: one is made, nobody fails, and other writes do not wait for it.
#[tokio::test]
async fn those_who_ask_at_once_share_the_first_key() {
    let world = world::shared().await;
    let tenant = world.tenant("crowd").await;
    let path = format!("/tenants/{}/clients", tenant.slug);
    let asked = (0..6).map(|number| {
        let client = json!({
            "client_id": format!("c{number}"), "name": "C", "grant_types": ["client_credentials"],
            "id_token_signed_response_alg": "PS256",
        });
        let (admin, path) = (tenant.admin.clone(), path.clone());
        tokio::spawn(async move { admin.post(&path, &client).await.status })
    });
    for status in asked.collect::<Vec<_>>() {
        assert_eq!(status.await.expect("no panic"), 201);
    }
    let rsa = keys(&tenant).await.into_iter().filter(|(algorithm, ..)| algorithm == "RS256").count();
    assert_eq!(rsa, 1);
}

#[tokio::test]
async fn one_family_rotates_and_the_others_stay() {
    let world = world::shared().await;
    let tenant = world.tenant("turn").await;
    let alice = tenant.user("alice").await;
    tenant.patch_client("backend", &json!({ "id_token_signed_response_alg": "RS256" })).await;
    let before = tenant.backend.sign_in(&alice).await;
    let rotate = format!("/tenants/{}/keys/rotate?wait=fleet&timeout=15s", tenant.slug);
    let _ = tenant.admin.post(&rotate, &json!({ "algorithm": "PS256" })).await.expect(200);
    let after = tenant.backend.sign_in(&alice).await;
    let kid = |token: &str| Jwt::parse(token).header["kid"].clone();
    assert_ne!(kid(before.id()), kid(after.id()));
    assert_eq!(kid(&before.access), kid(&after.access));
    let jwks = tenant.backend.jwks().await.json;
    for token in [before.id(), after.id()] {
        let _ = tokens::verify(token, &jwks).expect("both keys are published");
    }
    // Nobody asks for it any longer: it may go for good.
    let active = after.id().to_owned();
    let revoke = format!(
        "/tenants/{}/keys/{}/revoke?wait=fleet&timeout=15s",
        tenant.slug,
        kid(&active).as_str().expect("a kid")
    );
    let _ = tenant.admin.post(&revoke, &json!({})).await.expect(409);
    tenant.patch_client("backend", &json!({ "id_token_signed_response_alg": null })).await;
    let _ = tenant.admin.post(&revoke, &json!({})).await.expect(200);
    assert!(tokens::verify(&active, &tenant.backend.jwks().await.json).is_err());
    assert_eq!(Jwt::parse(tenant.backend.sign_in(&alice).await.id()).header["alg"], "ES256");
}
