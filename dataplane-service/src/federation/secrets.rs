//! What the tenant's providers gave it to authenticate with there, opened when the configuration came.

use std::collections::BTreeMap;
use std::sync::Arc;

use vocab::identity_provider::IdentityProvider;
use vocab::{Keyring, SealError, Sealed, Secret};

/// By the providers' ids.
#[derive(Clone, Debug, Default)]
pub struct ProviderSecrets(BTreeMap<String, Arc<Opened>>);

#[derive(Debug)]
struct Opened {
    issuer: String,
    client_id: String,
    sealed: Sealed,
    secret: Secret<String>,
}

/// Why one cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("the client secret of {0} is sealed: {1}")]
    Sealed(String, SealError),
    #[error("the client secret of {0} is not UTF-8")]
    Text(String),
}

impl ProviderSecrets {
    /// What stands after `self` for a tenant that wants these providers. One that cannot be opened leaves what there was
    /// for the same client of the same issuer, and everything else as it is wanted.
    pub fn next(&self, wanted: &[IdentityProvider], keyring: &Keyring) -> (Self, Option<Unusable>) {
        let (mut next, mut fault) = (BTreeMap::new(), None);
        for provider in wanted {
            let Some(sealed) = &provider.client_secret else { continue };
            let held = self.0.get(&provider.id);
            let held = held.filter(|held| held.issuer == provider.issuer && held.client_id == provider.client_id);
            let opened = match held {
                Some(held) if held.sealed == *sealed => Some(Arc::clone(held)),
                held => Opened::new(provider, sealed, keyring).map(Arc::new).map_or_else(
                    |why| {
                        fault = Some(why);
                        held.cloned()
                    },
                    Some,
                ),
            };
            next.extend(opened.map(|opened| (provider.id.clone(), opened)));
        }
        (Self(next), fault)
    }

    pub fn of(&self, provider: &IdentityProvider) -> Option<&Secret<String>> {
        self.0.get(&provider.id).map(|opened| &opened.secret)
    }
}

impl Opened {
    fn new(provider: &IdentityProvider, sealed: &Sealed, keyring: &Keyring) -> Result<Self, Unusable> {
        let open = keyring.open(sealed).map_err(|why| Unusable::Sealed(provider.id.clone(), why))?;
        let text = str::from_utf8(open.expose()).map_err(|_| Unusable::Text(provider.id.clone()))?;
        Ok(Self {
            issuer: provider.issuer.clone(),
            client_id: provider.client_id.clone(),
            sealed: sealed.clone(),
            secret: Secret::new(text.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocab::MasterKey;

    fn ring(byte: u8) -> Keyring {
        Keyring::new(MasterKey::new([byte; 32]), vec![])
    }

    fn provider(issuer: &str, secret: &[u8], sealed_with: u8) -> IdentityProvider {
        IdentityProvider {
            id: "corp".to_owned(),
            issuer: issuer.to_owned(),
            client_secret: Some(ring(sealed_with).seal(secret, [1; 24])),
            ..IdentityProvider::default()
        }
    }

    fn text(secrets: &ProviderSecrets, of: &IdentityProvider) -> Option<String> {
        secrets.of(of).map(|secret| secret.expose().clone())
    }

    #[test]
    fn the_last_good_secret_stays_for_its_own_provider_alone() {
        let first = provider("https://a", b"one", 1);
        let (held, fault) = ProviderSecrets::default().next(std::slice::from_ref(&first), &ring(1));
        assert!(text(&held, &first).as_deref() == Some("one") && fault.is_none());
        let unreadable = provider("https://a", b"two", 9);
        let (kept, fault) = held.next(std::slice::from_ref(&unreadable), &ring(1));
        assert!(text(&kept, &unreadable).as_deref() == Some("one") && fault.is_some());
        for another in [provider("https://b", b"two", 9), provider("https://a", b"\xff", 1)] {
            let (next, fault) = ProviderSecrets::default().next(std::slice::from_ref(&another), &ring(1));
            assert!(text(&next, &another).is_none() && fault.is_some());
        }
        let elsewhere = provider("https://b", b"two", 9);
        assert_eq!(text(&held.next(std::slice::from_ref(&elsewhere), &ring(1)).0, &elsewhere), None);
        assert!(!format!("{held:?}").contains("one"));
    }
}
