//! Imports whose node or leader dies midway.

use reqwest::Method;
use serde_json::{Value, json};
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::export;
use tests::wait::{PATIENCE, until};
use tests::web;

use super::tenant;

const CLIENTS: usize = 4_000;

/// An export with one tenant of very many clients: some twenty entries to import.
async fn large_export(admin: &Admin) -> String {
    let _ = admin.post("/tenants", &tenant("acme")).await.expect(201);
    let client = json!({ "client_id": "c-0", "name": "x".repeat(100), "token_endpoint_auth_method": "none",
        "redirect_uris": [format!("https://a.example/{}", "x".repeat(600))] });
    let _ = admin.post("/tenants/acme/clients", &client).await.expect(201);
    let file = web::send(admin.request(Method::GET, "/export?consistency=linearizable")).await.expect(200).text;
    let mut lines: Vec<String> = file.lines().map(ToOwned::to_owned).collect();
    let place = lines.iter().position(|line| line.starts_with("{\"kind\":\"client\"")).expect("a client");
    let more = (1..CLIENTS).map(|number| lines[place].replacen("\"c-0\"", &format!("\"c-{number}\""), 1));
    let more: Vec<String> = more.collect();
    let rest = lines.split_off(place + 1);
    lines.extend(more.into_iter().chain(rest));
    export::sealed(lines)
}

fn import(admin: &Admin, query: &str, file: &str) -> reqwest::RequestBuilder {
    admin.request(Method::POST, &format!("/import{query}")).body(file.to_owned())
}

/// How much of the file is in the cluster: all unchanged means all of it.
async fn lacks(admin: &Admin, file: &str) -> (u64, u64) {
    let tried = web::send(import(admin, "?dry_run=true", file)).await.expect(200).json;
    let number = |what: &str| tried["summary"][what].as_u64().expect("a number");
    assert_eq!((number("updated"), number("deleted")), (0, 0), "{tried:#}");
    (number("created"), number("unchanged"))
}

/// Waits until some entries of the import are applied at the node, and by far not all.
async fn has_begun(at: &Admin) {
    until("some of it is there", PATIENCE, async || {
        let page: Value = at.get("/tenants/acme/clients?limit=500").await.json;
        let count = page["items"].as_array().map_or(0, Vec::len);
        if count == 500 { Ok(()) } else { Err(count.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn an_import_outlives_the_leader_and_can_be_repeated_when_its_own_node_dies() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let admin = cluster.admin(leader).await;
    let file = large_export(&admin).await;
    let _ = admin.delete("/tenants/acme").await.expect(204);

    // Asked of a follower, while the leader dies: it goes on with the next one.
    let follower = (leader + 1) % 3;
    let at_follower = cluster.admin(follower).await;
    let asked = tokio::spawn(web::send(import(&at_follower, "", &file)));
    has_begun(&at_follower).await;
    cluster.nodes[leader].kill();
    let made = asked.await.expect("it does not panic").expect(200).json;
    assert!(made["summary"]["created"].as_u64() >= Some(4_000), "{made:#}");
    assert_eq!(lacks(&at_follower, &file).await.0, 0);
    cluster.nodes[leader].start().await;
    cluster.ready().await;

    // Asked of the leader, which dies: the answer never comes, and some of it is there.
    let _ = at_follower.delete("/tenants/acme").await.expect(204);
    let leader = cluster.leader().await;
    let witness = cluster.admin((leader + 1) % 3).await;
    let asked = tokio::spawn(web::try_send(import(&cluster.admin(leader).await, "", &file)));
    has_begun(&witness).await;
    cluster.nodes[leader].kill();
    let answer = asked.await.expect("it does not panic");
    assert!(answer.is_err(), "it was to be broken off: {answer:?}");
    let _ = cluster.leader().await;
    let (lacking, there) = lacks(&witness, &file).await;
    assert!(lacking > 0 && there >= 500, "{lacking} lack, {there} are there");

    let again = web::send(import(&witness, "", &file)).await.expect(200).json;
    let number = |what: &str| again["summary"][what].as_u64().expect("a number");
    assert!(number("created") <= lacking && number("created") > 0, "{again:#}; {lacking} lacked before");
    assert_eq!(lacks(&witness, &file).await.0, 0);
    cluster.nodes[leader].start().await;
    cluster.ready().await;
    let back = cluster.admin(leader).await;
    let _ = back.get("/tenants/acme?consistency=linearizable").await.expect(200);
    assert_eq!(lacks(&back, &file).await.0, 0, "the one that died has it all, too");
}
