//! The control plane on a network that loses packets and with clocks that jump: what was promised holds all the same.

#[path = "faults/clocks.rs"]
mod clocks;
#[path = "faults/partitions.rs"]
mod partitions;

use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::wait::{PATIENCE, until};
use tests::web::Answer;

fn tenant(slug: &str) -> serde_json::Value {
    serde_json::json!({ "slug": slug, "display_name": slug })
}

async fn status(admin: &Admin) -> Result<serde_json::Value, String> {
    admin.try_get("/cluster/status").await.map(|answer| answer.json).map_err(|error| error.to_string())
}

/// The place of the node that all of `places` take for the leader; one of them.
async fn leader_among(admins: &[Admin], cluster: &Cluster, places: &[usize]) -> usize {
    until("a majority agrees on a leader of its own", PATIENCE, async || {
        let mut named = Vec::new();
        for place in places {
            named.push(status(&admins[*place]).await?["leader_id"].as_u64());
        }
        let leader = places.iter().copied().find(|place| Some(cluster.nodes[*place].id) == named[0]);
        match leader {
            Some(leader) if named.iter().all(|other| *other == named[0]) => Ok(leader),
            _ => Err(format!("leaders named: {named:?}")),
        }
    })
    .await
}

/// Every node shows the same tenants at the same revisions.
async fn all_agree(admins: &[Admin]) -> serde_json::Value {
    until("all nodes show the same", PATIENCE, async || {
        let mut views = Vec::new();
        for admin in admins {
            let answer = admin.try_get("/tenants?limit=500&consistency=linearizable").await;
            let answer = answer.map_err(|error| error.to_string())?;
            if answer.status != 200 {
                return Err(format!("{answer:?}"));
            }
            views.push(answer.json["items"].clone());
        }
        let first = views.pop().unwrap_or_default();
        if views.iter().all(|view| *view == first) { Ok(first) } else { Err(format!("{first} {views:?}")) }
    })
    .await
}

fn slugs(items: &serde_json::Value) -> Vec<&str> {
    items.as_array().into_iter().flatten().filter_map(|item| item["slug"].as_str()).collect()
}

/// Not acknowledged: the answer says that it was not done, or that nobody knows.
fn is_uncertain_or_refused(answer: &Answer) -> bool {
    [("no_leader", 503), ("outcome_unknown", 504)].contains(&(answer.code(), answer.status))
}
