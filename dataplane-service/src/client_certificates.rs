//! Certificates of clients (RFC 8705), as they come in: with the TLS connection, or in a header that a proxy in front of us
//! writes because it was the one that spoke TLS with the client.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oauth_core::certificate::{Chain, ClientCertificate};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

/// Longest header that is looked at: a certificate has a kilobyte or two.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// How certificates are read and judged.
#[derive(Clone, Default)]
pub struct ClientCertificates {
    pub header: Option<CertificateHeader>,
    /// Of the authorities that the operator trusts with clients; `None`: none is trusted.
    authorities: Option<Arc<dyn ClientCertVerifier>>,
}

impl fmt::Debug for ClientCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificates").field("header", &self.header).finish_non_exhaustive()
    }
}

/// The header in which trusted proxies put the client's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateHeader {
    /// `Client-Cert`: DER as a byte sequence (RFC 9440 §2.2).
    ClientCert,
    /// PEM, percent-encoded, under a name of the proxy's choice: `X-SSL-Client-Cert` of nginx (`$ssl_client_escaped_cert`).
    Pem(String),
}

impl CertificateHeader {
    /// As the setting names it, in lower case.
    pub fn parse(name: &str) -> Result<Self, String> {
        let name = name.to_ascii_lowercase();
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        match name.as_str() {
            "client-cert" => Ok(Self::ClientCert),
            _ if !name.is_empty() && name.bytes().all(good) => Ok(Self::Pem(name)),
            _ => Err("must be the name of a header".to_owned()),
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Self::ClientCert => "client-cert",
            Self::Pem(name) => name,
        }
    }

    fn der(&self, value: &str) -> Option<Vec<u8>> {
        if value.len() > MAX_HEADER_BYTES {
            return None;
        }
        match self {
            Self::ClientCert => {
                let encoded = value.trim().strip_prefix(':')?.strip_suffix(':')?;
                STANDARD.decode(encoded).ok()
            }
            Self::Pem(_) => {
                let pem = unescape(value)?;
                CertificateDer::from_pem_slice(&pem).ok().map(|der| der.to_vec())
            }
        }
    }
}

/// Percent-decoding without the `+` of forms: base64 has it for itself.
fn unescape(value: &str) -> Option<Vec<u8>> {
    let escaped = value.replace('+', "%2B");
    oauth_core::form::decode(escaped.as_bytes()).ok().map(|text| text.into_owned().into_bytes())
}

impl ClientCertificates {
    pub fn new(header: Option<CertificateHeader>, authorities: &[CertificateDer<'static>]) -> Result<Self, String> {
        if authorities.is_empty() {
            return Ok(Self { header, authorities: None });
        }
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority.clone()).map_err(|error| error.to_string())?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Self { header, authorities: Some(verifier.map_err(|error| error.to_string())?) })
    }

    /// Of a connection whose handshake proved that the client has the key.
    pub fn of_connection(&self, chain: &[CertificateDer<'_>]) -> Option<ClientCertificate> {
        let (own, above) = chain.split_first()?;
        self.judge(own, above)
    }

    /// Of a trusted proxy's header.
    pub fn of_header(&self, value: &str) -> Option<ClientCertificate> {
        let der = CertificateDer::from(self.header.as_ref()?.der(value)?);
        self.judge(&der, &[])
    }

    fn judge(&self, own: &CertificateDer<'_>, above: &[CertificateDer<'_>]) -> Option<ClientCertificate> {
        let trusted =
            |verifier: &Arc<dyn ClientCertVerifier>| verifier.verify_client_cert(own, above, UnixTime::now()).is_ok();
        let chain = if self.authorities.as_ref().is_some_and(trusted) { Chain::Trusted } else { Chain::Unknown };
        ClientCertificate::parse(own, chain).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_proxies() {
        let der = b"not checked here";
        let byte_sequence = format!(":{}:", STANDARD.encode(der));
        assert_eq!(CertificateHeader::ClientCert.der(&byte_sequence).as_deref(), Some(&der[..]));
        for bad in ["", ":", "::::", "YQ==", ":YQ==", ":%%:"] {
            assert_ne!(CertificateHeader::ClientCert.der(bad).as_deref(), Some(&b"a"[..]), "{bad}");
        }
        let nginx = CertificateHeader::parse("X-SSL-Client-Cert").unwrap();
        assert_eq!(nginx.name(), "x-ssl-client-cert");
        let pem =
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(b"\xfb\xef\xbe"));
        let escaped = pem.replace('\n', "%0A").replace(' ', "%20");
        assert!(escaped.contains('+'));
        assert_eq!(nginx.der(&escaped).as_deref(), Some(&b"\xfb\xef\xbe"[..]));
        assert_eq!(nginx.der("-----BEGIN"), None);
        assert!(CertificateHeader::parse("bad header").is_err());
    }
}
