//! Access tokens at userinfo and the user API: forged, confused, or worn by the wrong hand.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::Value;
use tests::browser::Browser;
use tests::relying_party::Tokens;
use tests::relying_party::parameters;
use tests::table::Table;
use tests::tokens::Jwt;
use tests::web;
use tests::world;

/// Everything that somebody may take for "the public key" as a sequence of bytes.
fn encodings(key: &Value) -> Vec<(String, Vec<u8>)> {
    let mut all = vec![("the JWK".to_owned(), key.to_string().into_bytes())];
    for member in ["x", "y", "n"] {
        if let Some(value) = key[member].as_str() {
            all.push((member.to_owned(), value.as_bytes().to_vec()));
            all.push((format!("{member}, decoded"), decoded(key, member)));
        }
    }
    let mut structures = vec![("PUBLIC KEY", subject_public_key_info(key))];
    if key["kty"] == "RSA" {
        structures.push(("RSA PUBLIC KEY", rsa_public_key(key)));
    }
    for (label, der) in structures {
        let base64 = STANDARD.encode(&der);
        let lines: Vec<&str> =
            base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
        let pem = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----", lines.join("\n"));
        all.extend([
            (format!("PEM, {label}"), pem.clone().into_bytes()),
            (format!("PEM with a last newline, {label}"), format!("{pem}\n").into_bytes()),
            (format!("PEM with CRLF, {label}"), format!("{pem}\n").replace('\n', "\r\n").into_bytes()),
            (format!("base64, {label}"), base64.clone().into_bytes()),
            (format!("base64url, {label}"), URL_SAFE_NO_PAD.encode(&der).into_bytes()),
            (format!("DER, {label}"), der),
        ]);
    }
    all
}

fn decoded(key: &Value, member: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(key[member].as_str().expect("a member of the key")).expect("base64url")
}

/// RFC 5280 §4.1.2.7, by RFC 5480 §2, RFC 8410 §4 and RFC 3279 §2.3.1.
fn subject_public_key_info(key: &Value) -> Vec<u8> {
    let point = || [&[4][..], &decoded(key, "x"), &decoded(key, "y")].concat();
    let hex = |text: &str| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
    };
    let (algorithm, bits) = match key["crv"].as_str() {
        Some("P-256") => (hex("06072a8648ce3d020106082a8648ce3d030107"), point()),
        Some("P-384") => (hex("06072a8648ce3d020106052b81040022"), point()),
        Some("Ed25519") => (hex("06032b6570"), decoded(key, "x")),
        _ => (hex("06092a864886f70d0101010500"), rsa_public_key(key)),
    };
    der(0x30, &[der(0x30, &algorithm), der(0x03, &[&[0][..], &bits].concat())].concat())
}

/// RFC 8017 §A.1.1.
fn rsa_public_key(key: &Value) -> Vec<u8> {
    // A zero before the highest bit: the numbers are positive.
    let integer = |member| der(0x02, &[&[0][..], &decoded(key, member)].concat());
    let exponent = der(0x02, &decoded(key, "e"));
    der(0x30, &[integer("n"), exponent].concat())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("short");
    let head = match u8::try_from(length) {
        Ok(short) if short < 0x80 => vec![tag, short],
        Ok(short) => vec![tag, 0x81, short],
        Err(_) => [&[tag, 0x82][..], &length.to_be_bytes()].concat(),
    };
    [head, content.to_vec()].concat()
}

/// Read back by a library, they are the keys: so the forgeries are those that would work.
#[tokio::test]
async fn the_encodings_are_the_keys() {
    let world = world::shared().await;
    let tenant = world.tenant("encoded").await;
    let token = tenant.service.client_credentials("hj:users.read").await;
    let jwks = tenant.app.jwks().await;
    for key in jwks.json["keys"].as_array().expect("keys") {
        let encodings = encodings(key);
        let (_, pem) = encodings.iter().find(|(what, _)| what == "PEM, PUBLIC KEY").expect("a PEM");
        let algorithm = jsonwebtoken::decode_header(&token).expect("a header").alg;
        let key = match key["kty"].as_str() {
            Some("EC") => DecodingKey::from_ec_pem(pem),
            Some("RSA") => DecodingKey::from_rsa_pem(pem),
            _ => DecodingKey::from_ed_pem(pem),
        };
        let mut validation = Validation::new(algorithm);
        validation.validate_aud = false;
        let claims = jsonwebtoken::decode::<Value>(&token, &key.expect("a key"), &validation);
        assert!(claims.is_ok(), "{claims:?}");
    }
}

#[tokio::test]
async fn forged_and_confused_tokens_are_refused() {
    let world = world::shared().await;
    let tenant = world.tenant("forged").await;
    let alice = tenant.user("alice").await;
    let (code, attempt) = tenant.app.code(&alice).await;
    let tokens = Tokens::read(tenant.app.redeem(&code, &attempt.verifier).await);
    let own = tenant.service.client_credentials("hj:users.read").await;
    // A public key of each family, which is published from when it is made.
    for algorithm in ["RS256", "ES384", "EdDSA", "ES256"] {
        let rotate = format!("/tenants/{}/keys/rotate?wait=fleet&timeout=15s", tenant.slug);
        let _ =
            tenant.admin.post(&rotate, &serde_json::json!({ "algorithm": algorithm })).await.expect_one_of(&[200, 201]);
    }
    let jwks = tenant.app.jwks().await;
    let keys = jwks.json["keys"].as_array().expect("keys");
    let families: BTreeSet<&str> = keys.iter().filter_map(|key| key["crv"].as_str().or(key["kty"].as_str())).collect();
    assert_eq!(families, BTreeSet::from(["Ed25519", "P-256", "P-384", "RSA"]), "{jwks:#?}");
    let mut forgeries = vec![("alg none".to_owned(), Jwt::parse(&tokens.access).with_alg_none())];
    for key in keys {
        for (what, secret) in encodings(key) {
            let mut jwt = Jwt::parse(&tokens.access);
            forgeries.push((format!("HS256 by {what}"), jwt.clone().with_hs256(&secret)));
            // And by its own name, which a verifier looks the key up by.
            jwt.header["kid"] = key["kid"].clone();
            forgeries.push((format!("HS256 by {what}, named"), jwt.with_hs256(&secret)));
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
    for refused in [
        http.post(&url).bearer_auth(&tokens.access).form(&[("access_token", "x")]),
        http.post(&url).bearer_auth("x").form(&[("access_token", &tokens.access)]),
    ] {
        let answer = table.oauth("header and another in the body", refused, &[400], &["invalid_request"]).await;
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        table.check("it is told there, too", challenge.contains("invalid_request"), || format!("{answer:?}"));
    }
    let lower = http.get(&url).header("authorization", format!("bearer {}", tokens.access));
    table.row("the scheme in small letters", lower, &[200]).await;
    let both = http.post(&url).bearer_auth(&tokens.access).form(&[("access_token", &tokens.access)]);
    table.oauth("header and body", both, &[400], &["invalid_request"]).await;
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
    let refused = tenant.backend.userinfo(&tokens.access).await.expect(403);
    assert_eq!(refused.text_of("error"), "insufficient_scope");
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
