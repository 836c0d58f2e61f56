//! `hellojohn settings`: what is set for the whole installation.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::Precondition;
use crate::api::Api;
use crate::document::{Fields, FileArg};
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show them
    Get,
    /// Change what flags name, or replace the whole with -f
    Set {
        #[command(flatten)]
        flags: Box<Flags>,
        #[command(flatten)]
        file: FileArg,
        #[command(flatten)]
        precondition: Precondition,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// Replace the global keys once they have signed for this long; 0 for never
    #[arg(long, value_name = "SECONDS")]
    key_max_age_secs: Option<u32>,
    /// The same for tenants without a policy of their own; 0 for never
    #[arg(long, value_name = "SECONDS")]
    tenant_key_max_age_secs: Option<u32>,
    /// How old a pod's configuration may be before it warns, for tenants without a policy of their own
    #[arg(long, value_name = "SECONDS")]
    stale_warn_after_secs: Option<u32>,
    /// How old a pod's configuration may be before --stale-fail-mode applies
    #[arg(long, value_name = "SECONDS")]
    stale_refuse_after_secs: Option<u32>,
    /// What a pod with too old a configuration does
    #[arg(long, value_enum)]
    stale_fail_mode: Option<FailMode>,
    /// How long a pod that vanished stays listed
    #[arg(long, value_name = "SECONDS")]
    gone_pods_kept_secs: Option<u32>,
    /// How long audit records are kept; 0 for ever
    #[arg(long, value_name = "SECONDS")]
    audit_max_age_secs: Option<u32>,
    /// How much room audit records may take, on each node; 0 for no bound
    #[arg(long, value_name = "BYTES")]
    audit_max_bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum FailMode {
    Serve,
    NotReady,
    Refuse,
}

impl FailMode {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::NotReady => "not_ready",
            Self::Refuse => "refuse",
        }
    }
}

impl From<Flags> for Fields {
    fn from(flags: Flags) -> Self {
        let or_null = |bound: Option<u64>| bound.map(|bound| if bound == 0 { Value::Null } else { bound.into() });
        let policy = |age: Option<u32>| Self::default().set("max_age_secs", or_null(age.map(Into::into)));
        let audit = policy(flags.audit_max_age_secs).set("max_bytes", or_null(flags.audit_max_bytes));
        let staleness = Self::default()
            .set("warn_after_secs", flags.stale_warn_after_secs)
            .set("refuse_after_secs", flags.stale_refuse_after_secs)
            .set("fail_mode", flags.stale_fail_mode.map(FailMode::as_str));
        Self::default()
            .nest("key_rotation", policy(flags.key_max_age_secs))
            .nest("tenant_key_rotation", policy(flags.tenant_key_max_age_secs))
            .nest("staleness", staleness)
            .set("gone_pods_kept_secs", flags.gone_pods_kept_secs)
            .nest("audit", audit)
    }
}

pub(crate) async fn run(api: &Api, command: Command) -> Result<(), Failure> {
    match command {
        Command::Get => api.output.document(&api.get(&["settings"]).await?),
        Command::Set { flags, file, precondition } => {
            let whole = file.file.is_some();
            super::update(api, &["settings"], file.merged((*flags).into())?, whole, precondition).await
        }
    }
}
