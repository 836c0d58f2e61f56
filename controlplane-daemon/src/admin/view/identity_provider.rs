//! A tenant's `settings.oauth`, of which the client secrets at identity providers go in and never come out.

use serde_json::{Map, Value};
use vocab::identity_provider::IdentityProvider;
use vocab::oauth::OAuthSettings;
use vocab::{Keyring, Sealed, Secret};

use super::seal;
use crate::admin::fields::Fields;

const PROVIDERS: &str = "identity_providers";
const SECRET: &str = "client_secret";
const MAX_SECRET_BYTES: usize = 1024;

pub(super) fn shown(mut oauth: OAuthSettings) -> OAuthSettings {
    for provider in &mut oauth.identity_providers {
        provider.client_secret = None;
    }
    oauth
}

/// The member `oauth` of a tenant's settings.
pub(super) fn oauth(settings: &Fields<'_>, stored: Option<&OAuthSettings>, keyring: &Keyring) -> Option<OAuthSettings> {
    let mut given = Vec::new();
    // As plain text a secret is no part of the settings.
    let mut oauth: OAuthSettings = settings.object("oauth")?.rest_after(|members| given = take_secrets(members))?;
    let stored = stored.map(|stored| stored.identity_providers.as_slice()).unwrap_or_default();
    for (index, (provider, given)) in oauth.identity_providers.iter_mut().zip(given).enumerate() {
        let current = stored.iter().find(|stored| is_same_client(stored, provider));
        let current = current.and_then(|stored| stored.client_secret.as_ref());
        let needed = provider.token_endpoint_auth_method.needs_secret();
        match secret(given, needed, current, keyring) {
            Ok(secret) => provider.client_secret = secret,
            Err(why) => settings.wrong_below("oauth", &format!("/{PROVIDERS}/{index}/{SECRET}"), why),
        }
    }
    Some(oauth)
}

/// One for each provider, as given.
fn take_secrets(members: &mut Map<String, Value>) -> Vec<Option<Value>> {
    let providers = members.get_mut(PROVIDERS).and_then(Value::as_array_mut);
    let taken = |provider: &mut Value| provider.as_object_mut().and_then(|members| members.remove(SECRET));
    providers.into_iter().flatten().map(taken).collect()
}

/// The stored secret is shown to the provider that it is of, and to no other: whoever may name a provider, but does not know
/// the secret, must not have it sent to one of his own.
fn is_same_client(stored: &IdentityProvider, wanted: &IdentityProvider) -> bool {
    let client = |of: &IdentityProvider| (of.id.clone(), of.issuer.clone(), of.client_id.clone());
    client(stored) == client(wanted)
}

fn secret(
    given: Option<Value>,
    needed: bool,
    current: Option<&Sealed>,
    keyring: &Keyring,
) -> Result<Option<Sealed>, String> {
    match given {
        None | Some(Value::Null) if !needed => Ok(None),
        None | Some(Value::Null) => current.cloned().map(Some).ok_or_else(|| "is needed".to_owned()),
        Some(_) if !needed => Err("belongs to client_secret_basic and client_secret_post alone".to_owned()),
        // RFC 6749 appendix A.2.
        Some(Value::String(text))
            if (1..=MAX_SECRET_BYTES).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b)) =>
        {
            Ok(Some(seal(&Secret::new(text), current, keyring)))
        }
        Some(_) => Err(format!("must have 1 to {MAX_SECRET_BYTES} printable ASCII characters")),
    }
}
