//! Access tokens at userinfo and the user API: forged, confused, or worn by the wrong hand.

use tests::browser::Browser;
use tests::relying_party::Tokens;
use tests::relying_party::parameters;
use tests::table::Table;
use tests::tokens::Jwt;
use tests::web;
use tests::world;

#[tokio::test]
async fn forged_and_confused_tokens_are_refused() {
    let world = world::shared().await;
    let tenant = world.tenant("forged").await;
    let alice = tenant.user("alice").await;
    let (code, attempt) = tenant.app.code(&alice).await;
    let tokens = Tokens::read(tenant.app.redeem(&code, &attempt.verifier).await);
    let own = tenant.service.client_credentials("hj:users.read").await;
    let jwks = tenant.app.jwks().await;
    let mut forgeries = vec![("alg none".to_owned(), Jwt::parse(&tokens.access).with_alg_none())];
    for key in jwks.json["keys"].as_array().expect("keys") {
        let jwt = || Jwt::parse(&tokens.access);
        forgeries.push(("HS256 by the key's JSON".to_owned(), jwt().with_hs256(key.to_string().as_bytes())));
        for member in ["x", "y", "n"] {
            let value = key[member].as_str().unwrap_or_default();
            forgeries.push((format!("HS256 by {member}"), jwt().with_hs256(value.as_bytes())));
        }
    }
    forgeries
        .push(("HS256 by the whole key set".to_owned(), Jwt::parse(&tokens.access).with_hs256(jwks.text.as_bytes())));
    let zeros = Jwt::parse(&tokens.access).signed_with(&[0; 64]);
    forgeries.push(("a signature of zeros".to_owned(), zeros));
    let mut changed = Jwt::parse(&tokens.access);
    changed.claims["sub"] = "someone-else".into();
    let signature = changed.signature.clone();
    forgeries.push(("another subject".to_owned(), changed.signed_with(&signature)));
    for (name, value) in
        [("kid", "../../../../dev/null"), ("kid", "' OR '1'='1"), ("jku", "http://127.0.0.1:1/"), ("typ", "JWT")]
    {
        let mut jwt = Jwt::parse(&tokens.access);
        jwt.header[name] = value.into();
        let signature = jwt.signature.clone();
        forgeries.push((format!("{name} {value}"), jwt.signed_with(&signature)));
    }
    forgeries.push(("the ID token".to_owned(), tokens.id().to_owned()));
    forgeries.push(("the refresh token".to_owned(), tokens.refresh().to_owned()));
    forgeries.push(("the code".to_owned(), code));
    let mut table = Table::new();
    let userinfo = |token: &str| tenant.app.http.get(tenant.app.endpoint("userinfo")).bearer_auth(token);
    let users = |token: &str| tenant.app.http.get(format!("{}/api/v1/users", tenant.issuer)).bearer_auth(token);
    for (what, token) in &forgeries {
        let answer = table.row(what, userinfo(token), &[401]).await;
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        table.check(what, challenge.contains("invalid_token"), || format!("{answer:?}"));
        table.row(&format!("{what}, users"), users(token), &[401]).await;
    }
    table.row("a client's own token at userinfo", userinfo(&own), &[401, 403]).await;
    table.row("a person's token at the user API", users(&tokens.access), &[403]).await;
    let write = tenant.service.http.post(format!("{}/api/v1/users", tenant.issuer)).bearer_auth(&own);
    table.row("read does not write", write.json(&serde_json::json!({ "email": "x@y.example" })), &[403]).await;
    table.row("the real one", userinfo(&tokens.access), &[200]).await;
    table.finish(&world).await;
}

#[tokio::test]
async fn how_a_bearer_token_is_shown() {
    let world = world::shared().await;
    let tenant = world.tenant("shown").await;
    let alice = tenant.user("alice").await;
    let tokens = tenant.app.sign_in(&alice).await;
    let (http, url) = (&tenant.app.http, tenant.app.endpoint("userinfo"));
    let mut table = Table::new();

    let answer = table.row("no token", http.get(&url), &[401]).await;
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    table.check("no token", challenge.starts_with("Bearer") && !challenge.contains("error"), || format!("{answer:?}"));
    let lower = http.get(&url).header("authorization", format!("bearer {}", tokens.access));
    table.row("the scheme in small letters", lower, &[200]).await;
    let both = http.post(&url).bearer_auth(&tokens.access).form(&[("access_token", &tokens.access)]);
    table.row("header and body", both, &[400]).await;
    table.row("by POST", http.post(&url).bearer_auth(&tokens.access), &[200]).await;
    let in_query = http.get(&url).query(&[("access_token", &tokens.access)]);
    table.row("in the query", in_query, &[400, 401]).await;
    table.finish(&world).await;
}

#[tokio::test]
async fn userinfo_needs_the_scope_openid() {
    let world = world::shared().await;
    let tenant = world.tenant("no-openid").await;
    let alice = tenant.user("alice").await;
    let attempt = tenant.backend.attempt_with(&[("scope", Some("profile")), ("nonce", None)]);
    let callback = parameters(&Browser::new().authorize(&attempt.url, &alice).await);
    let tokens = Tokens::read(tenant.backend.redeem(&callback["code"], &attempt.verifier).await);
    assert!(tokens.id.is_none(), "no openid, no ID token: {tokens:#?}");
    let _ = tenant.backend.userinfo(&tokens.access).await.expect_one_of(&[401, 403]);
    // And claims go by scope.
    let attempt = tenant.backend.attempt_with(&[("scope", Some("openid"))]);
    let callback = parameters(&Browser::new().authorize(&attempt.url, &alice).await);
    let tokens = Tokens::read(tenant.backend.redeem(&callback["code"], &attempt.verifier).await);
    let userinfo =
        web::send(tenant.backend.http.get(tenant.backend.endpoint("userinfo")).bearer_auth(&tokens.access)).await;
    let userinfo = userinfo.expect(200);
    assert!(userinfo.json.get("email").is_none() && userinfo.json.get("name").is_none(), "{userinfo:#?}");
    assert!(tokens.refresh.is_none(), "no offline_access, no refresh token: {tokens:#?}");
}
