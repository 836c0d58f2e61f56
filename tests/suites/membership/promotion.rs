//! Who is to vote: not before it has what the others have, and whoever leads in the place of a leader.

use std::fs;

use serde_json::json;
use tests::cluster::Cluster;
use tests::wait::{PATIENCE, until};

use super::{member, member_is, tenant, voters, voters_are};

/// Of entries; a learner that lacks more does not vote.
const CAUGHT_UP: u64 = 64;

#[tokio::test]
async fn a_learner_that_has_not_caught_up_is_refused_a_vote_until_it_has() {
    let mut cluster = Cluster::start_with(1, &["--snapshot-every", "20"]).await;
    let admin = cluster.admin(0).await;
    for number in 0..=CAUGHT_UP {
        let _ = admin.post("/tenants", &tenant(&format!("before-{number}"))).await.expect(201);
    }
    let place = cluster.prepare_node(2, &["--join-only"]);
    cluster.nodes[place].start().await;
    // It comes by snapshot, the log begins later; and the snapshot finds no place to lie.
    let folder = cluster.nodes[place].data_dir().join("snapshots");
    let aside = folder.with_extension("aside");
    fs::rename(&folder, &aside).expect("the folder can be moved");
    fs::write(&folder, "no folder").expect("a file can stand there");
    let body = json!({ "id": 2, "peer_addr": cluster.nodes[place].raft_addr() });
    let _ = admin.post("/cluster/members", &body).await.expect(201);
    member_is(&admin, 2, "heard, and behind", |it| {
        it["answers"] == true && it["lag"].as_u64().is_some_and(|lag| lag > CAUGHT_UP)
    })
    .await;

    let refused = admin.patch("/cluster/members/2", &json!({ "role": "voter" })).await.expect(409);
    assert_eq!(refused.code(), "conflict");
    assert!(refused.text_of("detail").contains("has not caught up: it lacks"), "{refused:#?}");
    assert_eq!(voters(&admin).await, [1]);

    fs::remove_file(&folder).expect("the file can be removed");
    fs::rename(&aside, &folder).expect("the folder can be moved");
    member_is(&admin, 2, "caught up", |it| it["lag"].as_u64().is_some_and(|lag| lag <= CAUGHT_UP)).await;
    let _ = admin.patch("/cluster/members/2", &json!({ "role": "voter" })).await.expect(200);
    voters_are(&admin, &[1, 2]).await;
    cluster.nodes[place].ready().await;
}

/// It leads when its replacement comes, though it did not when that was asked for.
#[tokio::test]
async fn a_leader_that_is_to_be_replaced_hands_over() {
    let mut cluster = Cluster::prepare(3, &[]);
    cluster.be_patient();
    let place = cluster.prepare_node(4, &["--join-only"]);
    cluster.start_at_once(&[0, 1, 2]).await;
    cluster.ready().await;
    let leader = cluster.leader().await;
    let (replaced, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let (old, address) = (cluster.nodes[replaced].id, cluster.nodes[place].raft_addr());
    let admin = cluster.admin(other).await;
    let body = json!({ "id": 4, "peer_addr": address, "role": "voter", "replaces": old });
    let _ = admin.post("/cluster/members", &body).await.expect(201);
    let _ = admin.post("/cluster/transfer-leader", &json!({ "to": old })).await.expect(200);

    cluster.nodes[place].start().await;
    let mut expected = [leader, other, place].map(|place| cluster.nodes[place].id);
    expected.sort_unstable();
    voters_are(&admin, &expected).await;
    until("the replaced one is gone", PATIENCE, async || match member(&admin, old).await {
        None => Ok(()),
        Some(still) => Err(still.to_string()),
    })
    .await;
}
