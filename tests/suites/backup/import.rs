//! The configuration as a file: out of one cluster, into another.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::Method;
use serde_json::{Value, json};
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::process::Launch;
use tests::wait::PATIENCE;
use tests::web::{self, Answer};
use tests::world::World;
use tests::{programs, scratch};

use super::{slugs, tenant};

async fn export(admin: &Admin) -> String {
    web::send(admin.request(Method::GET, "/export?consistency=linearizable")).await.expect(200).text
}

/// Its records with their revisions, which tell whether anything was written; without those that change by themselves:
/// the last use of administrators, and how far the cluster has come.
async fn configuration(admin: &Admin) -> Vec<String> {
    let moving = ["{\"kind\":\"admin\"", "{\"kind\":\"end\""];
    let file = export(admin).await;
    let still = file.lines().skip(1).filter(|line| !moving.iter().any(|start| line.starts_with(start)));
    still.map(ToOwned::to_owned).collect()
}

async fn import(admin: &Admin, query: &str, file: &str) -> Answer {
    web::send(admin.request(Method::POST, &format!("/import{query}")).body(file.to_owned())).await
}

/// Another cluster with the same master key, as a stand-by has it, or with one of its own.
async fn another(master_key: Option<&str>) -> Cluster {
    let mut cluster = Cluster::prepare(1, &[]);
    if let Some(key) = master_key {
        let env = &mut cluster.nodes[0].launch_mut().env;
        env.iter_mut().filter(|(name, _)| name == "SECRETBOX_MASTER_KEY").for_each(|(_, it)| key.clone_into(it));
    }
    cluster.start_all().await;
    cluster.ready().await;
    cluster
}

/// What must be the same on both sides, revisions aside.
async fn seen(admin: &Admin) -> Value {
    let mut all = Vec::new();
    for path in ["/tenants/acme", "/tenants/acme/scopes", "/tenants/acme/clients", "/tenants/acme/keys"] {
        all.push(admin.get(path).await.expect(200).json);
    }
    let mut all = Value::Array(all);
    without_revisions(&mut all);
    all
}

fn without_revisions(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("revision");
            fields.values_mut().for_each(without_revisions);
        }
        Value::Array(items) => items.iter_mut().for_each(without_revisions),
        _ => {}
    }
}

async fn furnished() -> (Cluster, Admin) {
    let cluster = Cluster::start(1).await;
    let admin = cluster.admin(0).await;
    let database = json!({ "dsn": "postgres://u:p@db/acme", "max_connections": 5 });
    let smtp = json!({
        "host": "mx.example", "from": "a@acme.example", "username": "acme", "password": "the-mail-servers-password",
    });
    let provider = json!({
        "id": "corp", "display_name": "Corp", "issuer": "https://id.example", "client_id": "us",
        "token_endpoint_auth_method": "client_secret_basic", "client_secret": "the-identity-providers-secret",
    });
    let oauth = json!({ "identity_providers": [provider] });
    let settings = json!({ "hosts": ["acme.example"], "database": database, "smtp": smtp, "oauth": oauth });
    let _ = admin.create_tenant("acme", settings).await;
    let _ = admin.post("/tenants/acme/scopes", &json!({ "name": "orders" })).await.expect(201);
    for id in ["web", "shop"] {
        let client = json!({
            "client_id": id, "name": id, "redirect_uris": ["https://a.example/cb"], "scopes": ["openid", "orders"],
        });
        let _ = admin.post("/tenants/acme/clients", &client).await.expect(201);
    }
    let _ = admin.post("/tenants/acme/keys/rotate", &json!({})).await.expect(200);
    let _ = admin.post("/tenants", &tenant("other")).await.expect(201);
    let _ = admin.create_admin("Tom", json!({ "tenant-admin": "acme" })).await;
    (cluster, admin)
}

#[tokio::test]
async fn an_export_makes_the_same_configuration_elsewhere_and_again_changes_nothing() {
    let (cluster, admin) = furnished().await;
    let file = export(&admin).await;
    for secret in ["postgres://", "the-mail-servers", "the-identity-providers"] {
        assert!(!file.contains(secret), "{secret} is sealed");
    }
    let standby = another(Some(&cluster.secrets.master_key)).await;
    let there = standby.admin(0).await;

    let before = configuration(&there).await;
    let tried = import(&there, "?dry_run=true", &file).await.expect(200).json;
    assert_eq!(tried["summary"]["deleted"], 0, "{tried:#}");
    assert!(slugs(&there).await.is_empty());
    assert_eq!(configuration(&there).await, before);

    let made = import(&there, "", &file).await.expect(200).json;
    assert_eq!(made["summary"], tried["summary"]);
    assert_eq!(seen(&there).await, seen(&admin).await);
    assert_eq!(slugs(&there).await, ["acme", "other"]);

    // On the condition that it was not there yet, which a batch can have.
    let record = there.record_of_an_administrator("action=batch").await;
    assert!(record["request_id"].is_string() && record["changes"].is_array(), "{record:#}");

    let before = configuration(&there).await;
    let again = import(&there, "", &file).await.expect(200).json;
    assert_eq!((&again["summary"]["created"], &again["summary"]["updated"]), (&json!(0), &json!(0)), "{again:#}");
    assert_eq!(configuration(&there).await, before, "nothing was written");

    // What the stand-by changed is a conflict, is overruled, or goes, as was asked.
    let web = there.get("/tenants/acme/clients/web").await.expect(200).json;
    let _ = there.patch("/tenants/acme/clients/web", &json!({ "name": "Changed" })).await.expect(200);
    let _ = there.post("/tenants", &tenant("own")).await.expect(201);
    let _ = there.post("/tenants/acme/scopes", &json!({ "name": "extra" })).await.expect(201);
    let refused = import(&there, "", &file).await.expect(409);
    assert!(refused.text.contains("client web"), "{}", refused.text);
    let merged = import(&there, "?mode=merge", &file).await.expect(200).json;
    assert_eq!((&merged["summary"]["updated"], &merged["summary"]["deleted"]), (&json!(1), &json!(0)), "{merged:#}");
    assert_eq!(there.get("/tenants/acme/clients/web").await.expect(200).json["name"], web["name"]);
    let record = there.record_of_an_administrator("action=restore").await;
    assert_eq!(record["changes"][0]["resource"], "tenants/acme/clients/web", "{record:#}");
    assert_eq!(slugs(&there).await, ["acme", "other", "own"]);
    let replaced = import(&there, "?mode=replace", &file).await.expect(200).json;
    assert_eq!(replaced["summary"]["deleted"], 2, "{replaced:#}");
    // The global keys were replaced, too, and with them goes what they had signed.
    let there = standby.admin(0).await;
    assert_eq!((slugs(&there).await, seen(&there).await), (slugs(&admin).await, seen(&admin).await));
    let _ = there.get("/admins").await.expect(200);
}

#[tokio::test]
async fn what_is_damaged_or_cannot_be_opened_is_refused_before_anything_is_written() {
    let (_cluster, admin) = furnished().await;
    let file = export(&admin).await;
    let other = another(None).await;
    let there = other.admin(0).await;
    let refused = import(&there, "", &file).await.expect(409);
    assert!(refused.text.contains("SECRETBOX_MASTER_KEY") && refused.text.contains("master keys"), "{}", refused.text);

    let cut = file.trim_end().rsplit_once('\n').expect("several lines").0;
    let flipped = file.replacen("\"orders\"", "\"ordert\"", 1);
    let newer = file.replacen("\"version\":1", "\"version\":9", 1);
    for (what, bad, told) in [
        ("nothing", "", "cut short"),
        ("not ours", "{\"a\":1}\n", "line 1"),
        ("cut", cut, "cut short"),
        ("cut with its line", &format!("{cut}\n"), "cut short"),
        ("flipped", &flipped, "checksum"),
        ("newer", &newer, "newer build"),
        ("more behind it", &format!("{file}{{}}\n"), "goes on"),
    ] {
        let refused = import(&admin, "?mode=replace", bad).await.expect(400);
        assert!(refused.text.contains(told), "{what}: {}", refused.text);
    }
    let _ = import(&admin, "?mode=everything", &file).await.expect(400);
    assert_eq!(slugs(&admin).await, ["acme", "other"]);
    assert!(slugs(&there).await.is_empty());
}

#[tokio::test]
async fn the_command_line_takes_files_away_and_puts_them_back() {
    let (cluster, admin) = furnished().await;
    let folder = scratch::folder("cli-backup");
    let run = async |args: &[&str]| {
        let mut launch = Launch {
            name: "hellojohn".to_owned(),
            program: programs::hellojohn(),
            args: args.iter().map(ToString::to_string).collect(),
            env: vec![("HOME".to_owned(), folder.display().to_string())],
            user: None,
            namespace: None,
            log: folder.join("log"),
        };
        launch.env.push(("HJ_SERVER".to_owned(), cluster.nodes[0].admin_url()));
        launch.env.push(("HJ_CREDENTIAL".to_owned(), cluster.secrets.owner.clone()));
        launch.run(PATIENCE).await
    };
    let (exported, snapshot) = (folder.join("all.jsonl"), folder.join("all.snap"));
    let (exported, snapshot) = (exported.to_str().expect("a path"), snapshot.to_str().expect("a path"));
    for args in [vec!["export", exported], vec!["cluster", "snapshot", snapshot], vec!["import", exported]] {
        let done = run(&args).await;
        assert_eq!(done.code, Some(0), "{args:?}: {}", done.output);
    }
    for path in [exported, snapshot] {
        let mode = std::fs::metadata(path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "others can read {path}");
    }
    let folder = folder.to_str().expect("a path");
    for (from, flag, told) in [(exported, "--take-over", "is a file"), (folder, "--mode=add", "is a folder")] {
        let refused = run(&["import", from, flag]).await;
        assert_eq!(refused.code, Some(2), "{}", refused.output);
        assert!(refused.output.contains(told), "{}", refused.output);
    }
    let _ = admin.delete("/tenants/acme").await.expect(204);
    let done = run(&["import", exported, "-o", "json"]).await;
    assert_eq!(done.code, Some(0), "{}", done.output);
    assert_eq!(slugs(&admin).await, ["acme", "other"]);
}

/// What is sealed is of use where it is restored: a client proves itself by an HMAC of its secret, and the mail server's
/// password, which nobody can see, is the same to whoever knows it.
#[tokio::test]
async fn sealed_secrets_are_of_use_where_they_are_restored() {
    let (cluster, admin) = furnished().await;
    let hmac = json!({
        "client_id": "hmac", "name": "HMAC", "token_endpoint_auth_method": "client_secret_jwt",
        "grant_types": ["client_credentials"],
    });
    let secret = admin.create_client("other", &hmac).await.secret.expect("a secret");
    let file = export(&admin).await;
    assert!(!file.contains(&secret));
    let mut standby = another(Some(&cluster.secrets.master_key)).await;
    standby.secrets.master_key.clone_from(&cluster.secrets.master_key);
    let there = standby.admin(0).await;
    let _ = import(&there, "", &file).await.expect(200);
    // The same text is the same envelope, which nobody can tell who cannot open it.
    let envelope = file.split(r#""password":""#).nth(1).and_then(|rest| rest.split('"').next()).expect("a password");
    let same = json!({ "settings": { "smtp": { "password": "the-mail-servers-password" } } });
    let _ = there.patch("/tenants/acme", &same).await.expect(200);
    assert!(envelope.starts_with("hjs1.") && export(&there).await.contains(envelope), "{envelope}");

    let mut world = World { cluster: standby, pods: Vec::new() };
    world.add_pod("restored", "").await;
    let issuer = format!("{}/t/other", world.pods[0].url());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let claims = json!({
        "iss": "hmac", "sub": "hmac", "aud": issuer, "jti": tests::tenant::unique("jti"), "iat": now, "exp": now + 60,
    });
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    let assertion = jsonwebtoken::encode(&header, &claims, &key).expect("an HMAC is made of anything");
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion.as_str()),
    ];
    let answer = web::send(web::client().post(format!("{issuer}/oauth2/token")).form(&form)).await;
    let _ = answer.expect(200).text_of("access_token");
}

/// What a node has that hears of no leader may be gone elsewhere: nothing is judged by it.
#[tokio::test]
async fn a_node_that_is_behind_imports_nothing_by_what_it_has() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let (behind, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let (admin, at_behind) = (cluster.admin(leader).await, cluster.admin(behind).await);
    let made = admin.post("/tenants", &tenant("acme")).await.expect(201).revision();
    let file = export(&at_behind).await;
    // So that it has the tenant, also when it is alone and starts anew.
    let kept = web::send(at_behind.request(Method::POST, "/cluster/snapshot")).await.expect(200);
    assert!(kept.json["snapshot_revision"].as_u64() >= Some(made), "{kept:?}");
    cluster.nodes[behind].kill();
    let _ = admin.delete("/tenants/acme").await.expect(204);
    for place in [leader, other] {
        cluster.nodes[place].kill();
    }
    cluster.nodes[behind].start().await;
    let alone = cluster.admin(behind).await;
    let _ = alone.get("/tenants/acme").await.expect(200);
    for query in ["?dry_run=true", ""] {
        assert_eq!(import(&alone, query, &file).await.expect(503).code(), "no_leader");
    }
    for place in [leader, other] {
        cluster.nodes[place].start().await;
    }
    cluster.ready().await;
    let again = import(&cluster.admin(behind).await, "", &file).await.expect(200).json;
    assert!(again["summary"]["created"].as_u64() > Some(0), "{again:#}");
    let _ = cluster.admin(leader).await.get("/tenants/acme?consistency=linearizable").await.expect(200);
}
