//! What every installation must keep: restricted pods, no open doors, a majority that survives a drain, nobody who can
//! read another's secrets.

use serde_json::{Value, json};

use super::containers;
use super::rendered::{ALL, overlay, the};

#[test]
fn everything_lives_in_one_restricted_namespace() {
    for object in ALL.iter() {
        if object.kind() == "Namespace" {
            let labels = &object.json["metadata"]["labels"];
            assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
        } else {
            assert_eq!(object.json["metadata"]["namespace"], "hellojohn", "{}", object.title());
        }
        assert_ne!(object.kind(), "Secret", "{}: secrets are referred to", object.title());
    }
}

/// The restricted profile of the Pod Security Standards, and a root that cannot be written to.
#[test]
fn containers_can_do_nothing_that_they_need_not() {
    for container in containers::all() {
        let title = container.object.title();
        let (pod, own) = (&container.pod["securityContext"], &container.spec["securityContext"]);
        assert_eq!(pod["runAsNonRoot"], true, "{title}");
        assert!(pod["runAsUser"].as_u64().is_some_and(|user| user > 0), "{title}");
        assert_eq!(pod["seccompProfile"], json!({"type": "RuntimeDefault"}), "{title}");
        assert_eq!(own["allowPrivilegeEscalation"], false, "{title}");
        assert_eq!(own["readOnlyRootFilesystem"], true, "{title}");
        assert_eq!(own["capabilities"], json!({"drop": ["ALL"]}), "{title}");
        assert!(own["privileged"].is_null() && own["runAsUser"].is_null(), "{title}");
        for what in ["hostNetwork", "hostPID", "hostIPC"] {
            assert!(container.pod[what].is_null(), "{title}: {what}");
        }
        let kinds = ["projected", "secret", "emptyDir", "configMap", "persistentVolumeClaim"];
        for volume in container.pod["volumes"].as_array().into_iter().flatten() {
            assert!(kinds.iter().any(|kind| volume[*kind].is_object()), "{title}: {volume}");
        }
        assert_eq!(container.pod["automountServiceAccountToken"], false, "{title}");
        let resources = &container.spec["resources"];
        assert!(resources["requests"]["cpu"].is_string() && resources["limits"]["memory"].is_string(), "{title}");
        assert!(resources["limits"]["cpu"].is_null(), "{title}: a throttled node misses heartbeats");
    }
}

#[test]
fn pods_of_the_data_plane_see_no_secret_of_the_nodes() {
    for container in containers::all() {
        let text = container.pod["volumes"].to_string();
        let is_node = container.program() == "controlplane-daemon";
        assert_eq!(text.contains("hellojohn-controlplane"), is_node, "{}", container.object.title());
    }
}

#[test]
fn only_nodes_reach_the_peer_port_and_only_pods_the_watch() {
    for name in ["overlays/dev", "overlays/production"] {
        let objects = overlay(name);
        let denied = &the(&objects, "NetworkPolicy", "default-deny").json["spec"];
        assert_eq!((&denied["podSelector"], &denied["ingress"]), (&json!({}), &Value::Null));
        assert_eq!(denied["policyTypes"], json!(["Ingress", "Egress"]));
        let of = |app: &str| json!([{"podSelector": {"matchLabels": {"app.kubernetes.io/name": app}}}]);
        let mut seen = 0;
        for policy in objects.iter().filter(|object| object.kind() == "NetworkPolicy") {
            for rule in policy.json["spec"]["ingress"].as_array().into_iter().flatten() {
                assert!(rule["from"].is_array() && rule["ports"].is_array(), "{}: everybody, or all", policy.title());
                for port in rule["ports"].as_array().expect("ports") {
                    let may = match port["port"].as_str().expect("by name") {
                        "peer" => of("controlplane"),
                        "watch" => of("dataplane"),
                        _ => continue,
                    };
                    assert_eq!(rule["from"], may, "{}", policy.title());
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 2);
    }
}

#[test]
fn a_lost_host_or_zone_leaves_a_majority() {
    let objects = overlay("overlays/production");
    let set = &the(&objects, "StatefulSet", "controlplane").json["spec"];
    assert!(set["replicas"].as_u64().is_some_and(|nodes| nodes >= 3 && nodes % 2 == 1));
    assert_eq!(set["podManagementPolicy"], "Parallel");
    let apart =
        &set["template"]["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(apart[0]["topologyKey"], "kubernetes.io/hostname");
    let spread = set["template"]["spec"]["topologySpreadConstraints"].as_array().expect("constraints");
    let [zone] = &spread[..] else { panic!("{spread:#?}") };
    assert_eq!(zone["topologyKey"], "topology.kubernetes.io/zone");
    assert_eq!((&zone["whenUnsatisfiable"], &zone["maxSkew"]), (&json!("DoNotSchedule"), &json!(1)));
    let budget = &the(&objects, "PodDisruptionBudget", "controlplane").json["spec"];
    assert_eq!(budget["maxUnavailable"], 1);
    // Nothing that scales by itself touches the members.
    let scaled = objects.iter().filter(|object| object.kind() == "HorizontalPodAutoscaler");
    let targets: Vec<_> = scaled.map(|object| object.json["spec"]["scaleTargetRef"]["name"].clone()).collect();
    assert_eq!(targets, [json!("dataplane")]);
    assert!(the(&objects, "Deployment", "dataplane").json["spec"]["replicas"].is_null(), "the autoscaler's");
}

#[test]
fn pods_go_only_when_others_are_ready_and_have_time_to_finish() {
    let objects = overlay("overlays/production");
    let rolling = &the(&objects, "Deployment", "dataplane").json["spec"]["strategy"]["rollingUpdate"];
    assert_eq!(rolling["maxUnavailable"], 0);
    for container in containers::all().iter().filter(|it| it.object.kind() != "Job") {
        let environment = container.environment("controlplane-0");
        let drain =
            environment.iter().find(|(name, _)| name == "HJ_DRAIN_SECS").and_then(|(_, secs)| secs.parse().ok());
        let drain: u64 = drain.expect("it goes on until balancers have noticed");
        let grace = container.pod["terminationGracePeriodSeconds"].as_u64().expect("a number");
        // Leadership, ten seconds of open requests, and what else the programs do when they are told to stop.
        assert!(drain >= 3 && grace >= drain + 20, "{}: {drain} of {grace}", container.object.title());
        let is_node = container.program() == "controlplane-daemon";
        let hook = &container.spec["lifecycle"]["preStop"]["exec"]["command"][1];
        assert_eq!(hook == "hand-over", is_node, "{}", container.object.title());
    }
}
