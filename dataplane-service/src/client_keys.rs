//! A client's public keys, wherever they are: registered with it, or at its `jwks_uri`, from where they are fetched and
//! kept for a while.

use std::ops::Deref;
use std::sync::Arc;

use oauth_core::client::Client;
use oauth_core::jose::ClientKeys;

use crate::caller::Verifier;
use crate::fetch::FetchError;

#[derive(Debug)]
pub enum Keys<'t> {
    Registered(&'t ClientKeys),
    /// And from where.
    Published(Arc<ClientKeys>, &'t str),
}

impl Deref for Keys<'_> {
    type Target = ClientKeys;

    fn deref(&self) -> &ClientKeys {
        match self {
            Self::Registered(keys) => keys,
            Self::Published(keys, _) => keys,
        }
    }
}

impl<'t> Keys<'t> {
    pub async fn of(verifier: &Verifier, client: &'t Client) -> Result<Self, FetchError> {
        match client.spec.jwks_uri.as_deref() {
            // A client that is not enabled makes nobody fetch anything.
            Some(uri) if client.spec.enabled => {
                let keys = verifier.published_keys.get(&verifier.fetcher, uri).await?;
                Ok(Self::Published(keys, uri))
            }
            _ => Ok(Self::Registered(&client.keys)),
        }
    }

    /// For who did not find a key among these: it may have been published since. `None`: these are all there are.
    pub async fn renewed(&self, verifier: &Verifier) -> Option<Result<Arc<ClientKeys>, FetchError>> {
        let Self::Published(seen, uri) = self else { return None };
        Some(verifier.published_keys.renew(&verifier.fetcher, uri, seen).await)
    }
}
