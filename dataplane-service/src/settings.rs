//! What the pod is told: flags, then environment, then a TOML file, then defaults, turned into types that cannot be
//! wrong. All that is wrong is said at once.

mod mail;
mod reference;
mod sources;

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use telemetry::started_with::Variables;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use telemetry::{Filter, Format, Traces};
use tonic::transport::Uri;
use transport::forwarded::TrustedProxies;
use transport::host::Host;
use transport::material::{Files, IdentityFiles};
use url::Url;
use vocab::{Keyring, PodId, Secret, Slug};

use crate::client_certificates::{CertificateHeader, ClientCertificates};
use crate::fetch::address::Reachable;
use crate::mail::SmtpServer;
use crate::store::migrate::Mode;
use crate::store::pool::Limits;
pub use reference::reference;
use sources::Values;

/// Exit code of a process that was given bad settings: EX_CONFIG of sysexits(3).
pub const EX_CONFIG: u8 = 78;

#[derive(Debug)]
pub struct Settings {
    pub http_addr: SocketAddr,
    /// The public listener over TLS, beside the plain one.
    pub public_tls: Option<PublicTls>,
    pub ops_addr: SocketAddr,
    /// Where the watch is served; at least one.
    pub control_plane: Vec<Uri>,
    pub watch_token: Option<Secret<String>>,
    /// For an https watch.
    pub watch_tls: Option<Files>,
    pub keyring: Keyring,
    pub state_dir: Option<PathBuf>,
    pub default_tenant: Option<Slug>,
    /// The base of path-mode issuers, without a trailing slash; by default localhost and the port that was bound.
    pub public_url: Option<Url>,
    pub trusted_proxies: TrustedProxies,
    pub outbound: Outbound,
    pub mutual_tls: MutualTls,
    /// `None`: no mail is sent.
    pub smtp: Option<SmtpServer>,
    pub pod_name: PodId,
    pub migrate: Mode,
    pub pools: Limits,
    /// How often messages to clients are looked for that another pod left behind.
    pub outbox_every: Duration,
    pub password_hash_concurrency: usize,
    /// How many tenants metrics name.
    pub metrics_tenants: usize,
    pub log: Log,
    /// `None`: no spans are made.
    pub traces: Option<Traces>,
    /// How long the pod, not ready any more, goes on taking requests.
    pub drain: Duration,
    pub addresses_file: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub struct PublicTls {
    pub addr: SocketAddr,
    pub files: Files,
}

/// How clients may show certificates (RFC 8705).
#[derive(Clone, Debug)]
pub struct MutualTls {
    /// Of the public listener over TLS.
    pub listener: ClientCertificate,
    pub certificates: ClientCertificates,
    /// In place of `public_url`, for those that show one.
    pub public_url: Option<Url>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificate {
    #[default]
    NotAskedFor,
    AskedFor,
}

/// Requests to addresses that clients registered.
#[derive(Clone, Debug)]
pub struct Outbound {
    pub reachable: Reachable,
    pub authorities: Vec<CertificateDer<'static>>,
}

#[derive(Clone, Debug)]
pub struct Log {
    pub format: Format,
    pub filter: Filter,
}

/// What is done once and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Brings the schemas of tenants' databases up to date.
    Migrate,
    /// Seals what they keep with the first master key.
    Reseal,
}

impl Job {
    const ALL: [Self; 2] = [Self::Migrate, Self::Reseal];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Migrate => "migrate",
            Self::Reseal => "reseal",
        }
    }

    const fn about(self) -> &'static str {
        match self {
            Self::Migrate => "Brings the schema of one tenant's database, or of all, up to date",
            Self::Reseal => "Seals what one tenant's database keeps, or all do, with the first master key",
        }
    }
}

/// What to do, and with which settings.
#[derive(Debug)]
pub enum Invocation {
    Serve(Box<Settings>),
    Once {
        job: Job,
        settings: Box<Settings>,
        /// `None`: for all.
        tenant: Option<Slug>,
    },
    /// The effective settings as TOML, secrets hidden.
    PrintConfig(String),
}

/// Why there is nothing to do.
#[derive(Debug)]
pub enum Refusal {
    /// `--help`, `--version`, or a command line that clap cannot read.
    CommandLine(clap::Error),
    /// Every problem that was found.
    Problems(Vec<String>),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine(error) => write!(f, "{error}"),
            Self::Problems(problems) => {
                f.write_str("bad settings:")?;
                problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

/// Where the environment may hold secrets.
pub fn variables_of_secrets() -> impl Iterator<Item = Variables> {
    let secrets = sources::TABLE.iter().filter(|setting| setting.file_flag.is_some());
    // Both names' values count before either's file.
    secrets.map(|setting| {
        let (own, bare) = (sources::variable(setting.flag), setting.bare.map(str::to_owned));
        Variables {
            file: format!("{own}_FILE"),
            other_files: bare.iter().map(|bare| format!("{bare}_FILE")).collect(),
            values: [Some(own), bare].into_iter().flatten().collect(),
        }
    })
}

impl Invocation {
    /// Reads the process's own command line and environment.
    pub fn from_process() -> Result<Self, Refusal> {
        Self::parse(std::env::args_os(), &|name| std::env::var(name).ok())
    }

    fn parse(
        args: impl IntoIterator<Item = OsString>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Refusal> {
        let matches = sources::command().try_get_matches_from(args).map_err(Refusal::CommandLine)?;
        let mut values = sources::gather(&matches, environment);
        let settings = Settings::read(&mut values);
        let job = Job::ALL.into_iter().find_map(|job| Some((job, matches.subcommand_matches(job.as_str())?)));
        let tenant = job
            .and_then(|(_, told)| told.get_one::<String>("tenant"))
            .and_then(|slug| values.keep(slug.parse::<Slug>().map_err(|error| format!("--tenant: {error}"))));
        if !values.problems.is_empty() {
            return Err(Refusal::Problems(values.problems));
        }
        // Without a problem every setting was read.
        let settings = Box::new(settings.ok_or_else(|| Refusal::Problems(vec!["settings are missing".into()]))?);
        Ok(match job {
            Some((job, _)) => Self::Once { job, settings, tenant },
            None if matches.subcommand_name() == Some("config") => Self::PrintConfig(values.print()),
            None => Self::Serve(settings),
        })
    }
}

impl Settings {
    /// `None` when something required is missing or wrong; `values.problems` says what.
    fn read(values: &mut Values) -> Option<Self> {
        let http_addr = values.required("http-addr", parse::<SocketAddr>);
        let ops_addr = values.required("ops-addr", parse::<SocketAddr>);
        let control_plane = values.required("control-plane", control_plane);
        let watch_token = values.optional("watch-token", |text| Ok(Secret::new(text.to_owned())));
        let ca = values.optional("tls-ca-file", pem_file);
        let cert = values.optional("tls-cert-file", pem_file);
        let key = values.optional("tls-key-file", pem_file);
        let identity = both(values, ["tls-cert-file", "tls-key-file"], cert, key);
        let https = control_plane.iter().flatten().any(|uri| uri.scheme_str() == Some("https"));
        if https && ca.is_none() && !values.problems.iter().any(|problem| problem.starts_with("tls-ca-file")) {
            values.problems.push("tls-ca-file: needed when a control-plane address is https".to_owned());
        }
        let keyring = values.required("secretbox-master-key", parse::<Keyring>);
        let state_dir = values.optional("state-dir", |text| Ok(PathBuf::from(text)));
        let default_tenant = values.optional("default-tenant", parse::<Slug>);
        let public_url = values.optional("public-url", public_url);
        let header = values.required("trusted-proxy-header", parse).unwrap_or_default();
        let trusted_proxies = values.optional("trusted-proxies", |text| TrustedProxies::parse(text, header));
        let reachable = values.optional("outbound-allowed-networks", Reachable::parse).unwrap_or_default();
        let authorities = values.optional("outbound-ca-file", authorities).unwrap_or_default();
        let mutual_tls = mutual_tls(values);
        let public_tls = public_tls(values, public_url.as_ref(), &mutual_tls);
        let smtp = mail::read(values);
        let header_is_believed = mutual_tls.certificates.header.is_none() || trusted_proxies.is_some();
        if !header_is_believed {
            values
                .problems
                .push("client-cert-header: of no use without trusted-proxies, who alone may write it".to_owned());
        }
        let pod_name = match values.optional("pod-name", parse::<PodId>) {
            Some(name) => Some(name),
            None => values.keep(default_pod_name().map_err(|error| format!("pod-name: {error}"))),
        };
        let migrate = values.required("migrate", parse::<Mode>);
        let per_tenant = values.required("pool-max-per-tenant", |text| at_least_one(text, 1000));
        let total = values.required("pool-max-total", |text| at_least_one(text, 100_000));
        let idle = values.required("pool-idle-secs", |text| at_least_one(text, 86_400));
        let outbox_every = values.required("outbox-every-secs", |text| at_least_one(text, 3600));
        let metrics_tenants = values.required("metrics-tenants", |text| match text.parse::<usize>() {
            Ok(most) if most <= 100_000 => Ok(most),
            _ => Err("must be a whole number from 0 to 100000".to_owned()),
        });
        let password_hash_concurrency = values.optional("password-hash-concurrency", |text| at_least_one(text, 1024));
        let format = values
            .required("log-format", |text| Format::parse(text).ok_or_else(|| "must be auto, human or json".to_owned()));
        let filter = values.required("log-level", parse::<Filter>);
        let ratio = values.required("otlp-sample-ratio", |text| {
            Traces::new("http://localhost", text).map(|_| text.to_owned()).map_err(|error| error.to_string())
        });
        let traces = values.optional("otlp-endpoint", |text| {
            Traces::new(text, ratio.as_deref().unwrap_or("1")).map_err(|error| error.to_string())
        });
        let drain = values.required("drain-secs", |text| match text.parse::<u64>() {
            Ok(secs) if secs <= 600 => Ok(secs),
            _ => Err("must be a whole number from 0 to 600".to_owned()),
        });
        let addresses_file = values.optional("addresses-file", |text| Ok(PathBuf::from(text)));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Some(Self {
            http_addr: http_addr?,
            public_tls,
            ops_addr: ops_addr?,
            control_plane: control_plane?,
            watch_token,
            watch_tls: ca.map(|ca| Files { identity, authorities: Some(ca), host: None }),
            keyring: keyring?,
            state_dir,
            default_tenant,
            public_url,
            trusted_proxies: trusted_proxies.unwrap_or_default(),
            outbound: Outbound { reachable, authorities },
            mutual_tls,
            smtp,
            pod_name: pod_name?,
            migrate: migrate?,
            pools: Limits {
                per_tenant: per_tenant?,
                total: total?,
                idle: Duration::from_secs(u64::try_from(idle?).unwrap_or(u64::MAX)),
            },
            outbox_every: Duration::from_secs(u64::try_from(outbox_every?).unwrap_or(u64::MAX)),
            metrics_tenants: metrics_tenants?,
            password_hash_concurrency: password_hash_concurrency.unwrap_or(cores),
            log: Log { format: format?, filter: filter? },
            traces,
            drain: Duration::from_secs(drain?),
            addresses_file,
        })
    }
}

impl Settings {
    /// Whether a client can show a certificate at all.
    pub fn takes_certificates(&self) -> bool {
        let by_us = self.public_tls.is_some() && self.mutual_tls.listener == ClientCertificate::AskedFor;
        by_us || self.mutual_tls.certificates.header.is_some()
    }
}

fn parse<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn at_least_one(text: &str, most: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(format!("must be a whole number from 1 to {most}")),
    }
}

fn control_plane(text: &str) -> Result<Vec<Uri>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let uris = parts.map(|part| {
        let uri = part.parse::<Uri>().ok();
        uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
            .ok_or_else(|| format!("{part:?} is not of the form http://host:7100"))
    });
    let uris = uris.collect::<Result<Vec<_>, _>>()?;
    if uris.is_empty() { Err("names no address".to_owned()) } else { Ok(uris) }
}

/// What is in it is checked when it is loaded.
fn pem_file(path: &str) -> Result<PathBuf, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    if text.contains("-----BEGIN ") { Ok(PathBuf::from(path)) } else { Err(format!("{path} is not PEM")) }
}

fn authorities(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(format!("{path} holds no certificate")),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("{path}: {error}")),
    }
}

fn mutual_tls(values: &mut Values) -> MutualTls {
    let listener = values.required("tls-client-certificates", |text| match text {
        "off" => Ok(ClientCertificate::NotAskedFor),
        "request" => Ok(ClientCertificate::AskedFor),
        _ => Err("must be off or request".to_owned()),
    });
    let header = values.optional("client-cert-header", CertificateHeader::parse);
    let authorities = values.optional("client-ca-file", authorities).unwrap_or_default();
    let certificates = ClientCertificates::new(header, &authorities);
    let certificates = values.keep(certificates.map_err(|problem| format!("client-ca-file: {problem}")));
    MutualTls {
        listener: listener.unwrap_or_default(),
        certificates: certificates.unwrap_or_default(),
        public_url: values.optional("mtls-public-url", public_url),
    }
}

fn both(
    values: &mut Values,
    [cert_flag, key_flag]: [&str; 2],
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Option<IdentityFiles> {
    if cert.is_some() != key.is_some() {
        values.problems.push(format!("{cert_flag} and {key_flag}: one is of no use without the other"));
    }
    Some(IdentityFiles { cert: cert?, key: key? })
}

fn public_tls(values: &mut Values, public_url: Option<&Url>, mutual_tls: &MutualTls) -> Option<PublicTls> {
    let flags = ["public-tls-cert-file", "public-tls-key-file"];
    let addr = values.optional("tls-addr", parse::<SocketAddr>);
    let [cert, key] = flags.map(|flag| values.optional(flag, pem_file));
    let identity = both(values, flags, cert, key);
    if addr.is_some() != identity.is_some() {
        let needed = "tls-addr, public-tls-cert-file and public-tls-key-file: all three are needed for TLS, or none";
        values.problems.push(needed.to_owned());
    }
    // Pods that ask for certificates may have a host of their own, while others serve the public one (RFC 8705 §5).
    let host = match (mutual_tls.listener, &mutual_tls.public_url) {
        (ClientCertificate::AskedFor, Some(url)) => Host::of_url("--mtls-public-url", url.as_str()),
        _ => public_url.and_then(|url| Host::of_url("--public-url", url.as_str())),
    };
    Some(PublicTls { addr: addr?, files: Files { identity: Some(identity?), authorities: None, host } })
}

fn public_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("must be an http or https URL".to_owned());
    }
    // An issuer has neither (RFC 8414 §2).
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err("must have no query, fragment or user".to_owned());
    }
    Ok(url)
}

/// Hostname and process id: two pods of one machine are two pods.
fn default_pod_name() -> Result<PodId, String> {
    let hostname = std::env::var("HOSTNAME")
        .ok()
        .or_else(|| std::fs::read_to_string(Path::new("/etc/hostname")).ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "pod".to_owned());
    parse(&format!("{hostname}-{}", std::process::id()))
}

#[cfg(test)]
mod tests;
