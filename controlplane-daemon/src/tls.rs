//! Certificates of the peer and watch listeners: with them both sides prove themselves (mutual TLS).

use std::path::PathBuf;

/// PEM files, as given by the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub ca: PathBuf,
}
