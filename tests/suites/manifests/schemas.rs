//! Every object against what Kubernetes and the makers of custom resources publish. An unknown field is refused.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};
use tests::tools;

use super::rendered::{ALL, Object};

const FOLDER: &str = "tests/schemas";
/// The oldest release that knows all that we use, and the newest that there are schemas of.
const RELEASES: [&str; 2] = ["v1.29.0", "v1.37.0"];

/// Groups with a dot that are Kubernetes' own.
fn is_builtin(object: &Object) -> bool {
    let (group, _) = object.api_version().split_once('/').unwrap_or(("", ""));
    !group.contains('.') || ["networking.k8s.io", "rbac.authorization.k8s.io", "policy"].contains(&group)
}

/// The schemas of one release, compiled as they are needed.
struct Release {
    folder: std::path::PathBuf,
    schemas: Schemas,
    compiler: Compiler,
    known: BTreeMap<String, SchemaIndex>,
}

impl Release {
    fn new(packages: &Path, name: &str) -> Self {
        let folder = packages.join(format!("kubernetes_validate/kubernetes-json-schema/{name}-local-strict"));
        let mut compiler = Compiler::new();
        let definitions = read(&folder.join("_definitions.json"));
        let id = definitions["$id"].as_str().expect("the definitions say where they are").to_owned();
        compiler.add_resource(&id, definitions).expect("a resource");
        Self { folder, schemas: Schemas::new(), compiler, known: BTreeMap::new() }
    }

    /// Why the object is refused.
    fn refusal(&mut self, object: &Object) -> Option<String> {
        // networking.k8s.io/v1 is -networking-v1
        let version = match object.api_version().split_once('/') {
            Some((group, version)) => format!("{}-{version}", group.split('.').next().unwrap_or(group)),
            None => object.api_version().to_owned(),
        };
        let file = format!("{}-{version}.json", object.kind().to_lowercase());
        let index = *self.known.entry(file.clone()).or_insert_with(|| {
            let schema = read(&self.folder.join(&file));
            let id = schema["$id"].as_str().expect("a schema says where it is").to_owned();
            self.compiler.add_resource(&id, schema).expect("a resource");
            self.compiler.compile(&id, &mut self.schemas).expect("a schema")
        });
        self.schemas.validate(&object.json, index).err().map(|error| format!("{error:#}"))
    }
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

/// What TypeScript says of each, by the published types.
fn custom_refusals(objects: &[Object]) -> Vec<Vec<String>> {
    let folder = tools::npm(FOLDER);
    let mut node =
        Command::new("node").arg(folder.join("check.mjs")).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let node = node.as_mut().expect("node is installed");
    let documents: Vec<&Value> = objects.iter().map(|object| &object.json).collect();
    let mut input = node.stdin.take().expect("it is piped");
    input.write_all(json!(documents).to_string().as_bytes()).expect("the script reads");
    drop(input);
    let mut output = String::new();
    std::io::Read::read_to_string(node.stdout.as_mut().expect("it is piped"), &mut output).expect("the script writes");
    assert!(node.wait().expect("it ends").success(), "its errors are above");
    serde_json::from_str(&output).expect("JSON")
}

#[test]
fn kubernetes_takes_every_object() {
    let packages = tools::python(FOLDER);
    for release in RELEASES {
        let mut schemas = Release::new(&packages, release);
        for object in ALL.iter().filter(|object| is_builtin(object)) {
            assert_eq!(schemas.refusal(object), None, "{release}: {}", object.title());
        }
        // The check itself: what is unknown, wherever it stands, and what is of another type.
        let workload = ALL.iter().find(|object| object.kind() == "StatefulSet").expect("one");
        for (place, value) in [
            ("/spec/template/spec/containers/0", json!({"redinessProbe": {}})),
            ("/spec", json!({"replica": 3})),
            ("/spec", json!({"replicas": "three"})),
        ] {
            let mut wrong = workload.clone();
            let there = wrong.json.pointer_mut(place).and_then(Value::as_object_mut).expect("an object");
            there.extend(value.as_object().expect("an object").clone());
            assert!(schemas.refusal(&wrong).is_some(), "{release} takes {value}");
        }
    }
}

#[test]
fn custom_resources_are_as_their_makers_publish_them() {
    let mut objects: Vec<Object> = ALL.iter().filter(|object| !is_builtin(object)).cloned().collect();
    let valid = objects.len();
    for kind in ["Certificate", "ExternalSecret", "HTTPRoute", "PrometheusRule", "ServiceMonitor"] {
        let mut wrong = objects.iter().find(|object| object.kind() == kind).cloned().expect("one of each is used");
        let list = if kind == "PrometheusRule" { "/spec/groups/0" } else { "/spec" };
        let place = wrong.json.pointer_mut(list).and_then(Value::as_object_mut).expect("an object");
        let _ = place.insert("nobodyKnowsThis".to_owned(), json!(1));
        objects.push(wrong);
    }
    for (at, (object, complaints)) in objects.iter().zip(custom_refusals(&objects)).enumerate() {
        assert_eq!(complaints.is_empty(), at < valid, "{}: {complaints:#?}", object.title());
    }
}
