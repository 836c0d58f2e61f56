//! What scopes mean to the person who is asked.

use crate::tenant::TenantContext;

/// The sentence for a scope; the tenant's own description for the tenant's own scopes.
pub fn describe(tenant: &TenantContext, scope: &str) -> String {
    let text = match scope {
        "openid" => "Know that it is you (an identifier without your name)",
        "profile" => "See your profile: your name and what you added to it",
        "email" => "See your email address",
        "address" => "See your postal address",
        "phone" => "See your phone number",
        "offline_access" => "Keep this access while you are away",
        "hj:users.read" => "See all users and their data",
        "hj:users.write" => "Create and change users",
        other => {
            let described = tenant.scopes.get(other).map(|s| s.description.as_str()).filter(|text| !text.is_empty());
            return described.unwrap_or(other).to_owned();
        }
    };
    text.to_owned()
}
