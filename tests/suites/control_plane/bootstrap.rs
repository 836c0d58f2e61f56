//! The first key and the first owner, however rough the start.

use std::collections::BTreeSet;

use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::wait::{PATIENCE, until};

const LINE: &str = "first owner credential: ";

/// Every credential that any node printed in any of its lives.
fn printed(cluster: &Cluster) -> BTreeSet<String> {
    let log = cluster.logs();
    log.lines().filter_map(|line| line.strip_prefix(LINE)).map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn one_owner_and_one_key_though_leaders_die_at_the_start() {
    let mut cluster = Cluster::prepare(3, &[]);
    for node in &mut cluster.nodes {
        node.launch_mut().env.retain(|(name, _)| name != "HJ_BOOTSTRAP_ADMIN_CREDENTIAL");
    }
    cluster.start_all().await;
    // Whoever leads first (the lowest id begins) is killed while it is at it, then the next one.
    for place in [0, 1, 2, 0] {
        until("somebody leads", PATIENCE, async || {
            let log = cluster.logs();
            if log.contains("the cluster has a leader") { Ok(()) } else { Err("nobody".to_owned()) }
        })
        .await;
        cluster.nodes[place].kill();
        cluster.nodes[place].start().await;
    }
    cluster.ready().await;
    let (credential, owner) = until("a printed credential signs in", PATIENCE, async || {
        let seen = printed(&cluster);
        for credential in &seen {
            if let Ok(owner) = Admin::sign_in(&cluster.nodes[0].admin_url(), credential).await {
                return Ok((credential.clone(), owner));
            }
        }
        Err(format!("{} were printed", seen.len()))
    })
    .await;
    assert_eq!(printed(&cluster), BTreeSet::from([credential]), "only what is stored is printed");
    for (path, count) in [("/admins", 1), ("/keys", 1)] {
        let list = owner.get(path).await.expect(200).json;
        assert_eq!(list["items"].as_array().map(Vec::len), Some(count), "{path}: {list:#}");
    }
    for node in &cluster.nodes {
        assert!(!node.data_dir().join("first-owner.json").exists(), "nothing is owed");
    }
}
