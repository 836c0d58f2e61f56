//! Snapshots that are taken away and restored, and snapshots between nodes.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use tests::cluster::Cluster;
use tests::memory::peak_kib;
use tests::pod::{Plan, Pod};
use tests::wait::{PATIENCE, until};

use super::{cluster_id, download, slugs, tenant};

#[tokio::test]
async fn a_snapshot_makes_a_new_cluster_that_pods_take_over_from_the_old() {
    let mut old = Cluster::start(1).await;
    let admin = old.admin(0).await;
    for slug in ["one", "two"] {
        let _ = admin.post("/tenants", &tenant(slug)).await.expect(201);
    }
    let keys = admin.get("/tenants/one/keys").await.expect(200).json;
    let backup = download(&admin).await;
    // Far ahead of the backup by the time it is restored: the pod's revision means nothing to the new cluster.
    for number in 0..5 {
        let _ = admin.post("/tenants", &tenant(&format!("later-{number}"))).await.expect(201);
    }
    let pod =
        Pod::start(&Plan { name: "pod-0", control_plane: &old.watch_urls(), ..Plan::default() }, &old.secrets).await;
    assert_eq!(pod.debug_config().await["tenants"], 7);
    let old_id = cluster_id(&admin).await;
    old.kill_all();

    // Into the directory that is there: refused. With another master key: refused, and told which key is missing.
    let from = ["restore", "--from", backup.to_str().expect("a path")];
    let refused = old.nodes[0].run_subcommand(&from).await;
    assert_eq!(refused.code, Some(78), "{}", refused.output);
    assert!(refused.output.contains("not empty"), "{}", refused.output);
    fs::remove_dir_all(old.nodes[0].data_dir()).expect("the folder can be removed");
    let key = old.secrets.master_key.clone();
    let other = tests::cluster::Secrets::random().master_key;
    set_key(&mut old, &other);
    let refused = old.nodes[0].run_subcommand(&from).await;
    assert_eq!(refused.code, Some(78), "{}", refused.output);
    assert!(refused.output.contains("master keys"), "{}", refused.output);
    assert!(!old.nodes[0].data_dir().exists());
    set_key(&mut old, &key);

    // A damaged file: refused by name, and nothing is written.
    let whole = fs::read(&backup).expect("readable");
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    for bytes in [&damaged[..], &whole[..whole.len() - 9], b"HJSNAP01"] {
        fs::write(&backup, bytes).expect("writable");
        let refused = old.nodes[0].run_subcommand(&from).await;
        assert_eq!(refused.code, Some(65), "{}", refused.output);
        assert!(refused.output.contains("backup.snap is damaged"), "{}", refused.output);
        assert!(!old.nodes[0].data_dir().exists());
    }
    fs::write(&backup, &whole).expect("writable");

    let restored = old.nodes[0].run_subcommand(&from).await;
    assert_eq!(restored.code, Some(0), "{}", restored.output);
    old.nodes[0].start().await;
    old.ready().await;
    let admin = old.admin(0).await;
    assert_eq!(slugs(&admin).await, ["one", "two"]);
    assert_ne!(cluster_id(&admin).await, old_id);
    assert_eq!(admin.get("/tenants/one/keys").await.expect(200).json, keys, "the keys sign on");
    until("the pod serves the new cluster's configuration", PATIENCE, async || {
        let config = pod.debug_config().await;
        if config["tenants"] == 2 { Ok(()) } else { Err(config.to_string()) }
    })
    .await;
    let made = admin.post("/tenants", &tenant("three")).await.expect(201);
    pod.has_revision(made.json["revision"].as_u64().expect("a revision")).await;
}

fn set_key(cluster: &mut Cluster, key: &str) {
    let env = &mut cluster.nodes[0].launch_mut().env;
    env.iter_mut().filter(|(name, _)| name == "SECRETBOX_MASTER_KEY").for_each(|(_, value)| key.clone_into(value));
}

#[tokio::test]
async fn a_node_far_behind_catches_up_by_snapshot_while_writes_go_on() {
    let mut cluster = Cluster::start_with(3, &["--snapshot-every", "10"]).await;
    let leader = cluster.leader().await;
    let behind = (leader + 1) % 3;
    let admin = cluster.admin(leader).await;
    let writes = |from: usize, count: usize| {
        let admin = admin.clone();
        async move {
            for number in from..from + count {
                let _ = admin.post("/tenants", &tenant(&format!("kept-{number}"))).await.expect(201);
            }
        }
    };
    writes(0, 5).await;
    cluster.nodes[behind].kill();
    // Several snapshots later the log that it would need is cut, on every node that it could ask.
    writes(5, 60).await;
    // Two in a row, one while the other's log is being cut.
    let _ = admin.request(Method::POST, "/cluster/snapshot").send().await.expect("an answer");
    writes(65, 1).await;
    let second = tests::web::send(admin.request(Method::POST, "/cluster/snapshot")).await.expect(200);
    assert!(second.json["snapshot_revision"].as_u64() >= Some(66), "{second:?}");
    let going_on = tokio::spawn(writes(66, 40));
    cluster.nodes[behind].start().await;
    going_on.await.expect("every write is accepted");
    cluster.ready().await;
    let there = cluster.admin(behind).await;
    assert_eq!(slugs(&there).await.len(), 106);
    let folder = fs::read_dir(cluster.nodes[behind].data_dir().join("snapshots")).expect("readable").flatten();
    let names: Vec<String> = folder.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(!names.is_empty() && names.len() <= 3, "{names:?}");
    assert!(names.iter().all(|name| !name.contains("incoming")), "{names:?}");
}

/// A client whose addresses are two hundred kilobytes that do not compress.
fn large_client(number: usize) -> Value {
    let uri = |_| format!("https://app.example/{}", URL_SAFE_NO_PAD.encode(rand::random::<[[u8; 32]; 47]>().concat()));
    let uris = || (0..50).map(uri).collect::<Vec<_>>();
    json!({ "name": format!("client {number}"), "redirect_uris": uris(), "post_logout_redirect_uris": uris() })
}

/// The largest snapshot of that node.
fn snapshot_kib(cluster: &Cluster, place: usize) -> u64 {
    let folder = fs::read_dir(cluster.nodes[place].data_dir().join("snapshots")).expect("readable").flatten();
    folder.filter_map(|entry| Some(entry.metadata().ok()?.len() / 1024)).max().unwrap_or_default()
}

/// A snapshot that comes in takes hardly more memory than the same one read from the node's own disk. A node that
/// gathers it first needs all of its size beside.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_forty_mebibytes_is_installed_in_bounded_memory() {
    const CLIENTS: usize = 280;
    // Few, since each is large.
    let mut cluster = Cluster::start_with(3, &["--snapshot-every", "100"]).await;
    let leader = cluster.leader().await;
    let behind = (leader + 1) % 3;
    cluster.nodes[behind].kill();
    let admin = cluster.admin(leader).await;
    let _ = admin.post("/tenants", &tenant("large")).await.expect(201);
    let mut last = String::new();
    for number in 0..CLIENTS {
        last = admin.post("/tenants/large/clients", &large_client(number)).await.expect(201).text_of("client_id");
    }
    // Two in a row: the second cuts the log that the third node would need.
    let _ = tests::web::send(admin.request(Method::POST, "/cluster/snapshot")).await.expect(200);
    let _ = admin.post("/tenants", &tenant("small")).await.expect(201);
    let _ = tests::web::send(admin.request(Method::POST, "/cluster/snapshot")).await.expect(200);
    let size = snapshot_kib(&cluster, leader);
    assert!(size > 38 << 10, "{size} KiB");

    cluster.nodes[behind].start().await;
    cluster.ready().await;
    let coming_in = peak_kib(cluster.nodes[behind].process_id());
    assert!(snapshot_kib(&cluster, behind) > 38 << 10, "it came as a snapshot");
    let _ = cluster.admin(behind).await.get(&format!("/tenants/large/clients/{last}")).await.expect(200);

    cluster.nodes[behind].kill();
    cluster.nodes[behind].start().await;
    cluster.ready().await;
    let from_disk = peak_kib(cluster.nodes[behind].process_id());
    assert!(
        coming_in < from_disk + size / 2,
        "{coming_in} KiB, {from_disk} from the disk, with {size} KiB of snapshot"
    );
}
