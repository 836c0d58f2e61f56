//! A client's secret as a document gives it: known by its digest, so that the same one again is no change.

use controlplane_core::model::ClientSecret;
use controlplane_core::mutation::NewSecret;
use controlplane_core::{Client, Mutation};
use serde_json::Value;
use vocab::client::ClientSpec;
use vocab::jws::JwsAlgorithm;
use vocab::{ClientId, Keyring, Secret, SecretDigest, SecretId, Slug, Timestamp};

/// It is kept as a plain hash, so it must not be guessable.
const MIN_CHARS: usize = 32;
const MAX_CHARS: usize = 256;
/// For how long the secret before goes on working.
const OVERLAP_SECS: i64 = 24 * 3600;

/// What the document gives. Printable ASCII without spaces: RFC 6749 appendix A.2, less the space.
#[derive(Clone, Debug)]
pub(super) struct Given {
    text: Secret<String>,
    pub(super) digest: SecretDigest,
}

impl Given {
    pub(super) fn read(value: &Value) -> Result<Self, String> {
        let text = value.as_str().unwrap_or_default();
        let fits = (MIN_CHARS..=MAX_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            return Err(format!("must be {MIN_CHARS} to {MAX_CHARS} visible ASCII characters, without spaces"));
        }
        Ok(Self { digest: SecretDigest::of(text.as_bytes()), text: Secret::new(text.to_owned()) })
    }

    /// What is wrong with it as the key of the client's HMACs (RFC 7518 §3.2).
    pub(super) fn problem(&self, spec: &ClientSpec) -> Option<String> {
        let needed = spec.token_endpoint_auth_signing_alg.and_then(JwsAlgorithm::secret_bytes)?;
        (self.text.expose().len() < needed).then(|| format!("must have {needed} characters for this algorithm"))
    }

    /// As the log takes it: sealed as well, for a client that cannot be proven without.
    pub(super) fn stored(&self, id: SecretId, spec: &ClientSpec, keyring: &Keyring) -> NewSecret {
        let needed = spec.token_endpoint_auth_method.needs_sealed_secret();
        let sealed = needed.then(|| keyring.seal(self.text.expose().as_bytes(), rand::random()));
        NewSecret { id, digest: self.digest, expires_at: None, sealed }
    }
}

/// What makes `secret` the client's secret, the one before working on for a day. Nothing, if it is that already.
pub(super) fn changes(tenant: &Slug, client: &Client, secret: NewSecret, now: Timestamp) -> Vec<Mutation> {
    let digest = secret.digest;
    let is_it = |secret: &ClientSecret| secret.digest == digest && secret.expires_at.is_none();
    if client.secrets.iter().any(is_it) {
        return Vec::new();
    }
    let client_id: ClientId = client.client_id.clone();
    let mut mutations = Vec::new();
    let live: Vec<_> = client.secrets.iter().filter(|secret| secret.expires_at.is_none_or(|end| end > now)).collect();
    if let [first, _, ..] = live.as_slice() {
        // No room: the same one that was to end goes first, else the older.
        let gone = live.iter().find(|secret| secret.digest == digest).unwrap_or(first).id;
        mutations.push(Mutation::ClientSecretRemove {
            tenant: tenant.clone(),
            client_id: client_id.clone(),
            secret_id: gone,
        });
    }
    mutations.push(Mutation::ClientSecretAdd {
        tenant: tenant.clone(),
        client_id,
        secret,
        previous_expires_at: Some(now.plus_secs(OVERLAP_SECS)),
    });
    mutations
}
