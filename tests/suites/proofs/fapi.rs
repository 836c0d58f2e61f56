//! The FAPI 2.0 Security Profile, whole: a flow with DPoP, one with mutual TLS, and what either is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tests::browser::Browser;
use tests::pki::Validity;
use tests::relying_party::{Attempt, RelyingParty, parameters};
use tests::tenant::Tenant;
use tests::tokens::Jwt;
use tests::web::{self, Answer};
use url::Url;

use super::keys::{Key, claims, now};
use super::mutual_tls::{der, http, of_client, over_tls};
use super::shared;

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const REDIRECT: &str = "https://bank.example/callback";

/// A client under the profile, with `more` beside.
async fn register(tenant: &Tenant, more: &Value) -> Answer {
    let mut client = json!({
        "client_id": "bank", "name": "The Bank", "fapi": "2.0", "redirect_uris": [REDIRECT],
        "grant_types": ["authorization_code", "refresh_token"], "scopes": ["openid", "offline_access"],
    });
    client.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    tenant.admin.post(&format!("/tenants/{}/clients?wait=fleet&timeout=15s", tenant.slug), &client).await
}

/// The client of one test, by assertion and DPoP.
struct Bank {
    party: RelyingParty,
    key: Key,
    proof_key: Key,
}

impl Bank {
    async fn at(tenant: &Tenant) -> Self {
        let key = Key::new("a");
        let keys = json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": { "keys": [key.jwk] } });
        let _ = register(tenant, &keys).await.expect(201);
        Self { party: RelyingParty::new(&tenant.issuer, "bank", None, REDIRECT), key, proof_key: Key::new("d") }
    }

    fn attempt(&self, changes: &[(&str, Option<&str>)]) -> Attempt {
        self.party.attempt_with(&[&[("scope", Some("openid offline_access"))], changes].concat())
    }

    fn assertion(&self, changes: &Value) -> String {
        self.key.assertion("bank", &self.party.base, changes)
    }

    fn proof(&self, endpoint: &str, changes: &Value) -> String {
        self.proof_key.proof("POST", &self.party.endpoint(endpoint), changes)
    }

    async fn send(&self, endpoint: &str, form: &[(&str, &str)], assertion: &str, proof: Option<String>) -> Answer {
        let proven = [("client_assertion_type", ASSERTION), ("client_assertion", assertion)];
        let request = self.party.http.post(self.party.endpoint(endpoint)).form(&[form, &proven].concat());
        web::send(proof.into_iter().fold(request, |request, proof| request.header("DPoP", proof))).await
    }

    async fn push_with(&self, attempt: &Attempt, assertion: &Value, proof: Option<String>) -> Answer {
        let form = pairs(attempt);
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.send("par", &form, &self.assertion(assertion), proof).await
    }

    async fn push(&self, attempt: &Attempt) -> String {
        let answer = self.push_with(attempt, &json!({}), Some(self.proof("par", &json!({})))).await.expect(201);
        assert!(answer.json["expires_in"].as_u64().is_some_and(|secs| secs < 600), "{}", answer.text);
        answer.text_of("request_uri")
    }

    async fn redeem(&self, code: &str, attempt: &Attempt, assertion: &Value, proof: Option<String>) -> Answer {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", attempt.verifier.as_str()),
        ];
        self.send("token", &form, &self.assertion(assertion), proof).await
    }

    async fn code(&self, tenant: &Tenant) -> (String, Attempt) {
        let alice = tenant.user(&tests::tenant::unique("alice")).await;
        let attempt = self.attempt(&[]);
        let url = referring(&self.party, &self.push(&attempt).await);
        let answer = parameters(&Browser::new().authorize(&url, &alice).await);
        assert_eq!((&answer["iss"], &answer["state"]), (&tenant.issuer, &attempt.state));
        (answer["code"].clone(), attempt)
    }
}

fn pairs(attempt: &Attempt) -> Vec<(String, String)> {
    attempt.url.query_pairs().into_owned().collect()
}

fn referring(party: &RelyingParty, uri: &str) -> Url {
    let parameters = [("client_id", party.client_id.as_str()), ("request_uri", uri)];
    Url::parse_with_params(&party.endpoint("authorize"), parameters).expect("a URL")
}

#[tokio::test]
async fn the_whole_flow_with_dpop() {
    let setting = shared().await;
    let tenant = setting.tenant("fapi").await;
    let bank = Bank::at(&tenant).await;
    let (code, attempt) = bank.code(&tenant).await;
    // A clock that is ten seconds ahead is taken (§5.3.2.1).
    let ahead = json!({ "iat": now() + 10, "nbf": now() + 10 });
    let proof = bank.proof("token", &json!({ "iat": now() + 10 }));
    let answer = bank.redeem(&code, &attempt, &ahead, Some(proof)).await.expect(200);
    assert_eq!(answer.text_of("token_type"), "DPoP");
    let token = answer.text_of("access_token");
    assert_eq!(claims(&token)["cnf"], json!({ "jkt": bank.proof_key.thumbprint() }));
    assert_eq!(Jwt::parse(&answer.text_of("id_token")).header["alg"], "ES256");

    let userinfo = bank.party.endpoint("userinfo");
    let look = |scheme: &str, proof: Option<String>| {
        let request = web::client().get(&userinfo).header("authorization", format!("{scheme} {token}"));
        web::send(proof.into_iter().fold(request, |request, proof| request.header("DPoP", proof)))
    };
    assert_eq!(look("DPoP", Some(bank.proof_key.proof_with("GET", &userinfo, &token))).await.status, 200);
    assert_eq!(look("Bearer", None).await.status, 401);

    // The refresh token is used again and again, never replaced, and lives on by it.
    let refresh_token = answer.text_of("refresh_token");
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.as_str())];
    let ends = "select extract(epoch from max(expires_at))::bigint from refresh_tokens";
    let database = tenant.database.connect().await;
    let end = async || -> i64 { database.query_one(ends, &[]).await.expect("one row").get(0) };
    let back = "update refresh_tokens set expires_at = expires_at - interval '1 hour'";
    database.batch_execute(back).await.expect("the superuser may");
    let before = end().await;
    for _ in 0..2 {
        let proof = Some(bank.proof("token", &json!({})));
        let answer = bank.send("token", &form, &bank.assertion(&json!({})), proof).await.expect(200);
        assert_eq!(answer.json.get("refresh_token"), None, "{}", answer.text);
        assert_eq!(claims(&answer.text_of("access_token"))["cnf"], json!({ "jkt": bank.proof_key.thumbprint() }));
    }
    assert!(end().await > before + 3000);
    let unbound = bank.send("token", &form, &bank.assertion(&json!({})), None).await.expect(400);
    assert_eq!(unbound.text_of("error"), "invalid_dpop_proof");
    // Unless its operators ask for it.
    tenant.patch_client("bank", &json!({ "rotate_refresh_tokens": true })).await;
    let proof = Some(bank.proof("token", &json!({})));
    let rotated = bank.send("token", &form, &bank.assertion(&json!({})), proof).await.expect(200);
    assert_ne!(rotated.text_of("refresh_token"), refresh_token);
}

#[tokio::test]
async fn refused_under_the_profile() {
    let setting = shared().await;
    let tenant = setting.tenant("fapi-refused").await;
    let bank = Bank::at(&tenant).await;

    let plain = Browser::new().open(&bank.attempt(&[]).url).await.expect_callback();
    assert_eq!(parameters(&plain).get("error").map(String::as_str), Some("invalid_request"), "it was not pushed");

    let endpoint = bank.party.endpoint("par");
    for (what, changes) in [
        ("its endpoint", json!({ "aud": endpoint })),
        ("the token endpoint", json!({ "aud": bank.party.endpoint("token") })),
        ("a list", json!({ "aud": [tenant.issuer] })),
        ("from the future", json!({ "iat": now() + 65 })),
        ("not yet", json!({ "nbf": now() + 65 })),
    ] {
        let answer = bank.push_with(&bank.attempt(&[]), &changes, None).await.expect(401);
        assert_eq!(answer.text_of("error"), "invalid_client", "{what}");
    }
    let nobody = web::send(web::client().post(&endpoint).form(&pairs(&bank.attempt(&[])))).await;
    assert_eq!(nobody.status, 401);
    for (what, changes, error) in [
        ("no PKCE", &[("code_challenge", None), ("code_challenge_method", None)][..], "invalid_request"),
        ("plain", &[("code_challenge_method", Some("plain"))], "invalid_request"),
        ("a method left out", &[("code_challenge_method", None)], "invalid_request"),
        ("no code", &[("response_type", Some("none"))], "unsupported_response_type"),
        ("a token", &[("response_type", Some("token"))], "unsupported_response_type"),
        ("no redirect_uri", &[("redirect_uri", None)], "invalid_request"),
    ] {
        let answer = bank.push_with(&bank.attempt(changes), &json!({}), None).await.expect(400);
        assert_eq!(answer.text_of("error"), error, "{what}: {}", answer.text);
    }

    let (code, attempt) = bank.code(&tenant).await;
    let late = bank.proof("token", &json!({ "iat": now() + 65 }));
    for (what, proof) in [("no proof", None), ("a proof from the future", Some(late))] {
        let answer = bank.redeem(&code, &attempt, &json!({}), proof).await.expect(400);
        assert_eq!(answer.text_of("error"), "invalid_dpop_proof", "{what}");
    }
    // Bound to the key of the pushed request (RFC 9449 §10.1).
    let thief = Key::new("t").proof("POST", &bank.party.endpoint("token"), &json!({}));
    let answer = bank.redeem(&code, &attempt, &json!({}), Some(thief)).await.expect(400);
    assert_eq!(answer.text_of("error"), "invalid_grant");
}

#[tokio::test]
async fn the_whole_flow_with_mutual_tls() {
    let setting = shared().await;
    let tenant = setting.tenant("fapi-mtls").await;
    let spec = json!({ "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "bank.example" });
    let _ = register(&tenant, &spec).await.expect(201);
    let own = setting.authority.certify_as("bank", &of_client(&["bank.example"], Validity::Now));
    let (shows, base) = (http(&setting, Some(&own)), over_tls(&setting.pods[0], &tenant));
    let party = RelyingParty::new(&tenant.issuer, "bank", None, REDIRECT);
    let attempt = party.attempt_with(&[("scope", Some("openid"))]);
    let pushed = web::send(shows.post(format!("{base}/oauth2/par")).form(&pairs(&attempt))).await.expect(201);
    let alice = tenant.user("alice").await;
    let callback = Browser::new().authorize(&referring(&party, &pushed.text_of("request_uri")), &alice).await;
    let answer = parameters(&callback);
    assert_eq!(answer["iss"], tenant.issuer);
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "bank"),
        ("code", answer["code"].as_str()),
        ("redirect_uri", REDIRECT),
        ("code_verifier", attempt.verifier.as_str()),
    ];
    let without = http(&setting, None).post(format!("{base}/oauth2/token")).form(&form);
    assert_eq!(web::send(without).await.expect(401).text_of("error"), "invalid_client");
    let tokens = web::send(shows.post(format!("{base}/oauth2/token")).form(&form)).await.expect(200);
    assert_eq!(tokens.text_of("token_type"), "Bearer");
    let token = tokens.text_of("access_token");
    // Nobody asked for the binding: the profile did.
    let thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(der(&own)));
    assert_eq!(claims(&token)["cnf"], json!({ "x5t#S256": thumbprint }));
    let look = |http: &reqwest::Client| {
        web::send(http.get(format!("{base}/oauth2/userinfo")).header("authorization", format!("Bearer {token}")))
    };
    assert_eq!(look(&shows).await.status, 200);
    assert_eq!(look(&http(&setting, None)).await.status, 401);
}

#[tokio::test]
async fn a_client_that_contradicts_the_profile_is_told_where() {
    let setting = shared().await;
    let tenant = setting.tenant("fapi-register").await;
    let jwks = json!({ "keys": [Key::new("a").jwk] });
    let signs = |more: Value| {
        let mut client = json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": jwks });
        client.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        client
    };
    for (client, pointer) in [
        (json!({ "token_endpoint_auth_method": "none" }), "/token_endpoint_auth_method"),
        (json!({ "token_endpoint_auth_method": "client_secret_basic" }), "/token_endpoint_auth_method"),
        (signs(json!({ "redirect_uris": ["http://127.0.0.1/cb"] })), "/redirect_uris/0"),
        (signs(json!({ "id_token_signed_response_alg": "RS256" })), "/id_token_signed_response_alg"),
        (signs(json!({ "token_endpoint_auth_signing_alg": "RS256" })), "/token_endpoint_auth_signing_alg"),
    ] {
        let answer = register(&tenant, &client).await.expect(422);
        assert_eq!(answer.pointers(), [pointer], "{}", answer.text);
    }
    let _ = register(&tenant, &signs(json!({}))).await.expect(201);
}

#[tokio::test]
async fn a_tenants_switch_is_for_all_of_its_clients() {
    let setting = shared().await;
    let tenant = setting.tenant("fapi-tenant").await;
    let _ = tenant.service.client_credentials("hj:users.read").await;
    let refused = json!({ "settings": { "oauth": { "fapi": "2.0", "allow_plain_pkce": true } } });
    let refused = tenant.admin.patch(&format!("/tenants/{}", tenant.slug), &refused).await.expect(422);
    assert_eq!(refused.pointers(), ["/settings/oauth/allow_plain_pkce"]);
    tenant.patch(&json!({ "settings": { "oauth": { "fapi": "2.0" } } })).await;

    let by_secret = tenant.service.token(&[("grant_type", "client_credentials")]).await.expect(401);
    assert_eq!(by_secret.text_of("error"), "invalid_client");
    let page = Browser::new().open(&tenant.app.attempt().url).await.expect_callback();
    assert_eq!(parameters(&page)["error"], "invalid_request");
    let path = format!("/tenants/{}/clients", tenant.slug);
    let public = json!({ "name": "Public", "token_endpoint_auth_method": "none", "redirect_uris": [REDIRECT] });
    let answer = tenant.admin.post(&path, &public).await.expect(422);
    assert_eq!(answer.pointers(), ["/token_endpoint_auth_method"]);

    let metadata = tenant.app.discovery().await.json;
    assert_eq!(metadata["require_pushed_authorization_requests"], true);
    let methods = json!(["private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"]);
    assert_eq!(metadata["token_endpoint_auth_methods_supported"], methods);
    for list in ["token_endpoint_auth_signing_alg_values_supported", "dpop_signing_alg_values_supported"] {
        assert_eq!(metadata[list], json!(["ES256", "EdDSA", "PS256"]), "{list}");
    }
}
