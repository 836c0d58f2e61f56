//! The server's end: mutual TLS for peers and pods, or one's own certificate alone for people and applications.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DistinguishedName, Error, ServerConfig};

use crate::credentials::{Credentials, Derived};
use crate::handshake_signatures::handshake_signatures;
use crate::material::Material;
use crate::names::{Callers, bears};
use crate::presented::AnyCertificate;
use crate::suites::{self, provider};

/// What is done with callers that present no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    Required,
    /// The caller may prove itself otherwise.
    Optional,
}

/// Mutual TLS with whatever material is current.
#[derive(Debug)]
pub struct MutualTls {
    config: Derived<ServerConfig>,
}

impl MutualTls {
    /// The credentials have an identity and authorities.
    pub fn new(credentials: Credentials, certificate: ClientCertificate, callers: Callers) -> Self {
        let config = Derived::new(credentials, move |material| {
            let verifier = Gate::new(material, certificate, callers.clone());
            let mut config = suites::server()
                .with_client_cert_verifier(Arc::new(verifier))
                .with_cert_resolver(Arc::new(Fixed(material.identity.clone())));
            config.alpn_protocols = vec![b"h2".to_vec()];
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            config
        });
        Self { config }
    }

    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        self.config.current()
    }
}

/// For servers that take one configuration for good, such as actix: the certificate is looked up at each handshake.
/// Callers are asked for no certificate.
pub fn server_only(credentials: Credentials) -> ServerConfig {
    suites::server().with_no_client_auth().with_cert_resolver(Arc::new(Current(credentials)))
}

/// The same, and callers may show a certificate of any kind: see [`crate::presented`].
pub fn asking_for_certificate(credentials: Credentials) -> ServerConfig {
    suites::server()
        .with_client_cert_verifier(Arc::new(AnyCertificate(provider())))
        .with_cert_resolver(Arc::new(Current(credentials)))
}

#[derive(Debug)]
struct Fixed(Option<Arc<CertifiedKey>>);

impl ResolvesServerCert for Fixed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }
}

#[derive(Debug)]
struct Current(Credentials);

impl ResolvesServerCert for Current {
    /// RFC 6066 §3 lets a server go on with whom it is not, or end it: whoever looks for another host would be shown ours,
    /// and what was meant for that one might be taken for ours. Who names nobody, as callers of an address must, is served.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let own = self.0.current().identity.clone()?;
        let is_meant = hello.server_name().is_none_or(|name| own.end_entity_cert().is_ok_and(|own| bears(own, name)));
        is_meant.then_some(own)
    }
}

/// webpki's verdict on the chain, then ours on whose certificate it is.
#[derive(Debug)]
struct Gate {
    /// `None`: without authorities nobody is known.
    chain: Option<Arc<dyn ClientCertVerifier>>,
    provider: Arc<CryptoProvider>,
    certificate: ClientCertificate,
    callers: Callers,
}

impl Gate {
    fn new(material: &Material, certificate: ClientCertificate, callers: Callers) -> Self {
        let chain = material
            .authorities
            .clone()
            .and_then(|authorities| WebPkiClientVerifier::builder_with_provider(authorities, provider()).build().ok());
        Self { chain, provider: provider(), certificate, callers }
    }
}

impl ClientCertVerifier for Gate {
    fn client_auth_mandatory(&self) -> bool {
        self.certificate == ClientCertificate::Required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.as_ref().map_or(&[], |chain| chain.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain = self.chain.as_ref().ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let verified = chain.verify_client_cert(end_entity, intermediates, now)?;
        self.callers.check(end_entity).map_err(Error::InvalidCertificate)?;
        Ok(verified)
    }

    handshake_signatures!(provider);
}
