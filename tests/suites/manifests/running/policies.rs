//! NetworkPolicies, as rules of the kernel in each pod's own network: what no policy lets in or out is dropped.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::names::Endpoint;
use crate::rendered::Object;

/// Who may be meant by a policy: a pod, or what stands for one.
#[derive(Clone, Debug)]
pub(super) struct Party {
    pub(super) pod: Endpoint,
    /// The labels of its namespace.
    pub(super) namespace: Value,
    /// Its ports' names.
    pub(super) ports: Vec<(String, u64)>,
}

/// What `nft -f` makes of the policies for this pod, given everybody. `host` is the machine that the pods are on, whose
/// probes Kubernetes lets in.
pub(super) fn rules(policies: &[&Object], me: &Party, everybody: &[Party], host: &str) -> String {
    let mut text = "flush ruleset\ntable inet policies {\n".to_owned();
    for (chain, hook, side, key) in
        [("in", "input", "saddr", ("ingress", "from")), ("out", "output", "daddr", ("egress", "to"))]
    {
        let direction = if chain == "in" { "Ingress" } else { "Egress" };
        let mine = policies.iter().map(|policy| &policy.json["spec"]).filter(|spec| {
            let types = spec["policyTypes"].as_array().is_some_and(|types| types.contains(&json!(direction)));
            types && me.pod.has(&labels(&spec["podSelector"]))
        });
        let mine: Vec<&Value> = mine.collect();
        // Without any policy of that direction everything passes.
        let otherwise = if mine.is_empty() { "accept" } else { "drop" };
        let _ = writeln!(text, "chain {chain} {{ type filter hook {hook} priority 0; policy {otherwise};");
        let _ = writeln!(
            text,
            "ct state established,related accept\nmeta {} lo accept",
            if chain == "in" { "iif" } else { "oif" }
        );
        if chain == "in" {
            let _ = writeln!(text, "ip saddr {host} accept");
        }
        for rule in mine.iter().flat_map(|spec| spec[key.0].as_array().into_iter().flatten()) {
            let targets = rule[key.1].as_array();
            for port in rule["ports"].as_array().expect("every rule names its ports") {
                let protocol = port["protocol"].as_str().expect("a protocol").to_lowercase();
                match targets {
                    None => {
                        // Whoever it is.
                        let number = number(&port["port"], me);
                        let _ = writeln!(text, "{protocol} dport {number} accept");
                    }
                    Some(targets) => {
                        for (address, number) in
                            targets.iter().flat_map(|to| meant(to, me, everybody, chain, &port["port"]))
                        {
                            let _ = writeln!(text, "ip {side} {address} {protocol} dport {number} accept");
                        }
                    }
                }
            }
        }
        text.push_str("}\n");
    }
    text.push_str("}\n");
    text
}

fn labels(selector: &Value) -> Value {
    let known = selector.as_object().expect("a selector");
    assert!(known.keys().all(|key| key == "matchLabels"), "this suite reads no {selector}");
    known.get("matchLabels").cloned().unwrap_or_else(|| json!({}))
}

fn number(port: &Value, of: &Party) -> u64 {
    match port.as_str() {
        None => port.as_u64().expect("a number"),
        Some(name) => of.ports.iter().find(|(it, _)| it == name).map_or(0, |(_, number)| *number),
    }
}

/// The addresses that one entry of `from` or `to` means, with the port as it is called there.
fn meant(entry: &Value, me: &Party, everybody: &[Party], chain: &str, port: &Value) -> BTreeSet<(String, u64)> {
    if let Some(block) = entry["ipBlock"]["cidr"].as_str() {
        let is_ours = block.contains('.');
        return is_ours.then(|| (block.to_owned(), number(port, me))).into_iter().collect();
    }
    let namespace = entry.get("namespaceSelector").map(labels);
    let pod = entry.get("podSelector").map_or_else(|| json!({}), labels);
    let is_meant = |party: &&Party| {
        let there = match &namespace {
            // Of the policy's own namespace.
            None => party.namespace == me.namespace,
            Some(wanted) => Endpoint { labels: party.namespace.clone(), ..party.pod.clone() }.has(wanted),
        };
        there && party.pod.has(&pod)
    };
    // A port's name is looked up where it is called.
    let called = |party: &Party| number(port, if chain == "in" { me } else { party });
    everybody.iter().filter(is_meant).map(|party| (party.pod.address.to_string(), called(party))).collect()
}
