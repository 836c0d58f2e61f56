//! What authorization details (RFC 9396) mean to the person who is asked: the tenant's words for the type, and every member.

use oauth_core::authorization_details::AuthorizationDetails;

use crate::tenant::TenantContext;

/// One of the objects.
#[derive(Debug)]
pub struct Detail {
    pub title: String,
    /// Names and values.
    pub lines: Vec<(String, String)>,
}

pub fn describe_details(tenant: &TenantContext, details: &AuthorizationDetails) -> Vec<Detail> {
    let title = |kind: &str| {
        let known = tenant.oauth.authorization_details_types.get(kind);
        known.map_or_else(|| kind.to_owned(), |known| known.description.clone())
    };
    details.in_words().into_iter().map(|(kind, lines)| Detail { title: title(kind), lines }).collect()
}
