//! Data that older releases wrote is opened by this one.
//!
//! `tests/golden/data-v1` is the first release's: the log in `log.redb`. `data-v2` is today's layout. When the layout
//! changes, keep what is there, give the next number to `NEWEST` and write it with the release that has the new layout:
//! `cargo test --workspace --test backup golden::written -- --ignored`.

use std::fs;
use std::path::Path;

use serde_json::json;
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::programs;
use tests::wait::PATIENCE;

use super::{slugs, tenant};

/// What a directory of this release's own is called.
const NEWEST: &str = "data-v2";
/// Of nothing but this data.
const MASTER_KEY: &str = "Z29sZGVuIGRhdGEgZGlyZWN0b3J5LCAzMiBieXRlcyE=";
const OWNER: &str = "hja_00000000000000000000000000000001_goldengoldengoldengoldengoldengold";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder can be made");
    for entry in fs::read_dir(from).expect("the folder is there").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("the file can be copied");
        }
    }
}

/// A node that has the keys to that data.
fn node() -> Cluster {
    let mut cluster = Cluster::prepare(1, &["--snapshot-every", "12"]);
    OWNER.clone_into(&mut cluster.secrets.owner);
    for (name, value) in &mut cluster.nodes[0].launch_mut().env {
        match name.as_str() {
            "SECRETBOX_MASTER_KEY" => MASTER_KEY.clone_into(value),
            "HJ_BOOTSTRAP_ADMIN_CREDENTIAL" => OWNER.clone_into(value),
            _ => {}
        }
    }
    cluster
}

/// A node that finds what `damage` left of that data.
async fn opened(name: &str, damage: &dyn Fn(&Path)) -> Cluster {
    let mut cluster = node();
    let data = cluster.nodes[0].data_dir();
    copy(&programs::repository().join("tests/golden").join(name), &data);
    damage(&data);
    cluster.nodes[0].start().await;
    cluster.ready().await;
    cluster
}

fn newest_snapshot(data: &Path) -> std::path::PathBuf {
    let listing = fs::read_dir(data.join("snapshots")).expect("there is a folder").flatten();
    let snapshots = listing.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "snap"));
    snapshots.max().expect("there are snapshots")
}

/// The older one and the log after it must say the same.
fn damage_the_newest_snapshot(data: &Path) {
    let newest = newest_snapshot(data);
    let mut bytes = fs::read(&newest).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(newest, bytes).expect("writable");
}

#[tokio::test]
async fn directories_of_older_releases_are_served_and_written_on() {
    for name in ["data-v1", NEWEST] {
        let damages: [&dyn Fn(&Path); 2] = [&|_| {}, &damage_the_newest_snapshot];
        for damage in damages {
            let mut cluster = opened(name, damage).await;
            // A release that looks for the log in `log.redb` must refuse the directory from now on.
            let identity = fs::read(cluster.nodes[0].data_dir().join("node.json")).expect("readable");
            let identity: serde_json::Value = serde_json::from_slice(&identity).expect("JSON");
            assert_eq!(identity["format"], 2);
            for _ in 0..2 {
                let admin = cluster.admin(0).await;
                let slug = is_all_there(&admin).await;
                // Written in today's format behind yesterday's, and read again after a restart.
                let _ = admin.post("/tenants", &tenant(&slug)).await.expect(201);
                assert_eq!(cluster.nodes[0].stop(PATIENCE).await, Some(0));
                cluster.nodes[0].start().await;
                cluster.ready().await;
                let _ = cluster.admin(0).await.get(&format!("/tenants/{slug}")).await.expect(200);
            }
            let admin = cluster.admin(0).await;
            let verified = admin.get("/audit/verify").await.expect(200).json;
            assert_eq!(verified["valid"], true, "{name}: {verified:#}");
            if name == NEWEST {
                // What was on record then still is; the first release kept no records.
                let first = admin.get("/audit/logs?action=tenant.create&limit=500").await.expect(200).json;
                assert!(first["items"].to_string().contains("tenants/kept-1\""), "{first:#}");
            }
        }
    }
}

/// The name of a tenant that is not there yet.
async fn is_all_there(admin: &Admin) -> String {
    let slugs = slugs(admin).await;
    assert!(slugs.len() >= 20 && !slugs.contains(&"kept-20".to_owned()), "{slugs:?}");
    let acme = admin.get("/tenants/acme").await.expect(200).json;
    assert_eq!(acme["settings"]["issuer_mode"], "host");
    assert_eq!(acme["settings"]["hosts"][0], "acme.example");
    assert_eq!(acme["settings"]["database"]["configured"], true);
    for (path, count) in [("/tenants/acme/scopes", 4), ("/tenants/acme/keys", 2), ("/admins", 3)] {
        let list = admin.get(path).await.expect(200).json;
        assert_eq!(list["items"].as_array().map(Vec::len), Some(count), "{list:#}");
    }
    let web = admin.get("/tenants/acme/clients/web").await.expect(200).json;
    assert_eq!(web["secrets"].as_array().map(Vec::len), Some(2), "{web:#}");
    format!("new-{}", slugs.len())
}

#[tokio::test]
#[ignore = "writes tests/golden anew: only when the layout of the data directory has changed"]
async fn written() {
    let mut cluster = node();
    cluster.nodes[0].start().await;
    cluster.ready().await;
    let admin = cluster.admin(0).await;
    let settings = json!({
        "issuer_mode": "host",
        "hosts": ["acme.example"],
        "database": { "dsn": "postgres://acme@127.0.0.1:1/acme" },
    });
    let acme = json!({ "slug": "acme", "display_name": "Acme", "settings": settings });
    let _ = admin.post("/tenants", &acme).await.expect(201);
    // The standard ones are there from the beginning.
    let before = admin.get("/tenants/acme/scopes").await.expect(200).json["items"].as_array().map_or(0, Vec::len);
    for number in before..4 {
        let _ = admin.post("/tenants/acme/scopes", &json!({ "name": format!("s{number}") })).await.expect(201);
    }
    let web = json!({ "client_id": "web", "name": "Web", "grant_types": ["client_credentials"] });
    let _ = admin.post("/tenants/acme/clients", &web).await.expect(201);
    let _ = admin.post("/tenants/acme/clients/web/secrets", &json!({})).await.expect(201);
    let _ = admin.post("/tenants/acme/keys/rotate", &json!({})).await.expect(200);
    for role in [json!("operator"), json!("auditor")] {
        let _ = admin.post("/admins", &json!({ "name": "hired", "role": role })).await.expect(201);
    }
    for number in 1..=20 {
        let _ = admin.post("/tenants", &tenant(&format!("kept-{number}"))).await.expect(201);
    }
    let _ = admin.delete("/tenants/kept-20").await.expect(204);
    is_all_there(&admin).await;
    assert_eq!(cluster.nodes[0].stop(PATIENCE).await, Some(0));

    let data = cluster.nodes[0].data_dir();
    let target = programs::repository().join("tests/golden").join(NEWEST);
    let _ = fs::remove_dir_all(&target);
    copy(&data, &target);
    // Of a segment's reserved room no more than is written on.
    for entry in fs::read_dir(target.join("journal")).expect("there is a folder").flatten() {
        let bytes = fs::read(entry.path()).expect("readable");
        match bytes.iter().rposition(|byte| *byte != 0) {
            Some(last) => fs::write(entry.path(), &bytes[..(last + 1).next_multiple_of(4096).min(bytes.len())]),
            None => fs::remove_file(entry.path()),
        }
        .expect("writable");
    }
}
