//! What the files hold: a certificate with its key, authorities, or both. All of it is checked before any of it is used.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::host::Host;
use crate::suites::provider;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};
use vocab::Timestamp;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

/// PEM files, as given by the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    pub identity: Option<IdentityFiles>,
    pub authorities: Option<PathBuf>,
    /// Whom callers look for where that identity is shown.
    pub host: Option<Host>,
}

/// One's own certificate (with the intermediate ones after it) and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// Why files are of no use.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}: {why}", path.display())]
    NotPem { path: PathBuf, why: String },
    #[error("{}: there is no certificate in it", path.display())]
    NoCertificate { path: PathBuf },
    #[error("{}: certificate {place} in it cannot be read: {why}", path.display())]
    BadCertificate { path: PathBuf, place: usize, why: String },
    #[error("{}: the certificate is valid from {} on", path.display(), date(*from))]
    NotYetValid { path: PathBuf, from: Timestamp },
    #[error("{}: the certificate expired at {}", path.display(), date(*at))]
    Expired { path: PathBuf, at: Timestamp },
    #[error("{}: there is no private key in it: {why}", path.display())]
    NoKey { path: PathBuf, why: String },
    #[error("{}: this private key cannot be used: {why}", path.display())]
    BadKey { path: PathBuf, why: String },
    #[error("{}: this is not the key of the certificate in {}", key.display(), cert.display())]
    OtherKey { key: PathBuf, cert: PathBuf },
}

/// The files' content, checked.
pub struct Material {
    pub(crate) identity: Option<Arc<CertifiedKey>>,
    pub(crate) authorities: Option<Arc<RootCertStore>>,
    /// When the first certificate of each file ends.
    pub(crate) not_after: Vec<(PathBuf, Timestamp)>,
    digest: [u8; 32],
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

impl Material {
    pub fn load(files: &Files, now: Timestamp) -> Result<Self, Unusable> {
        let mut digest = Sha256::new();
        let mut not_after = Vec::new();
        let mut read = |path: &Path| {
            let bytes = std::fs::read(path).map_err(|source| Unusable::Unreadable { path: path.to_owned(), source })?;
            digest.update(bytes.len().to_be_bytes());
            digest.update(&bytes);
            Ok(bytes)
        };
        let identity = match &files.identity {
            Some(files) => {
                let chain = certificates(&files.cert, &read(&files.cert)?)?;
                not_after.push((files.cert.clone(), earliest_end(&files.cert, &chain, now)?));
                Some(Arc::new(identity(files, chain, &read(&files.key)?)?))
            }
            None => None,
        };
        let authorities = match &files.authorities {
            Some(path) => {
                let bundle = certificates(path, &read(path)?)?;
                let (store, end) = authorities(path, &bundle, now)?;
                not_after.push((path.clone(), end));
                Some(Arc::new(store))
            }
            None => None,
        };
        Ok(Self { identity, authorities, not_after, digest: digest.finalize().into() })
    }

    /// Whether the files had the same bytes.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

/// As people read it (RFC 3339).
fn date(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.millis()).map_or_else(|_| time.to_string(), |time| time.to_string())
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<(CertificateDer<'static>, Certificate)>, Unusable> {
    let mut found = Vec::new();
    for (place, der) in (1..).zip(CertificateDer::pem_slice_iter(pem)) {
        let der = der.map_err(|why| Unusable::NotPem { path: path.to_owned(), why: why.to_string() })?;
        let parsed = Certificate::from_der(&der).map_err(|why| Unusable::BadCertificate {
            path: path.to_owned(),
            place,
            why: why.to_string(),
        })?;
        found.push((der, parsed));
    }
    if found.is_empty() { Err(Unusable::NoCertificate { path: path.to_owned() }) } else { Ok(found) }
}

fn validity(certificate: &Certificate) -> (Timestamp, Timestamp) {
    let validity = &certificate.tbs_certificate.validity;
    let [from, to] = [&validity.not_before, &validity.not_after]
        .map(|time| Timestamp::from_secs(i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)));
    (from, to)
}

/// Of a chain every certificate must be valid.
fn earliest_end(
    path: &Path,
    chain: &[(CertificateDer<'static>, Certificate)],
    now: Timestamp,
) -> Result<Timestamp, Unusable> {
    let mut end = Timestamp::from_millis(i64::MAX);
    for (from, to) in chain.iter().map(|(_, certificate)| validity(certificate)) {
        if now < from {
            return Err(Unusable::NotYetValid { path: path.to_owned(), from });
        }
        if now > to {
            return Err(Unusable::Expired { path: path.to_owned(), at: to });
        }
        end = end.min(to);
    }
    Ok(end)
}

fn identity(
    files: &IdentityFiles,
    chain: Vec<(CertificateDer<'static>, Certificate)>,
    pem: &[u8],
) -> Result<CertifiedKey, Unusable> {
    let path = || files.key.clone();
    let key =
        PrivateKeyDer::from_pem_slice(pem).map_err(|why| Unusable::NoKey { path: path(), why: why.to_string() })?;
    let key = provider()
        .key_provider
        .load_private_key(key)
        .map_err(|why| Unusable::BadKey { path: path(), why: why.to_string() })?;
    let certified = CertifiedKey::new(chain.into_iter().map(|(der, _)| der).collect(), key);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => Err(Unusable::OtherKey { key: path(), cert: files.cert.clone() }),
        Err(why) => Err(Unusable::BadCertificate { path: files.cert.clone(), place: 1, why: why.to_string() }),
    }
}

/// Old and new authorities stand side by side while one replaces the other: those that have expired are left out, as
/// long as one is left.
fn authorities(
    path: &Path,
    bundle: &[(CertificateDer<'static>, Certificate)],
    now: Timestamp,
) -> Result<(RootCertStore, Timestamp), Unusable> {
    let mut store = RootCertStore::empty();
    let (mut end, mut expired) = (Timestamp::from_millis(i64::MAX), None);
    for (place, (der, certificate)) in (1..).zip(bundle) {
        let (_, to) = validity(certificate);
        if now > to {
            tracing::warn!(file = %path.display(), place, expired_at = date(to), "an authority has expired and is left out");
            expired = Some(to);
            continue;
        }
        store.add(der.clone()).map_err(|why| Unusable::BadCertificate {
            path: path.to_owned(),
            place,
            why: why.to_string(),
        })?;
        end = end.min(to);
    }
    match expired {
        Some(at) if store.is_empty() => Err(Unusable::Expired { path: path.to_owned(), at }),
        _ => Ok((store, end)),
    }
}

#[cfg(test)]
pub(crate) mod tests;
