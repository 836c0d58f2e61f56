//! A certificate authority for one test.

use std::fs;
use std::path::PathBuf;

use crate::scratch;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};

#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

/// PEM texts and the files they are in.
#[derive(Debug)]
pub struct Certified {
    pub cert: String,
    pub key: String,
    pub ca: String,
    pub files: [String; 3],
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are valid names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key can be generated");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority can be made");
        Self { issuer, folder: scratch::folder(name) }
    }

    /// A certificate for this machine, good for both ends of a connection.
    pub fn certify(&self, name: &str) -> Certified {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).expect("valid names");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key can be generated");
        let cert = params.signed_by(&key, &self.issuer).expect("the authority signs");
        let (cert, key, ca) = (cert.pem(), key.serialize_pem(), self.issuer.pem());
        let write = |what: &str, text: &str| {
            let path = self.folder.join(format!("{name}-{what}.pem"));
            fs::write(&path, text).expect("a scratch file can be written");
            path.display().to_string()
        };
        let files = [write("cert", &cert), write("key", &key), write("ca", &ca)];
        Certified { cert, key, ca, files }
    }
}

impl Certified {
    pub fn flags(&self) -> Vec<&str> {
        let [cert, key, ca] = &self.files;
        vec!["--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-file", ca]
    }
}
