//! What a credential is worth, on every node, from its first use to its end.

use reqwest::Method;
use serde_json::{Value, json};
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::wait::{PATIENCE, until};
use tests::web;

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
