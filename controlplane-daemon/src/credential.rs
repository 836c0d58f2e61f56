//! An administrator's credential: `hja_<id, 32 hex digits>_<secret>`. Shown once; only the secret's digest is stored.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;
use vocab::{AdminId, Secret, SecretDigest};

const PREFIX: &str = "hja_";

/// How long a token lives that a credential was exchanged for: who revokes the key that signed it waits for that.
pub const TOKEN_LIFETIME: Duration = Duration::from_mins(10);

/// The shortest secret part taken from a setting: 22 characters of base64url are 128 bits, which need no slow hash.
const MIN_SECRET_LEN: usize = 22;
const MAX_SECRET_LEN: usize = 256;

#[derive(Clone, Debug)]
pub struct Credential {
    pub id: AdminId,
    secret: Secret<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must look like hja_<32 hex digits of a UUID>_<22 to 256 of A-Z, a-z, 0-9, '-' and '_'>")]
pub struct InvalidCredential;

impl Credential {
    pub fn generate(id: AdminId) -> Self {
        Self { id, secret: random_secret() }
    }

    pub fn digest(&self) -> SecretDigest {
        SecretDigest::of(self.secret.expose().as_bytes())
    }

    /// The text that is shown once.
    pub fn reveal(&self) -> Secret<String> {
        Secret::new(format!("{PREFIX}{}_{}", self.id.as_uuid().simple(), self.secret.expose()))
    }

    /// Whether this is the credential that `digest` was stored for; takes the same time either way.
    pub fn matches(&self, digest: &SecretDigest) -> bool {
        digest.matches(self.secret.expose().as_bytes())
    }
}

impl FromStr for Credential {
    type Err = InvalidCredential;

    fn from_str(text: &str) -> Result<Self, InvalidCredential> {
        let (id, secret) = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).ok_or(InvalidCredential)?;
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if id.len() != 32 || !(MIN_SECRET_LEN..=MAX_SECRET_LEN).contains(&secret.len()) || !secret.bytes().all(allowed)
        {
            return Err(InvalidCredential);
        }
        let id = Uuid::try_parse(id).map_err(|_| InvalidCredential)?;
        Ok(Self { id: AdminId::from_uuid(id), secret: Secret::new(secret.to_owned()) })
    }
}

impl fmt::Display for Credential {
    /// Without its secret: what may stand in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}_…", self.id.as_uuid().simple())
    }
}

/// 256 random bits in base64url: a client secret, the secret part of a credential.
pub fn random_secret() -> Secret<String> {
    Secret::new(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
}

/// 512 random bits in base64url: a client secret that is as long as the hash of any HMAC (RFC 7518 §3.2).
pub fn random_hmac_secret() -> Secret<String> {
    let (first, second) = (rand::random::<[u8; 32]>(), rand::random::<[u8; 32]>());
    Secret::new(URL_SAFE_NO_PAD.encode([first, second].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_credential_reads_back_and_matches_its_own_digest_only() {
        let made = Credential::generate(AdminId::from_uuid(Uuid::from_u128(7)));
        let read: Credential = made.reveal().expose().parse().unwrap();
        assert_eq!(read.id, made.id);
        assert!(read.matches(&made.digest()));
        assert!(!Credential::generate(made.id).matches(&made.digest()));
        assert!(!format!("{made:?} {made}").contains(made.secret.expose()));
    }

    #[test]
    fn what_is_not_one_is_refused() {
        let id = "0".repeat(32);
        let short = format!("hja_{id}_tooshort");
        let blank = format!("hja_{id}_{}", " ".repeat(30));
        let long = format!("hja_{id}_{}", "a".repeat(257));
        for bad in ["", "hja_", "hja__", "hja_zz_x", short.as_str(), blank.as_str(), long.as_str()] {
            assert!(bad.parse::<Credential>().is_err(), "{bad}");
        }
    }
}
