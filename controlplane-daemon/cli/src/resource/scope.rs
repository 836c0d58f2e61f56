//! `hellojohn scope`.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use super::Precondition;
use super::client::Of;
use crate::api::{Api, Change};
use crate::document::{Fields, FileArg, merge};
use crate::failure::Failure;
use crate::output::Column;

const COLUMNS: &[Column] =
    &[("NAME", "/name"), ("DESCRIPTION", "/description"), ("CLAIMS", "/claims"), ("REVISION", "/revision")];

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The scopes that a tenant defines
    List {
        #[command(flatten)]
        of: Of,
    },
    /// One scope
    Get {
        name: String,
        #[command(flatten)]
        of: Of,
    },
    /// Create a scope
    Create {
        /// May stand in the document instead
        name: Option<String>,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        file: FileArg,
    },
    /// Change what flags name, or replace the whole with -f
    Update {
        name: String,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        file: FileArg,
        #[command(flatten)]
        precondition: Precondition,
    },
    /// Delete a scope
    Delete {
        name: String,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        precondition: Precondition,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// Shown on the consent page
    #[arg(long)]
    description: Option<String>,
    /// A user claim that the scope releases; repeat for more, '' for none
    #[arg(long = "claim", value_name = "CLAIM")]
    claims: Vec<String>,
}

impl From<Flags> for Fields {
    fn from(flags: Flags) -> Self {
        Self::default().set("description", flags.description).set_list("claims", flags.claims)
    }
}

pub(crate) async fn run(api: &Api, command: Command) -> Result<(), Failure> {
    match command {
        Command::List { of } => api.output.list(&api.list(&["tenants", of.slug(), "scopes"]).await?, COLUMNS),
        Command::Get { name, of } => api.output.document(&api.get(&["tenants", of.slug(), "scopes", &name]).await?),
        Command::Create { name, of, flags, file } => {
            let body = file.merged(Fields::from(flags).set("name", name))?;
            super::create(api, &["tenants", of.slug(), "scopes"], body).await
        }
        Command::Update { name, of, flags, file, precondition } => {
            let path = ["tenants", of.slug(), "scopes", &name];
            if file.file.is_some() {
                return super::update(api, &path, file.merged(flags.into())?, true, precondition).await;
            }
            merge_and_put(api, &path, Fields::from(flags).into(), precondition).await
        }
        Command::Delete { name, of, precondition } => {
            super::delete(api, &["tenants", of.slug(), "scopes", &name], precondition).await
        }
    }
}

/// Scopes have no PATCH: read, merge, and write only if it is still what was read.
async fn merge_and_put(api: &Api, path: &[&str], flags: Value, precondition: Precondition) -> Result<(), Failure> {
    let mut body = api.get(path).await?;
    let revision = body.get("revision").and_then(Value::as_u64);
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|name, _| matches!(name.as_str(), "description" | "claims"));
    }
    merge(&mut body, flags);
    let if_match = precondition.if_match.or(revision);
    let answer = api.change(Change { method: Method::PUT, path, body: Some(body), if_match }).await?;
    api.output.answer(&answer, "updated")
}
