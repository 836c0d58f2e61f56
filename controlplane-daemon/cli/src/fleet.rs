//! `hellojohn fleet`: the data plane's pods, waiting for them, and forgetting one.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use crate::api::{Api, Change, Lasting, note_rejecting};
use crate::failure::Failure;
use crate::output::{Column, Reader, note, say, tell};

const COLUMNS: &[Column] = &[
    ("POD", "/pod_id"),
    ("STATE", "/state"),
    ("SINCE", "/since"),
    ("NODE", "/node_id"),
    ("VERSION", "/version"),
    ("ADDRESS", "/address"),
    ("ACKNOWLEDGED", "/acknowledged_revision"),
    ("LAG", "/lag"),
    ("LAG MS", "/lag_ms"),
    ("STALE MS", "/staleness_ms"),
    ("REJECTED", "/rejected"),
];

const CLEAR_SCREEN: &str = "\x1b[2J\x1b[H";

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct FleetArgs {
    /// Look again and again; ends with Ctrl-C
    #[arg(long)]
    watch: bool,
    /// With --watch: seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Wait until every connected pod has a revision; exit code 8 when some have not in time
    Wait {
        revision: u64,
        /// How long to wait
        #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=60))]
        timeout: u32,
    },
    /// Strike off a pod that is gone for good, so that no rotation of keys waits for it
    Forget { pod: String },
}

pub(crate) async fn run(api: &Api, args: FleetArgs) -> Result<(), Failure> {
    match args.command {
        Some(Command::Wait { revision, timeout }) => wait(api, revision, timeout).await,
        Some(Command::Forget { pod }) => {
            let path = ["fleet", &pod];
            let change = Change { method: Method::DELETE, path: &path, body: None, if_match: None };
            api.output.answer(&api.change(change).await?, "forgotten")
        }
        None if args.watch => watch(api, Duration::from_secs(args.interval)).await,
        None => show(api, &api.get(&["fleet"]).await?, "").map(|_| ()),
    }
}

/// `before` is for the terminal.
fn show(api: &Api, fleet: &Value, before: &str) -> Result<Reader, Failure> {
    if !api.output.is_table() {
        return tell(format_args!("{before}{}", api.output.render(fleet)?));
    }
    let table = api.output.render_list(&items(fleet, "/pods"), COLUMNS)?;
    let reader = tell(format_args!("{before}{table}"))?;
    for pod in items(fleet, "/pods") {
        let name = pod.pointer("/pod_id").and_then(Value::as_str).unwrap_or_default();
        let listed = items(&pod, "/rejected");
        for rejected in &listed {
            let text = |pointer| rejected.pointer(pointer).and_then(Value::as_str).unwrap_or_default().escape_debug();
            note(format_args!("{name} cannot use {}: {}", text("/resource"), text("/reason")));
        }
        let all = pod.pointer("/rejected_count").and_then(Value::as_u64).unwrap_or_default();
        let unlisted = all.saturating_sub(listed.len() as u64);
        if unlisted > 0 {
            note(format_args!("{name} cannot use {unlisted} more"));
        }
    }
    let nodes = items(fleet, "/unreachable_nodes");
    if !nodes.is_empty() {
        note(format_args!("Nodes that did not answer, so their pods are not listed: {}", Value::Array(nodes)));
    }
    Ok(reader)
}

fn items(value: &Value, pointer: &str) -> Vec<Value> {
    value.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default()
}

/// A terminal shows the newest picture; anything else gets one after the other, each that differs from the one before.
async fn watch(api: &Api, interval: Duration) -> Result<(), Failure> {
    let is_terminal = std::io::stdout().is_terminal();
    let before = if is_terminal { CLEAR_SCREEN } else { "" };
    let mut last = None;
    loop {
        let fleet = api.get(&["fleet"]).await?;
        if is_terminal || last.as_ref() != Some(&fleet) {
            if show(api, &fleet, before)? == Reader::Gone {
                return Ok(());
            }
            last = Some(fleet);
        }
        tokio::time::sleep(interval).await;
    }
}

async fn wait(api: &Api, revision: u64, timeout: u32) -> Result<(), Failure> {
    let outcome = waited(api, revision, &format!("{timeout}s")).await?;
    if !api.output.is_table() {
        api.output.document(&outcome)?;
    }
    note_all_rejecting(&outcome);
    if let Some(pods) = laggards(&outcome) {
        return Err(Failure::Laggards(pods));
    }
    if api.output.is_table() {
        say(format_args!("every pod has revision {revision}"))?;
    }
    Ok(())
}

/// For what was made before a command of many changes failed: whether the pods have it, if they are to be waited for.
pub(crate) async fn note_reached(server: &mut Lasting<'_>, revision: u64) {
    let Some(timeout) = server.fleet_timeout() else { return };
    let outcome = async { waited(server.api().await?, revision, &timeout).await };
    match outcome.await {
        Ok(outcome) => {
            note_all_rejecting(&outcome);
            match laggards(&outcome) {
                None => note(format_args!("Every connected pod has revision {revision}.")),
                Some(pods) => note(format_args!("These had not seen revision {revision} in time: {pods}")),
            }
        }
        Err(why) => note(format_args!("Whether every connected pod has revision {revision} is not known: {why}")),
    }
}

async fn waited(api: &Api, revision: u64, timeout: &str) -> Result<Value, Failure> {
    let query = [("revision".to_owned(), revision.to_string()), ("timeout".to_owned(), timeout.to_owned())];
    api.get_with(&["fleet", "wait"], &query).await
}

fn note_all_rejecting(outcome: &Value) {
    let rejecting: Vec<_> = items(outcome, "/rejecting").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    if !rejecting.is_empty() {
        note_rejecting(&rejecting.join(","));
    }
}

/// Which pods, and the pods of which nodes, were waited for in vain.
fn laggards(outcome: &Value) -> Option<String> {
    if outcome.pointer("/complete") == Some(&Value::Bool(true)) {
        return None;
    }
    let name = |pod: &Value| pod.pointer("/pod_id").and_then(Value::as_str).map(str::to_owned);
    let pods = items(outcome, "/laggards");
    let nodes = items(outcome, "/unreachable_nodes");
    let named = pods.iter().filter_map(name).chain(nodes.iter().map(|node| format!("node:{node}")));
    Some(named.collect::<Vec<_>>().join(","))
}
