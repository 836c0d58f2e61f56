//! The JSON of the admin API, apart from the model: what is shown of a resource, and how a document is read into its spec.
//! No secret is ever shown here but in the one answer that hands it out.

mod admin;
mod client;
mod identity_provider;
mod key;
mod policy;
mod registration_token;
mod scope;
mod settings;
mod smtp;
mod tenant;

pub(super) use admin::{AdminView, read_admin};
pub(super) use client::{ClientView, read_client};
pub(super) use key::KeyView;
pub(super) use registration_token::{RegistrationTokenView, read_registration_token};
pub(super) use scope::{ScopeView, read_scope};
pub(super) use settings::{SettingsView, read_settings};
pub(super) use tenant::{TenantView, read_tenant, replace_tenant};

use serde::Serialize;
use serde_json::Value;
use vocab::{Keyring, Sealed, Secret, Timestamp};

use super::fields::Fields;

/// For whoever wrote another word.
pub(super) const ALGORITHMS: &str = "ES256, EdDSA, RS256, PS256 or ES384";
pub(super) const KEY_ALGORITHMS: &str = "ES256, EdDSA, RS256, PS256, ES384, RSA-OAEP-256 or ECDH-ES";

/// RFC 3339, UTC.
pub(super) fn rfc3339(time: Timestamp) -> String {
    // Out of jiff's range (years -9999 to 9999) only by a corrupted clock.
    jiff::Timestamp::from_millisecond(time.millis()).map_or_else(|_| time.to_string(), |time| time.to_string())
}

/// Members of the view that a writer may send back but not change, so that what was read can be edited and sent again.
fn unchanged(fields: &Fields<'_>, names: &[&'static str], current: &impl Serialize) {
    let Ok(Value::Object(current)) = serde_json::to_value(current) else { return };
    for name in names {
        fields.unchanged(name, current.get(*name).unwrap_or(&Value::Null));
    }
}

/// The same text keeps its envelope, so that a document that changes nothing is seen to change nothing.
fn seal(text: &Secret<String>, current: Option<&Sealed>, keyring: &Keyring) -> Sealed {
    let same = current.filter(|current| {
        current.key_id() == keyring.first_id()
            && keyring.open(current).is_ok_and(|open| open.expose() == text.expose().as_bytes())
    });
    same.cloned().unwrap_or_else(|| keyring.seal(text.expose().as_bytes(), rand::random()))
}
