//! The certificate of mutual TLS, as far as OAuth looks at it (RFC 8705): whose it is, and which one it is.

use std::net::IpAddr;
use std::str::FromStr as _;

use vocab::Timestamp;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::RdnSequence;

use crate::client::{AuthMethod, Client};
use crate::confirmation::{Confirmation, Thumbprint};
use crate::jose::ClientKeys;

/// A certificate whose key the client has: TLS, or a trusted proxy, has seen to that.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    der: Vec<u8>,
    chain: Chain,
    subject: String,
    names: Vec<Name>,
    not_before: Timestamp,
    not_after: Timestamp,
}

/// Whether it leads to an authority that the operator trusts with clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    Trusted,
    /// It may still be one that the client registered, or that tokens are bound to.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Dns(String),
    Uri(String),
    Ip(IpAddr),
    Email(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a certificate")]
pub struct NotACertificate;

impl ClientCertificate {
    pub fn parse(der: &[u8], chain: Chain) -> Result<Self, NotACertificate> {
        let parsed = Certificate::from_der(der).map_err(|_| NotACertificate)?.tbs_certificate;
        let names = parsed.get::<SubjectAltName>().map_err(|_| NotACertificate)?;
        let names = names.map(|(_, names)| names.0).unwrap_or_default();
        let secs = |time: x509_cert::time::Time| {
            Timestamp::from_secs(i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX))
        };
        Ok(Self {
            der: der.to_vec(),
            chain,
            subject: parsed.subject.to_string(),
            names: names.into_iter().filter_map(name).collect(),
            not_before: secs(parsed.validity.not_before),
            not_after: secs(parsed.validity.not_after),
        })
    }

    /// `x5t#S256` (RFC 8705 §3.1).
    pub fn thumbprint(&self) -> Thumbprint {
        Thumbprint::of(&self.der)
    }

    pub fn confirmation(&self) -> Confirmation {
        Confirmation::Certificate(self.thumbprint())
    }

    /// Whether it authenticates the client by the method that this is registered for (RFC 8705 §2). `keys`: the client's,
    /// for self-signed certificates.
    pub fn proves(&self, now: Timestamp, client: &Client, keys: &ClientKeys) -> bool {
        if now < self.not_before || now > self.not_after {
            return false;
        }
        match client.spec.token_endpoint_auth_method {
            AuthMethod::TlsClientAuth => self.chain == Chain::Trusted && self.is_of(client),
            // §2.2: the certificate itself is registered, as the `x5c` of a key; nobody vouches for it.
            AuthMethod::SelfSignedTlsClientAuth => {
                keys.iter().any(|key| key.certificate().is_some_and(|registered| registered == self.der))
            }
            _ => false,
        }
    }

    /// §2.1.2: the one name that the client registered, exactly.
    fn is_of(&self, client: &Client) -> bool {
        let spec = &client.spec;
        let has = |wanted: &Name| self.names.iter().any(|own| own == wanted);
        if let Some(subject) = &spec.tls_client_auth_subject_dn {
            // Read and written again: RFC 4514 leaves a choice of spellings.
            return RdnSequence::from_str(subject).is_ok_and(|wanted| wanted.to_string() == self.subject);
        }
        if let Some(name) = &spec.tls_client_auth_san_dns {
            return has(&Name::Dns(name.to_ascii_lowercase()));
        }
        if let Some(uri) = &spec.tls_client_auth_san_uri {
            return has(&Name::Uri(uri.clone()));
        }
        if let Some(address) = &spec.tls_client_auth_san_ip {
            return address.parse().is_ok_and(|address| has(&Name::Ip(address)));
        }
        if let Some(address) = &spec.tls_client_auth_san_email {
            return has(&Name::Email(address.clone()));
        }
        false
    }
}

fn name(name: GeneralName) -> Option<Name> {
    Some(match name {
        GeneralName::DnsName(name) => Name::Dns(name.as_str().to_ascii_lowercase()),
        GeneralName::UniformResourceIdentifier(uri) => Name::Uri(uri.to_string()),
        GeneralName::Rfc822Name(address) => Name::Email(address.to_string()),
        GeneralName::IpAddress(octets) => {
            let octets = octets.as_bytes();
            let v4 = || <[u8; 4]>::try_from(octets).ok().map(IpAddr::from);
            Name::Ip(<[u8; 16]>::try_from(octets).ok().map(IpAddr::from).or_else(v4)?)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::tests::client_with;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};
    use vocab::client::ClientSpec;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["app.example".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Acme, Inc.");
        params.distinguished_name.push(DnType::CommonName, "app");
        params.subject_alt_names.push(SanType::URI("spiffe://acme/app".try_into().unwrap()));
        params.subject_alt_names.push(SanType::IpAddress("192.0.2.7".parse().unwrap()));
        params.subject_alt_names.push(SanType::Rfc822Name("app@acme.example".try_into().unwrap()));
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    type Field = fn(&mut ClientSpec) -> &mut Option<String>;

    fn proves(der: &[u8], chain: Chain, change: impl FnOnce(&mut ClientSpec)) -> bool {
        let client = client_with(|spec| {
            spec.token_endpoint_auth_method = AuthMethod::TlsClientAuth;
            change(spec);
        });
        ClientCertificate::parse(der, chain).unwrap().proves(NOW, &client, &ClientKeys::default())
    }

    #[test]
    fn the_registered_name_and_no_other() {
        let der = certificate(|_| {});
        let some = |text: &str| Some(text.to_owned());
        let rows: [(&str, Field, bool); 13] = [
            ("CN=app,O=Acme\\, Inc.", |spec| &mut spec.tls_client_auth_subject_dn, true),
            ("CN=app, O=Acme\\, Inc.", |spec| &mut spec.tls_client_auth_subject_dn, false),
            ("CN=app", |spec| &mut spec.tls_client_auth_subject_dn, false),
            ("O=Acme\\, Inc.,CN=app", |spec| &mut spec.tls_client_auth_subject_dn, false),
            ("app.example", |spec| &mut spec.tls_client_auth_san_dns, true),
            ("App.Example", |spec| &mut spec.tls_client_auth_san_dns, true),
            ("evil.app.example", |spec| &mut spec.tls_client_auth_san_dns, false),
            ("spiffe://acme/app", |spec| &mut spec.tls_client_auth_san_uri, true),
            ("spiffe://acme/ap", |spec| &mut spec.tls_client_auth_san_uri, false),
            ("192.0.2.7", |spec| &mut spec.tls_client_auth_san_ip, true),
            ("192.0.2.8", |spec| &mut spec.tls_client_auth_san_ip, false),
            ("app@acme.example", |spec| &mut spec.tls_client_auth_san_email, true),
            // A name of one kind is none of another.
            ("app.example", |spec| &mut spec.tls_client_auth_san_uri, false),
        ];
        for (text, field, expected) in rows {
            assert_eq!(proves(&der, Chain::Trusted, |spec| *field(spec) = some(text)), expected, "{text}");
            assert!(!proves(&der, Chain::Unknown, |spec| *field(spec) = some(text)), "{text}: nobody vouches for it");
        }
        assert!(!proves(&der, Chain::Trusted, |_| {}), "no name is registered");
    }

    #[test]
    fn only_in_its_time() {
        let name = |spec: &mut ClientSpec| spec.tls_client_auth_san_dns = Some("app.example".to_owned());
        let past = certificate(|params| params.not_after = rcgen::date_time_ymd(2001, 1, 1));
        let future = certificate(|params| params.not_before = rcgen::date_time_ymd(2999, 1, 1));
        assert!(!proves(&past, Chain::Trusted, name));
        assert!(!proves(&future, Chain::Trusted, name));
    }

    #[test]
    fn a_self_signed_one_that_was_registered() {
        let (own, other) = (certificate(|_| {}), certificate(|_| {}));
        let jwk = |der: &[u8]| {
            let x5c = STANDARD.encode(der);
            format!(
                r#"{{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","x5c":["{x5c}"]}}"#
            )
        };
        let registered = format!(r#"{{"keys":[{}]}}"#, jwk(&own));
        let keys = ClientKeys::published(registered.as_bytes()).unwrap();
        let client = client_with(|spec| spec.token_endpoint_auth_method = AuthMethod::SelfSignedTlsClientAuth);
        let proves = |der: &[u8]| ClientCertificate::parse(der, Chain::Unknown).unwrap().proves(NOW, &client, &keys);
        assert!(proves(&own));
        assert!(!proves(&other));
    }

    #[test]
    fn garbage_is_no_certificate() {
        for der in [&b""[..], b"x", &[0x30; 64]] {
            assert!(ClientCertificate::parse(der, Chain::Trusted).is_err());
        }
    }
}
