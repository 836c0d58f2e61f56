//! What a credential is worth, on every node, from its first use to its end.

use std::net::{IpAddr, Ipv4Addr};

use reqwest::Method;
use serde_json::{Value, json};
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::wait::{PATIENCE, until};
use tests::wall_clock::WallClock;
use tests::web;
use vocab::{Clock as _, SystemClock};

const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// An end, and the same in seconds since 1970.
const END: (&str, i64) = ("2030-01-31T12:00:00Z", 1_896_091_200);

/// One token at every node.
async fn everywhere(cluster: &Cluster, token: &str) -> Vec<Admin> {
    let mut all = Vec::new();
    for place in 0..cluster.nodes.len() {
        all.push(cluster.admin(place).await.with_token(token));
    }
    all
}

async fn hire(owner: &Admin, role: Value) -> (String, String) {
    let made = owner.post("/admins", &json!({ "name": "hired", "role": role })).await.expect(201);
    (made.text_of("id"), made.text_of("credential"))
}

#[tokio::test]
async fn a_credential_that_ends_or_changes_does_so_on_every_node_with_the_tokens_it_had() {
    let cluster = Cluster::start(3).await;
    let owner = cluster.admin(0).await;
    let (id, credential) = hire(&owner, json!("operator")).await;
    let token = Admin::sign_in(&cluster.nodes[1].admin_url(), &credential)
        .await
        .expect("a fresh credential")
        .token()
        .to_owned();
    let holders = everywhere(&cluster, &token).await;
    let revision = owner.post("/tenants", &json!({ "slug": "acme", "display_name": "A" })).await.expect(201).revision();
    for holder in &holders {
        let _ = holder.get(&format!("/tenants?min_revision={revision}")).await.expect(200);
    }

    // Its last use is known on every node, without a write for each request.
    for place in 0..3 {
        let owner = cluster.admin(place).await;
        until("the last use is known", PATIENCE, async || {
            let shown = owner.get(&format!("/admins/{id}")).await.expect(200);
            shown.json["last_used_at"].as_str().map(|_| ()).ok_or_else(|| shown.text.clone())
        })
        .await;
    }
    let before = owner.get("/cluster/status").await.expect(200).json["commit_revision"].as_u64().expect("a number");
    for _ in 0..50 {
        let _ = holders[0].get("/tenants").await.expect(200);
    }
    let after = owner.get("/cluster/status").await.expect(200).json["commit_revision"].as_u64().expect("a number");
    assert!(after - before < 10, "50 requests made {} entries", after - before);

    // Another role: the token that is out does what the new one may, from the revision on that changed it.
    let path = format!("/admins/{id}");
    let changed = cluster.admin(2).await.patch(&path, &json!({ "role": "auditor" })).await.expect(200).revision();
    for holder in &holders {
        let _ = holder.get(&format!("/tenants?min_revision={changed}")).await.expect(200);
        let refused = holder.post("/tenants", &json!({ "slug": "other", "display_name": "O" })).await.expect(403);
        assert_eq!(refused.code(), "forbidden");
    }

    // Deleted: a read that waits for that very revision is refused, too.
    let deleted = cluster.admin(1).await.delete(&path).await.expect(204).revision();
    for (holder, node) in holders.iter().zip(&cluster.nodes) {
        let _ = holder.get(&format!("/tenants?min_revision={deleted}&timeout=10s")).await.expect(401);
        let _ = holder.get("/tenants").await.expect(401);
        Admin::sign_in(&node.admin_url(), &credential).await.expect_err("the credential is gone");
    }
}

/// The clock shows that many seconds after the end.
fn set_to_end(clock: &WallClock, after: i64) {
    clock.set(&format!("{:+}s", END.1 + after - SystemClock.now().secs()));
}

/// Nobody ends it, and no token's own time has gone by then.
#[tokio::test]
async fn a_credential_with_an_end_is_good_until_then_with_its_tokens_and_is_shown_after_it() {
    let mut cluster = Cluster::prepare(1, &[]);
    let clock = WallClock::of(cluster.nodes[0].launch_mut());
    set_to_end(&clock, -300);
    cluster.start_all().await;
    cluster.ready().await;
    let body = json!({ "name": "for a while", "role": "auditor", "expires_at": END.0 });
    let made = cluster.admin(0).await.post("/admins", &body).await.expect(201);
    let (id, credential) = (made.text_of("id"), made.text_of("credential"));
    // Who comes first after a node's start is told of within a second, whoever comes later after a minute.
    cluster.nodes[0].kill();
    cluster.nodes[0].start().await;
    cluster.nodes[0].ready().await;
    let node = cluster.nodes[0].admin_url();
    let sign_in = async || Admin::sign_in(&node, &credential).await;
    let holder = until("it signs in before its end", PATIENCE, sign_in).await;
    let _ = holder.get("/tenants").await.expect(200);
    let owner = cluster.admin(0).await;
    let listed = async || {
        let list = owner.get("/admins").await.expect(200).json;
        let mut items = list["items"].as_array().expect("a list").iter();
        items.find(|item| item["id"] == id.as_str()).expect("it is listed").clone()
    };
    let used = until("the last use is known", PATIENCE, async || {
        let shown = listed().await;
        shown["last_used_at"].as_str().map(ToOwned::to_owned).ok_or_else(|| shown.to_string())
    })
    .await;

    set_to_end(&clock, 1);
    // From an address of their own: of the failures at one address the first in a minute is spelled out.
    let elsewhere = web::builder().local_address(ELSEWHERE).build().expect("a client");
    let sign_in = async |credential: &str| {
        let request = elsewhere.post(holder.url("/auth/token")).json(&json!({ "credential": credential }));
        web::send(request).await.expect(401)
    };
    let refused = sign_in(&credential).await;
    assert_eq!(refused.code(), "unauthenticated", "{refused:?}");
    let challenge = refused.header("www-authenticate").unwrap_or_default();
    assert!(challenge.starts_with("Bearer ") && challenge.contains("invalid_token"), "{refused:?}");
    // Whoever finds it afterwards is not told that it was one.
    assert_eq!(refused.json, sign_in("hja_made-up").await.json);
    let request = elsewhere.get(holder.url("/tenants")).bearer_auth(holder.token());
    assert_eq!(web::send(request).await.expect(401).code(), "unauthenticated");

    // The owner's token is as old as that one. The credential stays, as it was used last.
    let shown = listed().await;
    assert_eq!((&shown["expires_at"], &shown["last_used_at"]), (&json!(END.0), &json!(used)), "{shown:#}");
    assert!(used.as_str() < END.0, "{used}");
    let record = async |action: &str| {
        let records = owner.get(&format!("/audit/logs?action={action}&order=oldest")).await.expect(200).json;
        let from = |record: &&Value| record["source_address"] == ELSEWHERE.to_string();
        records["items"].as_array().expect("a list").iter().find(from).cloned().ok_or_else(|| records.to_string())
    };
    for (action, member, value) in
        [("sign_in.failed", "credential", id.as_str()), ("request.refused", "code", "unauthenticated")]
    {
        let record = until(&format!("{action} is on record"), PATIENCE, async || record(action).await).await;
        assert_eq!(record[member], value, "{record:#}");
        assert!(record["time"].as_str() >= Some(END.0), "{record:#}");
    }
}

/// A retry under one key is the same request, though the tenant's administrator is judged by another revision by then.
#[tokio::test]
async fn a_tenants_administrators_put_is_answered_again_after_it_was_made() {
    let cluster = Cluster::start(1).await;
    let owner = cluster.admin(0).await;
    let _ = owner.post("/tenants", &json!({ "slug": "acme", "display_name": "Acme" })).await.expect(201);
    let credential = owner.create_admin("of acme", json!({ "tenant-admin": "acme" })).await;
    let own = Admin::sign_in(&cluster.nodes[0].admin_url(), &credential).await.expect("a fresh credential");
    let put = async |key: &str, name: &str| {
        let body = json!({ "display_name": name });
        web::send(own.request(Method::PUT, "/tenants/acme").header("idempotency-key", key).json(&body)).await
    };
    let first = put("k", "Acme Inc").await.expect(200);
    let again = put("k", "Acme Inc").await.expect(200);
    assert_eq!((again.revision(), &again.json), (first.revision(), &first.json));
    // Also when somebody else has changed it since.
    let _ = owner.patch("/tenants/acme", &json!({ "display_name": "Theirs" })).await.expect(200);
    assert_eq!(put("k", "Acme Inc").await.expect(200).revision(), first.revision());
    assert_eq!(
        owner.get("/tenants/acme").await.expect(200).text_of("display_name"),
        "Theirs",
        "nothing was done again"
    );
    assert_eq!(put("k", "Another").await.expect(422).code(), "idempotency_mismatch");
    // What it may not change it may not change at any revision.
    let _ = owner.patch("/tenants/acme", &json!({ "status": "suspended" })).await.expect(200);
    let _ = put("other", "Acme").await.expect(403);
}
