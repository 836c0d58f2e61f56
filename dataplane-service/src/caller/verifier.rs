//! What it takes to check a caller beside the tenant's configuration: keys that clients publish, what was used before, the
//! nonces. One for the whole pod.

use std::sync::Arc;

use oauth_core::error::OAuthError;
use oauth_core::federation::Metadata;
use oauth_core::jose::ClientKeys;
use url::Url;
use vocab::{Keyring, Timestamp};

use super::memory::Memory;
use super::nonce::Nonces;
use crate::exchange::Failure;
use crate::fetch::Fetcher;
use crate::fetch::cache::Cache;
use crate::store::proofs::{self, Proof};
use crate::tenant::TenantContext;

#[derive(Debug)]
pub struct Verifier {
    pub fetcher: Arc<Fetcher>,
    /// What clients publish at their `jwks_uri`.
    pub published_keys: Cache<ClientKeys>,
    /// What the OpenID providers of tenants say about themselves.
    pub providers: Cache<Metadata>,
    pub nonces: Nonces,
    memory: Memory,
    /// Where the endpoints are reached with mutual TLS, if not at the issuer (RFC 8705 §5).
    mtls_url: Option<Url>,
}

impl Verifier {
    pub fn new(fetcher: Arc<Fetcher>, keyring: &Keyring, mtls_url: Option<Url>) -> Self {
        Self {
            fetcher,
            published_keys: Cache::new(ClientKeys::published),
            providers: Cache::new(Metadata::parse),
            nonces: Nonces::new(keyring),
            memory: Memory::default(),
            mtls_url,
        }
    }

    /// The tenant's endpoints under the other address. A tenant with a host of its own has none.
    pub fn mtls_base(&self, tenant: &TenantContext) -> Option<String> {
        let url = self.mtls_url.as_ref().filter(|_| !tenant.base_path().is_empty())?;
        Some(format!("{}/t/{}", url.as_str().trim_end_matches('/'), tenant.slug))
    }

    /// Notes a proof; whether it is new. Shared by all pods by way of the tenant's database.
    pub async fn first_use(
        &self,
        tenant: &TenantContext,
        proof: Proof<'_>,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        if let Ok(db) = tenant.db() {
            return Ok(proofs::first_use(db, proof, expires_at, now).await?);
        }
        self.memory
            .first_use(tenant.id, proof, expires_at, now)
            .map_err(|_| OAuthError::temporarily_unavailable("Too many proofs are in use; try again.").into())
    }
}
