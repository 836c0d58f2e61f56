//! `hellojohn audit`: what is on record, and whether it is what it was, on the server or in a file.

mod beginning;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;
use vocab::ChainWalk;

use crate::api::Api;
use crate::args::Connection;
use crate::audit::beginning::{PublishedKeys, Truncation, check_beginning};
use crate::failure::Failure;
use crate::output::{Column, Output, Reader, note, tell};

/// Between two looks for what is new.
const FOLLOW: Duration = Duration::from_secs(1);
const PAGE: u64 = 500;

const COLUMNS: &[Column] = &[
    ("SEQ", "/seq"),
    ("TIME", "/time"),
    ("ACTION", "/action"),
    ("RESOURCE", "/resource"),
    ("ACTOR", "/actor/id"),
    ("FROM", "/source_address"),
    ("REVISION", "/revision"),
    ("CODE", "/code"),
];

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Who did what, the oldest first
    Logs(Box<LogsArgs>),
    /// Check the chain of records: the server's, or that of an exported file
    Verify {
        /// JSON lines as `GET /audit/logs` exports them, the oldest first; `-` reads stdin. No server is asked
        #[arg(long)]
        file: Option<PathBuf>,
        /// The global keys as `hellojohn key list --global -o json` shows them: with --file, the first record must be number 1, or
        /// one of these keys signs for the removal of those before it
        #[arg(long, requires = "file")]
        keys: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// An administrator's id, or `system`
    #[arg(long)]
    actor: Option<String>,
    /// Such as `tenant.update`; `client.*` takes all that begin so
    #[arg(long)]
    action: Option<String>,
    /// Such as `tenants/acme`; also takes what lies below it
    #[arg(long)]
    resource: Option<String>,
    #[arg(long)]
    tenant: Option<String>,
    /// Of what was refused, such as `forbidden`
    #[arg(long)]
    code: Option<String>,
    /// A time (RFC 3339)
    #[arg(long)]
    since: Option<String>,
    #[arg(long)]
    until: Option<String>,
    #[arg(long)]
    since_seq: Option<u64>,
    #[arg(long)]
    until_seq: Option<u64>,
    /// Print a JSON line per record, and go on printing what comes
    #[arg(long)]
    follow: bool,
}

impl LogsArgs {
    fn query(&self, limit: u64, cursor: Option<&str>) -> Vec<(String, String)> {
        let numbers = [self.since_seq, self.until_seq].map(|number| number.map(|number| number.to_string()));
        let [since_seq, until_seq] = numbers;
        let given = [
            ("actor", self.actor.clone()),
            ("action", self.action.clone()),
            ("resource", self.resource.clone()),
            ("tenant", self.tenant.clone()),
            ("code", self.code.clone()),
            ("since", self.since.clone()),
            ("until", self.until.clone()),
            ("since_seq", since_seq),
            ("until_seq", until_seq),
            ("order", Some("oldest".to_owned())),
            ("limit", Some(limit.to_string())),
            ("cursor", cursor.map(ToOwned::to_owned)),
        ];
        given.into_iter().filter_map(|(name, value)| value.map(|value| (name.to_owned(), value))).collect()
    }
}

pub(crate) async fn run(connection: &Connection, command: Command) -> Result<(), Failure> {
    match command {
        Command::Logs(args) => logs(connection, &args).await,
        Command::Verify { file: Some(file), keys } => {
            verify_file(Output::new(connection.output), &file, keys.as_deref())
        }
        Command::Verify { file: None, .. } => {
            let api = Api::connect(connection).await?;
            let report = api.get(&["audit", "verify"]).await?;
            api.output.document(&report)?;
            if report["valid"] == Value::Bool(true) { Ok(()) } else { Err(Failure::Different) }
        }
    }
}

async fn logs(connection: &Connection, args: &LogsArgs) -> Result<(), Failure> {
    let mut api = Api::connect(connection).await?;
    let mut items = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut page = match api.get_with(&["audit", "logs"], &args.query(PAGE, cursor.as_deref())).await {
            // Who follows outlives a restart of the server, and its own token.
            Err(Failure::Unreachable { .. }) if args.follow => {
                api = Api::reconnect(connection).await?;
                continue;
            }
            Err(Failure::Problem(problem)) if args.follow && problem.status == 401 => {
                api = Api::connect(connection).await?;
                continue;
            }
            page => page?,
        };
        if page["complete"] == Value::Bool(false) {
            note("This node is still getting older records from its peers; ask another one for all of them.");
        }
        if let Some(Value::Array(more)) = page.pointer_mut("/items").map(Value::take) {
            items.extend(more);
        }
        let next = page["next_cursor"].as_str().map(ToOwned::to_owned);
        if args.follow {
            // Where the next look goes on: behind everything that was shown.
            let seen = items.last().and_then(|last| last["seq"].as_u64()).map(|seq| seq.to_string());
            for item in std::mem::take(&mut items) {
                if tell(item)? == Reader::Gone {
                    return Ok(());
                }
            }
            let is_last = next.is_none();
            cursor = next.or(seen).or(cursor);
            if is_last {
                tokio::time::sleep(FOLLOW).await;
            }
            continue;
        }
        match next {
            Some(next) => cursor = Some(next),
            None => return api.output.list(&items, COLUMNS),
        }
    }
}

/// Every line against its own hash and the line before it. That the file ends where the chain does, only a server knows.
fn verify_file(output: Output, file: &Path, keys: Option<&Path>) -> Result<(), Failure> {
    let open =
        |path: &Path| std::fs::File::open(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())));
    let keys = keys.map(|path| PublishedKeys::read(open(path)?, path)).transpose()?;
    let reader: Box<dyn std::io::Read> =
        if file.as_os_str() == "-" { Box::new(std::io::stdin()) } else { Box::new(open(file)?) };
    let mut walk = ChainWalk::default();
    let (mut records, mut first, mut truncation) = (0_u64, None, None);
    let broken = |at: u64, why: String| {
        output.document(&serde_json::json!({ "valid": false, "broken_at": at, "why": why }))?;
        Err(Failure::Different)
    };
    for line in BufReader::new(reader).lines() {
        let line = line.map_err(anyhow::Error::from)?;
        match walk.step(&line) {
            Ok(link) => {
                records += 1;
                first.get_or_insert(link);
                if let Some(found) = Truncation::of(&line) {
                    truncation = Some(found);
                }
            }
            Err(why) => {
                let at = walk.last().map_or(first.map_or(1, |first| first.seq), |last| last.seq + 1);
                return broken(at, why.to_string());
            }
        }
    }
    let beginning = match (first, &keys) {
        (Some(first), Some(keys)) => match check_beginning(first, truncation.as_ref(), keys) {
            Ok(beginning) => beginning,
            Err(why) => return broken(first.seq, why),
        },
        (Some(first), None) if first.seq > 1 => "not checked: give --keys",
        _ => "whole",
    };
    let last = walk.last();
    output.document(&serde_json::json!({
        "valid": true,
        "records": records,
        "first_seq": first.map(|first| first.seq),
        "beginning": beginning,
        "last_seq": last.map(|last| last.seq),
        "last_hash": last.map(|last| last.hash.to_string()),
    }))
}
