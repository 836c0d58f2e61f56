//! The Docker Swarm stack: seven nodes, at most four on one host, with settings that the programs take.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tests::programs;

use super::containers::{secret_value, variables};

#[test]
fn the_stack_is_seven_nodes_that_the_programs_settings_make() {
    let text = fs::read_to_string(programs::repository().join("k8s/swarm/stack.yml")).expect("the stack");
    let stack: Value = serde_yaml_ng::from_str(&text).expect("YAML");
    let services = stack["services"].as_object().expect("services");
    let deploy = &services["controlplane"]["deploy"];
    assert_eq!((&deploy["replicas"], &deploy["placement"]["max_replicas_per_node"]), (&json!(7), &json!(4)));
    for (name, service) in services {
        let image = service["image"].as_str().expect("an image");
        let (program, path) = if image.contains("controlplane-daemon") {
            ("controlplane-daemon", programs::controlplane_daemon())
        } else {
            ("dataplane-service", programs::dataplane_service())
        };
        assert_eq!((&service["user"], &service["read_only"]), (&json!("65532:65532"), &json!(true)), "{name}");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut files = BTreeSet::new();
        for secret in service["secrets"].as_array().expect("secrets") {
            let (source, target) = (secret["source"].as_str().expect("text"), secret["target"].as_str().expect("text"));
            assert!(stack["secrets"][source]["external"] == true, "{source} is made beforehand");
            fs::write(folder.path().join(target), secret_value(target)).expect("a file");
            files.insert(format!("/run/secrets/{target}"));
        }
        let environment = service["environment"].as_object().expect("variables").iter().map(|(variable, value)| {
            assert!(variables(program).contains(variable), "{program} has no setting {variable}");
            let value = value.as_str().expect("text").replace("{{.Task.Slot}}", "3");
            let value = value
                .replace("{{.Task.Name}}", "hellojohn_controlplane.3.k2v9")
                .replace("${HJ_BOOTSTRAP_PREFERRED:-1}", "1");
            assert!(!value.contains(['{', '$']), "{variable}: {value}");
            assert_eq!(variable.ends_with("_FILE"), files.contains(&value), "{variable}: {value}");
            let value = value.replace("/run/secrets", folder.path().to_str().expect("UTF-8"));
            (variable.clone(), value)
        });
        let environment: Vec<(String, String)> = environment.collect();
        let output =
            Command::new(path).args(["config", "--print"]).env_clear().envs(environment).output().expect("it runs");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
