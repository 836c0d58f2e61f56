//! `hellojohn admin`: who may use the admin API.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Precondition;
use crate::api::Api;
use crate::document::{Fields, FileArg};
use crate::failure::Failure;
use crate::output::Column;

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("ROLE", "/role"),
    ("EXPIRES", "/expires_at"),
    ("CREATED", "/created_at"),
    ("LAST USED", "/last_used_at"),
    ("REVISION", "/revision"),
];

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// All credentials, without their secrets
    List,
    /// One credential, without its secret
    Get { id: String },
    /// Create a credential, shown once
    Create {
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        file: FileArg,
    },
    /// Change what flags name, or replace the whole with -f
    Update {
        id: String,
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        file: FileArg,
        #[command(flatten)]
        precondition: Precondition,
    },
    /// Delete a credential: its tokens stop working
    Delete {
        id: String,
        #[command(flatten)]
        precondition: Precondition,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Flags {
    #[arg(long)]
    name: Option<String>,
    /// owner, operator, auditor, or tenant-admin=SLUG
    #[arg(long, value_parser = role)]
    role: Option<Value>,
    /// When it stops working (RFC 3339)
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
}

fn role(text: &str) -> Result<Value, String> {
    match text.split_once('=') {
        None if matches!(text, "owner" | "operator" | "auditor") => Ok(json!(text)),
        Some(("tenant-admin", slug)) if !slug.is_empty() => Ok(json!({ "tenant-admin": slug })),
        _ => Err("want owner, operator, auditor or tenant-admin=SLUG".to_owned()),
    }
}

impl From<Flags> for Fields {
    fn from(flags: Flags) -> Self {
        Self::default().set("name", flags.name).set("role", flags.role).set("expires_at", flags.expires_at)
    }
}

pub(crate) async fn run(api: &Api, command: Command) -> Result<(), Failure> {
    match command {
        Command::List => api.output.list(&api.list(&["admins"]).await?, COLUMNS),
        Command::Get { id } => api.output.document(&api.get(&["admins", &id]).await?),
        Command::Create { flags, file } => super::create(api, &["admins"], file.merged(flags.into())?).await,
        Command::Update { id, flags, file, precondition } => {
            let whole = file.file.is_some();
            super::update(api, &["admins", &id], file.merged(flags.into())?, whole, precondition).await
        }
        Command::Delete { id, precondition } => super::delete(api, &["admins", &id], precondition).await,
    }
}
