//! What becomes of the nodes themselves is on record, too: who leads, who votes, and at whose wish.

use serde_json::{Value, json};
use tests::cluster::Cluster;
use tests::gate::Gate;
use tests::wait::{PATIENCE, until};

use super::{FLAGS, TOKEN, admins, alike, export, verified};

/// The records of that action, the oldest first.
fn of<'a>(records: &'a [Value], action: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["action"] == action).collect()
}

/// Whether that node went from one role to the other, and where it stands.
fn transition(records: &[Value], node: u64, to: &str) -> Option<u64> {
    let found = of(records, "node.role_transition")
        .into_iter()
        .rfind(|it| it["note"]["node"] == node && it["note"]["to"] == to);
    found.and_then(|record| record["seq"].as_u64())
}

#[tokio::test]
async fn who_leads_and_who_is_a_member_is_on_record_with_whose_wish_it_was() {
    let mut cluster = Cluster::start_with(3, FLAGS).await;
    let first = cluster.leader().await;
    let all = admins(&cluster).await;
    let id = |place: usize| cluster.nodes[place].id;
    let (old, new, third) = (id(first), id((first + 1) % 3), id((first + 2) % 3));

    // At an administrator's wish: who asked, what for, and that it came about on both sides.
    let asked = all[first].post("/cluster/transfer-leader", &json!({ "to": new })).await;
    assert!(asked.status < 300, "{asked:?}");
    let nowhere = "127.0.0.1:9";
    let added = json!({"id": 8, "peer_addr": nowhere, "role": "learner"});
    let _ = all[first].post("/cluster/members", &added).await.expect(201);
    let _ = all[first].delete("/cluster/members/8").await.expect(204);
    let demoted = all[first].patch(&format!("/cluster/members/{third}"), &json!({"role": "learner"})).await.expect(200);
    assert_eq!(demoted.text_of("role"), "learner");
    // A node that is a voter again before it has looked was none for nobody.
    until("it has found out", PATIENCE, async || {
        let records = alike(&all, "node.role_transition").await;
        transition(&records, third, "learner").map(drop).ok_or_else(|| format!("{records:#?}"))
    })
    .await;
    let _ = all[first].patch(&format!("/cluster/members/{third}"), &json!({"role": "voter"})).await.expect(200);
    let (records, changes) = {
        let found = std::sync::Mutex::new(Vec::new());
        until("all of it is on record everywhere", PATIENCE, async || {
            let mut texts = Vec::new();
            for admin in &all {
                texts.push(export(admin, TOKEN).await?);
            }
            let records: Vec<Value> =
                texts[0].lines().map(|line| serde_json::from_str(line).expect("a record is JSON")).collect();
            let is_same = texts.iter().all(|text| *text == texts[0]);
            let roles = [(old, "follower"), (new, "leader"), (third, "learner"), (third, "follower")];
            let missing: Vec<_> = roles.iter().filter(|(node, to)| transition(&records, *node, to).is_none()).collect();
            let changes = of(&records, "cluster.membership_changed").len();
            if is_same && missing.is_empty() && changes >= 5 {
                *found.lock().expect("no panic") = records;
                return Ok(());
            }
            Err(format!("alike: {is_same}, {changes} changes, missing: {missing:?}"))
        })
        .await;
        let records = found.into_inner().expect("no panic");
        let changes: Vec<Value> = of(&records, "cluster.membership_changed").into_iter().cloned().collect();
        (records, changes)
    };
    let told: Vec<(Value, Value)> =
        changes.iter().map(|it| (it["note"]["action"].clone(), it["note"]["node"].clone())).collect();
    let expected = [("transfer_leader", new), ("add", 8), ("remove", 8), ("demote", third), ("promote", third)];
    for (action, node) in expected {
        assert!(told.contains(&(action.into(), node.into())), "{action} {node}: {told:?}");
    }
    for change in &changes {
        assert_eq!(change["note"]["actor"]["kind"], "admin", "{change:#}");
        assert_eq!(change["note"]["origin"]["address"], "127.0.0.1", "{change:#}");
    }
    let note = of(&records, "node.role_transition")[0];
    assert!(note["note"]["term"].as_u64() > Some(0) && note["node"].is_u64() && note["noted_at"].is_string());
    for action in ["node.put", "node.remove"] {
        let record = of(&records, action).into_iter().rfind(|it| it["resource"] == "cluster/members/8").expect(action);
        assert_eq!(record["actor"]["kind"], "admin", "{record:#}");
    }

    // By itself: the leader dies, and when it is back it is on record what became of whom.
    let leader = cluster.leader().await;
    let dead = cluster.nodes[leader].id;
    let before = transition(&records, dead, "leader").expect("it became leader");
    cluster.nodes[leader].kill();
    let successor = cluster.leader().await;
    let next = cluster.nodes[successor].id;
    cluster.nodes[leader].start().await;
    cluster.nodes[leader].ready().await;
    let all = admins(&cluster).await;
    until("the change of leader is on record", PATIENCE, async || {
        let records = alike(&all, "node.role_transition").await;
        match transition(&records, next, "leader") {
            Some(seq) if seq > before => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    for admin in &all {
        assert_eq!(verified(admin).await["valid"], true);
    }
}

/// It makes a cluster with a node of which it hears once that it is free, and then nothing, so no vote: until then it is
/// a candidate, and has nobody to tell.
#[tokio::test]
async fn who_stood_for_election_is_on_record_once_there_is_a_leader() {
    let mut cluster = Cluster::prepare(0, &[]);
    let (founder, other) = (0, 1);
    for id in [1, 2] {
        let place = cluster.prepare_node(id, FLAGS);
        cluster.nodes[place].launch_mut().args.extend(["--peers".to_owned(), String::new()]);
    }
    let [own, real] = [founder, other].map(|place| cluster.nodes[place].raft_addr());
    // Questions have a connection of their own, and are the first thing that a founder sends.
    let gate = Gate::to(&real, 1).await;
    cluster.nodes[founder].launch_mut().set("--peers", &format!("1={own},2={}", gate.address()));
    // It looks for nobody, so that nobody hears where else it is.
    cluster.nodes[other].launch_mut().set("--peers", &format!("2={real}"));
    cluster.nodes[other].launch_mut().args.push("--join-only".to_owned());
    cluster.nodes[other].start().await;
    cluster.nodes[founder].start().await;
    until("it stands for election", PATIENCE, async || {
        let log = cluster.nodes[founder].process().log();
        if log.contains("to=\"candidate\"") { Ok(()) } else { Err(log) }
    })
    .await;

    cluster.nodes[other].kill();
    cluster.nodes[other].launch_mut().set("--peers", &format!("1={own},2={real}"));
    cluster.nodes[other].start().await;
    cluster.ready().await;
    let all = [cluster.admin(founder).await, cluster.admin(other).await];
    until("its candidacy is on record everywhere, before it was elected", PATIENCE, async || {
        let records = alike(&all, "node.role_transition").await;
        let seen = ["candidate", "leader"].map(|to| transition(&records, 1, to));
        if seen[0].is_some() && seen[0] < seen[1] { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    let found = all[1].get("/audit/logs?action=node.role_transition&order=oldest").await.expect(200).json;
    let notes = found["items"].as_array().expect("items").iter().map(|record| &record["note"]);
    let candidacy = notes.into_iter().find(|note| note["to"] == "candidate").expect("it is on record");
    assert!(candidacy["leader"].is_null() && candidacy["term"].as_u64() > Some(0), "{candidacy:#}");
}
