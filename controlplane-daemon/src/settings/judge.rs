//! From texts to [`Settings`]: each parsed, then looked at together, every problem collected.

mod cluster;
mod sinks;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use controlplane_core::validate::is_host_port;
use manifest::Reserved;
use telemetry::{Filter, Format, InvalidTraces, Traces};
use transport::forwarded::TrustedProxies;
use transport::host::Host;
use transport::material::{Files, IdentityFiles};
use vocab::{Keyring, NodeId, Secret};

use super::sources::{Gathered, Given};
use super::{FollowerWrites, Settings, catalogue};
use crate::admin::declarative::Prune;
use crate::credential::Credential;
use crate::gitops;
use crate::membership::Admission;
use crate::oidc::OidcSettings;
use crate::tls::TlsSettings;

const MIN_WATCH_TOKEN_LEN: usize = 16;

pub(super) fn judge(gathered: Gathered) -> Result<Settings, Vec<String>> {
    let Gathered { values, secret_files, problems } = gathered;
    let mut judge = Judge { values, secret_files, problems };
    let settings = judge.settings();
    match settings {
        Some(settings) if judge.problems.is_empty() => Ok(settings),
        _ => {
            // A required setting that is missing or unreadable has said so itself.
            debug_assert!(!judge.problems.is_empty(), "settings are refused with a reason");
            Err(judge.problems)
        }
    }
}

struct Judge {
    values: BTreeMap<&'static str, Given>,
    secret_files: Vec<PathBuf>,
    problems: Vec<String>,
}

impl Judge {
    fn settings(&mut self) -> Option<Settings> {
        // Everything is read before anything is given up, so that all problems are found.
        let node_id = self.parse::<NodeId>("node-id");
        let addresses = ["raft-addr", "watch-addr", "admin-addr", "ops-addr"].map(|flag| (flag, self.address(flag)));
        self.distinct_ports(&addresses);
        let advertise_addr = self.host_port("advertise-addr");
        let advertise_admin_url = self.admin_url();
        let peers = self.peers();
        let discovery = self.discovery();
        let bootstrap = self.bootstrap(node_id, peers.as_ref(), discovery.as_ref());
        let admission = self.word(
            "join-admission",
            &[("nobody", Admission::Nobody), ("learner", Admission::Learner), ("voter", Admission::Voter)],
        );
        let data_dir = self.text("data-dir").map(PathBuf::from);
        let keyring = self.keyring();
        let hmac_secrets = self.hmac_secrets();
        self.cluster(node_id, peers.as_ref(), discovery.as_ref(), hmac_secrets.as_deref());
        self.joining(bootstrap, discovery.as_ref(), peers.as_ref(), hmac_secrets.as_deref());
        let watch_token = self.bearer_token("watch-token");
        let audit_api_token = self.bearer_token("audit-api-token");
        let audit_sinks = self.audit_sinks();
        let bootstrap_admin_credential = self.parse_secret::<Credential>("bootstrap-admin-credential");
        let tls = self.tls();
        let admin_tls = self.admin_tls(advertise_admin_url.as_deref());
        let admin_oidc = self.admin_oidc();
        let events_heartbeat = self.number("events-heartbeat-secs", 1, 300).map(Duration::from_secs);
        let trusted_proxies = self.trusted_proxies();
        let timings = self.timings();
        let snapshot_every = self.number("snapshot-every", 1, 1_000_000_000);
        let follower_writes = self
            .word("follower-writes", &[("forward", FollowerWrites::Forward), ("redirect", FollowerWrites::Redirect)]);
        let log_format = self.word("log-format", &Format::WORDS);
        let log_level = self.parse::<Filter>("log-level");
        let traces = self.traces();
        let drain = self.number("drain-secs", 0, 600).map(Duration::from_secs);
        let addresses_file = self.text("addresses-file").map(PathBuf::from);
        let gitops = self.gitops();
        let fs_projection = self.text("fs-projection").map(PathBuf::from);

        let [(_, raft), (_, watch), (_, admin), (_, ops)] = addresses;
        let (heartbeat, election_timeout_min, election_timeout_max) = timings?;
        Some(Settings {
            node_id: node_id?,
            raft_addr: raft?,
            watch_addr: watch?,
            admin_addr: admin?,
            ops_addr: ops?,
            advertise_addr,
            advertise_admin_url,
            bootstrap: bootstrap?,
            admission: admission?,
            discovery: discovery?,
            peers: peers?,
            data_dir: data_dir?,
            keyring: keyring?,
            cluster_hmac_secrets: hmac_secrets?,
            watch_token,
            audit_api_token,
            audit_sinks: audit_sinks?,
            bootstrap_admin_credential,
            tls,
            admin_tls,
            admin_oidc,
            events_heartbeat: events_heartbeat?,
            trusted_proxies: trusted_proxies?,
            heartbeat,
            election_timeout_min,
            election_timeout_max,
            snapshot_every: snapshot_every?,
            follower_writes: follower_writes?,
            log_format: log_format?,
            log_level: log_level?,
            traces,
            drain: drain?,
            addresses_file,
            gitops,
            fs_projection,
        })
    }

    fn gitops(&mut self) -> Option<gitops::Settings> {
        let set = self.text("gitops-set").unwrap_or_default();
        for violation in &controlplane_core::validate::manifest_set_problems(&set) {
            self.problems.push(format!("--gitops-set: {}", violation.detail));
        }
        let prune = self.word("gitops-prune", &[("true", Prune::Delete), ("false", Prune::Keep)]);
        let resync = self.number("gitops-resync-secs", 1, 86_400).map(Duration::from_secs);
        let dir = self.text("gitops-dir").map(PathBuf::from)?;
        Some(gitops::Settings { dir, set, prune: prune?, resync: resync?, reserved: self.reserved() })
    }

    /// What whoever writes documents has no business with: this daemon's keys, and the system's view of it.
    fn reserved(&self) -> Reserved {
        let secrets = catalogue::ALL.iter().filter(|setting| setting.is_secret());
        let bare = secrets.flat_map(catalogue::Setting::variables).filter(|name| !name.starts_with("HJ_"));
        let variables = std::iter::once("HJ_".to_owned()).chain(bare).collect();
        let named = self.values.iter().filter(|(flag, _)| flag.ends_with("-file")).map(|(_, given)| &given.text);
        let system = ["/proc", "/sys", "/dev"].map(PathBuf::from);
        let paths = self.secret_files.iter().cloned().chain(named.map(PathBuf::from)).chain(system).collect();
        Reserved { variables, paths }
    }

    fn text(&self, flag: &str) -> Option<String> {
        self.values.get(flag).map(|given| given.text.clone())
    }

    /// Notes a problem of `flag`. The text given is shown unless it is a secret.
    fn wrong(&mut self, flag: &str, why: impl Display) {
        let origin = match self.values.get(flag) {
            Some(given) if given.origin == format!("--{flag}") => String::new(),
            Some(given) => format!(" (from {})", given.origin),
            None => String::new(),
        };
        let secret = catalogue::ALL.iter().any(|setting| setting.flag == flag && setting.is_secret());
        let shown = match self.values.get(flag) {
            Some(given) if !secret => format!(" {:?}", given.text),
            _ => String::new(),
        };
        self.problems.push(format!("--{flag}{shown}{origin}: {why}"));
    }

    fn parse<T: FromStr<Err: Display>>(&mut self, flag: &str) -> Option<T> {
        match self.text(flag)?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(flag, error);
                None
            }
        }
    }

    fn parse_secret<T: FromStr<Err: Display>>(&mut self, flag: &str) -> Option<T> {
        self.parse(flag)
    }

    fn word<T: Copy>(&mut self, flag: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(flag)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let allowed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(flag, format!("must be {}", allowed.join(" or ")));
        }
        found
    }

    fn number(&mut self, flag: &str, least: u64, most: u64) -> Option<u64> {
        let number = self.text(flag)?.parse().ok().filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.wrong(flag, format!("must be a number from {least} to {most}"));
        }
        number
    }

    fn address(&mut self, flag: &str) -> Option<SocketAddr> {
        let address = self.text(flag)?.parse().ok();
        if address.is_none() {
            self.wrong(flag, "must be IP:port, such as 0.0.0.0:7000, 127.0.0.1:0 or [::]:7000");
        }
        address
    }

    fn distinct_ports(&mut self, addresses: &[(&'static str, Option<SocketAddr>)]) {
        let mut taken: Vec<(&str, SocketAddr)> = Vec::new();
        for (flag, address) in addresses.iter().filter_map(|(flag, address)| Some((*flag, (*address)?))) {
            let clash = taken.iter().find(|(_, other)| {
                let same_host =
                    address.ip() == other.ip() || address.ip().is_unspecified() || other.ip().is_unspecified();
                address.port() != 0 && address.port() == other.port() && same_host
            });
            if let Some((other, _)) = clash {
                self.wrong(flag, format!("has the same port as --{other}"));
            }
            taken.push((flag, address));
        }
    }

    fn host_port(&mut self, flag: &str) -> Option<String> {
        let text = self.text(flag)?;
        if is_host_port(&text) {
            return Some(text);
        }
        self.wrong(flag, "must be host:port");
        None
    }

    fn admin_url(&mut self) -> Option<String> {
        let flag = "advertise-admin-url";
        let text = self.text(flag)?;
        let good = text.parse::<http::Uri>().is_ok_and(|url| {
            matches!(url.scheme_str(), Some("http" | "https"))
                && url.host().is_some_and(|host| !host.is_empty())
                && url.path() == "/"
                && url.query().is_none()
        });
        if good {
            return Some(text.trim_end_matches('/').to_owned());
        }
        self.wrong(flag, "must be an http or https URL without path, such as https://controlplane-0.example:7200");
        None
    }

    fn keyring(&mut self) -> Option<Keyring> {
        let flag = "secretbox-master-key";
        if self.text(flag).is_none() {
            self.wrong(
                flag,
                "is needed (SECRETBOX_MASTER_KEY): base64 of 32 random bytes, as of `openssl rand -base64 32`",
            );
            return None;
        }
        self.parse_secret(flag)
    }

    fn bearer_token(&mut self, flag: &str) -> Option<Secret<String>> {
        let token = Secret::new(self.text(flag)?);
        // It travels as `Authorization: Bearer` (RFC 6750 §2.1).
        if token.expose().len() < MIN_WATCH_TOKEN_LEN || !token.expose().bytes().all(|b| b.is_ascii_graphic()) {
            self.wrong(flag, format!("must be at least {MIN_WATCH_TOKEN_LEN} visible ASCII characters"));
            return None;
        }
        Some(token)
    }

    fn tls(&mut self) -> Option<TlsSettings> {
        let [peer_names, watch_names] = ["tls-peer-names", "tls-watch-names"].map(|flag| (flag, self.parse(flag)));
        let flags = ["tls-cert-file", "tls-key-file", "tls-ca-file"];
        let Some([cert, key, authorities]) = self.files(flags) else {
            for (flag, names) in [&peer_names, &watch_names] {
                if names.is_some() {
                    self.wrong(flag, "is of no use without --tls-cert-file, --tls-key-file and --tls-ca-file");
                }
            }
            return None;
        };
        let identity = IdentityFiles { cert, key };
        Some(TlsSettings { identity, authorities, peer_names: peer_names.1, watch_names: watch_names.1 })
    }

    fn admin_tls(&mut self, advertised: Option<&str>) -> Option<Files> {
        let [cert, key] = self.files(["admin-tls-cert-file", "admin-tls-key-file"])?;
        let host = advertised.and_then(|url| Host::of_url("--advertise-admin-url", url));
        Some(Files { identity: Some(IdentityFiles { cert, key }), authorities: None, host })
    }

    /// Files that are of use together only: all of them, or none.
    fn files<const N: usize>(&mut self, flags: [&'static str; N]) -> Option<[PathBuf; N]> {
        let paths = flags.map(|flag| self.text(flag).map(PathBuf::from));
        if paths.iter().all(Option::is_none) {
            return None;
        }
        for (flag, path) in flags.into_iter().zip(&paths) {
            match path {
                None => {
                    let all: Vec<String> = flags.iter().map(|flag| format!("--{flag}")).collect();
                    self.wrong(flag, format!("is needed with the others: {}", all.join(", ")));
                }
                Some(path) => {
                    if let Err(error) = std::fs::File::open(path) {
                        self.wrong(flag, format!("cannot be read: {error}"));
                    }
                }
            }
        }
        let given: Vec<PathBuf> = paths.into_iter().flatten().collect();
        given.try_into().ok()
    }

    fn trusted_proxies(&mut self) -> Option<TrustedProxies> {
        let header = self.parse("trusted-proxy-header")?;
        let flag = "trusted-proxies";
        let text = self.text(flag).unwrap_or_default();
        TrustedProxies::parse(&text, header).map_err(|why| self.wrong(flag, why)).ok()
    }

    /// All of them, or none.
    fn admin_oidc(&mut self) -> Option<OidcSettings> {
        let issuer = self.text("admin-oidc-issuer");
        let Some(issuer) = issuer else {
            for flag in ["admin-oidc-audience", "admin-oidc-roles", "admin-oidc-ca-file"] {
                if self.text(flag).is_some() {
                    self.wrong(flag, "says nothing without --admin-oidc-issuer");
                }
            }
            return None;
        };
        if let Err(why) = crate::oidc::check_url(&issuer) {
            self.wrong("admin-oidc-issuer", why);
        }
        for flag in ["admin-oidc-audience", "admin-oidc-roles"] {
            if self.text(flag).is_none() {
                self.wrong(flag, "is needed with --admin-oidc-issuer");
            }
        }
        let audience = self.text("admin-oidc-audience");
        let claim = self.parse("admin-oidc-claim");
        let roles = self.parse("admin-oidc-roles");
        let ca_file = self.text("admin-oidc-ca-file").map(PathBuf::from);
        if let Some(Err(why)) = ca_file.as_ref().map(std::fs::File::open) {
            self.wrong("admin-oidc-ca-file", format!("cannot be read: {why}"));
        }
        Some(OidcSettings { issuer, audience: audience?, claim: claim?, roles: roles?, ca_file })
    }

    fn timings(&mut self) -> Option<(Duration, Duration, Duration)> {
        let heartbeat = self.number("heartbeat-ms", 10, 60_000);
        let min = self.number("election-timeout-min-ms", 20, 600_000);
        let max = self.number("election-timeout-max-ms", 20, 600_000);
        if let (Some(heartbeat), Some(min)) = (heartbeat, min)
            && min < heartbeat.saturating_mul(2)
        {
            self.wrong("election-timeout-min-ms", "must be at least twice --heartbeat-ms");
        }
        if let (Some(min), Some(max)) = (min, max)
            && max <= min
        {
            self.wrong("election-timeout-max-ms", "must be more than --election-timeout-min-ms");
        }
        let millis = Duration::from_millis;
        Some((millis(heartbeat?), millis(min?), millis(max?)))
    }

    fn traces(&mut self) -> Option<Traces> {
        let ratio = self.text("otlp-sample-ratio")?;
        let endpoint = self.text("otlp-endpoint");
        match Traces::new(endpoint.as_deref().unwrap_or("http://localhost"), &ratio) {
            Ok(traces) => endpoint.map(|_| traces),
            Err(why @ InvalidTraces::Endpoint) => {
                self.wrong("otlp-endpoint", why);
                None
            }
            Err(why @ InvalidTraces::Ratio) => {
                self.wrong("otlp-sample-ratio", why);
                None
            }
        }
    }
}
