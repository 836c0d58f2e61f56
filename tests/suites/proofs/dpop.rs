//! DPoP (RFC 9449): tokens bound to a key of the application.

use serde_json::{Value, json};
use tests::browser::Browser;
use tests::relying_party::{Attempt, RelyingParty, parameters};
use tests::tenant::{Tenant, User};
use tests::web::{self, Answer};

use super::keys::{Key, claims, now};
use super::shared;

/// The service's client credentials, with these `DPoP` headers.
async fn ask(tenant: &Tenant, base: &str, proofs: &[String]) -> Answer {
    let service = tenant.service.at(base);
    let request = service.token_request(&[("grant_type", "client_credentials"), ("scope", "hj:users.read")]);
    web::send(proofs.iter().fold(request, |request, proof| request.header("DPoP", proof))).await
}

fn endpoint(tenant: &Tenant) -> String {
    format!("{}/oauth2/token", tenant.issuer)
}

async fn users(tenant: &Tenant, scheme: &str, token: &str, proof: Option<String>) -> Answer {
    let request = web::client().get(format!("{}/api/v1/users", tenant.issuer));
    let request = request.header("authorization", format!("{scheme} {token}"));
    web::send(proof.into_iter().fold(request, |request, proof| request.header("DPoP", proof))).await
}

#[tokio::test]
async fn a_bound_token_is_of_use_with_its_key_only() {
    let setting = shared().await;
    let tenant = setting.tenant("dpop").await;
    let (key, thief) = (Key::new("k"), Key::new("k"));
    let proof = key.proof("POST", &endpoint(&tenant), &json!({}));
    let answer = ask(&tenant, &tenant.issuer, &[proof]).await.expect(200);
    assert_eq!(answer.text_of("token_type"), "DPoP");
    let token = answer.text_of("access_token");
    assert_eq!(claims(&token)["cnf"], json!({"jkt": key.thumbprint()}));

    let resource = format!("{}/api/v1/users", tenant.issuer);
    let good = key.proof_with("GET", &resource, &token);
    assert_eq!(users(&tenant, "DPoP", &token, Some(good.clone())).await.status, 200);
    let unbound = tenant.service.client_credentials("hj:users.read").await;
    for (what, scheme, token, proof, error) in [
        ("the same proof again", "DPoP", &token, Some(good), "invalid_dpop_proof"),
        ("no proof", "DPoP", &token, None, "invalid_dpop_proof"),
        ("as if it were not bound", "Bearer", &token, None, "invalid_token"),
        (
            "with a proof all the same",
            "Bearer",
            &token,
            Some(key.proof_with("GET", &resource, &token)),
            "invalid_token",
        ),
        ("another key", "DPoP", &token, Some(thief.proof_with("GET", &resource, &token)), "invalid_token"),
        ("no ath", "DPoP", &token, Some(key.proof("GET", &resource, &json!({}))), "invalid_dpop_proof"),
        ("of another token", "DPoP", &token, Some(key.proof_with("GET", &resource, "x")), "invalid_dpop_proof"),
        ("for another method", "DPoP", &token, Some(key.proof_with("POST", &resource, &token)), "invalid_dpop_proof"),
        (
            "a token that is not bound",
            "DPoP",
            &unbound,
            Some(key.proof_with("GET", &resource, &unbound)),
            "invalid_token",
        ),
    ] {
        let answer = users(&tenant, scheme, token, proof).await;
        assert_eq!((answer.status, answer.text_of("error").as_str()), (401, error), "{what}: {}", answer.text);
    }
    let introspected = tenant.service.introspect(&token).await.expect(200);
    assert_eq!(introspected.text_of("token_type"), "DPoP");
    assert_eq!(introspected.json["cnf"], json!({"jkt": key.thumbprint()}));
    // Who brings nothing is told of both ways.
    let nothing = web::client().get(&resource).send().await.expect("an answer");
    let challenges: Vec<_> = nothing.headers().get_all("www-authenticate").iter().collect();
    let challenges: Vec<&str> = challenges.iter().map(|value| value.to_str().expect("ASCII")).collect();
    assert!(challenges.iter().any(|one| one.starts_with("Bearer ")), "{challenges:?}");
    assert!(challenges.iter().any(|one| one.starts_with("DPoP ") && one.contains("algs=\"ES256 ")), "{challenges:?}");
}

#[tokio::test]
async fn proofs_that_prove_nothing() {
    let setting = shared().await;
    let (tenant, other) = (setting.tenant("dpop").await, setting.tenant("other").await);
    let key = Key::new("k");
    let url = endpoint(&tenant);
    let with = |changes: Value| key.proof("POST", &url, &changes);
    let signed = |header: Value| key.sign(&header, &json!({"jti": "1", "htm": "POST", "htu": url, "iat": now()}));
    let good = with(json!({}));
    for (row, proofs) in [
        ("for another method", vec![with(json!({"htm": "GET"}))]),
        ("too old", vec![with(json!({"iat": now() - 600}))]),
        ("no typ", vec![signed(json!({"alg": "ES256", "jwk": key.jwk}))]),
        ("no signature", vec![signed(json!({"typ": "dpop+jwt", "alg": "none", "jwk": key.jwk}))]),
        ("garbage", vec!["garbage".to_owned()]),
        ("no jti", vec![with(json!({"jti": null}))]),
        ("two of them", vec![with(json!({})), with(json!({}))]),
        ("for another tenant", vec![key.proof("POST", &endpoint(&other), &json!({}))]),
        ("an unknown nonce", vec![with(json!({"nonce": "x"}))]),
    ] {
        let answer = ask(&tenant, &tenant.issuer, &proofs).await;
        let expected = if row == "an unknown nonce" { "use_dpop_nonce" } else { "invalid_dpop_proof" };
        assert_eq!((answer.status, answer.text_of("error").as_str()), (400, expected), "{row}: {}", answer.text);
    }
    // Once, on whichever pod.
    let elsewhere = format!("{}/t/{}", setting.pods[1].url(), tenant.slug);
    let _ = ask(&tenant, &tenant.issuer, std::slice::from_ref(&good)).await.expect(200);
    for base in [&tenant.issuer, &elsewhere] {
        let again = ask(&tenant, base, std::slice::from_ref(&good)).await.expect(400);
        assert_eq!(again.text_of("error"), "invalid_dpop_proof", "{base}");
    }
}

#[tokio::test]
async fn a_tenant_that_wants_nonces_hands_them_out_and_every_pod_knows_them() {
    let setting = shared().await;
    let tenant = Tenant::create_with(&setting, "nonce", json!({"oauth": {"require_dpop_nonce": true}})).await;
    let key = Key::new("k");
    let url = endpoint(&tenant);
    let refused = ask(&tenant, &tenant.issuer, &[key.proof("POST", &url, &json!({}))]).await.expect(400);
    assert_eq!(refused.text_of("error"), "use_dpop_nonce");
    let nonce = refused.header("dpop-nonce").expect("a nonce to use").to_owned();
    let elsewhere = format!("{}/t/{}", setting.pods[1].url(), tenant.slug);
    for base in [&tenant.issuer, &elsewhere] {
        let proof = key.proof("POST", &url, &json!({ "nonce": nonce }));
        let answer = ask(&tenant, base, &[proof]).await.expect(200);
        assert!(answer.header("dpop-nonce").is_some(), "the next one comes with the answer");
    }
    // Without DPoP nobody is bothered.
    tenant.service.client_credentials("hj:users.read").await;
}

/// The code that a user's sign-in at the app leads to.
pub(super) async fn code(attempt: &Attempt, user: &User) -> String {
    parameters(&Browser::new().authorize(&attempt.url, user).await)["code"].clone()
}

pub(super) async fn redeem(app: &RelyingParty, code: &str, attempt: &Attempt, proof: Option<String>) -> Answer {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &app.redirect_uri),
        ("code_verifier", &attempt.verifier),
    ];
    let request = app.token_request(&form);
    web::send(proof.into_iter().fold(request, |request, proof| request.header("DPoP", proof))).await
}

#[tokio::test]
async fn codes_and_a_public_clients_refresh_tokens_are_bound() {
    let setting = shared().await;
    let tenant = setting.tenant("bound").await;
    let alice = tenant.user("alice").await;
    let (key, thief) = (Key::new("k"), Key::new("k"));
    let url = endpoint(&tenant);
    let proof = |key: &Key| Some(key.proof("POST", &url, &json!({})));
    let thumbprint = key.thumbprint();

    // The key that the authorization request named, and no other.
    for wrong in [proof(&thief), None] {
        let attempt = tenant.app.attempt_with(&[("dpop_jkt", Some(&thumbprint))]);
        let code = code(&attempt, &alice).await;
        let refused = redeem(&tenant.app, &code, &attempt, wrong).await.expect(400);
        assert_eq!(refused.text_of("error"), "invalid_grant");
        let burnt = redeem(&tenant.app, &code, &attempt, proof(&key)).await.expect(400);
        assert_eq!(burnt.text_of("error"), "invalid_grant", "the code was used up");
    }
    let attempt = tenant.app.attempt_with(&[("dpop_jkt", Some(&thumbprint))]);
    let code = code(&attempt, &alice).await;
    let tokens = redeem(&tenant.app, &code, &attempt, proof(&key)).await.expect(200);
    assert_eq!(tokens.text_of("token_type"), "DPoP");

    // userinfo, by GET and by POST.
    let access = tokens.text_of("access_token");
    let userinfo = format!("{}/oauth2/userinfo", tenant.issuer);
    for (method, name) in [(reqwest::Method::GET, "GET"), (reqwest::Method::POST, "POST")] {
        let request = web::client().request(method, &userinfo).header("authorization", format!("DPoP {access}"));
        let request = request.header("DPoP", key.proof_with(name, &userinfo, &access));
        assert_eq!(web::send(request).await.expect(200).text_of("sub"), alice.id);
    }
    let bare = tenant.app.userinfo(&access).await.expect(401);
    assert_eq!(bare.text_of("error"), "invalid_token");

    // The refresh token is bound, too; who tries without the key neither gets nor ends anything.
    let refresh = tokens.text_of("refresh_token");
    let form = |token: &str| vec![("grant_type", "refresh_token".to_owned()), ("refresh_token", token.to_owned())];
    let send = async |token: &str, proof: Option<String>| {
        let form = form(token);
        let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let request = tenant.app.token_request(&form);
        web::send(proof.into_iter().fold(request, |request, proof| request.header("DPoP", proof))).await
    };
    for wrong in [proof(&thief), None] {
        assert_eq!(send(&refresh, wrong).await.expect(400).text_of("error"), "invalid_grant");
    }
    let next = send(&refresh, proof(&key)).await.expect(200);
    assert_eq!(claims(&next.text_of("access_token"))["cnf"], json!({ "jkt": thumbprint }));
    let successor = next.text_of("refresh_token");
    assert_eq!(send(&successor, proof(&thief)).await.expect(400).text_of("error"), "invalid_grant");
    assert_eq!(send(&successor, proof(&key)).await.status, 200);
    let bad = tenant.app.attempt_with(&[("dpop_jkt", Some("x"))]);
    let refused = Browser::new().open(&bad.url).await;
    assert_eq!(parameters(&refused.expect_callback())["error"], "invalid_request");
}

#[tokio::test]
async fn a_client_that_always_uses_it_gets_nothing_without() {
    let setting = shared().await;
    let tenant = setting.tenant("always").await;
    tenant.patch_client("service", &json!({"dpop_bound_access_tokens": true})).await;
    let refused = ask(&tenant, &tenant.issuer, &[]).await.expect(400);
    assert_eq!(refused.text_of("error"), "invalid_dpop_proof");
    let proof = Key::new("k").proof("POST", &endpoint(&tenant), &json!({}));
    assert_eq!(ask(&tenant, &tenant.issuer, &[proof]).await.status, 200);
}
