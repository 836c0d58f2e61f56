//! JWT assertions as grants: whom a trusted issuer may speak for, and what it may not.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use tests::relying_party::RelyingParty;
use tests::table::Table;
use tests::tokens::Jwt;
use tests::world;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Somebody who signs assertions.
struct Issuer {
    key: EncodingKey,
    jwk: Value,
}

impl Issuer {
    fn new(kid: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        // SEC 1 §2.3.3: 4, x, y.
        let point = pair.der_bytes()[1..].to_vec();
        let (x, y) = point.split_at(32);
        let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y), "kid": kid });
        Self { key: EncodingKey::from_ec_der(&pair.serialize_der()), jwk }
    }

    fn assert(&self, claims: &Value) -> String {
        let header = Header { kid: self.jwk["kid"].as_str().map(ToOwned::to_owned), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &self.key).expect("it signs")
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

#[tokio::test]
async fn a_trusted_issuer_speaks_for_the_tenants_users() {
    let world = world::shared().await;
    let tenant = world.tenant("assertions").await;
    let alice = tenant.user("alice").await;
    let (partner, stranger) = (Issuer::new("p"), Issuer::new("p"));
    let trusted = |subject: &str| {
        json!({ "settings": { "oauth": { "trusted_jwt_issuers": [{
            "issuer": "https://partner.example", "jwks": { "keys": [partner.jwk] }, "subject": subject,
            "scopes": ["openid", "profile", "offline_access"],
        }] } } })
    };
    tenant.patch(&trusted("email")).await;
    let client = json!({
        "client_id": "desk", "name": "Desk", "grant_types": [GRANT], "scopes": ["openid", "profile", "email"],
    });
    let secret = tenant.admin.create_client(&tenant.slug, &client).await.secret;
    let desk = RelyingParty::new(&tenant.issuer, "desk", secret, "");
    let mut number = 0;
    let mut claims = |changes: &Value| {
        number += 1;
        let mut claims = json!({
            "iss": "https://partner.example", "sub": alice.email, "aud": tenant.issuer, "exp": now() + 60,
            "jti": format!("assertion-{number}"),
        });
        for (name, value) in changes.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        claims
    };
    let good = partner.assert(&claims(&json!({})));
    let form = |assertion: &str| [("grant_type", GRANT.to_owned()), ("assertion", assertion.to_owned())];
    let ask =
        |assertion: &str| desk.token_request(&form(assertion).each_ref().map(|(name, value)| (*name, value.as_str())));
    let mut table = Table::new();
    let grant = ["invalid_grant"];
    for (what, changes) in [
        ("another audience", json!({ "aud": "https://other.example" })),
        ("another tenant's", json!({ "aud": format!("{}x", tenant.issuer) })),
        ("expired", json!({ "exp": now() - 60 })),
        ("for a day", json!({ "exp": now() + 86_400 })),
        ("not yet", json!({ "nbf": now() + 600 })),
        ("an unknown issuer", json!({ "iss": "https://evil.example" })),
        ("nobody", json!({ "sub": "nobody@example.com" })),
        ("an id where addresses are trusted", json!({ "sub": alice.id })),
        ("without a name", json!({ "jti": null })),
        ("without an end", json!({ "exp": null })),
    ] {
        table.oauth(what, ask(&partner.assert(&claims(&changes))), &[400], &grant).await;
    }
    table.oauth("another's key", ask(&stranger.assert(&claims(&json!({})))), &[400], &grant).await;
    table.oauth("no signature", ask(&Jwt::parse(&good).with_alg_none()), &[400], &grant).await;
    let by_public = Jwt::parse(&good).with_hs256(partner.jwk.to_string().as_bytes());
    table.oauth("the public key as a secret", ask(&by_public), &[400], &grant).await;
    table.oauth("garbage", ask("x"), &[400], &grant).await;
    table.oauth("none", desk.token_request(&[("grant_type", GRANT)]), &[400], &["invalid_request"]).await;
    let wide = [("grant_type", GRANT), ("assertion", &good), ("scope", "openid email")];
    table.oauth("more than the issuer is trusted with", desk.token_request(&wide), &[400], &["invalid_scope"]).await;
    table.oauth("another client", tenant.service.token_request(&wide[..2]), &[400], &["unauthorized_client"]).await;

    let answer = table.row("the real one", ask(&good), &[200]).await;
    let token = answer.text_of("access_token");
    let told = Jwt::parse(&token).claims;
    assert_eq!((&told["sub"], &told["client_id"]), (&json!(alice.id), &json!("desk")));
    assert_eq!((&told["scope"], answer.json.get("refresh_token")), (&json!("openid profile"), None));
    let _ = desk.userinfo(&token).await.expect(200);
    table.oauth("the same again", ask(&good), &[400], &grant).await;
    table.finish(&world).await;

    // By id, when the tenant says so; and the token dies with its user.
    tenant.patch(&trusted("user_id")).await;
    let by_id = partner.assert(&claims(&json!({ "sub": alice.id })));
    let token = tests::web::send(ask(&by_id)).await.expect(200).text_of("access_token");
    let connection = tenant.database.connect().await;
    connection.execute("update users set status = 'disabled'", &[]).await.expect("the user is there");
    let _ = desk.userinfo(&token).await.expect(401);
    let again = partner.assert(&claims(&json!({ "sub": alice.id })));
    assert_eq!(tests::web::send(ask(&again)).await.expect(400).code(), "invalid_grant");
}
