//! The settings of `controlplane-daemon`: read, judged all at once, and typed, so that nothing later can find one wrong.
//!
//! ```text
//!   flag > environment > TOML file > default ──gather──▶ texts ──judge──▶ Settings | every problem in one message
//! ```

mod catalogue;
mod judge;
mod reference;
mod sources;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use telemetry::started_with::Variables;

use telemetry::{Filter, Format, Traces};
use transport::forwarded::TrustedProxies;
use transport::material::Files;
use vocab::{Keyring, NodeId, Secret};

use crate::credential::Credential;
use crate::discovery::Discovery;
use crate::gitops;
use crate::membership::{Admission, Bootstrap};
use crate::offline::{Consent, Task};
use crate::oidc::OidcSettings;
use crate::sinks::Place;
use crate::tls::TlsSettings;
pub use reference::reference;
use sources::Environment;

/// `EX_CONFIG` of sysexits.h.
pub const EXIT_CONFIG: u8 = 78;

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    Serve(Box<Settings>),
    /// To the data of a node that does not run.
    Offline(Task, Box<Settings>),
    /// By the process that runs here with the same settings.
    HandOver(Box<Settings>, Duration),
    /// Text for stdout and nothing else: `config --print`, `--help`, `--version`.
    Print(String),
}

#[derive(Debug)]
pub struct Settings {
    pub node_id: NodeId,
    pub raft_addr: SocketAddr,
    pub watch_addr: SocketAddr,
    pub admin_addr: SocketAddr,
    pub ops_addr: SocketAddr,
    /// `None`: derived from the bound peer listener.
    pub advertise_addr: Option<String>,
    pub advertise_admin_url: Option<String>,
    pub bootstrap: Bootstrap,
    pub admission: Admission,
    pub discovery: Discovery,
    pub peers: BTreeMap<NodeId, String>,
    pub data_dir: PathBuf,
    pub keyring: Keyring,
    pub cluster_hmac_secrets: Vec<Secret<String>>,
    pub watch_token: Option<Secret<String>>,
    pub audit_api_token: Option<Secret<String>>,
    pub audit_sinks: Vec<Place>,
    pub bootstrap_admin_credential: Option<Credential>,
    pub tls: Option<TlsSettings>,
    /// `None`: the admin API speaks plain HTTP.
    pub admin_tls: Option<Files>,
    pub admin_oidc: Option<OidcSettings>,
    pub events_heartbeat: Duration,
    pub trusted_proxies: TrustedProxies,
    pub heartbeat: Duration,
    pub election_timeout_min: Duration,
    pub election_timeout_max: Duration,
    pub snapshot_every: u64,
    pub follower_writes: FollowerWrites,
    pub log_format: Format,
    pub log_level: Filter,
    /// `None`: no spans are made.
    pub traces: Option<Traces>,
    /// How long the node, not ready any more, goes on taking requests.
    pub drain: Duration,
    pub addresses_file: Option<PathBuf>,
    pub gitops: Option<gitops::Settings>,
    pub fs_projection: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowerWrites {
    /// One hop to the leader, on the client's behalf.
    Forward,
    /// 307 to the leader's admin URL.
    Redirect,
}

/// Everything that is wrong with the settings. Names settings, never a secret's value.
#[derive(Debug, thiserror::Error)]
#[error("the settings are wrong:\n  {}", problems.join("\n  "))]
pub struct SettingsError {
    pub problems: Vec<String>,
}

/// Reads the process's own arguments and environment.
pub fn from_process() -> Result<Invocation, SettingsError> {
    read(std::env::args_os(), &|name| std::env::var_os(name))
}

/// Where the environment may hold secrets.
pub fn variables_of_secrets() -> impl Iterator<Item = Variables> {
    let names = catalogue::ALL.iter().filter(|setting| setting.is_secret()).flat_map(catalogue::Setting::variables);
    // A name's value counts before its file, and both before the setting's next name.
    names.map(|name| Variables { file: format!("{name}_FILE"), values: vec![name], other_files: Vec::new() })
}

pub fn read(args: impl IntoIterator<Item = OsString>, env: Environment<'_>) -> Result<Invocation, SettingsError> {
    let matches = match command_line().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => return Ok(Invocation::Print(error.to_string())),
        Err(error) => return Err(SettingsError { problems: vec![error.to_string().trim_end().to_owned()] }),
    };
    let flags = |flag: &str| matches.get_one::<String>(flag).cloned();
    let gathered = sources::gather(&flags, env);
    let printed = print(&gathered.values);
    let settings = judge::judge(gathered).map_err(|problems| SettingsError { problems })?;
    Ok(match matches.subcommand_name() {
        Some("config") => Invocation::Print(printed),
        Some("recover") => {
            let yes = matches.subcommand_matches("recover").is_some_and(|given| given.get_flag("yes"));
            Invocation::Offline(Task::Recover(if yes { Consent::Given } else { Consent::Asked }), Box::new(settings))
        }
        Some("restore") => {
            let given = matches.subcommand_matches("restore").and_then(|given| given.get_one::<PathBuf>("from"));
            let from = given.expect("clap demands --from").clone();
            Invocation::Offline(Task::Restore { from }, Box::new(settings))
        }
        Some("hand-over") => {
            let given = matches.subcommand_matches("hand-over").and_then(|given| given.get_one::<u64>("linger-secs"));
            let linger = given.copied().expect("clap gives the default");
            Invocation::HandOver(Box::new(settings), Duration::from_secs(linger))
        }
        _ => Invocation::Serve(Box::new(settings)),
    })
}

fn command_line() -> clap::Command {
    let arg = |flag: &'static str, help: String| {
        clap::Arg::new(flag).long(flag).help(help).global(true).value_name("VALUE").allow_hyphen_values(true)
    };
    let mut command = clap::Command::new("controlplane-daemon")
        .version(env!("CARGO_PKG_VERSION"))
        .about("HelloJohn's control plane: the only writer of its configuration")
        .arg(arg("config", "TOML file with settings [env: HJ_CONFIG]".to_owned()).value_name("FILE"))
        .subcommand(
            clap::Command::new("config")
                .about("Shows the effective settings, secrets hidden")
                .arg(clap::Arg::new("print").long("print").action(clap::ArgAction::SetTrue).required(true)),
        )
        .subcommand(
            clap::Command::new("recover")
                .about("Goes on with this node alone when the majority is lost for good; the node must not run")
                .arg(clap::Arg::new("yes").long("yes").help("Without asking").action(clap::ArgAction::SetTrue)),
        )
        .subcommand(
            clap::Command::new("hand-over")
                .about("Has the node that runs here give leadership away, if it leads; what a container does before it stops")
                .arg(
                    clap::Arg::new("linger-secs")
                        .long("linger-secs")
                        .help("Then waits for so long, for balancers to notice that the node goes")
                        .value_name("SECONDS")
                        .value_parser(clap::value_parser!(u64).range(..=300))
                        .default_value("0"),
                ),
        )
        .subcommand(
            clap::Command::new("restore").about("Makes a new cluster of a snapshot, in an empty --data-dir").arg(
                clap::Arg::new("from")
                    .long("from")
                    .help("The snapshot file")
                    .value_name("FILE")
                    .value_parser(clap::value_parser!(PathBuf))
                    .required(true),
            ),
        );
    for setting in catalogue::ALL {
        let variables = setting.variables().join(", ");
        let default = setting.default.map(|text| format!(" [default: {text}]")).unwrap_or_default();
        let flag = arg(setting.flag, format!("{} [env: {variables}]{default}", setting.help));
        command = command.arg(match setting.alone {
            Some(meant) => flag.num_args(0..=1).require_equals(true).default_missing_value(meant),
            None => flag,
        });
        if let Some(file_flag) = setting.file_flag {
            command = command.arg(arg(file_flag, format!("File that holds --{}", setting.flag)).value_name("FILE"));
        }
    }
    command
}

/// The effective settings as TOML that could be given back with `--config`, but for the secrets.
fn print(values: &BTreeMap<&'static str, sources::Given>) -> String {
    let mut text = String::new();
    for setting in catalogue::ALL {
        let key = setting.key();
        let line = match values.get(setting.flag) {
            Some(given) if setting.is_secret() => format!("# {key} = (hidden)  # {}", given.origin),
            Some(given) => format!("{key} = {}  # {}", toml::Value::String(given.text.clone()), given.origin),
            None => format!("# {key} is not set"),
        };
        let _ = writeln!(text, "{line}");
    }
    text
}

#[cfg(test)]
mod tests;
