//! A master key is replaced: everything comes under the new one, and whoever lacks a key says which.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::operator::Cli;
use tests::pod::{Plan, Pod};
use tests::tenant::Tenant;
use tests::wait::{PATIENCE, until};
use tests::web;
use tests::world::World;

const STOP: Duration = Duration::from_secs(20);

fn random_key() -> String {
    STANDARD.encode(rand::random::<[u8; 32]>())
}

/// Starts one node after the other with other master keys.
async fn restart_with(cluster: &mut Cluster, keys: &str) {
    for place in 0..cluster.nodes.len() {
        restart_one(cluster, place, keys).await;
    }
}

async fn restart_one(cluster: &mut Cluster, place: usize, keys: &str) {
    let node = &mut cluster.nodes[place];
    assert_eq!(node.stop(STOP).await, Some(0));
    set_env(&mut node.launch_mut().env, keys);
    node.start().await;
    node.ready().await;
}

fn set_env(env: &mut Vec<(String, String)>, keys: &str) {
    env.retain(|(name, _)| name != "SECRETBOX_MASTER_KEY");
    env.push(("SECRETBOX_MASTER_KEY".to_owned(), keys.to_owned()));
}

fn sealed(seals: &Value) -> Vec<(String, u64)> {
    let keys = seals["keys"].as_array().expect("a list of keys");
    let used = keys.iter().filter(|key| key["sealed"] != 0);
    used.map(|key| (key["key_id"].as_str().expect("an id").to_owned(), key["sealed"].as_u64().expect("a number")))
        .collect()
}

/// A client of `client_secret_jwt` gets a token.
async fn prove_by_hmac(tenant: &Tenant, secret: &str) {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("the clock is past 1970");
    let claims = json!({
        "iss": "hmac", "sub": "hmac", "aud": tenant.issuer, "jti": "1", "exp": since.as_secs() + 60,
    });
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    let assertion = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("an HMAC");
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &assertion),
    ];
    let request = web::client().post(format!("{}/oauth2/token", tenant.issuer)).form(&form);
    let _ = web::send(request).await.expect(200);
}

#[tokio::test]
async fn every_secret_moves_to_the_new_key_and_the_old_one_can_go() {
    let mut world = World::start(3, 1).await;
    let old = world.cluster.secrets.master_key.clone();
    let new = random_key();
    let tenant = Tenant::create(&world, "sealed").await;
    let user = tenant.user("ada").await;
    let owner = world.admin().await;
    let receipt = async |owner: &Admin| {
        let client = json!({ "client_id": "once", "name": "Once", "grant_types": ["client_credentials"] });
        let path = format!("/tenants/{}/clients", tenant.slug);
        let request = owner.request(Method::POST, &path).header("idempotency-key", "once").json(&client);
        web::send(request).await.expect(201).text_of("client_secret")
    };
    let secret = receipt(&owner).await;
    let hmac = json!({
        "client_id": "hmac", "name": "Seals", "grant_types": ["client_credentials"], "scopes": ["hj:users.read"],
        "token_endpoint_auth_method": "client_secret_jwt",
    });
    let clients = format!("/tenants/{}/clients?wait=fleet&timeout=15s", tenant.slug);
    let hmac = owner.post(&clients, &hmac).await.expect(201).text_of("client_secret");
    let provider = json!([{
        "id": "corp", "display_name": "Corp", "issuer": "https://127.0.0.1:1", "client_id": "us",
        "token_endpoint_auth_method": "client_secret_basic", "client_secret": "of-a-provider",
    }]);
    tenant.patch(&json!({ "settings": { "oauth": { "identity_providers": provider } } })).await;
    let before = owner.get("/keys/seals").await.expect(200).json;
    // The tenant's DSN and key, the global key, the secrets of the HMACs and at the provider, the receipt.
    assert!(before["total"].as_u64() >= Some(6), "{before:#}");
    assert_eq!(sealed(&before).len(), 1, "{before:#}");
    let etag = owner.get(&format!("/tenants/{}", tenant.slug)).await.header("etag").map(ToOwned::to_owned);

    // Everybody gets the new key beside the old one; pods first, since they open only.
    for keys in [format!("{old},{new}"), format!("{new},{old}")] {
        world.pods[0].stop(STOP).await;
        set_env(&mut world.pods[0].launch_mut().env, &keys);
        world.pods[0].start_again().await;
        world.pods[0].ready().await;
        // Half way two nodes seal with different keys: nothing is moved then.
        restart_one(&mut world.cluster, 0, &keys).await;
        if keys.starts_with(&new) {
            let owner = world.cluster.admin(0).await;
            let refused = owner.post("/keys/reseal", &json!({})).await.expect(409);
            assert!(refused.text_of("detail").contains("node 2 seals with another master key first"), "{refused:?}");
        }
        for place in [1, 2] {
            restart_one(&mut world.cluster, place, &keys).await;
        }
    }
    let owner = world.cluster.admin(1).await;
    let cli = Cli::at(&world.cluster.nodes[1].admin_url(), &world.cluster.secrets.owner);
    // It would fail, were a pod waited for in vain.
    let done = cli.json(&["key", "reseal", "--wait", "fleet", "--wait-timeout", "20"]);
    assert_eq!(done["left"], json!({}), "{done:#}");
    assert_eq!((&done["moved"], done["total"].as_u64() >= Some(6)), (&done["total"], true), "{done:#}");
    let _ = owner.record_of_an_administrator("action=key.reseal").await;
    let again = owner.post("/keys/reseal", &json!({})).await.expect(200);
    assert_eq!((again.json["total"].as_u64(), again.json["moved"].as_u64()), (Some(0), Some(0)));
    let after = owner.get("/keys/seals").await.expect(200).json;
    assert_eq!(
        sealed(&after),
        [(after["first_key"].as_str().expect("an id").to_owned(), after["total"].as_u64().expect("a number"))]
    );
    assert_eq!(owner.get(&format!("/tenants/{}", tenant.slug)).await.header("etag"), etag.as_deref(), "revisions stay");

    // The old key is no longer needed by anybody.
    restart_with(&mut world.cluster, &new).await;
    world.pods[0].stop(STOP).await;
    set_env(&mut world.pods[0].launch_mut().env, &new);
    world.pods[0].start_again().await;
    world.pods[0].ready().await;
    assert_eq!(receipt(&world.cluster.admin(2).await).await, secret, "a replay is answered with what was shown");
    let _ = tenant.backend.sign_in(&user).await;
    prove_by_hmac(&tenant, &hmac).await;
    // Nobody is there to be asked: but the secret that it would be asked with is at hand (501 otherwise).
    let _ = web::send(web::client().get(format!("{}/login/corp", tenant.issuer))).await.expect(503);
    let _ = world.cluster.admin(0).await.post("/keys/rotate", &json!({})).await.expect(200);
}

#[tokio::test]
async fn who_lacks_a_key_says_which() {
    let mut cluster = Cluster::start(3).await;
    let old = cluster.secrets.master_key.clone();
    let (new, stranger) = (random_key(), random_key());
    let owner = cluster.admin(0).await;
    let _ = owner.post("/tenants", &json!({ "slug": "acme", "display_name": "A" })).await.expect(201);
    let old_id = owner.get("/keys/seals").await.expect(200).json["first_key"].as_str().expect("an id").to_owned();

    // With another key than its data: at once, and nothing is touched.
    assert_eq!(cluster.nodes[2].stop(STOP).await, Some(0));
    let refused = cluster.nodes[2].run_with_env(&[("SECRETBOX_MASTER_KEY", &stranger)]).await;
    assert_eq!(refused.code, Some(78), "{}", refused.output);
    assert!(refused.output.contains(&old_id), "{}", refused.output);

    // With an empty disk it cannot know before it has caught up: then it stops for the same reason.
    std::fs::remove_dir_all(cluster.nodes[2].data_dir()).expect("its data can be removed");
    let refused = cluster.nodes[2].run_with_env(&[("SECRETBOX_MASTER_KEY", &stranger)]).await;
    assert_eq!(refused.code, Some(78), "{}", refused.output);
    assert!(refused.output.contains("lacks keys") && refused.output.contains(&old_id), "{}", refused.output);
    std::fs::remove_dir_all(cluster.nodes[2].data_dir()).expect("its data can be removed");
    cluster.nodes[2].start().await;
    cluster.nodes[2].ready().await;

    // One of the nodes begins to seal with a key that the others do not have.
    restart_one(&mut cluster, 0, &format!("{new},{old}")).await;
    let owner = cluster.admin(0).await;
    let refused = owner.post("/keys/reseal", &json!({})).await.expect(409);
    assert!(refused.text_of("detail").contains("node 2 does not hold master key"), "{refused:?}");
    let dsn = json!({ "settings": { "database": { "dsn": "postgres://u:p@127.0.0.1:1/acme" } } });
    let _ = owner.patch("/tenants/acme", &dsn).await.expect(200);
    let seals = owner.get("/keys/seals").await.expect(200).json;
    let new_id = seals["first_key"].as_str().expect("an id").to_owned();
    assert_eq!(seals["nodes"][1]["key_ids"], json!([old_id]), "{seals:#}");
    let url = format!("{}/readyz", cluster.nodes[1].ops_url());
    until("the node that lacks the key says so", PATIENCE, async || {
        let answer = web::send(web::client().get(&url)).await;
        if answer.status == 503 && answer.text.contains(&new_id) { Ok(()) } else { Err(answer.text) }
    })
    .await;
    until("its log says so, too", PATIENCE, async || {
        let line =
            cluster.logs().lines().any(|line| line.contains("SECRETBOX_MASTER_KEY lacks") && line.contains(&new_id));
        if line { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;

    // So does a pod: it refuses that tenant, by name of the key, and goes on with the rest.
    let control_plane = cluster.watch_urls();
    let plan = Plan { name: "pod-old", control_plane: &control_plane, ..Plan::default() };
    let mut pod = Pod::prepare(&plan, &cluster.secrets);
    pod.start_again().await;
    until("the pod names the key it lacks", PATIENCE, async || {
        let fleet = owner.get("/fleet").await.expect(200).json;
        let rejected = fleet["pods"][0]["rejected"].to_string();
        if rejected.contains("tenants/") && rejected.contains(&new_id) { Ok(()) } else { Err(format!("{fleet:#}")) }
    })
    .await;
}
