//! Every write waits for the fleet when it is asked to, and names who lags when time runs out.

use std::collections::BTreeSet;

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::pod::Pod;
use tests::wait::{PATIENCE, until};
use tests::web::{self, Answer};
use tests::writes::{self, OF_THE_MACHINES, Write};

use super::{has_state, listed, start};

/// Of `OF_THE_MACHINES` those whose outcome pods are told of. The others are about the nodes alone.
const FOR_PODS: [(&str, &str); 3] = [("POST", "/keys/reseal"), ("POST", "/import"), ("DELETE", "/fleet/{pod_id}")];
const AS_LONG_AS_IT_TAKES: &str = "wait=fleet&timeout=30s";
const A_MOMENT: &str = "wait=fleet&timeout=100ms";

/// The pod is well.
async fn complete(pod: &Pod, request: RequestBuilder) -> Answer {
    let answer = web::send(request).await;
    let told = (answer.header("x-fleet"), answer.header("x-fleet-laggards"), answer.header("x-fleet-rejected"));
    assert_eq!(told, (Some("complete"), None, None), "{answer:#?}");
    // Nothing is awaited here: it was before the answer came.
    let config = pod.debug_config().await;
    assert!(config["revision"].as_u64() >= Some(answer.revision()), "{config:#}, {answer:#?}");
    answer
}

/// The pod stands still from before the request until after its answer.
async fn too_late(pod: &Pod, request: RequestBuilder) -> Answer {
    pod.process().pause();
    let answer = web::send(request).await;
    pod.process().resume();
    let told = (answer.header("x-fleet"), answer.header("x-fleet-laggards"));
    assert_eq!(told, (Some("timeout"), Some(pod.name.as_str())), "{answer:#?}");
    answer
}

async fn gone_pod(cluster: &Cluster, admin: &Admin, name: &str) {
    let mut pod = start(cluster, name).await;
    until("it is on the roster", PATIENCE, async || {
        let it = listed(admin, name).await?;
        if it["recorded"] == true { Ok(()) } else { Err(it.to_string()) }
    })
    .await;
    pod.kill();
    has_state(admin, name, "gone").await;
}

/// What the contract that the node serves promises the wait for.
async fn promised(admin: &Admin) -> BTreeSet<(String, String)> {
    let contract = admin.get("/openapi.json").await.expect(200).json;
    let mut found = BTreeSet::new();
    for (path, operations) in contract["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let mut parameters = operation["parameters"].as_array().expect("parameters").iter();
            if parameters.any(|it| it["name"] == "wait" || it["$ref"] == "#/components/parameters/wait") {
                found.insert((method.to_uppercase(), path.clone()));
            }
        }
    }
    found
}

#[tokio::test]
async fn every_write_waits_for_the_fleet_or_names_who_lags() {
    let cluster = Cluster::start(1).await;
    let pod = start(&cluster, "pod-a").await;
    let admin = cluster.admin(0).await;

    // A route that is new is in one of the two lists, or the list of writes fails.
    let documents = writes::routes().filter(|(_, path)| !OF_THE_MACHINES.contains(path));
    let expected = documents.map(|(method, path)| (method, path.to_owned()));
    let of_machines = FOR_PODS.map(|(method, path)| (method.to_owned(), path.to_owned()));
    let expected: BTreeSet<_> = expected.chain(of_machines).collect();
    assert_eq!(promised(&admin).await, expected);
    // Whoever asks the rest for it is not left to believe that anybody waits.
    let parsed = |method: &str| method.parse::<Method>().expect("a method");
    for (method, route) in
        writes::routes().filter(|(method, path)| !expected.contains(&(method.clone(), (*path).to_owned())))
    {
        let write = Write { method: parsed(&method), path: route.replace(['{', '}'], ""), body: json!({}) };
        let refused = web::send(write.request(&admin, &format!("?{A_MOMENT}"))).await.expect(400);
        assert!(refused.text_of("detail").contains("unknown query parameters"), "{method} {route}: {refused:?}");
    }

    for name in ["pod-b", "pod-c"] {
        gone_pod(&cluster, &admin, name).await;
    }
    let change = async |secs: u64| {
        let _ = admin.patch("/settings", &json!({ "gone_pods_kept_secs": secs })).await.expect(200);
    };
    change(899).await;
    let file = web::send(admin.request(Method::GET, "/export")).await.expect(200).text;
    let import = |wait: &str| admin.request(Method::POST, &format!("/import?mode=merge&{wait}")).body(file.clone());
    let reseal = |wait: &str| admin.request(Method::POST, &format!("/keys/reseal?{wait}"));
    let forget = |pod: &str, wait: &str| admin.request(Method::DELETE, &format!("/fleet/{pod}?{wait}"));
    change(900).await;
    let _ = complete(&pod, import(AS_LONG_AS_IT_TAKES)).await.expect(200);
    let _ = complete(&pod, reseal(AS_LONG_AS_IT_TAKES)).await.expect(200);
    let _ = complete(&pod, forget("pod-b", AS_LONG_AS_IT_TAKES)).await.expect(204);
    change(901).await;
    let _ = too_late(&pod, import(A_MOMENT)).await.expect(200);
    let _ = too_late(&pod, forget("pod-c", A_MOMENT)).await.expect(204);
    // Everything is sealed as it should be: what it waits for is what was there before.
    pod.process().pause();
    change(902).await;
    let _ = too_late(&pod, reseal(A_MOMENT)).await.expect(200);

    let wait = format!("?{AS_LONG_AS_IT_TAKES}");
    writes::each(&admin, "well", async |write: &Write| complete(&pod, write.request(&admin, &wait)).await).await;
    let admin = cluster.admin(0).await;
    let wait = format!("?{A_MOMENT}");
    writes::each(&admin, "late", async |write: &Write| too_late(&pod, write.request(&admin, &wait)).await).await;
}
