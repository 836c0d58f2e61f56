//! Where a setting's text comes from, by one table: flag, `HJ_` variable, bare variable, TOML key, default.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::Job;

pub(super) struct Definition {
    pub(super) flag: &'static str,
    pub(super) help: &'static str,
    pub(super) default: Option<&'static str>,
    /// A variable without `HJ_` that names it, too.
    pub(super) bare: Option<&'static str>,
    /// Secrets are never printed and also come from a file, by the flag of this name.
    pub(super) file_flag: Option<&'static str>,
}

const fn plain(flag: &'static str, default: Option<&'static str>, help: &'static str) -> Definition {
    Definition { flag, help, default, bare: None, file_flag: None }
}

const fn bare(flag: &'static str, name: &'static str, help: &'static str) -> Definition {
    Definition { flag, help, default: None, bare: Some(name), file_flag: None }
}

const fn secret(flag: &'static str, file_flag: &'static str, name: &'static str, help: &'static str) -> Definition {
    Definition { flag, help, default: None, bare: Some(name), file_flag: Some(file_flag) }
}

pub(super) const TABLE: &[Definition] = &[
    plain("http-addr", Some("0.0.0.0:8080"), "Listener for OAuth, OpenID Connect and pages"),
    plain("tls-addr", None, "The same listener over TLS, beside the plain one"),
    plain("public-tls-cert-file", None, "PEM file of the certificate of --tls-addr"),
    plain("public-tls-key-file", None, "PEM file of that certificate's key"),
    plain("ops-addr", Some("0.0.0.0:8090"), "Listener for /livez, /readyz, /metrics and /debug/config"),
    plain("control-plane", None, "Watch addresses, comma-separated: http(s)://host:7100"),
    secret("watch-token", "watch-token-file", "WATCH_TOKEN", "Bearer token for the watch"),
    secret(
        "secretbox-master-key",
        "secretbox-master-key-file",
        "SECRETBOX_MASTER_KEY",
        "Base64 keys of 32 bytes, comma-separated; the first seals",
    ),
    plain("state-dir", None, "Folder for the sealed copy of the configuration"),
    plain("default-tenant", Some("local"), "Tenant of requests that name none; empty for none"),
    plain("public-url", None, "Base of the issuers; by default http://localhost and the bound port"),
    plain("trusted-proxies", None, "Addresses and networks whose forwarding headers are believed, comma-separated"),
    plain(
        "trusted-proxy-header",
        Some("x-forwarded-for"),
        "The header those proxies write: x-forwarded-for or forwarded",
    ),
    plain(
        "outbound-allowed-networks",
        None,
        "Networks beside the public Internet that addresses registered by clients may lead to, comma-separated",
    ),
    plain("outbound-ca-file", None, "PEM file of authorities trusted beside the system's for such addresses"),
    plain(
        "tls-client-certificates",
        Some("off"),
        "Whether --tls-addr asks clients for a certificate (mutual TLS): off or request",
    ),
    plain("client-ca-file", None, "PEM file of the authorities that clients' certificates are trusted by"),
    plain("client-cert-header", None, "The header in which trusted proxies put the client's certificate"),
    plain("mtls-public-url", None, "Base of the endpoints for clients with certificates, if it is not --public-url"),
    plain("smtp-host", None, "Mail server that mail to users is handed to; absent: none is sent"),
    plain("smtp-port", None, "Port of the mail server; by default the usual one of --smtp-security"),
    plain("smtp-security", Some("starttls"), "How the connection to it is encrypted: starttls, tls or none"),
    plain("smtp-from", None, "Address that mail is from"),
    plain("smtp-username", None, "Account at the mail server"),
    Definition {
        flag: "smtp-password",
        help: "Password of that account",
        default: None,
        bare: None,
        file_flag: Some("smtp-password-file"),
    },
    plain("pod-name", None, "Name of this pod; by default hostname and process id"),
    plain("migrate", Some("auto"), "auto: bring a tenant's schema up to date before its first use; off: refuse"),
    plain("pool-max-per-tenant", Some("10"), "Most connections to one tenant's database"),
    plain("pool-max-total", Some("200"), "Most connections to all databases together"),
    plain("pool-idle-secs", Some("60"), "Connections idle for this long are closed"),
    plain("outbox-every-secs", Some("15"), "How often messages to clients are looked for that another pod left behind"),
    plain("password-hash-concurrency", None, "Passwords hashed at once; by default the number of cores"),
    plain("metrics-tenants", Some("200"), "Tenants that metrics name; all others are counted together"),
    bare("tls-ca-file", "TLS_CA_FILE", "PEM file of the authorities that an https watch is trusted by"),
    bare("tls-cert-file", "TLS_CERT_FILE", "PEM file of the pod's certificate for the watch"),
    bare("tls-key-file", "TLS_KEY_FILE", "PEM file of that certificate's key"),
    plain("log-format", Some("auto"), "auto, human (on stderr) or json (on stdout)"),
    plain("log-level", Some("info"), "error, warn, info, debug, trace, or levels by target such as info,access=info"),
    plain("otlp-endpoint", None, "Send traces to this OTLP/gRPC receiver: http(s)://collector:4317"),
    plain("otlp-sample-ratio", Some("1"), "The part of the traces that begin here which is sent, 0 to 1"),
    plain("drain-secs", Some("0"), "Go on taking requests for this long after being told to stop"),
    plain("addresses-file", None, "JSON file to write the bound addresses to"),
    plain("config", None, "TOML file of settings"),
];

pub(super) fn command() -> Command {
    let mut command = Command::new("dataplane-service")
        .about("HelloJohn data plane: authenticates users, issues and checks tokens")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand(
            Command::new("config")
                .about("Shows the effective settings")
                .arg(Arg::new("print").long("print").action(ArgAction::SetTrue).required(true)),
        );
    for job in Job::ALL {
        let only = Arg::new("tenant").long("tenant").value_name("SLUG");
        command = command.subcommand(Command::new(job.as_str()).about(job.about()).arg(only));
    }
    for setting in TABLE {
        let arg = Arg::new(setting.flag).long(setting.flag).global(true).help(setting.help);
        command = command.arg(arg);
        if let Some(file) = setting.file_flag {
            let arg = Arg::new(file).long(file).global(true).value_name("FILE").help("The same, read from a file");
            command = command.arg(arg);
        }
    }
    command
}

pub(super) fn variable(flag: &str) -> String {
    format!("HJ_{}", flag.replace('-', "_").to_uppercase())
}

pub(super) fn key(flag: &str) -> String {
    flag.replace('-', "_")
}

/// The texts that were found, and what was wrong so far.
#[derive(Debug)]
pub(super) struct Values {
    texts: BTreeMap<&'static str, String>,
    pub(super) problems: Vec<String>,
}

pub(super) fn gather(matches: &ArgMatches, environment: &dyn Fn(&str) -> Option<String>) -> Values {
    let mut values = Values { texts: BTreeMap::new(), problems: Vec::new() };
    let flag = |name: &str| {
        let deepest = matches.subcommand().map_or(matches, |(_, sub)| sub);
        deepest.get_one::<String>(name).or_else(|| matches.get_one::<String>(name)).cloned()
    };
    let config = flag("config").or_else(|| environment("HJ_CONFIG"));
    let mut file = config.map(|path| values.read_toml(&path)).unwrap_or_default();
    for setting in TABLE.iter().filter(|setting| setting.flag != "config") {
        let from_environment =
            |flag: &str, bare: Option<String>| environment(&variable(flag)).or_else(|| environment(&bare?));
        let direct = [
            flag(setting.flag),
            from_environment(setting.flag, setting.bare.map(str::to_owned)),
            file.remove(&key(setting.flag)),
        ];
        let found = if let Some(file_flag) = setting.file_flag {
            let in_files = [
                flag(file_flag),
                from_environment(file_flag, setting.bare.map(|bare| format!("{bare}_FILE"))),
                file.remove(&key(file_flag)),
            ];
            // Within one source the value itself wins over the name of a file; a nearer source over a farther one.
            let nearest = direct.into_iter().zip(in_files).find_map(|(text, path)| text.map(Ok).or(path.map(Err)));
            nearest.and_then(|found| found.map_or_else(|path| values.read_secret(file_flag, &path), Some))
        } else {
            direct.into_iter().flatten().next()
        };
        if let Some(text) = found.or_else(|| setting.default.map(str::to_owned)) {
            values.texts.insert(setting.flag, text);
        }
    }
    values.problems.extend(file.into_keys().map(|key| format!("{key}: no such setting in the file")));
    values
}

impl Values {
    fn read_toml(&mut self, path: &str) -> BTreeMap<String, String> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                self.problems.push(format!("config: {path}: {error}"));
                return BTreeMap::new();
            }
        };
        let table = match text.parse::<toml::Table>() {
            Ok(table) => table,
            Err(error) => {
                // Not the line itself: it may hold a secret.
                self.problems.push(format!("config: {path}: {}", error.message()));
                return BTreeMap::new();
            }
        };
        table.into_iter().filter_map(|(key, value)| Some((key.clone(), self.toml_text(&key, value)?))).collect()
    }

    fn toml_text(&mut self, key: &str, value: toml::Value) -> Option<String> {
        match value {
            toml::Value::String(text) => Some(text),
            toml::Value::Integer(number) => Some(number.to_string()),
            toml::Value::Boolean(truth) => Some(truth.to_string()),
            toml::Value::Array(parts) => {
                let parts: Option<Vec<_>> = parts.into_iter().map(|part| self.toml_text(key, part)).collect();
                parts.map(|parts| parts.join(","))
            }
            _ => {
                self.problems.push(format!("{key}: must be a string, a number or a list of strings"));
                None
            }
        }
    }

    fn read_secret(&mut self, file_flag: &str, path: &str) -> Option<String> {
        let read = std::fs::read_to_string(path).map_err(|error| format!("{file_flag}: {path}: {error}"));
        // Editors end files with a newline; a secret never does.
        self.keep(read).map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Keeps the problem, if it is one.
    pub(super) fn keep<T>(&mut self, outcome: Result<T, String>) -> Option<T> {
        outcome.map_err(|problem| self.problems.push(problem)).ok()
    }

    /// An empty text is the way to say "none".
    pub(super) fn optional<T>(
        &mut self,
        flag: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let outcome = self.texts.get(flag).filter(|text| !text.is_empty()).map(|text| read(text))?;
        self.keep(outcome.map_err(|problem| format!("{flag}: {problem}")))
    }

    pub(super) fn required<T>(
        &mut self,
        flag: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if self.texts.get(flag).is_none_or(String::is_empty) {
            self.problems.push(format!("{flag}: needed (--{flag} or {})", variable(flag)));
            return None;
        }
        self.optional(flag, read)
    }

    /// As a TOML file that could be given back, save for the secrets.
    pub(super) fn print(&self) -> String {
        let mut out = String::new();
        for setting in TABLE.iter().filter(|setting| setting.flag != "config") {
            let key = key(setting.flag);
            let line = match self.texts.get(setting.flag) {
                None => format!("# {key} is not set\n"),
                Some(_) if setting.file_flag.is_some() => format!("# {key} is set, and hidden\n"),
                Some(text) => format!("{key} = {}\n", toml::Value::String(text.clone())),
            };
            out.push_str(&line);
        }
        out
    }
}
