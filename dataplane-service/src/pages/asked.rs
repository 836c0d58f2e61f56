//! What a client asks a person for, in words: scopes, and authorization details (RFC 9396).

use oauth_core::authorization_details::AuthorizationDetails;

use super::scopes::describe;
use crate::tenant::TenantContext;

#[derive(Debug)]
pub struct Asked {
    pub client: String,
    /// What each scope means.
    pub scopes: Vec<String>,
    pub details: Vec<Detail>,
}

/// One of the objects: the tenant's words for the type, and every member.
#[derive(Debug)]
pub struct Detail {
    pub title: String,
    /// Names and values.
    pub lines: Vec<(String, String)>,
}

impl Asked {
    pub fn of<S: AsRef<str>>(
        tenant: &TenantContext,
        client: String,
        scopes: impl IntoIterator<Item = S>,
        details: &AuthorizationDetails,
    ) -> Self {
        let title = |kind: &str| {
            let known = tenant.oauth.authorization_details_types.get(kind);
            known.map_or_else(|| kind.to_owned(), |known| known.description.clone())
        };
        let details = details.in_words().into_iter().map(|(kind, lines)| Detail { title: title(kind), lines });
        let scopes = scopes.into_iter().map(|scope| describe(tenant, scope.as_ref()));
        Self { client, scopes: scopes.collect(), details: details.collect() }
    }
}
