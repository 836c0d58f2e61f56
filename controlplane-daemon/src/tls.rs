//! Certificates of the peer and watch listeners: with them both sides prove themselves (mutual TLS).

use std::path::{Path, PathBuf};

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};

/// PEM files, as given by the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub ca: PathBuf,
}

/// Why the certificates are of no use.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}, {} and {} cannot be used for TLS: {why}", files.cert.display(), files.key.display(), files.ca.display())]
    Unusable { files: TlsFiles, why: String },
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
        let tls = Self { identity, authority: Certificate::from_pem(read(&files.ca)?) };
        tls.check().map_err(|why| TlsError::Unusable { files: files.clone(), why })?;
        Ok(tls)
    }

    /// Makes both ends once, so that a bad file is told at the start and not by the first connection that fails.
    fn check(&self) -> Result<(), String> {
        let told = |why: tonic::transport::Error| {
            std::error::Error::source(&why).map_or_else(|| why.to_string(), ToString::to_string)
        };
        Server::builder().tls_config(self.server(ClientCertificate::Required)).map_err(told)?;
        Endpoint::from_static("https://localhost").tls_config(self.client()).map_err(told)?;
        Ok(())
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
    std::fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
}
