//! Resources as the API shows them, for others that show them, too. No secret is in it.

use controlplane_core::{Client, Scope, SigningKey, Tenant};
use serde::Serialize;
use serde_json::Value;
use vocab::Timestamp;

use super::view::{ClientView, KeyView, ScopeView, TenantView, rfc3339};

pub fn tenant(tenant: &Tenant) -> Value {
    value(&TenantView::of(tenant))
}

pub fn client(client: &Client) -> Value {
    value(&ClientView::of(client))
}

pub fn scope(scope: &Scope) -> Value {
    value(&ScopeView::of(scope))
}

pub fn key(key: &SigningKey) -> Value {
    value(&KeyView::of(key))
}

/// RFC 3339, UTC.
pub fn time(time: Timestamp) -> String {
    rfc3339(time)
}

fn value(view: &impl Serialize) -> Value {
    serde_json::to_value(view).expect("a view has string keys and serializes")
}
