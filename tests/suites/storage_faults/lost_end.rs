//! A log that ends earlier than its node has acknowledged: the leader names the node, and nobody who has everything.

use std::fs;

use controlplane_daemon::storage::journal::HEAD_BYTES;
use serde_json::json;
use tests::admin::Admin;
use tests::cluster::{Cluster, Node};
use tests::counters::count;
use tests::wait::{PATIENCE, until};

use super::damage::segment;
use super::tenant;

/// Of a block, before its content; the first four bytes are the content's length.
const BLOCK_HEAD_BYTES: usize = 16;

struct Scene {
    cluster: Cluster,
    admin: Admin,
    leader: usize,
    follower: usize,
    written: usize,
}

impl Scene {
    async fn of(cluster: Cluster, leader: usize, follower: usize) -> Self {
        let admin = cluster.admin(leader).await;
        Self { cluster, admin, leader, follower, written: 0 }
    }

    fn follower(&mut self) -> &mut Node {
        &mut self.cluster.nodes[self.follower]
    }

    /// Writes, and returns once the leader knows that the follower has it, too.
    async fn write(&mut self, count: usize) {
        for _ in 0..count {
            let _ = self.admin.post("/tenants", &tenant(&format!("kept-{}", self.written))).await.expect(201);
            self.written += 1;
        }
        let id = self.follower().id;
        until("the follower has acknowledged everything", PATIENCE, async || {
            let members = self.admin.get("/cluster/members").await.expect(200).json;
            let member = members["items"].as_array().and_then(|all| all.iter().find(|item| item["id"] == id)).cloned();
            match member {
                Some(member) if member["answers"] == true && member["lag"] == 0 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// Starts the follower again and waits until it has everything, and what is written behind that, too.
    async fn comes_back(&mut self) {
        self.follower().start().await;
        self.write(1).await;
        let own = self.cluster.admin(self.follower).await;
        let last = format!("/tenants/kept-{}?consistency=linearizable", self.written - 1);
        let _ = own.get(&last).await.expect(200);
        assert_eq!(super::tenants(&own).await, self.written);
    }

    /// What the leader has counted, of the follower and of everybody.
    async fn losses(&self) -> (u64, u64) {
        let ops = self.cluster.nodes[self.leader].ops_url();
        let id = self.cluster.nodes[self.follower].id.to_string();
        let name = "hj_cp_log_losses_total";
        (count(&ops, name, &[("node", &id)]).await, count(&ops, name, &[]).await)
    }

    /// The leader's lines about it, each with what was acknowledged and what is left of it.
    fn told(&self) -> Vec<(u64, Option<u64>)> {
        let log = self.cluster.nodes[self.leader].process().log();
        let field = |line: &str, name: &str| {
            let rest = line.split(&format!("{name}=")).nth(1).unwrap_or_else(|| panic!("{line} has no {name}"));
            rest.trim_start_matches('"').split(|c: char| !c.is_ascii_alphanumeric()).next().map(str::to_owned)
        };
        let number = |line: &str, name: &str| field(line, name).and_then(|text| text.parse().ok());
        let id = self.cluster.nodes[self.follower].id;
        let lines = log.lines().filter(|line| line.contains("has lost the end of its log"));
        lines
            .inspect(|line| assert_eq!(number(line, "node"), Some(id), "{line}"))
            .map(|line| (number(line, "acknowledged").expect("a number"), number(line, "has")))
            .collect()
    }
}

/// Takes the last blocks of a killed node's log away, as if they had never been written.
fn lose_blocks(node: &Node, count: usize) {
    let log = segment(node);
    let mut bytes = fs::read(&log).expect("readable");
    let mut begins = Vec::new();
    let mut at = usize::try_from(HEAD_BYTES).expect("small");
    while let Some(length) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).map(|it| u32::from_be_bytes(*it))
    {
        if length == 0 {
            break;
        }
        begins.push(at);
        at += BLOCK_HEAD_BYTES + length as usize;
    }
    assert!(begins.len() > 2 * count, "{begins:?}");
    bytes[begins[begins.len() - count]..].fill(0);
    fs::write(&log, bytes).expect("writable");
}

fn lose_everything(node: &Node) {
    fs::remove_dir_all(node.data_dir()).expect("the folder can be removed");
}

#[tokio::test]
async fn a_follower_without_what_it_acknowledged_is_named_by_the_leader() {
    let mut cluster = Cluster::prepare(3, &[]);
    // One leader, from the beginning to the end.
    cluster.be_patient();
    cluster.start_all().await;
    cluster.ready().await;
    let leader = cluster.leader().await;
    let mut scene = Scene::of(cluster, leader, (leader + 1) % 3).await;
    scene.write(10).await;
    scene.follower().kill();
    scene.comes_back().await;
    assert_eq!((scene.losses().await, scene.told()), ((0, 0), vec![]), "a crash took nothing");

    scene.write(10).await;
    scene.follower().kill();
    lose_blocks(scene.follower(), 5);
    // The second time it has what it was given anew.
    for _ in 0..2 {
        scene.comes_back().await;
        assert_eq!(scene.losses().await, (1, 1));
        scene.follower().kill();
    }
    let [(acknowledged, Some(has))] = scene.told()[..] else { panic!("{:?}", scene.told()) };
    assert!(has < acknowledged && acknowledged - has <= 10, "{has} of {acknowledged}");

    lose_everything(scene.follower());
    scene.comes_back().await;
    assert_eq!(scene.losses().await, (2, 2));
    assert!(matches!(scene.told()[..], [_, (now, None)] if now > acknowledged), "{:?}", scene.told());
    assert_eq!(scene.cluster.leader().await, leader);
}

/// Emptied in between, a member that was removed is a new one.
#[tokio::test]
async fn a_member_that_was_added_anew_has_lost_nothing() {
    let mut cluster = Cluster::start(1).await;
    let learner = cluster.prepare_node(2, &["--join-only"]);
    let mut scene = Scene::of(cluster, 0, learner).await;
    let body = json!({ "id": 2, "peer_addr": scene.follower().raft_addr() });
    for _ in 0..2 {
        let _ = scene.admin.post("/cluster/members", &body).await.expect(201);
        scene.comes_back().await;
        scene.write(10).await;
        scene.follower().kill();
        let _ = scene.admin.delete("/cluster/members/2").await.expect(204);
        lose_everything(scene.follower());
    }
    assert_eq!((scene.losses().await, scene.told()), ((0, 0), vec![]));
}
