//! Alerts and the dashboard: of metrics and labels that exist, each alert with its section of the runbook, each made to
//! fire by Prometheus' own tool.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::Value;
use tests::{programs, tools};

use super::rendered::{Object, overlay, the};

fn rules() -> &'static Object {
    the(&overlay("overlays/production"), "PrometheusRule", "hellojohn")
}

fn alerts() -> Vec<&'static Value> {
    let groups = rules().json["spec"]["groups"].as_array().expect("groups");
    groups.iter().flat_map(|group| group["rules"].as_array().expect("rules")).collect()
}

fn dashboard() -> Value {
    let objects = overlay("overlays/production");
    let map = the(&objects, "ConfigMap", "hellojohn-dashboard");
    serde_json::from_str(map.json["data"]["hellojohn.json"].as_str().expect("a file")).expect("JSON")
}

/// The programs' metrics and their labels.
fn listed() -> BTreeMap<String, BTreeSet<String>> {
    let tables = [controlplane_daemon::recorder::METRICS, dataplane_service::recorder::METRICS];
    let metrics = tables.into_iter().flatten();
    metrics
        .map(|metric| (metric.name.to_owned(), metric.labels.iter().map(|label| label.name.to_owned()).collect()))
        .collect()
}

/// Metrics of an expression with the labels that it selects them by.
fn used(expression: &str) -> Vec<(String, Vec<String>)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        let from = rest.split_at(at).1;
        let end = from.find(|c: char| !is_word(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        rest = after;
        if word.starts_with("hj_") || word.starts_with("raft_") || word == "up" {
            let selector = after.strip_prefix('{').and_then(|inner| inner.split('}').next()).unwrap_or("");
            let labels = selector.split(',').filter_map(|part| part.split(['=', '!']).next());
            found.push((word.to_owned(), labels.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect()));
        }
    }
    found
}

#[track_caller]
fn assert_known(whose: &str, expression: &str, listed: &BTreeMap<String, BTreeSet<String>>) {
    let used = used(expression);
    assert!(!used.is_empty(), "{whose}: {expression} is of no metric");
    for (name, labels) in used {
        let base = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let own = listed.get(&name).or_else(|| listed.get(base?));
        assert!(own.is_some() || name == "up", "{whose}: nobody counts {name}");
        for label in labels {
            // Prometheus' own, from the ServiceMonitor.
            let is_known =
                ["job", "namespace", "pod"].contains(&label.as_str()) || own.is_some_and(|it| it.contains(&label));
            assert!(is_known, "{whose}: {name} has no label {label}");
        }
    }
}

#[test]
fn alerts_and_panels_are_of_metrics_that_there_are() {
    let listed = listed();
    for alert in alerts() {
        assert_known(alert["alert"].as_str().expect("a name"), alert["expr"].as_str().expect("text"), &listed);
    }
    let dashboard = dashboard();
    let mut panels = 0;
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_known(panel["title"].as_str().expect("a title"), target["expr"].as_str().expect("text"), &listed);
            panels += 1;
        }
    }
    assert!(panels > 20, "{panels}");
    assert_eq!(used("sum(hj_x{a=\"1\",b!~\"2\"}) / up").len(), 2, "the check itself");
}

#[test]
fn every_alert_has_its_section_of_the_runbook() {
    let page = fs::read_to_string(programs::repository().join("docs/runbook.md")).expect("the runbook");
    let slugs: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|title| title.to_lowercase().replace(' ', "-"))
        .collect();
    for alert in alerts() {
        let name = alert["alert"].as_str().expect("a name");
        let runbook = alert["annotations"]["runbook"].as_str().expect("a runbook");
        let slug = runbook.strip_prefix("docs/runbook.md#").expect("a section of the page");
        assert!(slugs.contains(slug), "{name}: the runbook has no section {slug}");
        assert!(page.contains(&format!("`{name}`")), "the runbook does not name {name}");
        assert!(["warning", "critical"].contains(&alert["labels"]["severity"].as_str().expect("a severity")));
    }
}

/// `alerts.test.yml` has series for each alert that make it fire, and quiet ones that do not.
#[test]
fn every_alert_fires_when_it_should() {
    let tests = programs::repository().join("tests/suites/manifests/alerts.test.yml");
    let text = fs::read_to_string(&tests).expect("the tests");
    for alert in alerts() {
        let name = alert["alert"].as_str().expect("a name");
        assert!(text.contains(&format!("alertname: {name}\n")), "nothing makes {name} fire");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let spec = serde_json::to_string(&rules().json["spec"]).expect("JSON is YAML");
    fs::write(folder.path().join("alerts.yml"), spec).expect("a file");
    fs::copy(&tests, folder.path().join("alerts.test.yml")).expect("a file");
    let promtool = tools::program("promtool");
    tools::run(Command::new(&promtool).args(["check", "rules", "alerts.yml"]).current_dir(&folder));
    tools::run(Command::new(&promtool).args(["test", "rules", "alerts.test.yml"]).current_dir(&folder));
}
