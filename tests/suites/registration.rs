//! Clients that register themselves (RFC 7591, 7592), from the endpoint of a pod to the control plane's log and back.

#[path = "registration/refused.rs"]
mod refused;
#[path = "registration/sector.rs"]
mod sector;
#[path = "registration/statement.rs"]
mod statement;

use reqwest::Method;
use serde_json::{Value, json};
use tests::relying_party::RelyingParty;
use tests::tenant::Tenant;
use tests::web::{self, Answer};
use tests::world::{self, World};

const REDIRECT: &str = "https://rp.example/callback";

async fn tenant(world: &World, name: &str, policy: Value) -> Tenant {
    Tenant::create_with(world, name, json!({ "oauth": { "registration": policy } })).await
}

fn post(tenant: &Tenant, metadata: &Value) -> reqwest::RequestBuilder {
    web::client().post(format!("{}/oauth2/register", tenant.issuer)).json(metadata)
}

fn manage(method: Method, client: &Answer) -> reqwest::RequestBuilder {
    let (uri, token) = (client.text_of("registration_client_uri"), client.text_of("registration_access_token"));
    web::client().request(method, uri).bearer_auth(token)
}

/// An initial access token that an administrator made, and its id.
async fn initial_token(tenant: &Tenant, body: &Value) -> (String, String) {
    let path = format!("/tenants/{}/registration-tokens", tenant.slug);
    let made = tenant.admin.post(&path, body).await.expect(201);
    (made.text_of("token"), made.text_of("id"))
}

#[tokio::test]
async fn a_client_registers_signs_somebody_in_changes_itself_and_leaves() {
    let world = world::shared().await;
    let tenant = tenant(&world, "dcr", json!({ "mode": "open" })).await;
    let discovery = tenant.app.discovery().await;
    assert_eq!(discovery.json["registration_endpoint"], format!("{}/oauth2/register", tenant.issuer));

    let metadata = json!({
        "redirect_uris": [REDIRECT], "grant_types": ["authorization_code", "refresh_token"],
        "client_name": "Partner", "client_name#de": "Partnerin", "contacts": ["ops@rp.example"],
        "logo_uri": "https://rp.example/logo.png", "require_consent": false, "unheard_of": 1,
    });
    let client = web::send(post(&tenant, &metadata)).await.expect(201);
    assert!(client.header("cache-control").is_some_and(|value| value.contains("no-store")));
    for (name, value) in metadata.as_object().expect("an object") {
        let ours = ["require_consent", "unheard_of"].contains(&name.as_str());
        assert_eq!(client.json.get(name), (!ours).then_some(value), "{name}");
    }
    assert_eq!(client.json["client_secret_expires_at"], 0);
    assert_eq!(client.json["token_endpoint_auth_method"], "client_secret_basic");
    assert_eq!(client.json["response_types"], json!(["code"]));

    // The answer waited until this pod knew it.
    let (id, secret) = (client.text_of("client_id"), client.text_of("client_secret"));
    let party = RelyingParty::new(&tenant.issuer, &id, Some(secret.clone()), REDIRECT);
    let tokens = party.sign_in(&tenant.user("ada").await).await;
    let _ = party.refresh(tokens.refresh()).await.expect(200);

    let path = format!("/tenants/{}/clients/{id}", tenant.slug);
    let shown = tenant.admin.get(&path).await.expect(200);
    assert_eq!(shown.json["require_consent"], true, "what only operators write");
    assert_eq!(shown.json["registered"], json!({ "token_id": null, "statement_issuer": null }));
    assert!(!shown.text.contains(&secret) && !shown.text.contains("digest"));

    let read = web::send(manage(Method::GET, &client)).await.expect(200);
    assert_eq!(read.json["client_name"], "Partner");
    assert_eq!(read.json.get("client_secret"), None, "it is kept as a digest");
    assert_eq!(read.json["registration_access_token"], client.json["registration_access_token"]);

    let replaced = json!({
        "client_id": id, "client_secret": secret, "client_name": "Other", "redirect_uris": ["https://rp.example/new"],
    });
    let changed = web::send(manage(Method::PUT, &client).json(&replaced)).await.expect(200);
    assert_eq!((&changed.json["client_name"], changed.json.get("logo_uri")), (&json!("Other"), None));
    assert_eq!(changed.json["grant_types"], json!(["authorization_code"]));
    for (name, value) in [("client_id", json!("app")), ("client_secret", json!("guessed"))] {
        let mut wrong = replaced.clone();
        wrong[name] = value;
        let refused = web::send(manage(Method::PUT, &client).json(&wrong)).await.expect(400);
        assert_eq!(refused.json["error"], "invalid_client_metadata", "{name}");
    }

    // RFC 7592 §2.2: "The client MUST NOT include" what only we say, not even unchanged.
    for name in
        ["registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"]
    {
        let mut sent_back = replaced.clone();
        sent_back[name] = client.json[name].clone();
        let refused = web::send(manage(Method::PUT, &client).json(&sent_back)).await.expect(400);
        assert_eq!(refused.json["error"], "invalid_client_metadata", "{name}");
        assert!(refused.text_of("error_description").contains(name), "{}", refused.text);
    }
    assert_eq!(web::send(manage(Method::GET, &client)).await.expect(200).json["client_name"], "Other");

    let gone = web::send(manage(Method::DELETE, &client)).await.expect(204);
    assert!(gone.text.is_empty());
    for method in [Method::GET, Method::DELETE] {
        let _ = web::send(manage(method, &client)).await.expect(401);
    }
    assert_eq!(party.redeem("x", "y").await.expect(401).json["error"], "invalid_client");
    let _ = tenant.admin.get(&path).await.expect(404);

    let records = tenant.admin.get(&format!("/audit/logs?tenant={}&limit=200", tenant.slug)).await.expect(200);
    for action in ["client.register", "client.reregister", "client.unregister"] {
        assert!(records.text.contains(action), "{action}: {}", records.text);
    }
    assert!(!records.text.contains(&secret));
}

#[tokio::test]
async fn a_public_client_of_a_page_gets_no_secret_and_may_read_its_answers() {
    let world = world::shared().await;
    let tenant = tenant(&world, "dcr-spa", json!({ "mode": "open", "skip_consent": true })).await;
    let metadata = json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none" });
    let request = post(&tenant, &metadata).header("origin", "https://rp.example");
    let client = web::send(request).await.expect(201);
    assert_eq!(client.header("access-control-allow-origin"), Some("*"));
    assert_eq!((client.json.get("client_secret"), client.json.get("client_secret_expires_at")), (None, None));
    let party = RelyingParty::new(&tenant.issuer, &client.text_of("client_id"), None, REDIRECT);
    party.sign_in(&tenant.user("ada").await).await;
    let request = party.token_request(&[("grant_type", "authorization_code"), ("code", "x")]);
    let refused = web::send(request.header("origin", "https://rp.example")).await;
    assert_eq!(refused.header("access-control-allow-origin"), Some("https://rp.example"), "{refused:?}");
}

#[tokio::test]
async fn an_initial_access_token_lets_in_as_many_as_it_says() {
    let world = world::shared().await;
    let (ours, theirs) = (
        tenant(&world, "dcr-token", json!({ "mode": "token" })).await,
        tenant(&world, "dcr-other", json!({ "mode": "token" })).await,
    );
    let metadata = json!({ "redirect_uris": [REDIRECT] });
    let bare = web::send(post(&ours, &metadata)).await.expect(401);
    let challenge = bare.header("www-authenticate").unwrap_or_default();
    assert!(challenge.starts_with("Bearer ") && !challenge.contains("error"), "RFC 6750 §3.1: {challenge}");

    let (token, id) = initial_token(&ours, &json!({ "name": "Partner", "max_uses": 2 })).await;
    let with = |tenant: &Tenant, token: &str| post(tenant, &metadata).bearer_auth(token);
    let client = web::send(with(&ours, &token)).await.expect(201);
    let _ = web::send(with(&ours, &token)).await.expect(201);
    let (other, other_id) = initial_token(&ours, &json!({ "name": "Other" })).await;
    let (foreign, _) = initial_token(&theirs, &json!({ "name": "Elsewhere" })).await;
    let path = |id: &str| format!("/tenants/{}/registration-tokens/{id}", ours.slug);
    assert_eq!(ours.admin.get(&path(&id)).await.expect(200).json["uses"], 2);
    let _ = ours.admin.delete(&path(&other_id)).await.expect(204);
    let swapped = format!("hjr_{}_{}", id.replace('-', ""), foreign.rsplit('_').next().unwrap_or_default());
    for (what, token) in [
        ("used up", token.as_str()),
        ("revoked", &other),
        ("another tenant's", &foreign),
        ("another's secret", &swapped),
        ("a registration access token", &client.text_of("registration_access_token")),
        ("garbage", "x"),
    ] {
        let refused = web::send(with(&ours, token)).await.expect(401);
        assert_eq!(refused.json["error"], "invalid_token", "{what}");
        assert!(refused.header("www-authenticate").is_some_and(|it| it.contains("invalid_token")), "{what}");
    }
    let listed = ours.admin.get(&format!("/tenants/{}/registration-tokens", ours.slug)).await.expect(200);
    assert!(!listed.text.contains(&token) && listed.json["items"].as_array().is_some_and(|items| items.len() == 1));
    let shown = ours.admin.get(&format!("/tenants/{}/clients/{}", ours.slug, client.text_of("client_id"))).await;
    assert_eq!(shown.expect(200).json["registered"]["token_id"], id.as_str());
}

#[tokio::test]
async fn a_client_is_registered_whichever_node_leads() {
    let mut world = World::start(3, 1).await;
    let tenant = tenant(&world, "dcr-nodes", json!({ "mode": "open" })).await;
    let metadata = json!({ "redirect_uris": [REDIRECT] });
    let _ = web::send(post(&tenant, &metadata)).await.expect(201);
    let leader = world.cluster.leader().await;
    world.cluster.nodes[leader].kill();
    // Until there is a leader again the pod says to come back.
    tests::wait::until("a client registered by the other two", tests::wait::PATIENCE, async || {
        let answer = web::send(post(&tenant, &metadata)).await;
        if answer.status == 201 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
}

/// RFC 7592 §3: another token with each change, the one before being good until its successor is used.
#[tokio::test]
async fn the_registration_access_token_is_replaced_with_each_change() {
    let world = world::shared().await;
    let tenant = tenant(&world, "dcr-rotate", json!({ "mode": "open", "rotate_access_token": true })).await;
    let client = web::send(post(&tenant, &json!({ "redirect_uris": [REDIRECT] }))).await.expect(201);
    let document = json!({ "client_id": client.json["client_id"], "redirect_uris": [REDIRECT] });
    let put = |by: &Answer| manage(Method::PUT, by).json(&document);
    let token = |of: &Answer| of.text_of("registration_access_token");
    let second = web::send(put(&client)).await.expect(200);
    assert_ne!(token(&second), token(&client));
    assert_eq!(second.json.get("client_secret"), None, "the secret is not replaced without need");
    let shown = web::send(manage(Method::GET, &second)).await.expect(200);
    assert_eq!(token(&shown), token(&second), "looking replaces nothing");
    // The answer might have been lost, so the first still works, and is then followed by another.
    let third = web::send(put(&client)).await.expect(200);
    let _ = web::send(put(&second)).await.expect(401);
    let fourth = web::send(put(&third)).await.expect(200);
    let _ = web::send(manage(Method::GET, &client)).await.expect(401);
    let _ = web::send(manage(Method::DELETE, &fourth)).await.expect(204);
    let _ = web::send(manage(Method::GET, &fourth)).await.expect(401);
}

#[tokio::test]
async fn secrets_expire_when_the_policy_says_and_a_change_brings_the_next_one() {
    let world = world::shared().await;
    let policy = |secs: u32| {
        let grants = ["client_credentials"];
        json!({ "mode": "open", "client_secret_lifetime_secs": secs, "grant_types": grants, "per_minute": 1000 })
    };
    let tenant = tenant(&world, "dcr-expire", policy(3600)).await;
    let metadata = json!({ "grant_types": ["client_credentials"], "response_types": [] });
    let client = web::send(post(&tenant, &metadata)).await.expect(201);
    let end = |of: &Answer| of.json["client_secret_expires_at"].as_i64().expect("a time");
    let begun = client.json["client_id_issued_at"].as_i64().expect("a time");
    assert!((begun + 3599..=begun + 3601).contains(&end(&client)), "{}", client.text);
    let (id, first) = (client.text_of("client_id"), client.text_of("client_secret"));
    let ask = async |secret: &str| {
        let request = web::client().post(format!("{}/oauth2/token", tenant.issuer));
        web::send(request.form(&[("grant_type", "client_credentials")]).basic_auth(&id, Some(secret))).await
    };
    let _ = ask(&first).await.expect(200);
    let with = |more: Value| {
        let mut document = metadata.clone();
        document["client_id"] = json!(id);
        for (name, value) in more.as_object().expect("members") {
            document[name] = value.clone();
        }
        manage(Method::PUT, &client).json(&document)
    };
    let kept = web::send(with(json!({ "client_secret": first }))).await.expect(200);
    assert_eq!((kept.text_of("client_secret"), end(&kept)), (first.clone(), end(&client)), "there is time enough");

    // For secrets that live longer, this one is in its second half.
    tenant.patch(&json!({ "settings": { "oauth": { "registration": policy(100_000) } } })).await;
    let renewed = web::send(with(json!({ "client_secret": first }))).await.expect(200);
    let second = renewed.text_of("client_secret");
    assert!(second != first && end(&renewed) > end(&client), "{}", renewed.text);
    for secret in [&first, &second] {
        let _ = ask(secret).await.expect(200);
    }
    // By a method for which a digest is not enough.
    let method = json!({ "token_endpoint_auth_method": "client_secret_jwt" });
    let sealing = web::send(with(method.clone())).await.expect(200);
    let third = sealing.text_of("client_secret");
    assert!(third.len() >= 64 && third != second, "{}", sealing.text);
    let _ = ask(&third).await.expect(401);
    let stays = web::send(with(method)).await.expect(200);
    assert_eq!(stays.json.get("client_secret"), None);

    // One that ends soon ends.
    tenant.patch(&json!({ "settings": { "oauth": { "registration": policy(1) } } })).await;
    let brief = web::send(post(&tenant, &metadata)).await.expect(201);
    let (id, secret) = (brief.text_of("client_id"), brief.text_of("client_secret"));
    tests::wait::until("the secret has expired", tests::wait::PATIENCE, async || {
        let request = web::client().post(format!("{}/oauth2/token", tenant.issuer));
        let asked = request.form(&[("grant_type", "client_credentials")]).basic_auth(&id, Some(&secret));
        let answer = web::send(asked).await;
        if answer.status == 401 { Ok(()) } else { Err(answer.text) }
    })
    .await;
}
