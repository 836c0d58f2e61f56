//! `hellojohn key`: signing keys, which the server makes and nobody can write.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{Api, Change};
use crate::failure::Failure;
use crate::output::{Column, note};
use crate::problem::Problem;

const COLUMNS: &[Column] = &[
    ("KID", "/kid"),
    ("ALGORITHM", "/algorithm"),
    ("STATUS", "/status"),
    ("SINCE", "/status_since"),
    ("CREATED", "/created_at"),
    ("REVISION", "/revision"),
];

/// Whose keys. `--global` wins over a tenant in the environment.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Owner {
    /// A tenant's keys
    #[arg(short, long, env = "HJ_TENANT", value_name = "SLUG")]
    tenant: Option<String>,
    /// The global keys, which sign administrators' tokens
    #[arg(long)]
    global: bool,
}

impl Owner {
    fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        let mut path = match &self.tenant {
            Some(slug) if !self.global => vec!["tenants", slug, "keys"],
            _ => vec!["keys"],
        };
        path.extend(rest);
        path
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// All keys, also those that no longer sign
    List {
        #[command(flatten)]
        owner: Owner,
    },
    /// One key
    Get {
        kid: String,
        #[command(flatten)]
        owner: Owner,
    },
    /// A new key signs from now on; the old one is still published
    Rotate {
        #[command(flatten)]
        owner: Owner,
        /// `publish` first and `activate` later lets verifiers learn the key before it signs
        #[arg(long, value_parser = ["now", "publish", "activate"])]
        step: Option<String>,
        /// Which of the tenant's keys: the one that signs by this algorithm. Usually the one of the tenant's own
        #[arg(long, value_parser = ["ES256", "EdDSA", "RS256", "PS256", "ES384"])]
        algorithm: Option<String>,
    },
    /// Which master keys the stored secrets are sealed with, and which node holds which
    Seals,
    /// Seal every stored secret with the first master key of SECRETBOX_MASTER_KEY
    Reseal {
        /// Though a node does not answer: it must get the key before it starts again
        #[arg(long)]
        force: bool,
    },
    /// A key is no longer published or accepted: what it signed is worthless at once
    Revoke {
        kid: String,
        #[command(flatten)]
        owner: Owner,
    },
}

/// Asks again as long as something moves: the server answers from time to time how far it came.
async fn reseal(api: &Api, force: bool) -> Result<(), Failure> {
    let mut moved = 0;
    loop {
        let body = Some(json!({ "force": force }));
        let change = Change { method: Method::POST, path: &["keys", "reseal"], body, if_match: None };
        let mut answer = api.change(change).await?;
        let number = |name: &str| answer.body.get(name).and_then(Value::as_u64).unwrap_or_default();
        let now = number("moved");
        moved += now;
        let left: u64 = answer
            .body
            .get("left")
            .and_then(Value::as_object)
            .map_or(0, |left| left.values().filter_map(Value::as_u64).sum());
        if left > 0 && now > 0 {
            note(format_args!("{moved} moved, {left} left"));
            continue;
        }
        if let Some(total) = answer.body.get_mut("moved") {
            *total = json!(moved);
        }
        api.output.answer(&answer, "resealed")?;
        return match left {
            0 => Ok(()),
            _ => Err(anyhow::anyhow!("{left} secrets cannot be opened: give this node their master keys").into()),
        };
    }
}

pub(crate) async fn run(api: &Api, command: Command) -> Result<(), Failure> {
    match command {
        Command::List { owner } => api.output.list(&api.list(&owner.path(&[])).await?, COLUMNS),
        Command::Get { kid, owner } => {
            let keys = api.list(&owner.path(&[])).await?;
            if let Some(key) = keys.iter().find(|key| key.get("kid").and_then(Value::as_str) == Some(&kid)) {
                return api.output.document(key);
            }
            let title = format!("there is no key '{kid}'");
            Err(Failure::Problem(Box::new(Problem { status: 404, title, ..Problem::default() })))
        }
        Command::Rotate { owner, step, algorithm } => {
            let named = [("step", step), ("algorithm", algorithm)];
            let members = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
            let body = Value::Object(members.collect());
            let path = owner.path(&["rotate"]);
            let change = Change { method: Method::POST, path: &path, body: Some(body), if_match: None };
            api.output.answer(&api.change(change).await?, "rotated")
        }
        Command::Seals => api.output.document(&api.get(&["keys", "seals"]).await?),
        Command::Reseal { force } => reseal(api, force).await,
        Command::Revoke { kid, owner } => {
            let path = owner.path(&[&kid, "revoke"]);
            let change = Change { method: Method::POST, path: &path, body: None, if_match: None };
            api.output.answer(&api.change(change).await?, "revoked")
        }
    }
}
