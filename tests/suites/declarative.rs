//! `hellojohn apply`, `diff` and `import` against a running node, and the worked example of the documentation.

#[path = "declarative/import.rs"]
mod import;
#[path = "declarative/interrupted.rs"]
mod interrupted;
#[path = "declarative/large.rs"]
mod large;
#[path = "declarative/schema.rs"]
mod schema;
#[path = "declarative/whole.rs"]
mod whole;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tests::cluster::Cluster;
use tests::{programs, scratch};

struct Shell {
    folder: PathBuf,
    server: String,
    credential: String,
}

impl Shell {
    fn new(cluster: &Cluster, credential: &str) -> Self {
        let (server, credential) = (cluster.nodes[0].admin_url(), credential.to_owned());
        Self { folder: scratch::folder("declarative"), server, credential }
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().expect("it has a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(programs::hellojohn());
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &self.folder).current_dir(&self.folder);
        command.env("HJ_SERVER", &self.server).env("HJ_CREDENTIAL", &self.credential).env("NO_COLOR", "1");
        command.env("ACME_DSN", "postgres://u:hunter2@db.example/acme");
        command.args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("hellojohn runs")
    }

    #[track_caller]
    fn ends(&self, args: &[&str], code: i32) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8(text).expect("UTF-8")
    }
}

/// The fenced blocks of the page's worked example: each names its file in its first line.
fn example() -> Vec<(String, String)> {
    let page = fs::read_to_string(programs::repository().join("docs/declarative.md")).expect("the page");
    let blocks = page.split("```yaml\n# ").skip(1).filter_map(|rest| rest.split("```").next());
    let example: Vec<_> = blocks
        .filter_map(|block| block.split_once('\n'))
        .map(|(name, text)| (name.trim().to_owned(), text.to_owned()))
        .collect();
    assert!(example.len() >= 2, "the page has an example of several files");
    example
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_example_is_applied_compared_changed_and_pruned() {
    let cluster = Cluster::start(1).await;
    let admin = cluster.admin(0).await;
    let shell = Shell::new(&cluster, &cluster.secrets.owner);
    for (name, text) in example() {
        shell.write(&format!("config/{name}"), &text);
    }
    shell.write("config/secrets/web", "a-secret-that-somebody-else-generated-for-us\n");

    let shown = shell.ends(&["diff", "-f", "config"], 1);
    assert!(shown.contains("+ tenant acme") && shown.contains("not done: dry run"), "{shown}");
    let _ = admin.get("/tenants/acme").await.expect(404);
    let applied = shell.ends(&["apply", "-f", "config", "--set", "acme"], 0);
    assert!(applied.contains("+ client acme/web") && !applied.contains("hunter2"), "{applied}");
    shell.ends(&["diff", "-f", "config", "--set", "acme"], 0);
    let revision = admin.get("/tenants/acme").await.expect(200).json["revision"].clone();

    // Somebody goes by hand; the difference is shown, field by field, and undone.
    let _ = admin.patch("/tenants/acme", &json!({"display_name": "By hand"})).await.expect(200);
    let shown = shell.ends(&["diff", "-f", "config", "--set", "acme"], 1);
    assert!(shown.contains("~ tenant acme") && shown.contains("- display_name: \"By hand\""), "{shown}");
    shell.ends(&["apply", "-f", "config", "--set", "acme"], 0);
    let restored = admin.get("/tenants/acme").await.expect(200);
    assert_eq!(restored.json["display_name"], "Acme");
    assert_ne!(restored.json["revision"], revision);

    let json = shell.ends(&["apply", "-f", "config", "--set", "acme", "-o", "json"], 0);
    let summary = serde_json::from_str::<Value>(&json).expect("JSON")["summary"].clone();
    assert_eq!(summary["create"].as_u64().zip(summary["update"].as_u64()), Some((0, 0)), "{summary}");

    // What is stated no longer is pruned when that is asked, and not before.
    fs::remove_file(shell.folder.join("config/billing.yaml")).expect("removed");
    shell.ends(&["apply", "-f", "config", "--set", "acme"], 0);
    let _ = admin.get("/tenants/acme/clients/billing").await.expect(200);
    let by_hand = json!({"client_id": "by-hand", "name": "By hand", "grant_types": ["client_credentials"]});
    let _ = admin.post("/tenants/acme/clients", &by_hand).await.expect(201);
    let pruned = shell.ends(&["apply", "-f", "config", "--set", "acme", "--prune"], 0);
    assert!(pruned.contains("- client acme/billing"), "{pruned}");
    let _ = admin.get("/tenants/acme/clients/billing").await.expect(404);
    for kept in ["web", "by-hand"] {
        let _ = admin.get(&format!("/tenants/acme/clients/{kept}")).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_wrong_is_told_by_file_and_line_and_nothing_is_done() {
    let cluster = Cluster::start(1).await;
    let admin = cluster.admin(0).await;
    let shell = Shell::new(&cluster, &cluster.secrets.owner);
    let tenant = "kind: Tenant\nslug: acme\ndisplay_name: Acme\n";
    let rows: [(&str, &str, &[&str]); 8] = [
        ("a: &x [1]\nb: *x\n", "", &["bad.yaml:1"]),
        ("kind: Tenant\nslug: acme\nslug: acme\n", "", &["bad.yaml:3", "twice"]),
        ("kind: Realm\n", "", &["bad.yaml:1", "Tenant, Client, Scope"]),
        (
            "kind: Tenant\nslug: acme\ndisplay_name: A\nsettings:\n  database:\n    dsn: postgres://u:hunter2@db/x\n",
            "",
            &["bad.yaml:6", "plain text"],
        ),
        (
            "kind: Tenant\nslug: acme\ndisplay_name: A\nsettings:\n  oauth:\n    identity_providers:\n      - id: corp\n        \
             client_secret: hunter2\n",
            "",
            &["bad.yaml:8", "/settings/oauth/identity_providers/0/client_secret", "plain text"],
        ),
        (
            "kind: Client\ntenant: acme\nclient_id: x\nname: X\nsecret: {from_env: NOT_SET_AT_ALL}\n",
            "",
            &["bad.yaml:5", "NOT_SET_AT_ALL"],
        ),
        ("kind: Tenant\nslug: acme\ndisplay_name: A\nsettings:\n  hsts: []\n", "", &["bad.yaml:5", "/settings/hsts"]),
        (tenant, "kind: Scope\ntenant: nobody\nname: x\n", &["good.yaml:1", "nobody"]),
    ];
    for (bad, good, wanted) in rows {
        shell.write("all/bad.yaml", bad);
        let fine = "kind: Tenant\nslug: fine\ndisplay_name: Fine\n";
        shell.write("all/good.yaml", if good.is_empty() { fine } else { good });
        let output = shell.run(&["apply", "-f", "all"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(2 | 3)), "{output:?}");
        assert!(wanted.iter().all(|text| told.contains(text)) && !told.contains("hunter2"), "{wanted:?} in {told}");
        for slug in ["acme", "fine"] {
            let _ = admin.get(&format!("/tenants/{slug}")).await.expect(404);
        }
    }
    // A tenant's own administrator applies to its tenant and no other.
    shell.write("own.yaml", tenant);
    shell.ends(&["apply", "-f", "own.yaml"], 0);
    let credential = admin.create_admin("acme's own", json!({"tenant-admin": "acme"})).await;
    let own = Shell { credential, folder: shell.folder.clone(), server: shell.server.clone() };
    own.write("scope.yaml", "kind: Scope\ntenant: acme\nname: mine\n");
    own.ends(&["apply", "-f", "scope.yaml", "--set", "own"], 0);
    own.write("other.yaml", "kind: Tenant\nslug: other\ndisplay_name: Other\n");
    own.ends(&["apply", "-f", "other.yaml", "--set", "own"], 5);
    assert!(Path::new(&shell.folder).exists());
}

/// Two who apply at once: neither's change is lost, and each document is applied whole.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_appliers_and_writers_lose_nothing() {
    let cluster = Cluster::start(3).await;
    let admins = [cluster.admin(0).await, cluster.admin(1).await, cluster.admin(2).await];
    let _ = admins[0]
        .post("/apply", &json!({"documents": [{"kind": "Tenant", "slug": "acme", "display_name": "0"}]}))
        .await
        .expect(200);
    let appliers = admins.iter().enumerate().map(|(place, admin)| async move {
        for number in 0..10 {
            let documents = json!([
                {"kind": "Scope", "tenant": "acme", "name": format!("s{place}-{number}")},
                {"kind": "Scope", "tenant": "acme", "name": "shared", "description": format!("{place}-{number}")},
            ]);
            // Everybody changes `shared`: who is overtaken plans again.
            let _ = admin.post("/apply", &json!({ "documents": documents })).await.expect(200);
        }
    });
    futures::future::join_all(appliers).await;
    let scopes = admins[0].get("/tenants/acme/scopes?limit=100&consistency=linearizable").await.expect(200);
    assert_eq!(scopes.json["items"].as_array().map(Vec::len), Some(31), "{scopes:?}");
}

/// A secret that goes elsewhere, sealed: by reference, shown to nobody, and no change when it is the same.
#[tokio::test(flavor = "multi_thread")]
async fn the_secret_at_an_identity_provider_comes_from_a_file() {
    let cluster = Cluster::start(1).await;
    let admin = cluster.admin(0).await;
    let shell = Shell::new(&cluster, &cluster.secrets.owner);
    shell.write(
        "all/tenant.yaml",
        "kind: Tenant\nslug: acme\ndisplay_name: Acme\nsettings:\n  oauth:\n    identity_providers:\n      - id: corp\n        \
         display_name: Corp\n        issuer: https://id.example\n        client_id: us\n        \
         token_endpoint_auth_method: client_secret_basic\n        client_secret: {from_file: corp.secret}\n",
    );
    let member = "settings/oauth/identity_providers/corp/client_secret";
    for (secret, wanted) in [("hunter2", "(secret)"), ("hunter3", "(another secret)")] {
        shell.write("all/corp.secret", &format!("{secret}\n"));
        let told = shell.ends(&["diff", "-f", "all"], 1) + &shell.ends(&["apply", "-f", "all"], 0);
        assert!(told.contains(member) && told.contains(wanted) && !told.contains("hunter"), "{told}");
        let _ = shell.ends(&["diff", "-f", "all"], 0);
    }
    let shown = admin.get("/tenants/acme").await.expect(200).text;
    assert!(shown.contains("client_secret_basic") && !shown.contains("hunter") && !shown.contains("hjs1"), "{shown}");
}
