//! The objects of every overlay, rendered by kubectl's kustomize.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use serde::Deserialize as _;
use serde_json::Value;
use tests::{programs, tools};

/// One object of an overlay.
#[derive(Clone, Debug)]
pub(super) struct Object {
    /// The folder below `k8s/`.
    pub(super) overlay: String,
    pub(super) json: Value,
}

impl Object {
    pub(super) fn kind(&self) -> &str {
        self.json["kind"].as_str().expect("every object has a kind")
    }

    pub(super) fn api_version(&self) -> &str {
        self.json["apiVersion"].as_str().expect("every object has a version")
    }

    pub(super) fn name(&self) -> &str {
        self.json["metadata"]["name"].as_str().expect("every object has a name")
    }

    pub(super) fn title(&self) -> String {
        format!("{}: {} {}", self.overlay, self.kind(), self.name())
    }

    /// Of what has pods: their labels and their specification.
    pub(super) fn pod_template(&self) -> Option<&Value> {
        self.json.pointer("/spec/template").filter(|template| template["spec"]["containers"].is_array())
    }
}

/// Every folder that kustomize renders, as it comes from the tree: a new overlay is tested without being named here.
pub(super) static ALL: LazyLock<Vec<Object>> = LazyLock::new(|| {
    let root = programs::repository().join("k8s");
    let mut folders = Vec::new();
    find(&root, &mut folders);
    folders.retain(|folder| {
        let text = fs::read_to_string(root.join(folder).join("kustomization.yaml")).expect("a readable file");
        text.contains("kind: Kustomization") && !folder.contains('/') || folder.starts_with("overlays/")
    });
    assert!(folders.len() >= 5, "{folders:?}");
    folders.iter().flat_map(|folder| render(&root, folder)).collect()
});

fn find(folder: &Path, found: &mut Vec<String>) {
    let root = programs::repository().join("k8s");
    for entry in fs::read_dir(folder).expect("a readable folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            find(&path, found);
        } else if path.ends_with("kustomization.yaml") {
            let folder = path.parent().and_then(|folder| folder.strip_prefix(&root).ok()).expect("below the root");
            found.push(folder.display().to_string());
        }
    }
}

fn render(root: &Path, folder: &str) -> Vec<Object> {
    let output = tools::run(Command::new(tools::program("kubectl")).arg("kustomize").arg(root.join(folder)));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let documents = serde_yaml_ng::Deserializer::from_str(&text);
    let objects = documents.map(|document| Value::deserialize(document).expect("kustomize writes YAML"));
    objects.map(|json| Object { overlay: folder.to_owned(), json }).collect()
}

/// The objects of one overlay.
pub(super) fn overlay(name: &str) -> Vec<&'static Object> {
    let objects: Vec<_> = ALL.iter().filter(|object| object.overlay == name).collect();
    assert!(!objects.is_empty(), "there is no overlay {name}");
    objects
}

#[track_caller]
pub(super) fn the<'a>(objects: &[&'a Object], kind: &str, name: &str) -> &'a Object {
    let found = objects.iter().find(|object| object.kind() == kind && object.name() == name);
    found.unwrap_or_else(|| panic!("there is no {kind} {name}"))
}
