//! `hellojohn import DIR` of a folder that one request can hold, or that is too much only by what is changed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tests::admin::Admin;
use tests::cluster::Cluster;

use super::Shell;

/// With two scopes each, more than the 10,000 changes of one entry of the log, and far less than the 8 MiB of a request.
const TENANTS: usize = 3_400;
/// More than go in a piece.
const CLIENTS: usize = 2_500;

fn write(root: &Path, clients: usize) {
    for number in 0..TENANTS {
        let slug = format!("tenant-{number:05}");
        let folder = root.join("tenants").join(&slug);
        fs::create_dir_all(&folder).expect("made");
        let client =
            json!({"clientId": "app", "name": "C", "type": "public", "redirectUris": ["https://app.example/"]});
        let clients = if number < clients { vec![client] } else { Vec::new() };
        for (name, content) in [
            ("tenant", json!({"name": slug, "slug": slug})),
            ("scopes", json!([{"name": "orders"}, {"name": "bills"}])),
            ("clients", clients.into()),
        ] {
            fs::write(folder.join(name).with_extension("json"), content.to_string()).expect("written");
        }
    }
}

/// How many of the kind there are, and how many revisions made them.
async fn made(admin: &Admin, kind: &str) -> (usize, usize) {
    let export = admin.get("/export").await.expect(200).text;
    let records = export.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let revisions: Vec<u64> = records
        .filter(|record| record["kind"] == kind)
        .map(|record| record["value"]["revision"].as_u64().expect("a number"))
        .collect();
    (revisions.len(), BTreeSet::from_iter(&revisions).len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_goes_as_one_unless_that_is_too_much() {
    let cluster = Cluster::start(1).await;
    let admin = cluster.admin(0).await;
    let shell = Shell::new(&cluster, &cluster.secrets.owner);
    let root = shell.folder.join("v1");

    write(&root, 0);
    let said = shell.ends(&["import", "v1"], 0);
    assert!(said.contains(&format!("\n{} created, 0 updated, 0 deleted, 0 unchanged\n", TENANTS * 3)), "{said:.1000}");
    let (tenants, revisions) = made(&admin, "tenant").await;
    assert!(tenants == TENANTS && revisions > 1, "{tenants} by {revisions}");

    // Of more documents than one entry has room for, few enough differ.
    write(&root, CLIENTS);
    let said = shell.ends(&["import", "v1"], 0);
    let summary = format!("\n{CLIENTS} created, 0 updated, 0 deleted, {} unchanged\n", TENANTS * 3);
    assert!(said.contains(&summary), "{said:.1000}");
    assert_eq!(made(&admin, "client").await, (CLIENTS, 1));
}
