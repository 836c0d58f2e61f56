//! Which certificates of our own authority are let in at a port: the roles of a node and of a pod, kept apart.
//!
//! Authorities sign for nodes and pods alike. So beyond the signature a port asks for a property that only its callers'
//! certificates have: a purpose, or one of the names that the operator has set aside for them.

use std::str::FromStr;

use rustls::CertificateError;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::oid::db::rfc5280::{ANY_EXTENDED_KEY_USAGE, ID_KP_SERVER_AUTH};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, SubjectAltName};

/// Whose certificates are let in, all of them being our authority's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Callers {
    #[default]
    Anybody,
    /// Those who are servers, too: their certificates are good for server authentication, or for any purpose.
    Servers,
    /// Those who have one of the names.
    Named(Names),
}

/// Names out of certificates' subject alternative names: DNS names, IP addresses, URIs (`spiffe://…`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    names: Vec<Name>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    /// A certificate's `*.example.com` covers it, too.
    Host(ServerName<'static>),
    Uri(String),
}

impl FromStr for Names {
    type Err = String;

    /// Separated by commas.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let names = parts.map(|part| {
            if part.contains("://") || part.starts_with("urn:") {
                return Ok(Name::Uri(part.to_owned()));
            }
            let host = ServerName::try_from(part.to_owned());
            host.map(Name::Host).map_err(|_| format!("{part:?} is no DNS name, IP address or URI"))
        });
        let names = names.collect::<Result<Vec<_>, _>>()?;
        if names.is_empty() { Err("names nobody".to_owned()) } else { Ok(Self { names }) }
    }
}

impl Names {
    /// Whether the certificate has one of the names.
    pub(crate) fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), CertificateError> {
        let parsed = ParsedCertificate::try_from(certificate).map_err(|_| CertificateError::BadEncoding)?;
        let uris = Uris::of(certificate)?;
        let found = self.names.iter().any(|name| match name {
            Name::Host(host) => verify_server_name(&parsed, host).is_ok(),
            Name::Uri(uri) => uris.0.iter().any(|own| own == uri),
        });
        if found { Ok(()) } else { Err(CertificateError::NotValidForName) }
    }
}

impl Callers {
    pub(crate) fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), CertificateError> {
        match self {
            Self::Anybody => Ok(()),
            Self::Servers if is_for_servers(certificate)? => Ok(()),
            Self::Servers => Err(CertificateError::InvalidPurpose),
            Self::Named(names) => names.check(certificate),
        }
    }
}

/// Whether it is the certificate of a host of that name.
pub(crate) fn bears(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let host = ServerName::try_from(host);
    let parsed = ParsedCertificate::try_from(certificate);
    host.is_ok_and(|host| parsed.is_ok_and(|parsed| verify_server_name(&parsed, &host).is_ok()))
}

fn is_for_servers(certificate: &CertificateDer<'_>) -> Result<bool, CertificateError> {
    let usage = parse(certificate)?.tbs_certificate.get::<ExtendedKeyUsage>();
    let usage = usage.map_err(|_| CertificateError::BadEncoding)?;
    Ok(usage.is_none_or(|(_, usage)| {
        usage.0.iter().any(|purpose| [ID_KP_SERVER_AUTH, ANY_EXTENDED_KEY_USAGE].contains(purpose))
    }))
}

struct Uris(Vec<String>);

impl Uris {
    fn of(certificate: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let names = parse(certificate)?.tbs_certificate.get::<SubjectAltName>();
        let names = names.map_err(|_| CertificateError::BadEncoding)?.map(|(_, names)| names.0).unwrap_or_default();
        let uri = |name| match name {
            GeneralName::UniformResourceIdentifier(uri) => Some(uri.to_string()),
            _ => None,
        };
        Ok(Self(names.into_iter().filter_map(uri).collect()))
    }
}

fn parse(certificate: &CertificateDer<'_>) -> Result<Certificate, CertificateError> {
    Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)
}

/// A certificate as people and logs read it: its subject, then its alternative names.
pub(crate) fn describe(certificate: &CertificateDer<'_>) -> Option<(String, Vec<String>)> {
    let parsed = parse(certificate).ok()?.tbs_certificate;
    let names = parsed.get::<SubjectAltName>().ok()?.map(|(_, names)| names.0).unwrap_or_default();
    let text = |name| match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.to_string()),
        GeneralName::IpAddress(bytes) => match *bytes.as_bytes() {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
            ref longer => <[u8; 16]>::try_from(longer).ok().map(|octets| std::net::Ipv6Addr::from(octets).to_string()),
        },
        _ => None,
    };
    Some((parsed.subject.to_string(), names.into_iter().filter_map(text).collect()))
}

#[cfg(test)]
mod tests;
