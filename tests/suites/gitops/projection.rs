//! The files that every node keeps: of one that follows, and of one that was away until only a snapshot could fill it.

use std::collections::BTreeMap;
use std::io;

use serde_json::json;

use super::*;

/// What the files say, by their paths. At which revision each was written is left out: a node that has more to write
/// writes several changes at once.
fn tree(root: &Path) -> Result<BTreeMap<PathBuf, Value>, String> {
    let children = |dir: &Path| -> io::Result<Vec<PathBuf>> {
        fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect()
    };
    let mut tree = BTreeMap::new();
    for folder in [root.join("tenants"), root.join("keys")] {
        // Files come and go while they are looked at.
        for owner in children(&folder).map_err(|error| format!("{}: {error}", folder.display()))? {
            for file in children(&owner).map_err(|error| format!("{}: {error}", owner.display()))? {
                let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
                let mut said: Value = serde_json::from_str(&text).map_err(|error| format!("{text}: {error}"))?;
                said.as_object_mut().and_then(|said| said.remove("revision")).ok_or("no revision")?;
                tree.insert(file.strip_prefix(root).expect("it is below").to_owned(), said);
            }
        }
    }
    Ok(tree)
}

/// All of them say the same, and have this file.
async fn agree(dirs: &[PathBuf], file: &str) -> BTreeMap<PathBuf, Value> {
    until(&format!("all trees are the same, with {file}"), PATIENCE, async || {
        let first = tree(&dirs[0])?;
        if !first.contains_key(Path::new(file)) {
            return Err(format!("no {file} in {}", dirs[0].display()));
        }
        for dir in &dirs[1..] {
            let other = tree(dir)?;
            let differs = |path: &&PathBuf| first.get(*path) != other.get(*path);
            let all: Vec<_> = first.keys().chain(other.keys()).filter(differs).collect();
            if !all.is_empty() {
                return Err(format!("{} differs in {all:?}", dir.display()));
            }
        }
        Ok(first)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_keep_the_same_files_and_one_that_a_snapshot_filled_does_too() {
    let mut cluster = Cluster::prepare(3, &["--snapshot-every", "10"]);
    let mut dirs = Vec::new();
    for node in &mut cluster.nodes {
        let dir = scratch::folder("tree");
        node.launch_mut().args.extend(["--fs-projection".to_owned(), dir.display().to_string()]);
        dirs.push(dir);
    }
    cluster.start_all().await;
    cluster.ready().await;
    let leader = cluster.leader().await;
    let admin = cluster.admin(leader).await;
    for slug in ["gone", "acme"] {
        let _ = admin.create_tenant(slug, json!({})).await;
        let client = json!({"client_id": "web", "name": "Web", "redirect_uris": ["https://acme.example/cb"]});
        let _ = admin.post(&format!("/tenants/{slug}/clients"), &client).await.expect(201);
        let _ = admin.post(&format!("/tenants/{slug}/scopes"), &json!({"name": "orders"})).await.expect(201);
    }
    let before = agree(&dirs, "tenants/acme/scopes.json").await;
    let has = |tree: &BTreeMap<PathBuf, Value>, path: &str| tree.contains_key(Path::new(path));
    assert!(has(&before, "tenants/gone/clients.json"), "{before:#?}");

    let behind = (leader + 1) % 3;
    cluster.nodes[behind].kill();
    let _ = admin.delete("/tenants/gone").await.expect(204);
    let _ = admin.delete("/tenants/acme/scopes/orders").await.expect(204);
    let _ = admin.patch("/tenants/acme/clients/web", &json!({"name": "Renamed"})).await.expect(200);
    let _ = admin.post("/tenants/acme/keys/rotate", &json!({"step": "now"})).await.expect(200);
    for number in 0..60 {
        let _ = admin.create_tenant(&format!("t{number}"), json!({})).await;
    }
    // With this one at the latest, the log that it would need is cut.
    let _ = admin.post("/cluster/snapshot", &json!({})).await.expect(200);
    cluster.nodes[behind].start().await;
    cluster.ready().await;
    let after = agree(&dirs, "tenants/t59/tenant.json").await;
    assert!(!has(&after, "tenants/gone/tenant.json") && !has(&after, "tenants/acme/scopes.json"), "{after:#?}");
    assert_eq!(after[Path::new("tenants/acme/clients.json")]["clients"][0]["name"], "Renamed");
    let keys = |tree: &BTreeMap<PathBuf, Value>| tree.keys().filter(|path| path.starts_with("keys/acme")).count();
    assert!(keys(&after) > keys(&before), "{after:#?}");
}
