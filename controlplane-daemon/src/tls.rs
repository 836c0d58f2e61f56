//! Certificates of the peer and watch listeners: with them both sides prove themselves (mutual TLS).

use std::path::{Path, PathBuf};

use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};

/// PEM files, as given by the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub ca: PathBuf,
}

/// A certificate file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {source}", path.display())]
pub struct TlsError {
    path: PathBuf,
    source: std::io::Error,
}

/// What a server does with callers that present no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    Required,
    /// The caller may prove itself otherwise.
    Optional,
}

/// The files' content.
#[derive(Clone)]
pub struct Tls {
    identity: Identity,
    authority: Certificate,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let identity = Identity::from_pem(read(&files.cert)?, read(&files.key)?);
        Ok(Self { identity, authority: Certificate::from_pem(read(&files.ca)?) })
    }

    pub fn server(&self, client: ClientCertificate) -> ServerTlsConfig {
        ServerTlsConfig::new()
            .identity(self.identity.clone())
            .client_ca_root(self.authority.clone())
            .client_auth_optional(client == ClientCertificate::Optional)
    }

    /// The name in the server's certificate must be the host that is called.
    pub fn client(&self) -> ClientTlsConfig {
        ClientTlsConfig::new().identity(self.identity.clone()).ca_certificate(self.authority.clone())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError { path: path.to_owned(), source })
}
