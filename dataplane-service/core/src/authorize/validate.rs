//! Checking an authorization request: a list of named checks, the first that fails refuses.

mod asked;
mod parameters;
#[cfg(test)]
mod tests;

use vocab::ScopeName;
use vocab::oauth::OAuthSettings;

use super::request::AuthorizationRequest;
use super::response::ReturnAddress;
use crate::authorization_details::{AuthorizationDetails, DetailTypes};
use crate::client::{Client, GrantType};
use crate::error::{Code, OAuthError};
use crate::fapi;
use crate::form::Form;

/// Longest single parameter; what is accepted is stored and may come back in a URL.
const MAX_VALUE_BYTES: usize = 8 * 1024;

/// Who learns of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The user, on a page: it is not known (yet) whether the redirect URI is the client's (RFC 6749 §4.1.2.1).
    Page(OAuthError),
    /// The client, by redirect.
    Redirect(ReturnAddress, OAuthError),
}

/// The tenant, as far as its requests are judged by it.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// A resource that every client may name.
    pub issuer: &'a str,
    pub settings: &'a OAuthSettings,
    /// The claims that a scope of the tenant's own releases.
    pub scope_claims: &'a dyn Fn(&ScopeName) -> Option<&'a [String]>,
    /// The types of authorization details that there are.
    pub details_types: &'a DetailTypes,
}

impl std::fmt::Debug for Site<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// The way a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// By the browser.
    Front,
    /// From the client itself, authenticated (RFC 9126).
    Pushed,
}

/// Runs every check. `find_client` looks a `client_id` up among the tenant's clients.
pub fn validate<'c>(
    form: &Form<'_>,
    site: Site<'_>,
    channel: Channel,
    find_client: impl FnOnce(&str) -> Option<&'c Client>,
) -> Result<AuthorizationRequest, Refusal> {
    let client = known_client(form, find_client).map_err(Refusal::Page)?;
    let address = return_address(form, client).map_err(Refusal::Page)?;
    check_the_rest(form, site, channel, client, &address).map_err(|error| Refusal::Redirect(address, error))
}

fn check_the_rest(
    form: &Form<'_>,
    site: Site<'_>,
    channel: Channel,
    client: &Client,
    address: &ReturnAddress,
) -> Result<AuthorizationRequest, OAuthError> {
    sizes(form)?;
    nothing_unsupported(form)?;
    pushed_if_it_must_be(channel, site.settings, client)?;
    let response_type = parameters::response_type(form)?;
    grant_is_allowed(client)?;
    parameters::response_mode(form)?;
    fapi::request(fapi::of(client, site.settings), form, channel, client, response_type)?;
    let authorization_details = site.details_types.judge(AuthorizationDetails::read(form)?, client)?;
    let scope = asked::scope(form, client, &authorization_details)?;
    let (claims, claims_scope) = asked::claims(form, site, client)?;
    Ok(AuthorizationRequest {
        client_id: client.client_id.clone(),
        redirect_uri: address.redirect_uri.clone(),
        response_type,
        response_mode: address.response_mode,
        state: address.state.clone(),
        nonce: owned(form, "nonce"),
        code_challenge: parameters::code_challenge(form, site.settings, client, response_type)?,
        dpop_jkt: parameters::dpop_jkt(form)?,
        prompt: parameters::prompt(form)?,
        max_age_secs: parameters::max_age(form)?.or(client.spec.default_max_age),
        acr_values: parameters::acr_values(form, client),
        login_hint: owned(form, "login_hint"),
        id_token_hint: owned(form, "id_token_hint"),
        resources: asked::resources(form, client, site.issuer)?,
        scope,
        authorization_details,
        claims,
        claims_scope,
    })
}

fn owned(form: &Form<'_>, name: &str) -> Option<String> {
    form.get(name).map(str::to_owned)
}

/// RFC 6749 §4.1.2.1: no redirect without a valid client. A disabled client is as good as none.
pub fn known_client<'c>(
    form: &Form<'_>,
    find_client: impl FnOnce(&str) -> Option<&'c Client>,
) -> Result<&'c Client, OAuthError> {
    let id = form.get("client_id").ok_or(OAuthError::invalid_request("The client_id is missing."))?;
    find_client(id)
        .filter(|client| client.spec.enabled)
        .ok_or(OAuthError::invalid_request("The client_id belongs to no client."))
}

/// Where the answer goes. A redirect URI is always needed (OIDC Core §3.1.2.1), and RFC 9700 §4.1.3 requires the
/// comparison to be exact. A `response_mode` that does not exist is told by the usual one.
pub fn return_address(form: &Form<'_>, client: &Client) -> Result<ReturnAddress, OAuthError> {
    let uri = form.get("redirect_uri").ok_or(OAuthError::invalid_request("The redirect_uri is missing."))?;
    if !client.redirects_to(uri) {
        return Err(OAuthError::invalid_request("The redirect_uri is not registered for this client."));
    }
    Ok(ReturnAddress {
        redirect_uri: uri.to_owned(),
        response_mode: parameters::response_mode(form).unwrap_or_default(),
        // What is too long is refused below; it is not sent about.
        state: owned(form, "state").filter(|state| state.len() <= MAX_VALUE_BYTES),
    })
}

fn sizes(form: &Form<'_>) -> Result<(), OAuthError> {
    match form.iter().find(|(_, value)| value.len() > MAX_VALUE_BYTES) {
        None => Ok(()),
        Some((name, _)) => {
            Err(OAuthError::quoting(Code::InvalidRequest, &format!("The parameter {name} is over 8 KiB.")))
        }
    }
}

/// Parameters that change the meaning of a request must not be passed over (OIDC Core §3.1.2.6). A request object was
/// opened before this: what it holds is the request ([`super::request_object`]).
fn nothing_unsupported(form: &Form<'_>) -> Result<(), OAuthError> {
    for (name, code) in [
        ("request", Code::RequestNotSupported),
        ("request_uri", Code::RequestUriNotSupported),
        ("registration", Code::RegistrationNotSupported),
    ] {
        if form.get(name).is_some() {
            return Err(OAuthError::new(code, "This parameter is not supported."));
        }
    }
    Ok(())
}

/// RFC 9126 §5, §6.
fn pushed_if_it_must_be(channel: Channel, settings: &OAuthSettings, client: &Client) -> Result<(), OAuthError> {
    let needed = settings.require_pushed_authorization_requests || client.spec.require_pushed_authorization_requests;
    match channel {
        Channel::Front if needed => {
            Err(OAuthError::invalid_request("The client must push its authorization requests (RFC 9126)."))
        }
        Channel::Front | Channel::Pushed => Ok(()),
    }
}

fn grant_is_allowed(client: &Client) -> Result<(), OAuthError> {
    if client.may_use(GrantType::AuthorizationCode) {
        Ok(())
    } else {
        Err(OAuthError::unauthorized_client("The client is not registered for authorization codes."))
    }
}
