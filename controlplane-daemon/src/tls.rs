//! The node's certificates: for peers, for pods, for the admin API. What becomes of them is counted here.
//!
//! Peers are let in by a certificate that is good for servers, too, or by `--tls-peer-names`; a pod's is neither, though
//! the same authority has signed it. Pods are let in by any certificate of the authority, or by `--tls-watch-names`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use transport::client::{ClientTls, ServerIdentity};
use transport::credentials::Credentials;
use transport::incoming::Port;
use transport::listener;
use transport::material::{Files, IdentityFiles, Unusable};
use transport::names::{Callers, Names};
use transport::observer::{End, Observer, Reload};
use transport::outcome::Outcome;
use transport::server::{ClientCertificate, MutualTls, server_only};
use vocab::{Clock, Timestamp};

const PEER: &str = "peer";
const WATCH: &str = "watch";
const ADMIN: &str = "admin";

/// As given by the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    pub identity: IdentityFiles,
    pub authorities: PathBuf,
    /// What peers' certificates are called.
    pub peer_names: Option<Names>,
    /// What pods' certificates are called.
    pub watch_names: Option<Names>,
}

/// Mutual TLS of the cluster, with the files' content.
#[derive(Clone, Debug)]
pub struct Tls {
    credentials: Credentials,
    peer_names: Option<Names>,
    watch_names: Option<Names>,
}

impl Tls {
    pub fn load(settings: &TlsSettings, clock: Arc<dyn Clock>, ends: &CertificateEnds) -> Result<Self, Unusable> {
        let TlsSettings { identity, authorities, peer_names, watch_names } = settings.clone();
        let files = Files { identity: Some(identity), authorities: Some(authorities), host: None };
        let credentials = Credentials::load(files, clock, Arc::new(Metrics { ends: ends.clone() }))?;
        Ok(Self { credentials, peer_names, watch_names })
    }

    pub const fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// To call peers with.
    pub fn to_peers(&self) -> Arc<ClientTls> {
        let server = self.peer_names.clone().map_or(ServerIdentity::Host, ServerIdentity::Named);
        Arc::new(ClientTls::new(PEER, self.credentials.clone(), server, Arc::new(Metrics::default())))
    }
}

/// The port that peers call.
pub fn peer_port(tls: Option<&Tls>) -> Port {
    port(
        PEER,
        tls.map(|tls| {
            let callers = tls.peer_names.clone().map_or(Callers::Servers, Callers::Named);
            MutualTls::new(tls.credentials.clone(), ClientCertificate::Required, callers)
        }),
    )
}

/// The port that pods call.
pub fn watch_port(tls: Option<&Tls>, certificate: ClientCertificate) -> Port {
    port(
        WATCH,
        tls.map(|tls| {
            let callers = tls.watch_names.clone().map_or(Callers::Anybody, Callers::Named);
            MutualTls::new(tls.credentials.clone(), certificate, callers)
        }),
    )
}

fn port(name: &'static str, tls: Option<MutualTls>) -> Port {
    Port { name, tls: tls.map(Arc::new), observer: Arc::new(Metrics::default()) }
}

/// The certificate of the admin API.
pub fn admin(files: Files, clock: Arc<dyn Clock>, ends: &CertificateEnds) -> Result<Credentials, Unusable> {
    Credentials::load(files, clock, Arc::new(Metrics { ends: ends.clone() }))
}

/// The port of the admin API, whose callers show no certificate.
pub fn admin_port(credentials: Credentials) -> listener::Tls {
    listener::Tls { port: ADMIN, config: server_only(credentials), observer: Arc::new(Metrics::default()) }
}

/// When certificates end, by file, for whoever asks.
#[derive(Clone, Debug, Default)]
pub struct CertificateEnds {
    ends: Arc<Mutex<BTreeMap<String, Timestamp>>>,
}

impl CertificateEnds {
    pub fn list(&self) -> BTreeMap<String, Timestamp> {
        self.ends.lock().clone()
    }
}

#[derive(Debug, Default)]
struct Metrics {
    ends: CertificateEnds,
}

impl Observer for Metrics {
    fn handshake(&self, end: End, port: &'static str, outcome: Outcome) {
        metrics::counter!("hj_cp_handshakes_total", "port" => port, "end" => end.as_str(), "outcome" => outcome.as_str())
            .increment(1);
    }

    fn reloaded(&self, reload: Reload) {
        metrics::counter!("hj_cp_tls_reloads_total", "outcome" => reload.as_str()).increment(1);
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge; seconds stay far below 2^53")]
    fn not_after(&self, file: &Path, end: Timestamp) {
        self.ends.ends.lock().insert(file.display().to_string(), end);
        metrics::gauge!("hj_cp_tls_certificate_not_after_seconds", "file" => file.display().to_string())
            .set(end.secs() as f64);
    }
}
