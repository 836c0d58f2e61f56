//! What one role hears is no more than what it may read.

use serde_json::json;
use tests::admin::Admin;
use tests::cluster::Cluster;

use super::Stream;

/// The end of a tenant takes its administrators' credentials along.
#[tokio::test]
async fn operators_hear_of_no_credential_whatever_took_it_away() {
    let cluster = Cluster::start(1).await;
    let owner = cluster.admin(0).await;
    let node = cluster.nodes[0].admin_url();
    let operator = owner.create_admin("staff", json!("operator")).await;
    let operator = Admin::sign_in(&node, &operator).await.expect("it signs in");
    let _ = operator.get("/admins").await.expect(403);
    let revision = owner.create_tenant("acme", json!({})).await;
    let _ = owner.create_admin("Eve of Acme", json!({"tenant-admin": "acme"})).await;
    let _ = owner.delete("/tenants/acme").await.expect(204);
    let _ = owner.create_tenant("last", json!({})).await;

    let path = format!("/events?since={}", revision.revision());
    let (mut all, mut heard) = (Stream::open(&owner, &path).await, Stream::open(&operator, &path).await);
    let until_last = async |stream: &mut Stream| {
        let mut texts = Vec::new();
        loop {
            let event = stream.next().await.expect("an event");
            texts.push((event.name.clone(), event.data.to_string()));
            if event.name == "tenant.create" && event.data["tenant"] == "last" {
                return texts;
            }
        }
    };
    let is_of_admin = |(_, data): &&(String, String)| data.contains("admins/") || data.contains("Eve of Acme");
    let (all, heard) = (until_last(&mut all).await, until_last(&mut heard).await);
    let names: Vec<&str> = all.iter().filter(is_of_admin).map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["admin.create", "tenant.delete"], "the owner is told");
    assert_eq!(heard.iter().filter(is_of_admin).count(), 0, "{heard:#?}");
    assert!(heard.iter().any(|(name, _)| name == "tenant.delete"), "of the tenant itself: {heard:#?}");
}
