//! What is not registered, and how that is said.

use aws_lc_rs::encoding::{AsBigEndian as _, EcPrivateKeyBin};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use shared_proto::watch::registration_client::RegistrationClient;
use shared_proto::watch::{ReadRegistrationRequest, RegisterRequest};
use tests::table::Table;
use tests::web;
use tests::world;

use super::{REDIRECT, manage, post, tenant};

fn with(name: &str, value: Value) -> Value {
    let mut metadata = json!({ "redirect_uris": [REDIRECT] });
    metadata[name] = value;
    metadata
}

/// A key on a curve, and what only its owner may know of it.
fn whole_key() -> (Value, Value) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let [x, y] = [x, y].map(|half| URL_SAFE_NO_PAD.encode(half));
    let private: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().expect("its own bytes");
    (json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y }), json!(URL_SAFE_NO_PAD.encode(private.as_ref())))
}

#[tokio::test]
async fn what_could_harm_others_is_refused_by_its_name() {
    let world = world::shared().await;
    let tenant = tenant(&world, "dcr-refused", json!({ "mode": "open", "per_minute": 1000 })).await;
    let mut table = Table::new();
    for uri in [
        "javascript:alert(1)",
        "data:text/html,x",
        "https://rp.example/cb#fragment",
        "https://*.rp.example/cb",
        "http://rp.example/cb",
        "https://user@rp.example/cb",
        "https://rp.example/c\r\nb",
        "rp.example",
        "",
    ] {
        let metadata = json!({ "redirect_uris": [uri] });
        table.oauth(uri, post(&tenant, &metadata), &[400], &["invalid_redirect_uri"]).await;
    }
    table.oauth("no redirect URI", post(&tenant, &json!({})), &[400], &["invalid_redirect_uri"]).await;

    let internal = [
        "http://169.254.169.254/",
        "https://169.254.169.254/",
        "http://127.0.0.1:5432/",
        "https://127.0.0.1:5432/",
        "http://[::1]/",
        "https://[::1]/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://localhost/",
        "file:///etc/passwd",
        "gopher://rp.example/",
        "javascript:alert(1)",
    ];
    for member in ["jwks_uri", "backchannel_logout_uri", "frontchannel_logout_uri", "logo_uri", "client_uri", "tos_uri"]
    {
        for url in internal {
            let request = post(&tenant, &with(member, json!(url)));
            table.oauth(&format!("{member} {url}"), request, &[400], &["invalid_client_metadata"]).await;
        }
    }
    // Fetched before anything is registered, and fetched with a request.
    for url in internal {
        for (member, value) in [("sector_identifier_uri", json!(url)), ("request_uris", json!([url]))] {
            let request = post(&tenant, &with(member, value));
            table.oauth(&format!("{member} {url}"), request, &[400], &["invalid_client_metadata"]).await;
        }
    }
    let long = "x".repeat(10_000);
    let rsa = |bytes: usize, e: &str| {
        let modulus = URL_SAFE_NO_PAD.encode(vec![0xc5; bytes]);
        json!({ "keys": [{ "kty": "RSA", "n": modulus, "e": e }] })
    };
    let mut both = with("jwks", rsa(256, "AQAB"));
    both["jwks_uri"] = json!("https://rp.example/jwks");
    let good = rsa(256, "AQAB");
    table.row("a good key", post(&tenant, &with("jwks", good.clone())), &[201]).await;
    // Nothing is wrong with these but that they say too much.
    let (public, secret) = whole_key();
    let mut whole = json!({ "keys": [public] });
    table.row("a good key on a curve", post(&tenant, &with("jwks", whole.clone())), &[201]).await;
    whole["keys"][0]["d"] = secret;
    table.oauth("a private key", post(&tenant, &with("jwks", whole)), &[400], &["invalid_client_metadata"]).await;
    for members in [&["d"][..], &["p"], &["q"], &["d", "p", "q", "dp", "dq", "qi"]] {
        let mut private = good.clone();
        for member in members {
            private["keys"][0][member] = json!(URL_SAFE_NO_PAD.encode([0xc7; 128]));
        }
        let what = format!("a private key of RSA, by {members:?}");
        table.oauth(&what, post(&tenant, &with("jwks", private)), &[400], &["invalid_client_metadata"]).await;
    }
    let oct = json!({ "keys": [{ "kty": "oct", "k": "AAAA" }] });
    for (what, metadata) in [
        ("a name that reorders", with("client_name", json!("Bank\u{202e}knaB"))),
        ("a long name", with("client_name", json!(long))),
        ("a name that is none", with("client_name", json!(["x"]))),
        ("no such grant", with("grant_types", json!(["implicit"]))),
        ("a grant that policy withholds", with("grant_types", json!(["client_credentials"]))),
        ("no such method", with("token_endpoint_auth_method", json!("handshake"))),
        ("a response type with a token", with("response_types", json!(["token"]))),
        ("the platform's own scope", with("scope", json!("openid hj:users.write"))),
        ("a symmetric key", with("jwks", oct)),
        ("RSA of 512 bits", with("jwks", rsa(64, "AQAB"))),
        ("RSA with the exponent 1", with("jwks", rsa(256, "AQ"))),
        ("RSA with the exponent 3", with("jwks", rsa(256, "Aw"))),
        ("keys in two places", both),
        ("a logo in another language", with("logo_uri#fr", json!("javascript:alert(1)"))),
        ("a language that is none", with("client_name#", json!("x"))),
        ("contacts that are none", with("contacts", json!("ops@rp.example"))),
    ] {
        table.oauth(what, post(&tenant, &metadata), &[400], &["invalid_client_metadata"]).await;
    }
    let url = format!("{}/oauth2/register", tenant.issuer);
    let raw = |kind: &str, body: String| web::client().post(&url).header("content-type", kind).body(body);
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    for (what, request, statuses) in [
        ("a form", raw("application/x-www-form-urlencoded", "redirect_uris=x".to_owned()), &[400][..]),
        ("no object", raw("application/json", "[]".to_owned()), &[400]),
        ("no JSON", raw("application/json", "{".to_owned()), &[400]),
        ("deep", raw("application/json", format!("{{\"contacts\":{deep}}}")), &[400]),
        ("compressed", raw("application/json", "{}".to_owned()).header("content-encoding", "gzip"), &[400, 415]),
        ("200 KiB", raw("application/json", format!("{{\"client_name\":\"{}\"}}", "x".repeat(200 << 10))), &[400, 413]),
    ] {
        table.row(what, request, statuses).await;
    }
    // Nothing of all this is a client now.
    let clients = tenant.admin.get(&format!("/tenants/{}/clients", tenant.slug)).await.expect(200);
    assert_eq!(clients.json["items"].as_array().map(Vec::len), Some(5), "the good ones");
    table.finish(&world).await;
}

#[tokio::test]
async fn another_clients_token_is_worth_nothing() {
    let world = world::shared().await;
    let (ours, theirs) = (
        tenant(&world, "dcr-mine", json!({ "mode": "open" })).await,
        tenant(&world, "dcr-theirs", json!({ "mode": "open" })).await,
    );
    let metadata = json!({ "redirect_uris": [REDIRECT], "client_name": "<script>alert(1)</script>" });
    let one = web::send(post(&ours, &metadata)).await.expect(201);
    let other = web::send(post(&ours, &metadata)).await.expect(201);
    let foreign = web::send(post(&theirs, &metadata)).await.expect(201);
    let mut table = Table::new();
    let uri = one.text_of("registration_client_uri");
    for method in [reqwest::Method::GET, reqwest::Method::PUT, reqwest::Method::DELETE] {
        for (what, token) in [
            ("of another client", other.text_of("registration_access_token")),
            ("of another tenant", foreign.text_of("registration_access_token")),
            ("the secret", one.text_of("client_secret")),
        ] {
            let request = web::client().request(method.clone(), &uri).bearer_auth(token).json(&metadata);
            table.oauth(&format!("{method} {what}"), request, &[401], &["invalid_token"]).await;
        }
        // It is the first thing that is looked at: nobody learns what would be wrong beside it.
        let unread =
            web::client().request(method.clone(), &uri).bearer_auth(other.text_of("registration_access_token"));
        let nonsense = unread.json(&json!({ "client_id": "x", "redirect_uris": "x", "registration_access_token": 1 }));
        table.oauth(&format!("{method} nonsense"), nonsense, &[401], &["invalid_token"]).await;
        let bare = web::client().request(method.clone(), &uri).json(&metadata);
        table.row("no token", bare, &[401]).await;
        // Whose the path is, is the tenant's: the same token below another tenant's path.
        let moved = uri.replace(&ours.slug, &theirs.slug);
        let request =
            web::client().request(method.clone(), moved).bearer_auth(one.text_of("registration_access_token"));
        table.oauth("at another tenant", request.json(&metadata), &[401], &["invalid_token"]).await;
        // A client that an administrator made manages nothing.
        let made = uri.replace(&one.text_of("client_id"), "backend");
        let request = web::client().request(method, made).bearer_auth(one.text_of("registration_access_token"));
        table.oauth("not registered", request.json(&metadata), &[401], &["invalid_token"]).await;
    }
    let _ = web::send(manage(reqwest::Method::GET, &one)).await.expect(200);

    // The name is shown as text.
    let party = tests::relying_party::RelyingParty::new(&ours.issuer, &one.text_of("client_id"), None, REDIRECT);
    let user = ours.user("ada").await;
    let browser = tests::browser::Browser::new();
    let form = browser.open_page(&party.attempt().url).await.expect_form();
    let consent = browser.sign_in(&form, &user.email, &user.password).await;
    assert!(consent.text().contains("<script>alert(1)</script>"), "{}", consent.text());
    table.finish(&world).await;
}

#[tokio::test]
async fn a_closed_door_and_a_crowd_at_an_open_one() {
    let world = world::shared().await;
    let closed = world.tenant("dcr-closed").await;
    let metadata = json!({ "redirect_uris": [REDIRECT] });
    let _ = web::send(post(&closed, &metadata)).await.expect(401);
    let _ = web::send(post(&closed, &metadata).bearer_auth("x")).await.expect(401);
    assert_eq!(closed.app.discovery().await.json.get("registration_endpoint"), None);

    let open = tenant(&world, "dcr-crowd", json!({ "mode": "open", "per_minute": 2 })).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let answer = web::send(post(&open, &metadata)).await;
        if answer.status == 429 {
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [201, 201, 429, 429]);
}

/// A pod is known by its token; whoever is none cannot even ask.
#[tokio::test]
async fn the_control_plane_hears_pods_only() {
    let world = world::shared().await;
    let url = world.cluster.watch_urls();
    let mut client = RegistrationClient::connect(url).await.expect("it listens");
    let refused = client.register(RegisterRequest::default()).await.expect_err("without a token");
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    let mut request = tonic::Request::new(ReadRegistrationRequest::default());
    request.metadata_mut().insert("authorization", "Bearer guessed".parse().expect("a value"));
    let refused = client.read(request).await.expect_err("with another token");
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
}
