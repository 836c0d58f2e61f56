//! What a node measures of its pods' use of changes.

use serde_json::json;
use tests::cluster::Cluster;
use tests::counters::{self, count};
use tests::pod::{Plan, Pod};
use tests::wait::{PATIENCE, until};

/// Written with a wait that is over when the pod has acknowledged: each is measured. So is how long a pod that stood still
/// made one take. What was there before the pod came is not.
#[tokio::test]
async fn a_change_is_measured_from_this_node_to_the_pods_acknowledgement() {
    const QUICK: u64 = 5;
    let cluster = Cluster::start(1).await;
    let admin = cluster.admin(0).await;
    for number in 0..20 {
        let _ = admin.create_tenant(&format!("before-{number}"), json!({})).await;
    }
    let before = admin.get("/tenants").await.expect(200).revision();
    let control_plane = cluster.watch_urls();
    let plan = Plan { name: "pod-propagation", control_plane: &control_plane, ..Plan::default() };
    let pod = Pod::start(&plan, &cluster.secrets).await;
    let ops = cluster.nodes[0].ops_url();
    let tenant = |slug: String| json!({ "slug": slug, "display_name": slug });
    for number in 0..QUICK {
        let path = "/tenants?wait=fleet&timeout=15s";
        let _ = admin.post(path, &tenant(format!("quick-{number}"))).await.expect(201);
    }
    let measured = count(&ops, "hj_cp_propagation_seconds_count", &[]).await;
    let changes = admin.get("/tenants").await.expect(200).revision() - before;
    assert!((QUICK..=changes).contains(&measured), "{measured} of {changes}");

    let slow = async || {
        let page = counters::page(&ops).await;
        let [all, quick] = [("count", &[][..]), ("bucket", &[("le", "0.5")])]
            .map(|(of, labels)| page.count(&format!("hj_cp_propagation_seconds_{of}"), labels));
        all - quick
    };
    let slow_before = slow().await;
    pod.process().pause();
    let _ = admin.post("/tenants?wait=fleet&timeout=1s", &tenant("slow".to_owned())).await;
    pod.process().resume();
    until("what the pod was slow with is measured", PATIENCE, async || match slow().await - slow_before {
        0 => Err("none took half a second".to_owned()),
        _ => Ok(()),
    })
    .await;
}
