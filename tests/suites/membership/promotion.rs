//! A learner that answers and lacks too much of the log.

use std::fs;

use serde_json::json;
use tests::cluster::Cluster;

use super::{member_is, tenant, voters, voters_are};

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
