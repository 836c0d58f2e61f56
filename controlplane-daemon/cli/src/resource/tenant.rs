//! `hellojohn tenant`.

mod mail;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use self::mail::SmtpFlags;
use super::Precondition;
use crate::api::Api;
use crate::document::{Fields, FileArg, merge};
use crate::failure::Failure;
use crate::output::Column;
use crate::private_file;

const COLUMNS: &[Column] = &[
    ("SLUG", "/slug"),
    ("NAME", "/display_name"),
    ("STATUS", "/status"),
    ("DATABASE", "/settings/database/configured"),
    ("ALGORITHM", "/settings/signing_algorithm"),
    ("CREATED", "/created_at"),
    ("REVISION", "/revision"),
];

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// All tenants
    List,
    /// One tenant
    Get { slug: String },
    /// Create a tenant; its first signing key is made with it
    Create {
        /// The tenant's name in URLs (may stand in the document instead)
        slug: Option<String>,
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        file: FileArg,
    },
    /// Change what flags name, or replace the whole with -f
    Update {
        slug: String,
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        file: FileArg,
        #[command(flatten)]
        precondition: Precondition,
    },
    /// Delete a tenant with its clients, scopes and keys; its database is not touched
    Delete {
        slug: String,
        #[command(flatten)]
        precondition: Precondition,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Flags {
    #[arg(long)]
    display_name: Option<String>,
    #[arg(long, value_parser = ["active", "suspended"])]
    status: Option<String>,
    /// The tenant's PostgreSQL, postgres://…; better in HJ_DATABASE_DSN or a file, where `ps` does not show it
    #[arg(long, env = "HJ_DATABASE_DSN", hide_env_values = true, value_name = "DSN")]
    database_dsn: Option<String>,
    /// A file that holds the DSN
    #[arg(long, value_name = "FILE", conflicts_with = "database_dsn")]
    database_dsn_file: Option<PathBuf>,
    /// Connections that one pod may open
    #[arg(long, value_name = "N")]
    max_connections: Option<u32>,
    #[arg(long, value_parser = ["path", "host"])]
    issuer_mode: Option<String>,
    /// A host name whose requests are this tenant's; repeat for more, '' for none
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// Whether people may create their own accounts
    #[arg(long, value_name = "BOOL")]
    registration_enabled: Option<bool>,
    /// What new signing keys are made for
    #[arg(long, value_parser = ["ES256", "EdDSA", "RS256"])]
    signing_algorithm: Option<String>,
    /// A lifetime, such as access_token=600; repeat for more
    #[arg(long = "lifetime", value_name = "NAME=SECONDS", value_parser = lifetime)]
    lifetimes: Vec<(String, u32)>,
    /// Requests of the tenant that each pod answers in a second
    #[arg(long, value_name = "N")]
    rate_limit: Option<u32>,
    /// Requests that may come at once after a quiet while
    #[arg(long, value_name = "N")]
    rate_limit_burst: Option<u32>,
    /// As many requests as the pods can answer
    #[arg(long, conflicts_with_all = ["rate_limit", "rate_limit_burst"])]
    no_rate_limit: bool,
    /// An image that every page shows in place of the tenant's name
    #[arg(long, value_name = "URL")]
    logo_uri: Option<String>,
    /// Of the buttons, such as #2346c4
    #[arg(long, value_name = "COLOR")]
    accent_color: Option<String>,
    #[command(flatten)]
    smtp: SmtpFlags,
    /// The pods' mail server, if they have one
    #[arg(long, conflicts_with = "SmtpFlags")]
    no_smtp: bool,
}

fn lifetime(text: &str) -> Result<(String, u32), String> {
    let (name, secs) = text.split_once('=').ok_or("want NAME=SECONDS")?;
    let name = name.strip_suffix("_secs").unwrap_or(name);
    Ok((format!("{name}_secs"), secs.parse().map_err(|_| "the seconds must be a whole number")?))
}

impl Flags {
    fn fields(self) -> Result<Fields, Failure> {
        let dsn = match (self.database_dsn, &self.database_dsn_file) {
            (Some(dsn), _) => Some(dsn),
            (None, Some(file)) => Some(private_file::read(file)?),
            (None, None) => None,
        };
        let database = Fields::default().set("dsn", dsn).set("max_connections", self.max_connections);
        let lifetimes =
            self.lifetimes.into_iter().fold(Fields::default(), |fields, (name, secs)| fields.set(&name, Some(secs)));
        let rate_limit =
            Fields::default().set("requests_per_second", self.rate_limit).set("burst", self.rate_limit_burst);
        let smtp = self.smtp.fields(|name| std::env::var(name).ok())?;
        let branding = Fields::default().set("logo_uri", self.logo_uri).set("accent_color", self.accent_color);
        let settings = Fields::default()
            .nest("branding", branding)
            .nest("rate_limit", rate_limit)
            .set("rate_limit", self.no_rate_limit.then_some(Value::Null))
            .nest("smtp", smtp)
            .set("smtp", self.no_smtp.then_some(Value::Null))
            .nest("database", database)
            .set("issuer_mode", self.issuer_mode)
            .set_list("hosts", self.hosts)
            .set("registration_enabled", self.registration_enabled)
            .nest("lifetimes", lifetimes)
            .set("signing_algorithm", self.signing_algorithm);
        Ok(Fields::default()
            .set("display_name", self.display_name)
            .set("status", self.status)
            .nest("settings", settings))
    }
}

pub(crate) async fn run(api: &Api, command: Command) -> Result<(), Failure> {
    match command {
        Command::List => api.output.list(&api.list(&["tenants"]).await?, COLUMNS),
        Command::Get { slug } => api.output.document(&api.get(&["tenants", &slug]).await?),
        Command::Create { slug, flags, file } => {
            let mut body = file.merged(flags.fields()?.set("slug", slug))?;
            if body.get("display_name").is_none() {
                let name = body.get("slug").cloned().unwrap_or_default();
                merge(&mut body, json!({ "display_name": name }));
            }
            super::create(api, &["tenants"], body).await
        }
        Command::Update { slug, flags, file, precondition } => {
            let whole = file.file.is_some();
            super::update(api, &["tenants", &slug], file.merged(flags.fields()?)?, whole, precondition).await
        }
        Command::Delete { slug, precondition } => super::delete(api, &["tenants", &slug], precondition).await,
    }
}
