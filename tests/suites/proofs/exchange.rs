//! Exchange of tokens that are bound to a key or a certificate (RFC 8693): who cannot prove it gets nothing for them, and
//! what is got is bound to the same.

use serde_json::{Value, json};
use tests::relying_party::RelyingParty;
use tests::table::Table;
use tests::tenant::Tenant;
use tests::web;

use super::dpop::{code, redeem};
use super::keys::{Key, claims};
use super::mutual_tls::{ask, http, of_client, over_tls, register};
use super::shared;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const REFRESH: &str = "urn:ietf:params:oauth:token-type:refresh_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// A service that may exchange that client's tokens.
async fn gateway(tenant: &Tenant, subject: &str) -> RelyingParty {
    let client = json!({
        "client_id": "gateway", "name": "Gateway", "grant_types": [GRANT],
        "scopes": ["openid", "profile", "hj:users.read"],
        "token_exchange": { "subject_clients": [subject], "modes": ["impersonation", "delegation"] },
    });
    let path = format!("/tenants/{}/clients?wait=fleet&timeout=15s", tenant.slug);
    let made = tenant.admin.post(&path, &client).await.expect(201);
    RelyingParty::new(&tenant.issuer, "gateway", Some(made.text_of("client_secret")), "")
}

fn exchange(gateway: &RelyingParty, kind: &str, token: &str, proof: Option<String>) -> reqwest::RequestBuilder {
    let form = [("grant_type", GRANT), ("subject_token", token), ("subject_token_type", kind)];
    proof.into_iter().fold(gateway.token_request(&form), |request, proof| request.header("DPoP", proof))
}

#[tokio::test]
async fn a_token_of_a_key_is_exchanged_by_who_has_the_key() {
    let setting = shared().await;
    let tenant = setting.tenant("exchange-dpop").await;
    let alice = tenant.user("alice").await;
    let gateway = gateway(&tenant, "app").await;
    let (key, thief) = (Key::new("k"), Key::new("k"));
    let url = tenant.app.endpoint("token");
    let proof = |key: &Key| Some(key.proof("POST", &url, &json!({})));
    let sign_in = async || {
        let attempt = tenant.app.attempt();
        let code = code(&attempt, &alice).await;
        redeem(&tenant.app, &code, &attempt, proof(&key)).await.expect(200)
    };
    let tokens = sign_in().await;
    tenant.patch_client("app", &json!({ "access_token_format": "opaque" })).await;
    let opaque = sign_in().await.text_of("access_token");
    let (access, refresh) = (tokens.text_of("access_token"), tokens.text_of("refresh_token"));
    let bound = json!({ "jkt": key.thumbprint() });
    assert_eq!(claims(&access)["cnf"], bound);
    let mut table = Table::new();
    for (what, kind, token) in [
        ("an access token", ACCESS, &access),
        ("a JWT", JWT, &access),
        ("an opaque access token", ACCESS, &opaque),
        ("a public client's refresh token", REFRESH, &refresh),
    ] {
        for (proven, proof) in [("nothing", None), ("another key", proof(&thief))] {
            let what = format!("{what}, {proven} proven");
            table.oauth(&what, exchange(&gateway, kind, token, proof), &[400], &["unauthorized_client"]).await;
        }
        let answer = table.row(what, exchange(&gateway, kind, token, proof(&key)), &[200]).await;
        let got = answer.text_of("access_token");
        table.check(what, answer.text_of("token_type") == "DPoP" && claims(&got)["cnf"] == bound, || answer.text);
        // So it is in the next exchange.
        let again = exchange(&gateway, ACCESS, &got, None);
        table.oauth(&format!("what was got for {what}"), again, &[400], &["unauthorized_client"]).await;
    }
    table.finish(&setting.world).await;
}

#[tokio::test]
async fn a_token_of_a_certificate_is_exchanged_by_who_shows_it() {
    let setting = shared().await;
    let tenant = setting.tenant("exchange-mtls").await;
    let spec = json!({
        "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "app.example",
        "tls_client_certificate_bound_access_tokens": true,
    });
    register(&tenant, "shows", spec).await;
    let base = over_tls(&setting.pods[0], &tenant);
    let gateway = gateway(&tenant, "shows").await;
    let [own, other] = ["app", "other"].map(|name| {
        let names = [format!("{name}.example")];
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        setting.authority.certify_as(name, &of_client(&names, tests::pki::Validity::Now))
    });
    let token = ask(&http(&setting, Some(&own)), &base, "shows").await.expect(200).text_of("access_token");
    let bound: Value = claims(&token)["cnf"].clone();
    assert!(bound["x5t#S256"].is_string(), "{bound}");
    let over = |shown| RelyingParty { http: http(&setting, shown), ..gateway.at(&base) };
    let mut table = Table::new();
    let proof = Key::new("k").proof("POST", &gateway.endpoint("token"), &json!({}));
    for (what, request) in [
        ("no TLS", exchange(&gateway, ACCESS, &token, None)),
        ("no certificate", exchange(&over(None), ACCESS, &token, None)),
        ("another one", exchange(&over(Some(&other)), ACCESS, &token, None)),
        ("a key instead", exchange(&gateway, ACCESS, &token, Some(proof))),
    ] {
        table.oauth(what, request, &[400], &["unauthorized_client"]).await;
    }
    // Its own tokens are bound to what it shows, once it is registered for that.
    tenant.patch_client("gateway", &json!({ "tls_client_certificate_bound_access_tokens": true })).await;
    for (what, shown, error) in
        [("bound itself, another one", Some(&other), "unauthorized_client"), ("none", None, "invalid_request")]
    {
        table.oauth(what, exchange(&over(shown), ACCESS, &token, None), &[400], &[error]).await;
    }
    table.finish(&setting.world).await;
    let got = web::send(exchange(&over(Some(&own)), ACCESS, &token, None)).await.expect(200);
    assert_eq!((got.text_of("token_type").as_str(), &claims(&got.text_of("access_token"))["cnf"]), ("Bearer", &bound));
}
