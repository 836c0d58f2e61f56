//! A leader that is none any more leaves its files alone: its successor follows its own.

use super::*;

/// Long enough to notice that a file changed, and not to have waited for more.
const NOTICED: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_replaced_does_not_go_on_through_its_successor() {
    let mut cluster = Cluster::prepare(3, &[]);
    let mut dirs = Vec::new();
    for node in &mut cluster.nodes {
        let dir = scratch::folder("own-files");
        write(&dir.join("tenant.yaml"), TENANT);
        write(&dir.join("orders.yaml"), &scope("orders", "of all"));
        node.launch_mut().args.extend(["--gitops-dir".to_owned(), dir.display().to_string()]);
        dirs.push(dir);
    }
    cluster.start_all().await;
    cluster.ready().await;
    let old = cluster.leader().await;
    let admin = cluster.admin(old).await;
    shows(&admin, "/tenants/acme/scopes/orders", "/description", "of all").await;
    status(&admin, "all is well", |status| status["result"] == "ok").await;
    let files = async |place: usize| count(&cluster.nodes[place].ops_url(), "hj_cp_gitops_files", &[]).await;
    assert_eq!((files(old).await, files((old + 1) % 3).await), (2, 0));
    let before = admin.get("/tenants/acme/scopes/orders").await.expect(200).json["revision"].clone();
    let other = cluster.admin((old + 1) % 3).await;

    // It stands still in the middle of a look, and does not know when it goes on that somebody else leads.
    write(&dirs[old].join("orders.yaml"), &scope("orders", "of the old leader"));
    tokio::time::sleep(NOTICED).await;
    cluster.nodes[old].process().pause();
    until("another one leads", PATIENCE, async || {
        let status = other.try_get("/cluster/status").await.map_err(|error| error.to_string())?;
        match status.json["leader_id"].as_u64() {
            Some(leader) if leader != cluster.nodes[old].id => Ok(()),
            leader => Err(format!("{leader:?}")),
        }
    })
    .await;
    cluster.nodes[old].process().resume();
    let new = cluster.leader().await;
    assert_ne!(new, old);
    status(&admin, "the old leader has stopped", |status| status["active"] == false).await;
    let admin = cluster.admin(new).await;
    status(&admin, "the new leader has looked", |status| status["result"] == "ok").await;
    assert_eq!((files(old).await, files(new).await), (0, 2));
    let after = admin.get("/tenants/acme/scopes/orders?consistency=linearizable").await.expect(200).json;
    assert_eq!((&after["description"], &after["revision"]), (&"of all".into(), &before), "nobody has touched it");
}

/// Its files may be other ones by now, and nobody looks at them: whoever asks it is told who leads, and nothing old.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_no_longer_leads_tells_nothing_of_the_files() {
    let dir = scratch::folder("told");
    write(&dir.join("tenant.yaml"), TENANT);
    write(&dir.join("broken.yaml"), "kind: Scope\ntenant: acme\nname: [\n");
    let cluster = Cluster::start_with(3, &["--gitops-dir", dir.to_str().expect("UTF-8")]).await;
    let old = cluster.leader().await;
    let new = (old + 1) % 3;
    let admins = [cluster.admin(old).await, cluster.admin(new).await];
    let is_told = |status: &Value| status["result"] == "partial" && status["files"][0]["path"] == "broken.yaml";
    let in_error = async |place: usize| {
        count(&cluster.nodes[place].ops_url(), "hj_cp_gitops_file_errors", &[("path", "broken.yaml")]).await
    };
    status(&admins[0], "the leader tells of the broken file", is_told).await;
    assert_eq!(in_error(old).await, 1);

    let transfer = serde_json::json!({ "to": cluster.nodes[new].id });
    let _ = admins[0].post("/cluster/transfer-leader", &transfer).await.expect(200);
    status(&admins[1], "the new leader tells of it", is_told).await;
    let seen = status(&admins[0], "the old one does not lead", |status| status["active"] == false).await;
    let nothing = serde_json::json!({
        "dir": dir, "set": "gitops", "active": false,
        "last_run": null, "result": null, "revision": null, "error": null, "files": [], "drift": null,
    });
    assert_eq!(seen, nothing);
    assert_eq!((in_error(old).await, in_error(new).await), (0, 1));
    let asked = admins[0].get("/cluster/status").await.expect(200).json;
    assert_eq!(asked["leader_id"], cluster.nodes[new].id);
}
