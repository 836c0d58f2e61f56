//! `hellojohn import DIR`: what one cluster keeps as files becomes another one's configuration, and so do v1's files.

use std::fs;

use serde_json::{Value, json};
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::scratch;
use tests::wait::{PATIENCE, until};

use super::{Shell, schema};

/// What somebody wrote of a shown resource.
fn written(mut shown: Value) -> Value {
    if let Some(members) = shown.as_object_mut() {
        for name in ["id", "created_at", "updated_at", "revision", "secrets"] {
            members.remove(name);
        }
    }
    shown
}

/// The tenant, its clients and its scopes, less what only this cluster gave them.
async fn everything_of(admin: &Admin, slug: &str) -> Vec<Value> {
    let mut all = vec![written(admin.get(&format!("/tenants/{slug}")).await.expect(200).json)];
    for list in ["clients", "scopes"] {
        let mut list = admin.get(&format!("/tenants/{slug}/{list}?limit=500")).await.expect(200).json;
        let items = list["items"].as_array_mut().expect("a list");
        all.extend(items.drain(..).map(written));
    }
    all
}

async fn furnish(admin: &Admin) {
    let settings = json!({
        "database": {"dsn": "postgres://u:hunter2@db.example/acme", "max_connections": 7},
        "issuer_mode": "host", "hosts": ["login.acme.example"], "registration_enabled": true,
        "staleness": {"fail_mode": "serve"}, "rate_limit": {"requests_per_second": 9}, "key_rotation": {"max_age_secs": 2_592_000},
    });
    let _ = admin.create_tenant("acme", settings).await;
    let _ = admin.create_tenant("globex", json!({})).await;
    let _ = admin.post("/tenants/acme/scopes", &json!({"name": "orders", "claims": ["order"]})).await.expect(201);
    let uris = ["https://acme.example/cb"];
    for client in [
        json!({"client_id": "web", "name": "Web", "redirect_uris": uris, "scopes": ["openid", "orders"]}),
        json!({"client_id": "spa", "name": "App", "redirect_uris": uris, "token_endpoint_auth_method": "none"}),
    ] {
        let _ = admin.post("/tenants/acme/clients", &client).await.expect(201);
    }
    let _ = admin.post("/tenants/globex/scopes", &json!({"name": "last"})).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_keeps_as_files_becomes_another_clusters_configuration() {
    let tree = scratch::folder("import").join("tree");
    let mut old = Cluster::prepare(1, &[]);
    old.nodes[0].launch_mut().args.extend(["--fs-projection".to_owned(), tree.display().to_string()]);
    old.start_all().await;
    old.ready().await;
    let old_admin = old.admin(0).await;
    furnish(&old_admin).await;
    let last = tree.join("tenants/globex/scopes.json");
    until("the files are there", PATIENCE, async || {
        let text = fs::read_to_string(&last).map_err(|error| error.to_string())?;
        if text.contains("\"last\"") { Ok(()) } else { Err(text) }
    })
    .await;

    let new = Cluster::start(1).await;
    let admin = new.admin(0).await;
    let shell = Shell::new(&new, &new.secrets.owner);
    let tree = tree.display().to_string();
    shell.write("dsn", "postgres://u:hunter2@db.example/acme\n");

    let shown = shell.ends(&["import", &tree, "--dsn", "acme=dsn", "--dry-run"], 0);
    assert!(shown.contains("+ tenant acme") && shown.contains("not done: dry run"), "{shown}");
    let _ = admin.get("/tenants/acme").await.expect(404);
    let told = shell.ends(&["import", &tree, "--dsn", "nobody=dsn"], 2);
    assert!(told.contains("no tenant nobody"), "{told}");

    let output = shell.run(&["import", &tree, "--dsn", "acme=dsn", "-o", "json"]);
    assert!(output.status.success(), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let secrets = answer["secrets"].as_array().expect("a list");
    assert_eq!((secrets.len(), &secrets[0]["client_id"]), (1, &json!("web")), "{answer}");
    assert!(!answer.to_string().contains("hunter2"), "{answer}");
    assert_eq!(answer["left_out"], json!([]));
    for slug in ["acme", "globex"] {
        assert_eq!(everything_of(&admin, slug).await, everything_of(&old_admin, slug).await);
    }
    let web = admin.get("/tenants/acme/clients/web").await.expect(200).json;
    assert_eq!(web["secrets"].as_array().map(Vec::len), Some(1), "{web}");
    let key = |admin: &Admin| admin.get("/tenants/acme/keys");
    let (theirs, ours) = (key(&old_admin).await.expect(200).json, key(&admin).await.expect(200).json);
    assert_ne!(theirs["items"][0]["kid"], ours["items"][0]["kid"], "keys are new");

    // Again: nothing to do, no other secret, and the database stays though no file says where it is.
    let again = shell.ends(&["import", &tree], 0);
    assert!(again.contains("0 created, 0 updated, 0 deleted") && !again.contains("these are new"), "{again}");
    assert_eq!(admin.get("/tenants/acme/clients/web").await.expect(200).json, web);

    keeps_what_it_has_at_an_identity_provider(&shell, [&old_admin, &admin], &tree).await;
    what_is_shown_is_a_document(&admin).await;

    // One file is broken: it is named, and nothing of the others is done.
    let _ = admin.patch("/tenants/globex", &json!({"display_name": "By hand"})).await.expect(200);
    let broken = format!("{tree}/tenants/acme/clients.json");
    old.kill_all();
    let text = fs::read_to_string(&broken).expect("readable");
    for (spoilt, wanted) in [
        (text.replacen('{', "", 1), "not JSON"),
        (text.replace("\"redirect_uris\"", "\"redirect_urls\""), "redirect_urls"),
    ] {
        fs::write(&broken, spoilt).expect("spoilt");
        let told = shell.ends(&["import", &tree], 2);
        assert!(told.contains("acme/clients.json") && told.contains(wanted), "{told}");
        assert_eq!(admin.get("/tenants/globex").await.expect(200).json["display_name"], "By hand");
    }
}

/// No file has the secret: the provider is left out where it is not known, and stays where it is.
async fn keeps_what_it_has_at_an_identity_provider(shell: &Shell, [old, new]: [&Admin; 2], tree: &str) {
    let provider = json!({
        "id": "corp", "display_name": "Corp", "issuer": "https://id.example", "client_id": "us",
        "token_endpoint_auth_method": "client_secret_basic", "client_secret": "hunter4",
    });
    let patch = json!({ "settings": { "oauth": { "identity_providers": [provider] } } });
    let _ = old.patch("/tenants/acme", &patch).await.expect(200);
    let file = format!("{tree}/tenants/acme/tenant.json");
    let text = until("the file says so", PATIENCE, async || {
        let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
        if text.contains("client_secret_basic") { Ok(text) } else { Err(text) }
    })
    .await;
    assert!(!text.contains("hunter4") && !text.contains("hjs1."), "{text}");
    let told = shell.ends(&["import", tree], 0);
    assert!(told.contains("/settings/oauth/identity_providers/0: no client secret"), "{told}");
    assert!(told.contains("0 created, 0 updated, 0 deleted"), "{told}");
    let _ = new.patch("/tenants/acme", &patch).await.expect(200);
    let told = shell.ends(&["import", tree], 0);
    assert!(told.contains("0 created, 0 updated, 0 deleted") && !told.contains("no client secret"), "{told}");
}

/// What the server shows, less what nobody writes, is a document of the published schema: neither forgets a member.
async fn what_is_shown_is_a_document(admin: &Admin) {
    let mut tenant = written(admin.get("/tenants/acme").await.expect(200).json);
    tenant["kind"] = "Tenant".into();
    tenant["settings"]["database"] = json!({"dsn": {"from_env": "ACME_DSN"}, "max_connections": 7});
    let mut client = written(admin.get("/tenants/acme/clients/web").await.expect(200).json);
    let mut scope = written(admin.get("/tenants/acme/scopes/orders").await.expect(200).json);
    for (item, kind) in [(&mut client, "Client"), (&mut scope, "Scope")] {
        item["kind"] = kind.into();
        item["tenant"] = "acme".into();
    }
    let mut settings = written(admin.get("/settings").await.expect(200).json);
    settings["kind"] = "Settings".into();
    for document in [tenant, client, scope, settings] {
        assert_eq!(schema::refusal(&document), None, "{document:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_v1_are_brought_over_and_what_has_no_place_is_told() {
    let cluster = Cluster::start(1).await;
    let admin = cluster.admin(0).await;
    let shell = Shell::new(&cluster, &cluster.secrets.owner);
    shell.write(
        "v1/tenants/acme/tenant.yaml",
        "id: 0f4f2b62-6f0c-4b0e-9f0e-7d2f6f1b2a11\nname: Acme\nslug: acme\ncreatedAt: 2025-01-02T03:04:05Z\nsettings:\n  \
         issuerMode: path\n  logoUrl: https://acme.example/logo.svg\n  brandColor: orange\n  smtp:\n    host: mail.acme.example\n    passwordEnc: c2VhbGVk\n  userDb:\n    \
         driver: postgres\n    dsnEnc: c2VhbGVk\n",
    );
    shell.write(
        "v1/tenants/acme/clients.yaml",
        "- clientId: web\n  name: Web\n  type: confidential\n  redirectUris: [https://acme.example/cb]\n  \
         scopes: [openid, orders]\n  secretEnc: c2VhbGVk\n- clientId: app\n  name: App\n  type: public\n  \
         redirectUris: [https://app.acme.example/cb]\n",
    );
    shell
        .write("v1/tenants/acme/scopes.yaml", "- {name: openid, system: true}\n- {name: orders, description: Yours}\n");
    shell.write("v1/tenants/globex/tenant.json", r#"{"name": "Globex", "slug": "globex"}"#);
    shell.write("v1/keys/active.json", "{}");

    let told = shell.ends(&["import", "v1"], 0);
    for wanted in [
        "tenant.yaml:10: /settings/smtp",
        "tenant.yaml:8: /settings/brandColor",
        "--dsn acme=FILE",
        "acme/web  ",
        "Signing keys are not",
    ] {
        assert!(told.contains(wanted), "{wanted} in {told}");
    }
    assert!(!told.contains("c2VhbGVk") && !told.contains("acme/app  "), "{told}");
    let tenant = admin.get("/tenants/acme").await.expect(200).json;
    assert_eq!(tenant["settings"]["branding"], json!({ "logo_uri": "https://acme.example/logo.svg" }));
    assert_eq!((&tenant["display_name"], &tenant["settings"]["database"]), (&json!("Acme"), &Value::Null));
    let web = admin.get("/tenants/acme/clients/web").await.expect(200).json;
    assert_eq!(web["token_endpoint_auth_method"], "client_secret_basic");
    assert_eq!(web["scopes"], json!(["openid", "orders"]));
    let app = admin.get("/tenants/acme/clients/app").await.expect(200).json;
    assert_eq!(app["token_endpoint_auth_method"], "none");
    assert_eq!(admin.get("/tenants/acme/scopes/orders").await.expect(200).json["description"], "Yours");
    let _ = admin.get("/tenants/globex").await.expect(200);

    // Everything wrong in all files, and nothing done.
    shell.write("v1/tenants/late/tenant.yaml", "name: Late\nslug: other\n");
    shell.write("v1/tenants/globex/clients.yaml", "web: {}\n");
    let told = shell.ends(&["import", "v1"], 2);
    assert!(told.contains("late/tenant.yaml:2: /slug") && told.contains("globex/clients.yaml:1: must be"), "{told}");
    fs::remove_dir_all(shell.folder.join("v1/tenants/late")).expect("removed");
    shell.write("v1/tenants/globex/clients.yaml", "- clientId: bad\n  name: Bad\n  scopes: [unheard]\n");
    let told = shell.ends(&["import", "v1"], 2);
    assert!(told.contains("globex/clients.yaml:3") && told.contains("unheard"), "{told}");
    let told = shell.ends(&["import", "v1/keys"], 2);
    assert!(told.contains("v1/keys/tenants"), "{told}");
}
