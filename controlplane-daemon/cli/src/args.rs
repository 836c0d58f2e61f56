//! Everything that can be typed, and which module carries it out.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use vocab::Secret;

use crate::api::{Api, Lasting};
use crate::failure::{EXIT_CODES, Failure};
use crate::output::{Format, say};
use crate::resource::{admin, client, key, scope, settings, tenant};
use crate::{apply, audit, backup, cluster, dev, doctor, events, fleet, import, login, private_file, token};

/// Operate HelloJohn: tenants, clients, scopes, keys and administrators, through the admin API.
#[derive(Debug, Parser)]
#[command(name = "hellojohn", version, propagate_version = true, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, Default, ClapArgs)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Connection {
    /// The profile to use (made by `hellojohn login`)
    #[arg(long, global = true, env = "HJ_PROFILE", value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// The admin API's address [default: the profile's, else http://127.0.0.1:7200]
    #[arg(long, global = true, env = "HJ_SERVER", value_name = "URL")]
    pub(crate) server: Option<String>,
    /// An admin credential (hja_…); better in HJ_CREDENTIAL or a file, where `ps` does not show it
    #[arg(long, global = true, env = "HJ_CREDENTIAL", hide_env_values = true, value_name = "CREDENTIAL")]
    pub(crate) credential: Option<String>,
    /// A file that holds the credential
    #[arg(long, global = true, env = "HJ_CREDENTIAL_FILE", value_name = "FILE", conflicts_with = "credential")]
    pub(crate) credential_file: Option<PathBuf>,
    /// PEM file of the authorities that the server's certificate is signed by, instead of the system's
    #[arg(long, global = true, env = "HJ_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// How to print answers
    #[arg(short, long, global = true, env = "HJ_OUTPUT", value_enum, default_value_t)]
    pub(crate) output: Format,
    /// After a change, wait until every connected pod has it
    #[arg(long, global = true, value_enum, value_name = "FOR")]
    pub(crate) wait: Option<Wait>,
    /// How long --wait waits
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub(crate) wait_timeout: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wait {
    Fleet,
}

impl Connection {
    pub(crate) fn credential(&self) -> Result<Option<Secret<String>>, Failure> {
        match (&self.credential, &self.credential_file) {
            (Some(credential), _) => Ok(Some(Secret::new(credential.trim().to_owned()))),
            (None, Some(file)) => Ok(Some(Secret::new(private_file::read(file)?.trim().to_owned()))),
            (None, None) => Ok(None),
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything on this machine: control plane, data plane, a private PostgreSQL, a demo tenant
    Dev(Box<dev::DevArgs>),
    /// Check an admin credential, or sign in at an OpenID Connect issuer, and keep it as a profile
    Login(Box<login::LoginArgs>),
    /// Customers
    #[command(subcommand)]
    Tenant(Box<tenant::Command>),
    /// A tenant's OAuth clients
    #[command(subcommand)]
    Client(Box<client::Command>),
    /// Scopes that a tenant defines beside the standard ones
    #[command(subcommand)]
    Scope(Box<scope::Command>),
    /// Signing keys, a tenant's or the global ones
    #[command(subcommand)]
    Key(Box<key::Command>),
    /// Credentials of the admin API
    #[command(subcommand)]
    Admin(Box<admin::Command>),
    /// What is set for the whole installation: key rotation, staleness, the fleet
    #[command(subcommand)]
    Settings(settings::Command),
    /// Make tenants, clients and scopes what files say
    Apply(Box<apply::ApplyArgs>),
    /// Show how files differ from what there is
    Diff(Box<apply::Documents>),
    /// Write the whole configuration to a file, secrets sealed
    Export(backup::ExportArgs),
    /// Put back what an export holds, or bring over a folder: what --fs-projection writes, or HelloJohn v1's files
    Import(import::ImportArgs),
    /// The control plane itself
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// What was done and what was turned away
    #[command(subcommand)]
    Audit(audit::Command),
    /// Print what changes, as it changes, a JSON line each
    Events {
        /// Everything after this revision first
        #[arg(long)]
        since: Option<u64>,
    },
    /// Look at every node, clock, certificate and pod, and say what is wrong; exit code 9 when something is
    Doctor,
    /// The data plane's pods, and how far each has come
    Fleet(fleet::FleetArgs),
    /// Get a token as a client would, to try a set-up
    Token(Box<token::TokenArgs>),
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let connection = args.connection;
    let api = async || Api::connect(&connection).await;
    match args.command {
        Command::Dev(dev) => dev::run(*dev).await,
        Command::Login(args) => login::run(&connection, *args).await,
        Command::Tenant(command) => tenant::run(&api().await?, *command).await,
        Command::Client(command) => client::run(&api().await?, *command).await,
        Command::Scope(command) => scope::run(&api().await?, *command).await,
        Command::Key(command) => key::run(&api().await?, *command).await,
        Command::Admin(command) => admin::run(&api().await?, *command).await,
        Command::Settings(command) => settings::run(&api().await?, command).await,
        Command::Apply(args) => apply::apply(&api().await?, *args).await,
        Command::Diff(documents) => apply::diff(&api().await?, *documents).await,
        Command::Export(args) => backup::export(&api().await?, args).await,
        Command::Import(args) => import::run(&mut Lasting::connect(&connection).await?, args).await,
        Command::Cluster(cluster::Command::Recover { args }) => Err(backup::recover(&args)),
        Command::Cluster(command) => cluster::run(&api().await?, command).await,
        Command::Doctor => doctor::run(&api().await?).await,
        Command::Fleet(args) => fleet::run(&api().await?, args).await,
        Command::Audit(command) => audit::run(&connection, command).await,
        Command::Events { since } => events::run(&connection, since).await,
        Command::Token(token) => token::run(&connection, *token).await,
        Command::Completions { shell } => {
            let mut command = <Args as clap::CommandFactory>::command();
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "hellojohn", &mut script);
            say(String::from_utf8_lossy(&script).trim_end())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_tree_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn global_options_stand_anywhere() {
        let args = Args::try_parse_from(["hellojohn", "tenant", "list", "-o", "json", "--wait", "fleet"]).unwrap();
        assert_eq!(args.connection.output, Format::Json);
        assert_eq!(args.connection.wait, Some(Wait::Fleet));
    }
}
