//! Data that the first release wrote is opened by this one.

use std::fs;
use std::path::Path;

use tests::cluster::Cluster;
use tests::programs;
use tests::wait::PATIENCE;

use super::{slugs, tenant};

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

/// A node that finds what `damage` left of that data.
async fn opened(damage: impl FnOnce(&Path)) -> Cluster {
    let mut cluster = Cluster::prepare(1, &[]);
    OWNER.clone_into(&mut cluster.secrets.owner);
    let node = &mut cluster.nodes[0];
    copy(&programs::repository().join("tests/golden/data-v1"), &node.data_dir());
    damage(&node.data_dir());
    for (name, value) in &mut node.launch_mut().env {
        match name.as_str() {
            "SECRETBOX_MASTER_KEY" => MASTER_KEY.clone_into(value),
            "HJ_BOOTSTRAP_ADMIN_CREDENTIAL" => OWNER.clone_into(value),
            _ => {}
        }
    }
    node.start().await;
    cluster.ready().await;
    cluster
}

#[tokio::test]
async fn a_directory_of_the_first_release_is_served_and_written_on() {
    let without_snapshots = |data: &Path| {
        for entry in fs::read_dir(data.join("snapshots")).expect("there is a folder").flatten() {
            // The newest is damaged: the older one and the log after it must say the same.
            if entry.file_name().to_string_lossy().starts_with("00000000000000000035") {
                let mut bytes = fs::read(entry.path()).expect("readable");
                let middle = bytes.len() / 2;
                bytes[middle] ^= 4;
                fs::write(entry.path(), bytes).expect("writable");
            }
        }
    };
    let damages: [&dyn Fn(&Path); 2] = [&|_| {}, &without_snapshots];
    for damage in damages {
        let mut cluster = opened(damage).await;
        // A release that looks for the log in `log.redb` must refuse the directory from now on.
        let identity = fs::read(cluster.nodes[0].data_dir().join("node.json")).expect("readable");
        let identity: serde_json::Value = serde_json::from_slice(&identity).expect("JSON");
        assert_eq!(identity["format"], 2);
        for _ in 0..2 {
            let admin = cluster.admin(0).await;
            let slugs = slugs(&admin).await;
            assert!(slugs.len() >= 20 && !slugs.contains(&"kept-20".to_owned()), "{slugs:?}");
            let acme = admin.get("/tenants/acme").await.expect(200).json;
            assert_eq!(acme["settings"]["issuer_mode"], "host");
            assert_eq!(acme["settings"]["hosts"][0], "acme.example");
            assert_eq!(acme["settings"]["database"]["configured"], true);
            let scopes = admin.get("/tenants/acme/scopes").await.expect(200).json;
            assert_eq!(scopes["items"].as_array().map(Vec::len), Some(4), "{scopes:#}");
            let web = admin.get("/tenants/acme/clients/web").await.expect(200).json;
            assert_eq!(web["secrets"].as_array().map(Vec::len), Some(2), "{web:#}");
            let keys = admin.get("/tenants/acme/keys").await.expect(200).json;
            assert_eq!(keys["items"].as_array().map(Vec::len), Some(2), "{keys:#}");
            let admins = admin.get("/admins").await.expect(200).json;
            assert_eq!(admins["items"].as_array().map(Vec::len), Some(3), "{admins:#}");
            // Written in today's format behind yesterday's, and read again after a restart.
            let slug = format!("new-{}", slugs.len());
            let _ = admin.post("/tenants", &tenant(&slug)).await.expect(201);
            assert_eq!(cluster.nodes[0].stop(PATIENCE).await, Some(0));
            cluster.nodes[0].start().await;
            cluster.ready().await;
            let _ = cluster.admin(0).await.get(&format!("/tenants/{slug}")).await.expect(200);
        }
    }
}
