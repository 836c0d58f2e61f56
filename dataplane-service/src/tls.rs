//! The pod's certificates: the one it shows to the control plane, and the one of its public listener. What becomes of
//! them is counted here.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use transport::client::{ClientTls, ServerIdentity};
use transport::credentials::Credentials;
use transport::listener;
use transport::material::{Files, Unusable};
use transport::observer::{End, Observer, Reload};
use transport::outcome::Outcome;
use vocab::{Clock, Timestamp};

pub fn load(files: Files, clock: Arc<dyn Clock>) -> Result<Credentials, Unusable> {
    Credentials::load(files, clock, Arc::new(Metrics))
}

/// To call the control plane with.
pub fn to_control_plane(credentials: Credentials) -> ClientTls {
    ClientTls::new("watch", credentials, ServerIdentity::Host, Arc::new(Metrics))
}

/// The public port.
pub fn public_port(config: ServerConfig) -> listener::Tls {
    listener::Tls { port: "public", config, observer: Arc::new(Metrics) }
}

#[derive(Debug)]
struct Metrics;

impl Observer for Metrics {
    fn handshake(&self, end: End, port: &'static str, outcome: Outcome) {
        metrics::counter!("hj_dp_handshakes_total", "port" => port, "end" => end.as_str(), "outcome" => outcome.as_str())
            .increment(1);
    }

    fn reloaded(&self, reload: Reload) {
        metrics::counter!("hj_dp_tls_reloads_total", "outcome" => reload.as_str()).increment(1);
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge; seconds stay far below 2^53")]
    fn not_after(&self, file: &Path, end: Timestamp) {
        metrics::gauge!("hj_dp_tls_certificate_not_after_seconds", "file" => file.display().to_string())
            .set(end.secs() as f64);
    }
}
