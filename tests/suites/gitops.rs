//! Configuration from files that the leader follows, and as files that every node keeps: real processes, real folders.

#[path = "gitops/leadership.rs"]
mod leadership;
#[path = "gitops/limits.rs"]
mod limits;
#[path = "gitops/projection.rs"]
mod projection;
#[path = "gitops/references.rs"]
mod references;
#[path = "gitops/writing.rs"]
mod writing;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::counters::count;
use tests::scratch;
use tests::wait::{PATIENCE, until};

/// Who has not looked for so long has nothing to look for.
const RESTS: Duration = Duration::from_secs(1);
const TENANT: &str = "kind: Tenant\nslug: acme\ndisplay_name: Acme\n";

fn scope(name: &str, description: &str) -> String {
    format!("kind: Scope\ntenant: acme\nname: {name}\ndescription: {description}\n")
}

/// As an editor does: a file beside it, renamed.
fn write(path: &Path, text: &str) {
    let beside = path.with_extension("tmp");
    fs::write(&beside, text).expect("a file is written");
    fs::rename(&beside, path).expect("and renamed");
}

async fn shows(admin: &Admin, path: &str, pointer: &str, value: &str) {
    let what = format!("{path} shows {value:?} at {pointer}");
    until(&what, PATIENCE, async || {
        let answer = admin.try_get(path).await.map_err(|error| error.to_string())?;
        if answer.json.pointer(pointer).and_then(Value::as_str) == Some(value) {
            Ok(())
        } else {
            Err(format!("{answer:?}"))
        }
    })
    .await;
}

async fn is_gone(admin: &Admin, path: &str) {
    until(&format!("{path} is gone"), PATIENCE, async || {
        let answer = admin.try_get(path).await.map_err(|error| error.to_string())?;
        if answer.status == 404 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
}

/// The leader's gitops status, once `right` is content with it.
async fn status(admin: &Admin, what: &str, right: impl Fn(&Value) -> bool) -> Value {
    until(what, PATIENCE, async || {
        let answer = admin.try_get("/cluster/status").await.map_err(|error| error.to_string())?;
        let status = answer.json["gitops"].clone();
        if right(&status) { Ok(status) } else { Err(status.to_string()) }
    })
    .await
}

/// Until nothing is left that makes its only node look.
async fn rests(cluster: &Cluster) {
    let ops = cluster.nodes[0].ops_url();
    until("it rests", PATIENCE, async || {
        let looks = count(&ops, "hj_cp_gitops_runs_total", &[]).await;
        tokio::time::sleep(RESTS).await;
        let more = count(&ops, "hj_cp_gitops_runs_total", &[]).await - looks;
        if more == 0 { Ok(()) } else { Err(format!("{more} looks")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_follows_the_files_and_puts_back_what_somebody_changed() {
    let dir = scratch::folder("gitops");
    write(&dir.join("tenant.yaml"), TENANT);
    write(&dir.join("orders.yaml"), &scope("orders", "first"));
    let mut cluster = Cluster::start_with(3, &["--gitops-dir", dir.to_str().expect("UTF-8")]).await;
    let leader = cluster.leader().await;
    let admin = cluster.admin(leader).await;
    shows(&admin, "/tenants/acme/scopes/orders", "/description", "first").await;

    write(&dir.join("orders.yaml"), &scope("orders", "second"));
    shows(&admin, "/tenants/acme/scopes/orders", "/description", "second").await;

    // One broken file: the others go on, and nothing is pruned.
    write(&dir.join("broken.yaml"), "kind: Scope\ntenant: acme\nname: [\n");
    status(&admin, "the broken file is reported", |status| status["result"] == "partial").await;
    fs::remove_file(dir.join("orders.yaml")).expect("removed");
    write(&dir.join("invoices.yaml"), &scope("invoices", "new"));
    shows(&admin, "/tenants/acme/scopes/invoices", "/description", "new").await;
    let _ = admin.get("/tenants/acme/scopes/orders").await.expect(200);
    let seen = status(&admin, "file and line are told", |status| status.to_string().contains("broken.yaml:")).await;
    let files = seen["files"].as_array().expect("a list");
    assert_eq!(files.iter().filter(|file| file["errors"] == serde_json::json!([])).count(), 2, "{seen}");
    let ops = cluster.nodes[leader].ops_url();
    assert_eq!(count(&ops, "hj_cp_gitops_files", &[("state", "broken")]).await, 1);
    let in_error = async |labels: &[(&str, &str)]| count(&ops, "hj_cp_gitops_file_errors", labels).await;
    assert_eq!((in_error(&[("path", "broken.yaml")]).await, in_error(&[]).await), (1, 1));
    fs::remove_file(dir.join("broken.yaml")).expect("removed");
    is_gone(&admin, "/tenants/acme/scopes/orders").await;

    // By hand: put back, and said.
    status(&admin, "all is well", |status| status["result"] == "ok").await;
    assert_eq!(in_error(&[]).await, 0);
    let by_hand = serde_json::json!({"description": "by hand"});
    let _ = admin.put("/tenants/acme/scopes/invoices", &by_hand).await.expect(200);
    shows(&admin, "/tenants/acme/scopes/invoices", "/description", "new").await;
    let drifted = status(&admin, "the drift is reported", |status| status["drift"].is_object()).await;
    assert_eq!(drifted["drift"]["put_back"], serde_json::json!(["update scope invoices of tenant acme"]));
    let resource = serde_json::json!({
        "action": "update", "resource": "scope invoices of tenant acme", "file": "invoices.yaml",
    });
    assert_eq!(drifted["drift"]["resources"], serde_json::json!([resource]));
    assert!(count(&ops, "hj_cp_gitops_drift_total", &[]).await >= 1);

    // The next leader goes on.
    cluster.nodes[leader].kill();
    write(&dir.join("invoices.yaml"), &scope("invoices", "after the change"));
    let next = cluster.leader().await;
    let admin = cluster.admin(next).await;
    shows(&admin, "/tenants/acme/scopes/invoices", "/description", "after the change").await;
    status(&admin, "the new leader does it", |status| status["active"] == true).await;
    let metrics = tests::web::try_send(tests::web::client().get(format!("{}/metrics", cluster.nodes[next].ops_url())))
        .await
        .expect("metrics");
    assert!(metrics.text.contains("hj_cp_gitops_runs_total{result=\"ok\"}"), "{}", metrics.text);
}

/// Kubernetes: files are links through `..data`, which is swapped. git-sync: the folder itself is a link.
#[tokio::test(flavor = "multi_thread")]
async fn swapped_links_are_followed_and_an_empty_volume_prunes_nothing() {
    let root = scratch::folder("links");
    let version = |name: &str, text: &str| {
        let folder = root.join(name);
        fs::create_dir_all(&folder).expect("made");
        fs::write(folder.join("all.yaml"), format!("{TENANT}---\n{}", scope("orders", text))).expect("written");
    };
    let swap = |target: &str, link: PathBuf| {
        let beside = link.with_file_name(format!(".{target}.new"));
        std::os::unix::fs::symlink(target, &beside).unwrap_or_else(|error| panic!("{}: {error}", beside.display()));
        fs::rename(beside, link).expect("swapped");
    };
    version("v1", "one");
    version("v2", "two");
    fs::create_dir_all(root.join("empty")).expect("made");
    swap("v1", root.join("current"));
    let dir = root.join("current").display().to_string();
    let cluster = Cluster::start_with(1, &["--gitops-dir", &dir, "--gitops-resync-secs", "86400"]).await;
    let admin = cluster.admin(0).await;
    shows(&admin, "/tenants/acme/scopes/orders", "/description", "one").await;
    swap("v2", root.join("current"));
    shows(&admin, "/tenants/acme/scopes/orders", "/description", "two").await;
    swap("empty", root.join("current"));
    status(&admin, "the empty folder is reported", |status| status["result"] == "failed").await;
    let _ = admin.get("/tenants/acme/scopes/orders").await.expect(200);

    version("..2026_1", "three");
    swap("..2026_1", root.join("..data"));
    let volume = root.join("volume");
    fs::create_dir_all(&volume).expect("made");
    fs::rename(root.join("..2026_1"), volume.join("..2026_1")).expect("moved");
    fs::rename(root.join("..data"), volume.join("..data")).expect("moved");
    std::os::unix::fs::symlink("..data/all.yaml", volume.join("all.yaml")).expect("linked");
    swap("volume", root.join("current"));
    shows(&admin, "/tenants/acme/scopes/orders", "/description", "three").await;
    // By a notice from the folder to which the link leads now: nothing else makes it look any more.
    rests(&cluster).await;
    version("volume/..2026_2", "four");
    swap("..2026_2", volume.join("..data"));
    shows(&admin, "/tenants/acme/scopes/orders", "/description", "four").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_keeps_the_configuration_as_files_without_secrets() {
    let root = scratch::folder("projection");
    let mut cluster = Cluster::prepare(1, &[]);
    let dir = root.join("tree");
    cluster.nodes[0].launch_mut().args.extend(["--fs-projection".to_owned(), dir.display().to_string()]);
    cluster.start_all().await;
    cluster.ready().await;
    let admin = cluster.admin(0).await;
    let database = serde_json::json!({"database": {"dsn": "postgres://u:hunter2@db/acme"}});
    let made = admin.create_tenant("acme", database).await;
    let client = serde_json::json!({"client_id": "web", "name": "Web", "redirect_uris": ["https://acme.example/cb"]});
    let secret = admin.post("/tenants/acme/clients", &client).await.expect(201).text_of("client_secret");
    let _ = admin.post("/tenants/acme/scopes", &serde_json::json!({"name": "orders"})).await.expect(201);

    let read = |path: &str| -> Result<Value, String> {
        let text = fs::read_to_string(dir.join(path)).map_err(|error| format!("{path}: {error}"))?;
        serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))
    };
    until("the files are there", PATIENCE, async || read("tenants/acme/scopes.json").map(drop)).await;
    let tenant = read("tenants/acme/tenant.json").expect("the tenant");
    assert_eq!(tenant["tenant"]["revision"], made.json["revision"]);
    assert!(tenant["revision"].as_u64() >= made.json["revision"].as_u64());
    assert_eq!(read("tenants/acme/clients.json").expect("the clients")["clients"][0]["client_id"], "web");
    let kid = admin.get("/tenants/acme/keys").await.expect(200).json["items"][0]["kid"].as_str().map(ToOwned::to_owned);
    let key = format!("keys/acme/{}.json", kid.expect("a key"));
    until("the keys are there", PATIENCE, async || read(&key).map(drop)).await;
    assert_eq!(read(&key).expect("the key")["key"]["status"], "active");
    assert_eq!(fs::read_dir(dir.join("keys/global")).expect("the global keys").count(), 1);
    for file in ["tenants/acme/tenant.json", "tenants/acme/clients.json"] {
        let text = fs::read_to_string(dir.join(file)).expect("readable");
        assert!(!text.contains("hunter2") && !text.contains(&secret) && !text.contains("hjs1."), "{text}");
    }

    // Whoever reads one while it is written has all of what was there before.
    let mut before = fs::File::open(dir.join("tenants/acme/tenant.json")).expect("readable");
    let _ = admin.patch("/tenants/acme", &serde_json::json!({"display_name": "Renamed"})).await.expect(200);
    until("the file has the new name", PATIENCE, async || {
        let tenant = read("tenants/acme/tenant.json")?;
        if tenant["tenant"]["display_name"] == "Renamed" { Ok(()) } else { Err(tenant.to_string()) }
    })
    .await;
    assert_eq!(serde_json::from_reader::<_, Value>(&mut before).expect("it is whole"), tenant);

    let _ = admin.delete("/tenants/acme/scopes/orders").await.expect(204);
    let gone = |path: &'static str| {
        let path = dir.join(path);
        async move {
            until(
                "it is removed",
                PATIENCE,
                async || if path.exists() { Err(path.display().to_string()) } else { Ok(()) },
            )
            .await;
        }
    };
    gone("tenants/acme/scopes.json").await;

    // While the node is down the tree goes wrong; it is put right at the start.
    cluster.nodes[0].kill();
    fs::write(dir.join("tenants/acme/tenant.json"), "{}").expect("spoilt");
    fs::create_dir_all(dir.join("tenants/ghost")).expect("made");
    fs::write(dir.join("tenants/ghost/tenant.json"), "{}").expect("invented");
    cluster.nodes[0].start().await;
    cluster.ready().await;
    gone("tenants/ghost").await;
    until("the spoilt file is whole", PATIENCE, async || {
        let tenant = read("tenants/acme/tenant.json")?;
        if tenant["tenant"]["slug"] == "acme" { Ok(()) } else { Err(tenant.to_string()) }
    })
    .await;

    // A folder that cannot be written costs nobody anything, and is made good later.
    let admin = cluster.admin(0).await;
    fs::rename(&dir, root.join("away")).expect("moved");
    fs::write(&dir, "in the way").expect("written");
    for number in 0..20 {
        let _ = admin.create_tenant(&format!("t{number}"), serde_json::json!({})).await;
    }
    fs::remove_file(&dir).expect("out of the way");
    fs::rename(root.join("away"), &dir).expect("moved back");
    until("the last tenant is there", PATIENCE, async || read("tenants/t19/tenant.json").map(drop)).await;
    let _ = admin.delete("/tenants/acme").await.expect(204);
    gone("tenants/acme").await;
    gone("keys/acme").await;
}
