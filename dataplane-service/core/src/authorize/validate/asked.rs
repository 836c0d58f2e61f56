//! What a request asks for, as far as its client may: scopes, single claims, resources.

use vocab::ScopeName;

use super::Site;
use crate::authorization_details::AuthorizationDetails;
use crate::claims_request::ClaimsRequest;
use crate::client::{Client, GrantType};
use crate::error::{Code, OAuthError};
use crate::form::Form;
use crate::resource::is_own;
use crate::scope::{OFFLINE_ACCESS, ScopeSet, built_in_claims};

/// RFC 6749 §3.3. A client that may not refresh asks for `offline_access` in vain, which is no error (OIDC Core §11). Who
/// says in detail what it wants needs no scope (RFC 9396 §3).
pub(super) fn scope(form: &Form<'_>, client: &Client, details: &AuthorizationDetails) -> Result<ScopeSet, OAuthError> {
    let mut scope = ScopeSet::parse(form.get("scope").unwrap_or_default())?;
    if !client.may_use(GrantType::RefreshToken) {
        scope.remove(OFFLINE_ACCESS);
    }
    if let Some(name) = scope.iter().find(|name| !client.may_ask_for(name)) {
        return Err(OAuthError::quoting(Code::InvalidScope, &format!("The client may not ask for scope {name}.")));
    }
    if scope.is_empty() && details.is_empty() {
        return Err(OAuthError::invalid_scope("The scope is missing."));
    }
    Ok(scope)
}

/// The claims asked for one by one (OIDC Core §5.5), without those that none of the client's scopes releases; and the
/// scopes that release the others.
pub(super) fn claims(
    form: &Form<'_>,
    site: Site<'_>,
    client: &Client,
) -> Result<(ClaimsRequest, ScopeSet), OAuthError> {
    /// Of the protocol: they tell about the sign-in, and need no scope.
    const PROTOCOL: [&str; 3] = ["sub", "acr", "auth_time"];
    let Some(text) = form.get("claims") else {
        return Ok((ClaimsRequest::default(), ScopeSet::default()));
    };
    let mut asked = ClaimsRequest::parse(text)?;
    let releases = |scope: &ScopeName, claim: &str| match built_in_claims(scope.as_str()) {
        Some(claims) => claims.contains(&claim),
        None => (site.scope_claims)(scope).is_some_and(|claims| claims.iter().any(|name| name == claim)),
    };
    let releasing = |claim: &str| client.spec.scopes.iter().find(|scope| releases(scope, claim));
    asked.retain(|claim| PROTOCOL.contains(&claim) || releasing(claim).is_some());
    let scopes = asked.names().filter(|claim| !PROTOCOL.contains(claim)).filter_map(releasing).cloned().collect();
    Ok((asked, scopes))
}

/// RFC 8707 §2: only resources that the client is registered for, and the issuer.
pub(super) fn resources(form: &Form<'_>, client: &Client, issuer: &str) -> Result<Vec<String>, OAuthError> {
    let asked: Vec<String> = form.resources().into_iter().map(str::to_owned).collect();
    if asked.iter().all(|resource| is_own(resource, issuer) || client.spec.audiences.contains(resource)) {
        Ok(asked)
    } else {
        Err(OAuthError::invalid_target("The client is not registered for this resource."))
    }
}
