//! What is taken away and put back: snapshots, a node that recovers alone, data of the first release.

#[path = "backup/audit.rs"]
mod audit;
#[path = "backup/broken_off.rs"]
mod broken_off;
#[path = "backup/golden.rs"]
mod golden;
#[path = "backup/import.rs"]
mod import;
#[path = "backup/recovery.rs"]
mod recovery;
#[path = "backup/snapshot.rs"]
mod snapshot;

use std::path::PathBuf;

use reqwest::Method;
use serde_json::{Value, json};
use tests::admin::Admin;
use tests::scratch;

fn tenant(slug: &str) -> Value {
    json!({ "slug": slug, "display_name": slug })
}

async fn slugs(admin: &Admin) -> Vec<String> {
    let list = admin.get("/tenants?limit=500&consistency=linearizable").await.expect(200).json;
    let items = list["items"].as_array().expect("a list");
    items.iter().filter_map(|tenant| tenant["slug"].as_str()).map(ToOwned::to_owned).collect()
}

async fn cluster_id(admin: &Admin) -> String {
    let status = admin.get("/cluster/status").await.expect(200).json;
    status["cluster_id"].as_str().expect("a cluster id").to_owned()
}

/// Downloads a snapshot of all that was acknowledged.
async fn download(admin: &Admin) -> PathBuf {
    let answer = admin.request(Method::GET, "/cluster/snapshot?consistency=linearizable").send().await;
    let answer = answer.and_then(reqwest::Response::error_for_status).expect("a snapshot");
    let path = scratch::folder("snapshot").join("backup.snap");
    std::fs::write(&path, answer.bytes().await.expect("it comes whole")).expect("the file is writable");
    path
}
