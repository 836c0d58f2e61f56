//! A tenant's connection string: tokio-postgres's forms, and `sslmode` as libpq means it.
//!
//! | sslmode | |
//! |---|---|
//! | none given, `disable`, `prefer` | plain: the answer of a middleman could turn `prefer` into plain anyway |
//! | `require` | encrypted, the server not authenticated |
//! | `verify-ca`, `verify-full` | encrypted, the certificate checked with the name, against `sslrootcert` or the system's authorities |

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;
use vocab::{Keyring, Sealed};

pub(super) struct Dsn {
    pub(super) config: tokio_postgres::Config,
    pub(super) transport: Transport,
}

pub(super) enum Transport {
    Plain,
    Tls(Box<MakeRustlsConnect>),
}

/// Never with the DSN in it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DsnError {
    #[error("it is not UTF-8")]
    Text,
    #[error("{0}")]
    Form(String),
    #[error("sslmode is none of disable, prefer, require, verify-ca and verify-full")]
    SslMode,
    #[error("sslrootcert: {0}")]
    RootCert(String),
    #[error("TLS: {0}")]
    Tls(String),
}

impl Dsn {
    pub(super) fn parse(text: &[u8]) -> Result<Self, DsnError> {
        let text = std::str::from_utf8(text).map_err(|_| DsnError::Text)?;
        let (text, mode) = take_option(text, "sslmode");
        let (text, root_cert) = take_option(&text, "sslrootcert");
        let mut config: tokio_postgres::Config = text.parse().map_err(|error| DsnError::Form(format!("{error}")))?;
        let (ssl_mode, transport) = match mode.as_deref() {
            None | Some("disable" | "prefer" | "allow") => (SslMode::Disable, Transport::Plain),
            Some("require") => (SslMode::Require, tls(None)?),
            Some("verify-ca" | "verify-full") => (SslMode::Require, tls(Some(roots(root_cert.as_deref())?))?),
            Some(_) => return Err(DsnError::SslMode),
        };
        config.ssl_mode(ssl_mode);
        Ok(Self { config, transport })
    }
}

/// Whether a sealed DSN can be opened and is one. What only a connection can tell (files, names) is not looked at.
pub fn check(dsn: &Sealed, keyring: &Keyring) -> Result<(), String> {
    let plain = keyring.open(dsn).map_err(|error| format!("its DSN is sealed: {error}"))?;
    let text = std::str::from_utf8(plain.expose()).map_err(|_| DsnError::Text.to_string())?;
    let (text, _) = take_option(text, "sslmode");
    let (text, _) = take_option(&text, "sslrootcert");
    // Never with the DSN in it.
    text.parse::<tokio_postgres::Config>().map(|_| ()).map_err(|_| "its DSN is none".to_owned())
}

/// Takes `name=value` out of a URL's query or of a keyword string: tokio-postgres knows only some of libpq's options.
fn take_option(dsn: &str, name: &str) -> (String, Option<String>) {
    let (separator, start) = if dsn.starts_with("postgres://") || dsn.starts_with("postgresql://") {
        ('&', dsn.find('?').map_or(dsn.len(), |at| at + 1))
    } else {
        (' ', 0)
    };
    let (head, options) = dsn.split_at(start);
    let mut found = None;
    let kept: Vec<_> = options
        .split(separator)
        .filter(|option| match option.split_once('=') {
            Some((key, value)) if key == name => {
                found = Some(value.to_owned());
                false
            }
            _ => true,
        })
        .collect();
    let decoded = found.map(|value| match separator {
        '&' => {
            form_urlencoded::parse(format!("v={value}").as_bytes()).next().map(|(_, v)| v.into_owned()).unwrap_or(value)
        }
        _ => value.trim_matches('\'').to_owned(),
    });
    (format!("{head}{}", kept.join(&separator.to_string())), decoded)
}

fn roots(file: Option<&str>) -> Result<RootCertStore, DsnError> {
    let mut store = RootCertStore::empty();
    match file {
        Some(path) => {
            let fault = |error: rustls::pki_types::pem::Error| DsnError::RootCert(error.to_string());
            for certificate in CertificateDer::pem_file_iter(path).map_err(fault)? {
                store.add(certificate.map_err(fault)?).map_err(|error| DsnError::RootCert(error.to_string()))?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if store.is_empty() { Err(DsnError::RootCert("no authority to trust".to_owned())) } else { Ok(store) }
}

/// `None`: any certificate will do.
fn tls(roots: Option<RootCertStore>) -> Result<Transport, DsnError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| DsnError::Tls(error.to_string()))?;
    let config = match roots {
        Some(roots) => builder.with_root_certificates(roots).with_no_client_auth(),
        None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth(),
    };
    Ok(Transport::Tls(Box::new(MakeRustlsConnect::new(config))))
}

/// libpq's `require`: encryption against listeners, no authentication. The handshake's signatures are still checked.
struct AnyCertificate(Arc<CryptoProvider>);

impl fmt::Debug for AnyCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyCertificate")
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("postgres://u:p@db:5432/x", false)]
    #[case("postgres://u:p@db/x?sslmode=disable", false)]
    #[case("postgres://u:p@db/x?sslmode=require&connect_timeout=3", true)]
    #[case("postgresql://u:p@db1,db2/x?application_name=y&sslmode=require", true)]
    #[case("host=db user=u password='p w' sslmode=require", true)]
    #[case("host=/run/postgresql dbname=x", false)]
    fn tls_follows_sslmode(#[case] dsn: &str, #[case] encrypted: bool) {
        let dsn = Dsn::parse(dsn.as_bytes()).unwrap();
        assert_eq!(matches!(dsn.transport, Transport::Tls(_)), encrypted);
        assert_eq!(dsn.config.get_ssl_mode() == SslMode::Require, encrypted);
    }

    #[rstest]
    #[case("postgres://u:s3cret@db/x?sslmode=perhaps")]
    #[case("postgres://u:s3cret@db/x?sslmode=verify-full&sslrootcert=%2Fnowhere")]
    #[case("host=db password=s3cret unknown_option=1")]
    #[case("s3cret")]
    fn faults_do_not_show_the_dsn(#[case] dsn: &str) {
        let Err(error) = Dsn::parse(dsn.as_bytes()) else { panic!("{dsn}") };
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}
