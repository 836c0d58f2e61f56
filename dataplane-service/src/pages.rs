//! What people see: server-rendered pages that work without scripts and load nothing from anywhere, but for the tenant's
//! logo, if it has one, and that of a client on the pages where a person decides about it.
//!
//! Every string in them is escaped by askama. [`show`] is the only way out, so that every page carries the same
//! headers: a policy that permits one nonce'd style and no script at all, no framing, no referrer, no cache. A script of our
//! own have two kinds of pages alone ([`show_with_script`]), each with another way for browsers without: [`form_post`], which
//! carries an answer to a client, and those that ask for an authenticator.

mod about;
mod asked;
mod error;
mod factors;
mod links;
pub mod qr;
mod scopes;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use askama::Template;
use url::Url;
use vocab::branding::Color;

pub use about::About;
pub use asked::{Asked, Detail};
pub use error::{PageError, PageTenant};
pub use factors::{AccountFactor, AddKey, AddTotp, AskedKeys, Factors, RecoveryCodes, SecondFactor};
pub use links::{ForgotPassword, Notice, ResetPassword, VerifyEmail};
pub use scopes::describe;

use crate::opaque;
use crate::tenant::TenantContext;

const FRAME_OPTIONS: HeaderName = HeaderName::from_static("x-frame-options");
const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

/// What every page shares.
#[derive(Clone, Debug)]
pub struct Frame {
    pub tenant: String,
    /// Where the tenant's own routes stand, so that forms come back to the same tenant.
    pub base_path: String,
    pub nonce: String,
    /// The tenant's, in place of its name.
    pub logo: Option<String>,
    /// Of the buttons, if not ours.
    pub accent: Option<Color>,
}

impl Frame {
    pub fn of(tenant: &TenantContext) -> Self {
        Self {
            tenant: tenant.display_name.clone(),
            base_path: tenant.base_path().to_owned(),
            nonce: nonce(),
            logo: tenant.branding.logo_uri.clone(),
            accent: tenant.branding.accent_color,
        }
    }

    /// For a request whose tenant is not known.
    pub fn of_nobody() -> Self {
        Self { tenant: "HelloJohn".to_owned(), base_path: String::new(), nonce: nonce(), logo: None, accent: None }
    }
}

fn nonce() -> String {
    opaque::fresh().expose().chars().take(22).collect()
}

#[derive(Template)]
#[template(path = "login.html")]
#[derive(Debug)]
pub struct Login {
    pub frame: Frame,
    /// The client that waits, if any.
    pub client: Option<String>,
    pub about: About,
    pub alert: Option<String>,
    pub csrf: String,
    pub interaction: Option<String>,
    /// Where to go on, where no client waits.
    pub onward: Vec<(&'static str, String)>,
    pub email: String,
    pub providers: Vec<Provider>,
    /// Where to register, if one may.
    pub register: Option<String>,
    /// Where to get a link to choose another password, if mail can be sent.
    pub forgot: Option<String>,
}

/// An OpenID provider to sign in at, and the way there.
#[derive(Clone, Debug)]
pub struct Provider {
    pub name: String,
    pub href: String,
}

#[derive(Template)]
#[template(path = "register.html")]
#[derive(Debug)]
pub struct Register {
    pub frame: Frame,
    pub client: Option<String>,
    pub alert: Option<String>,
    pub csrf: String,
    pub interaction: Option<String>,
    /// Where to go on, where no client waits.
    pub onward: Vec<(&'static str, String)>,
    pub email: String,
    pub name: String,
    pub email_problem: Option<String>,
    pub name_problem: Option<String>,
    pub password_problem: Option<String>,
    pub password_min_length: u32,
    pub login: String,
}

#[derive(Template)]
#[template(path = "consent.html")]
#[derive(Debug)]
pub struct Consent {
    pub frame: Frame,
    pub asked: Asked,
    pub about: About,
    pub email: String,
    pub csrf: String,
    pub interaction: String,
    /// The host that the browser goes back to.
    pub destination: String,
    pub switch: String,
}

#[derive(Template)]
#[template(path = "select_account.html")]
#[derive(Debug)]
pub struct SelectAccount {
    pub frame: Frame,
    pub client: Option<String>,
    pub email: String,
    pub csrf: String,
    pub interaction: String,
    pub switch: String,
}

/// The answer to an authorization request as a form that sends itself to the client (OAuth 2.0 Form Post Response
/// Mode §2).
#[derive(Template)]
#[template(path = "form_post.html")]
pub struct FormPost {
    pub frame: Frame,
    pub action: String,
    pub fields: Vec<(&'static str, String)>,
}

/// It holds the code.
impl std::fmt::Debug for FormPost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FormPost").field("action", &self.action).finish_non_exhaustive()
    }
}

#[derive(Template)]
#[template(path = "signed_in.html")]
#[derive(Debug)]
pub struct SignedIn {
    pub frame: Frame,
    pub email: String,
    pub csrf: String,
    /// The client that wants the user to be signed out, if one does.
    pub asked_by: Option<String>,
    /// What it asked for, to come back with the form.
    pub request: Vec<(&'static str, String)>,
}

/// Where a person types the code of a device.
#[derive(Template)]
#[template(path = "device_code.html")]
#[derive(Debug)]
pub struct DeviceCode {
    pub frame: Frame,
    pub alert: Option<String>,
    /// What was typed.
    pub code: String,
}

/// Whether the device may have what it asks for.
#[derive(Template)]
#[template(path = "device_confirm.html")]
#[derive(Debug)]
pub struct DeviceConfirm {
    pub frame: Frame,
    pub asked: Asked,
    pub email: String,
    /// In groups, as the device shows it.
    pub shown_code: String,
    pub code: String,
    pub csrf: String,
    /// Of this very page, for another phone: an SVG of ours.
    pub qr: String,
    pub switch: String,
}

#[derive(Template)]
#[template(path = "device_done.html")]
#[derive(Debug)]
pub struct DeviceDone {
    pub frame: Frame,
    pub is_allowed: bool,
}

/// What a signed-in person sees of the account.
#[derive(Template)]
#[template(path = "account.html")]
#[derive(Debug)]
pub struct Account {
    pub frame: Frame,
    pub email: String,
    /// What came of the last answer.
    pub notice: Option<&'static str>,
    /// Where to show that the address is one's own, if that is not known yet and mail can be sent.
    pub verify: Option<String>,
    pub requests: Vec<AccountRequest>,
    pub access: Vec<AccountAccess>,
    /// Whether the tenant knows second factors.
    pub has_factors: bool,
}

/// The one request that a mail's link names.
#[derive(Template)]
#[template(path = "account_request.html")]
#[derive(Debug)]
pub struct RequestPage {
    pub frame: Frame,
    pub email: String,
    pub request: AccountRequest,
}

/// An application that has access.
#[derive(Debug)]
pub struct AccountAccess {
    pub client_id: String,
    pub client: String,
    pub scopes: Vec<String>,
    /// The day since when, as ISO 8601 writes it.
    pub since: String,
    pub csrf: String,
}

/// Where a person chooses another password.
#[derive(Template)]
#[template(path = "password.html")]
#[derive(Debug)]
pub struct ChangePassword {
    pub frame: Frame,
    pub email: String,
    pub alert: Option<String>,
    pub current_problem: Option<String>,
    pub new_problem: Option<String>,
    pub min_length: u32,
    pub csrf: String,
}

/// A client that waits for the person's answer.
#[derive(Debug)]
pub struct AccountRequest {
    pub id: String,
    pub asked: Asked,
    pub binding_message: Option<String>,
    pub csrf: String,
}

#[derive(Template)]
#[template(path = "signed_out.html")]
#[derive(Debug)]
pub struct SignedOut {
    pub frame: Frame,
    /// Pages of clients that sign out there, too (OIDC Front-Channel Logout 1.0 §3).
    pub frames: Vec<String>,
    /// Where the browser goes once these had a moment to load.
    pub return_to: Option<String>,
}

/// A page as an answer. `returns_to` is the redirect URI that the forms of this page may end at.
pub fn show(status: StatusCode, frame: &Frame, page: &impl Template, returns_to: Option<&str>) -> HttpResponse {
    respond(status, page, policy(frame, returns_to, None))
}

/// The page about a client, whose logo comes from elsewhere.
pub fn show_about(
    status: StatusCode,
    frame: &Frame,
    page: &impl Template,
    returns_to: Option<&str>,
    about: &About,
) -> HttpResponse {
    respond(status, page, policy(frame, returns_to, about.logo.as_deref()))
}

/// The page that has other sites' pages in it: exactly those.
pub fn show_signed_out(page: &SignedOut) -> HttpResponse {
    let mut policy = policy(&page.frame, None, None);
    let sources: Vec<String> = page.frames.iter().filter_map(|url| source(url)).collect();
    if !sources.is_empty() {
        policy = format!("{policy}; frame-src {}", sources.join(" "));
    }
    respond(StatusCode::OK, page, policy)
}

/// As CSP Level 3 §2.3.1 writes it: without the query, and without a path that has characters which end a source.
fn source(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let origin = url.origin().ascii_serialization();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/%".contains(&b);
    Some(if url.path().bytes().all(plain) { format!("{origin}{}", url.path()) } else { origin })
}

fn respond(status: StatusCode, page: &impl Template, policy: String) -> HttpResponse {
    let Ok(html) = page.render() else {
        tracing::error!("a page could not be rendered");
        return HttpResponse::InternalServerError().finish();
    };
    let mut response = HttpResponse::build(status);
    private(&mut response);
    response
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .insert_header((FRAME_OPTIONS, HeaderValue::from_static("DENY")))
        .insert_header((NOSNIFF, HeaderValue::from_static("nosniff")))
        .content_type("text/html; charset=utf-8")
        .body(html)
}

/// A page with a script in it: that one alone may run.
pub fn show_with_script(
    status: StatusCode,
    frame: &Frame,
    page: &impl Template,
    returns_to: Option<&str>,
) -> HttpResponse {
    let policy = policy(frame, returns_to, None);
    respond(status, page, format!("{policy}; script-src 'nonce-{}'", frame.nonce))
}

/// The page that posts an answer to a client.
pub fn form_post(page: &FormPost) -> HttpResponse {
    show_with_script(StatusCode::OK, &page.frame, page, Some(&page.action))
}

/// Headers of every answer to a browser, redirects included: what is in its URL is nobody else's business.
fn private(response: &mut actix_web::HttpResponseBuilder) {
    response
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .insert_header((header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")));
}

/// 303, so that a POST with a password is never repeated at the target (RFC 9700 §4.12).
pub fn see_other(location: &str) -> HttpResponse {
    let mut response = HttpResponse::SeeOther();
    private(&mut response);
    response.insert_header((header::LOCATION, location)).finish()
}

/// Chromium applies `form-action` to the redirects after a POST, those of the client's callback too, which may lead to
/// another host of the client's. So the scheme is permitted, not only the callback's origin.
fn policy(frame: &Frame, returns_to: Option<&str>, logo: Option<&str>) -> String {
    let logos = [frame.logo.as_deref(), logo].into_iter().flatten().filter_map(source);
    let images = ["data:".to_owned()].into_iter().chain(logos).collect::<Vec<_>>().join(" ");
    let scheme = returns_to.and_then(|uri| uri.split_once(':')).map(|(scheme, _)| scheme);
    let is_scheme = |s: &&str| s.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let target = scheme.filter(is_scheme).map(|scheme| format!(" {scheme}:")).unwrap_or_default();
    format!(
        "default-src 'none'; style-src 'nonce-{}'; img-src {images}; form-action 'self'{target}; \
         frame-ancestors 'none'; base-uri 'none'",
        frame.nonce
    )
}

#[cfg(test)]
mod tests;
