//! The checks: from what the nodes and the fleet say to findings.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Finding, State};

/// Calls between nodes are good for 30 seconds: half of it is left for the way.
const CLOCKS_FAIL_MS: i64 = 15_000;
const CLOCKS_WARN_MS: i64 = 1_000;
const CERTIFICATE_WARN: SignedDuration = SignedDuration::from_hours(14 * 24);
const LAG_WARN: u64 = 1_000;
/// As a tenant's policy warns by default.
const STALE_FAIL_MS: u64 = 300_000;
const STALE_WARN_MS: u64 = 60_000;

/// What came of asking a node.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) id: u64,
    pub(super) url: Option<String>,
    pub(super) status: Result<Value, String>,
    /// How far its clock is ahead of this machine's.
    pub(super) offset_ms: Option<i64>,
}

pub(super) fn offset_ms(theirs: &str, ours: SystemTime) -> Option<i64> {
    let (theirs, ours) = (theirs.parse::<Timestamp>().ok()?, Timestamp::try_from(ours).ok()?);
    Some(theirs.as_millisecond() - ours.as_millisecond())
}

fn finding(state: State, check: &'static str, of: impl Into<String>, detail: impl Into<String>) -> Finding {
    Finding { state, check, of: of.into(), detail: detail.into() }
}

pub(super) fn check_cluster(members: &Value, seen: &[Seen], now: SystemTime) -> Vec<Finding> {
    let mut findings = Vec::new();
    for node in seen {
        findings.push(match (&node.status, &node.url) {
            (Ok(_), Some(url)) => finding(State::Ok, "reachable", node_name(node.id), url),
            (_, None) => finding(State::Warning, "reachable", node_name(node.id), "its admin address is not known"),
            (Err(why), _) => finding(State::Failed, "reachable", node_name(node.id), why),
        });
    }
    findings.extend(check_leader(seen));
    findings.extend(check_quorum(members, seen));
    findings.push(check_versions(seen));
    findings.extend(check_clocks(seen));
    findings.extend(check_lag(seen));
    findings.extend(check_certificates(seen, now));
    findings
}

fn node_name(id: u64) -> String {
    format!("node {id}")
}

fn statuses(seen: &[Seen]) -> impl Iterator<Item = (u64, &Value)> {
    seen.iter().filter_map(|node| Some((node.id, node.status.as_ref().ok()?)))
}

fn check_leader(seen: &[Seen]) -> Vec<Finding> {
    let named: BTreeSet<Option<u64>> = statuses(seen).map(|(_, status)| status["leader_id"].as_u64()).collect();
    let named: Vec<_> = named.into_iter().collect();
    vec![match named[..] {
        [Some(leader)] => finding(State::Ok, "leader", node_name(leader), "every node that answers names it"),
        [None] | [] => finding(State::Failed, "leader", "", "no node names a leader: nothing can be changed"),
        _ => finding(State::Failed, "leader", "", format!("the nodes name different ones: {named:?}")),
    }]
}

/// By the leader's own word: it alone hears all of them.
fn check_quorum(members: &Value, seen: &[Seen]) -> Vec<Finding> {
    let leader = statuses(seen).find(|(id, status)| status["leader_id"].as_u64() == Some(*id));
    let Some((_, leader)) = leader else { return Vec::new() };
    let voters: Vec<&Value> = leader["members"]
        .as_array()
        .map_or(&[][..], Vec::as_slice)
        .iter()
        .filter(|member| member["role"] == "voter")
        .collect();
    let answering = voters.iter().filter(|voter| voter["answers"] != false).count();
    let quorum = members["quorum"].as_u64().and_then(|quorum| usize::try_from(quorum).ok()).unwrap_or_default();
    let detail = format!("{answering} of {} voters answer, {quorum} are needed", voters.len());
    let state = match answering {
        _ if answering < quorum => State::Failed,
        _ if answering < voters.len() => State::Warning,
        _ => State::Ok,
    };
    let mut findings = vec![finding(state, "quorum", "", detail)];
    if voters.len().is_multiple_of(2) {
        let detail = format!("{} voters bear no more failures than {}", voters.len(), voters.len().saturating_sub(1));
        findings.push(finding(State::Warning, "quorum", "", detail));
    }
    findings
}

fn check_versions(seen: &[Seen]) -> Finding {
    let mut versions: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (id, status) in statuses(seen) {
        versions.entry(status["version"].as_str().unwrap_or("unknown")).or_default().push(node_name(id));
    }
    let own = env!("CARGO_PKG_VERSION");
    let told: Vec<String> = versions.iter().map(|(version, of)| format!("{version}: {}", of.join(", "))).collect();
    match versions.keys().copied().collect::<Vec<_>>()[..] {
        [one] if one == own => finding(State::Ok, "versions", "", format!("{own}, as this program")),
        [one] => finding(State::Warning, "versions", "", format!("the nodes are {one}, this program is {own}")),
        _ => finding(State::Warning, "versions", "", told.join("; ")),
    }
}

fn check_clocks(seen: &[Seen]) -> Vec<Finding> {
    let offsets: Vec<(u64, i64)> = seen.iter().filter_map(|node| Some((node.id, node.offset_ms?))).collect();
    let (least, most) = (offsets.iter().map(|(_, it)| *it).min(), offsets.iter().map(|(_, it)| *it).max());
    let (Some(least), Some(most)) = (least, most) else { return Vec::new() };
    let between = most - least;
    let state = match between {
        _ if between >= CLOCKS_FAIL_MS => State::Failed,
        _ if between >= CLOCKS_WARN_MS => State::Warning,
        _ => State::Ok,
    };
    let mut findings = vec![finding(state, "clocks", "", format!("the nodes' clocks differ by {between} ms at most"))];
    let from_here = most.abs().max(least.abs());
    if from_here >= CLOCKS_WARN_MS && state == State::Ok {
        let detail = format!("this machine's clock differs from theirs by {from_here} ms");
        findings.push(finding(State::Warning, "clocks", "this machine", detail));
    }
    findings
}

fn check_lag(seen: &[Seen]) -> Vec<Finding> {
    let applied = |status: &Value| status["applied_revision"].as_u64().unwrap_or_default();
    let newest = statuses(seen).map(|(_, status)| applied(status)).max().unwrap_or_default();
    let behind = statuses(seen).filter_map(|(id, status)| {
        let lag = newest - applied(status);
        (lag > LAG_WARN).then(|| finding(State::Warning, "lag", node_name(id), format!("{lag} revisions behind")))
    });
    behind.collect()
}

fn check_certificates(seen: &[Seen], now: SystemTime) -> Vec<Finding> {
    let Ok(now) = Timestamp::try_from(now) else { return Vec::new() };
    let mut findings = Vec::new();
    for (id, status) in statuses(seen) {
        for certificate in status["certificates"].as_array().map_or(&[][..], Vec::as_slice) {
            let (Some(file), Some(Ok(end))) =
                (certificate["file"].as_str(), certificate["not_after"].as_str().map(str::parse::<Timestamp>))
            else {
                continue;
            };
            let left = end.duration_since(now);
            let state = match left {
                _ if left <= SignedDuration::ZERO => State::Failed,
                _ if left < CERTIFICATE_WARN => State::Warning,
                _ => State::Ok,
            };
            findings.push(finding(state, "certificate", format!("node {id}, {file}"), format!("ends {end}")));
        }
    }
    findings
}

pub(super) fn check_fleet(fleet: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    for node in fleet["unreachable_nodes"].as_array().map_or(&[][..], Vec::as_slice) {
        let detail = "it did not say which pods it has";
        findings.push(finding(State::Warning, "fleet", format!("node {node}"), detail));
    }
    let pods = fleet["pods"].as_array().map_or(&[][..], Vec::as_slice);
    if pods.is_empty() {
        findings.push(finding(State::Warning, "fleet", "", "no pod is connected"));
    }
    for pod in pods {
        let name = pod["pod_id"].as_str().unwrap_or_default();
        findings.push(check_pod(name, pod));
        for rejected in pod["rejected"].as_array().map_or(&[][..], Vec::as_slice) {
            let text = |field: &str| rejected[field].as_str().unwrap_or_default();
            let detail = format!("it cannot use {}: {}", text("resource"), text("reason"));
            findings.push(finding(State::Failed, "fleet", name, detail));
        }
    }
    findings
}

fn check_pod(name: &str, pod: &Value) -> Finding {
    let state = pod["state"].as_str().unwrap_or_default();
    let version = pod["version"].as_str().unwrap_or_default();
    let stale_ms = pod["staleness_ms"].as_u64();
    let lag = pod["lag"].as_u64().unwrap_or_default();
    let detail = match stale_ms {
        Some(stale_ms) => format!("{state}, {version}, {lag} revisions behind, stale for {stale_ms} ms"),
        None => format!("{state}, {version}, {lag} revisions behind"),
    };
    let how = match (state, stale_ms) {
        ("connected" | "draining", Some(stale_ms)) if stale_ms >= STALE_FAIL_MS => State::Failed,
        ("connected" | "draining", Some(stale_ms)) if stale_ms >= STALE_WARN_MS => State::Warning,
        ("gone", _) => State::Warning,
        _ if !version.starts_with(env!("CARGO_PKG_VERSION")) => State::Warning,
        _ => State::Ok,
    };
    finding(how, "fleet", name, detail)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn node(id: u64, offset_ms: i64, change: impl Fn(&mut Value)) -> Seen {
        let voter = |id: u64| json!({"id": id, "role": "voter", "answers": true});
        let mut status = json!({
            "node_id": id, "leader_id": 1, "version": env!("CARGO_PKG_VERSION"), "applied_revision": 10,
            "members": [voter(1), voter(2), voter(3)],
            "certificates": [{"file": "/tls/cert.pem", "not_after": "2030-01-01T00:00:00Z"}],
        });
        change(&mut status);
        Seen { id, url: Some("http://a".to_owned()), status: Ok(status), offset_ms: Some(offset_ms) }
    }

    fn worst(seen: &[Seen], now_secs: u64) -> BTreeMap<&'static str, State> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now_secs);
        let mut worst = BTreeMap::new();
        for found in check_cluster(&json!({"quorum": 2}), seen, now) {
            let state = worst.entry(found.check).or_insert(State::Ok);
            *state = found.state.max(*state);
        }
        worst
    }

    /// 2026-01-01.
    const NOW: u64 = 1_767_225_600;

    #[test]
    fn each_check_finds_what_it_is_for() {
        type Spoil = fn(&mut Vec<Seen>);
        let healthy = || vec![node(1, 5, |_| {}), node(2, -5, |_| {}), node(3, 0, |_| {})];
        let fine = worst(&healthy(), NOW);
        assert!(fine.values().all(|state| *state == State::Ok), "{fine:?}");
        let rows: [(&str, State, Spoil); 11] = [
            ("reachable", State::Failed, |seen| seen[1].status = Err("refused".to_owned())),
            ("reachable", State::Warning, |seen| seen[1].url = None),
            ("leader", State::Failed, |seen| seen[2] = node(3, 0, |status| status["leader_id"] = 3.into())),
            ("leader", State::Failed, |seen| {
                *seen = vec![node(1, 0, |status| status["leader_id"] = Value::Null)];
            }),
            ("quorum", State::Warning, |seen| {
                seen[0] = node(1, 0, |status| status["members"][2]["answers"] = false.into());
            }),
            ("quorum", State::Failed, |seen| {
                seen[0] = node(1, 0, |status| {
                    status["members"][1]["answers"] = false.into();
                    status["members"][2]["answers"] = false.into();
                });
            }),
            ("versions", State::Warning, |seen| seen[1] = node(2, 0, |status| status["version"] = "9.9.9".into())),
            ("clocks", State::Warning, |seen| seen[1].offset_ms = Some(2_000)),
            ("clocks", State::Failed, |seen| seen[1].offset_ms = Some(-20_000)),
            ("lag", State::Warning, |seen| seen[0] = node(1, 0, |status| status["applied_revision"] = 5_000.into())),
            ("certificate", State::Warning, |seen| {
                seen[2] = node(3, 0, |status| status["certificates"][0]["not_after"] = "2026-01-10T00:00:00Z".into());
            }),
        ];
        for (check, state, spoil) in rows {
            let mut seen = healthy();
            spoil(&mut seen);
            assert_eq!(worst(&seen, NOW).get(check), Some(&state), "{check}: {seen:?}");
        }
        assert_eq!(worst(&healthy(), NOW + 5 * 366 * 86_400)["certificate"], State::Failed);
    }

    #[test]
    fn pods_that_are_old_gone_or_reject_something_are_named() {
        let pod = |change: fn(&mut Value)| {
            let mut pod = json!({"pod_id": "a", "state": "connected", "version": env!("CARGO_PKG_VERSION"), "lag": 0,
                "staleness_ms": 10, "rejected": []});
            change(&mut pod);
            check_fleet(&json!({"pods": [pod], "unreachable_nodes": []})).into_iter().map(|it| it.state).max()
        };
        assert_eq!(pod(|_| {}), Some(State::Ok));
        assert_eq!(pod(|pod| pod["staleness_ms"] = 90_000.into()), Some(State::Warning));
        assert_eq!(pod(|pod| pod["staleness_ms"] = 900_000.into()), Some(State::Failed));
        assert_eq!(pod(|pod| pod["state"] = "gone".into()), Some(State::Warning));
        assert_eq!(pod(|pod| pod["version"] = "0.0.1".into()), Some(State::Warning));
        let rejects = |pod: &mut Value| pod["rejected"] = json!([{"resource": "tenants/acme", "reason": "no key"}]);
        assert_eq!(pod(rejects), Some(State::Failed));
        let none = check_fleet(&json!({"pods": [], "unreachable_nodes": [2]}));
        assert_eq!(none.len(), 2);
    }
}
