//! A certificate authority for one test, and the folder in which Kubernetes would give its certificates to a program.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::scratch;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
    date_time_ymd,
};

#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

/// PEM texts and the files they are in.
#[derive(Clone, Debug)]
pub struct Certified {
    pub cert: String,
    pub key: String,
    pub ca: String,
    pub files: [String; 3],
}

/// What a certificate says.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// DNS names, IP addresses, URIs.
    pub names: &'a [&'a str],
    pub purposes: &'a [ExtendedKeyUsagePurpose],
    pub validity: Validity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    Now,
    /// It ends within days.
    Ending,
    Past,
    Future,
}

const THIS_MACHINE: &[&str] = &["127.0.0.1", "localhost"];
const BOTH_ENDS: &[ExtendedKeyUsagePurpose] =
    &[ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];

impl Default for Wanted<'_> {
    fn default() -> Self {
        Self { names: THIS_MACHINE, purposes: BOTH_ENDS, validity: Validity::Now }
    }
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

    /// A certificate for this machine, good for both ends of a connection: a node's.
    pub fn certify(&self, name: &str) -> Certified {
        self.certify_as(name, &Wanted::default())
    }

    /// One that is good for callers alone: a pod's.
    pub fn certify_pod(&self, name: &str) -> Certified {
        let names = &[name];
        let purposes = &[ExtendedKeyUsagePurpose::ClientAuth];
        self.certify_as(name, &Wanted { names, purposes, ..Wanted::default() })
    }

    /// `name` is the files'.
    pub fn certify_as(&self, name: &str, wanted: &Wanted<'_>) -> Certified {
        let (uris, hosts): (Vec<&str>, Vec<&str>) = wanted.names.iter().partition(|name| name.contains("://"));
        let hosts: Vec<String> = hosts.into_iter().map(ToOwned::to_owned).collect();
        let mut params = CertificateParams::new(hosts).expect("valid names");
        for uri in uris {
            params.subject_alt_names.push(SanType::URI(uri.try_into().expect("a URI is ASCII")));
        }
        params.extended_key_usages = wanted.purposes.to_vec();
        match wanted.validity {
            Validity::Now => {}
            Validity::Ending => {
                params.not_after = (std::time::SystemTime::now() + std::time::Duration::from_hours(5 * 24)).into();
            }
            Validity::Past => {
                params.not_before = date_time_ymd(2001, 1, 1);
                params.not_after = date_time_ymd(2002, 1, 1);
            }
            Validity::Future => params.not_before = date_time_ymd(2999, 1, 1),
        }
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

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }
}

impl Certified {
    pub fn flags(&self) -> Vec<&str> {
        let [cert, key, ca] = &self.files;
        vec!["--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-file", ca]
    }
}

/// A folder as Kubernetes mounts a secret: `tls.crt` is a link into `..data`, which is a link to the folder of the newest
/// version. A new version is written beside it, then `..data` is swapped.
#[derive(Debug)]
pub struct Mount {
    folder: PathBuf,
    version: AtomicU32,
}

impl Mount {
    pub fn new(name: &str, certified: &Certified, ca: &str) -> Self {
        let mount = Self { folder: scratch::folder(name), version: AtomicU32::new(0) };
        mount.put(certified, ca);
        for file in ["tls.crt", "tls.key", "ca.crt"] {
            symlink(PathBuf::from("..data").join(file), mount.folder.join(file)).expect("a link can be made");
        }
        mount
    }

    pub fn put(&self, certified: &Certified, ca: &str) {
        self.put_texts(&certified.cert, &certified.key, ca);
    }

    pub fn put_texts(&self, cert: &str, key: &str, ca: &str) {
        let version = format!("..version-{}", self.version.fetch_add(1, Ordering::Relaxed));
        let folder = self.folder.join(&version);
        fs::create_dir(&folder).expect("a scratch folder can be made");
        for (file, text) in [("tls.crt", cert), ("tls.key", key), ("ca.crt", ca)] {
            fs::write(folder.join(file), text).expect("a scratch file can be written");
        }
        let new = self.folder.join("..data_tmp");
        symlink(version, &new).expect("a link can be made");
        fs::rename(new, self.folder.join("..data")).expect("a link can be renamed");
    }

    pub fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Of mutual TLS.
    pub fn flags(&self) -> Vec<String> {
        let files = [("cert", "tls.crt"), ("key", "tls.key"), ("ca", "ca.crt")];
        files.into_iter().flat_map(|(what, file)| [format!("--tls-{what}-file"), self.file(file)]).collect()
    }
}
