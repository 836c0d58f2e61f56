//! `hellojohn cluster`: how the control plane is, and who is a member.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{Api, Change};
use crate::backup;
use crate::failure::Failure;
use crate::output::Column;

const MEMBERS: &[Column] = &[
    ("ID", "/id"),
    ("ROLE", "/role"),
    ("LEADS", "/leads"),
    ("ANSWERS", "/answers"),
    ("LAG", "/lag"),
    ("ADDRESS", "/peer_addr"),
    ("SOURCE", "/source"),
    ("VERSION", "/version"),
    ("LAST SEEN", "/last_seen"),
];
const PAUSE: Duration = Duration::from_millis(300);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Download a snapshot of everything, to restore a cluster from
    Snapshot {
        /// Where to write it; readable by you alone
        file: PathBuf,
    },
    /// Go on with one node when the majority is lost: `controlplane-daemon recover`, on the machine of that node
    Recover {
        /// What the daemon is started with, and --yes
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Who leads, how far each log has come, who is a member
    Status,
    /// Every member: voter or learner, where it is, since when it was not heard
    Members,
    /// Add a node: it gets the log, and votes once promoted
    Add {
        /// A number, or a name that ends in one
        id: String,
        /// host:port at which peers reach it
        peer_addr: String,
        /// Promote it as soon as it has caught up
        #[arg(long)]
        voter: bool,
    },
    /// Let a learner vote that has caught up
    Promote { id: String },
    /// Let a voter vote no more; it goes on getting the log
    Demote {
        id: String,
        #[command(flatten)]
        force: Force,
    },
    /// Take a node out of the cluster
    Remove {
        id: String,
        #[command(flatten)]
        force: Force,
    },
    /// Put a node in the place of a dead one: added, and once it has caught up the other is removed in the same step
    Replace {
        /// The one that goes
        old: String,
        /// The one that comes
        id: String,
        /// host:port at which peers reach the one that comes
        peer_addr: String,
        /// How long to wait until it has caught up
        #[arg(long, value_name = "SECONDS", default_value_t = 120)]
        timeout: u64,
    },
    /// Give leadership to another voter
    Transfer {
        /// To whom [default: the voter that is best placed]
        to: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Force {
    /// Also when the voters that answer would be no majority: the cluster then waits for those that do not
    #[arg(long)]
    force: bool,
}

impl Force {
    fn query(&self) -> Vec<(String, String)> {
        if self.force { vec![("force".to_owned(), "true".to_owned())] } else { Vec::new() }
    }
}

pub(crate) async fn run(api: &Api, command: Command) -> Result<(), Failure> {
    match command {
        Command::Snapshot { file } => backup::snapshot(api, &file).await,
        Command::Recover { args } => Err(backup::recover(&args)),
        Command::Status => api.output.document(&api.get(&["cluster", "status"]).await?),
        Command::Members => members(api).await,
        Command::Add { id, peer_addr, voter } => {
            let role = if voter { "voter" } else { "learner" };
            let body = json!({ "id": id, "peer_addr": peer_addr, "role": role });
            change(api, Method::POST, &["cluster", "members"], Some(body), &[], "added").await
        }
        Command::Promote { id } => {
            let body = json!({ "role": "voter" });
            change(api, Method::PATCH, &["cluster", "members", &id], Some(body), &[], "promoted").await
        }
        Command::Demote { id, force } => {
            let body = json!({ "role": "learner" });
            let path = ["cluster", "members", &id];
            change(api, Method::PATCH, &path, Some(body), &force.query(), "demoted").await
        }
        Command::Remove { id, force } => {
            let path = ["cluster", "members", &id];
            change(api, Method::DELETE, &path, None, &force.query(), &format!("Node {id} is removed.")).await
        }
        Command::Replace { old, id, peer_addr, timeout } => {
            replace(api, &old, &id, &peer_addr, Duration::from_secs(timeout)).await
        }
        Command::Transfer { to } => {
            let body = json!({ "to": to });
            change(api, Method::POST, &["cluster", "transfer-leader"], Some(body), &[], "transferred").await
        }
    }
}

async fn members(api: &Api) -> Result<(), Failure> {
    let members = api.get(&["cluster", "members"]).await?;
    if api.output.is_table() {
        let items = members.pointer("/items").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        return api.output.list(items, MEMBERS);
    }
    api.output.document(&members)
}

async fn change(
    api: &Api,
    method: Method,
    path: &[&str],
    body: Option<Value>,
    query: &[(String, String)],
    done: &str,
) -> Result<(), Failure> {
    let answer = api.change_with(query, Change { method, path, body, if_match: None }).await?;
    api.output.answer(&answer, done)
}

/// The cluster does it by itself once the new node is added; this only waits.
async fn replace(api: &Api, old: &str, id: &str, peer_addr: &str, timeout: Duration) -> Result<(), Failure> {
    let body = json!({ "id": id, "peer_addr": peer_addr, "role": "voter", "replaces": old });
    let path = ["cluster", "members"];
    api.change(Change { method: Method::POST, path: &path, body: Some(body), if_match: None }).await?;
    let ordinal = id.rsplit_once('-').map_or(id, |(_, ordinal)| ordinal).parse::<u64>().ok();
    let deadline = Instant::now() + timeout;
    loop {
        // In the middle of it leadership may be elsewhere for a moment.
        if let Ok(members) = api.get(&path).await {
            let items = members.pointer("/items").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let it = items.iter().find(|item| item.pointer("/id").and_then(Value::as_u64) == ordinal);
            if let Some(it) = it.filter(|it| it.pointer("/role").and_then(Value::as_str) == Some("voter")) {
                return api.output.document(it);
            }
        }
        if Instant::now() >= deadline {
            return Err(anyhow::anyhow!(
                "node {id} is added and will replace node {old} once it has caught up; it has not yet"
            )
            .into());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
