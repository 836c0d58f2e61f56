//! One request of a person's browser to a page: whose it is, what it carries, and the checks all pages share.

use std::net::IpAddr;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth_core::acr::Acr;
use oauth_core::error::OAuthError;
use oauth_core::form::Form;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use vocab::oauth::Mfa;
use vocab::{ErrorCode, Timestamp};

use super::cookies::Kind;
use super::onward::Onward;
use super::origin;
use crate::app::App;
use crate::opaque;
use crate::pages::{self, About, Frame, PageError};
use crate::store::change_mails::{Change, News};
use crate::store::interactions::{self, Interaction, Key};
use crate::store::sessions::{self, Session};
use crate::store::{DbError, TenantDb};
use crate::tenant::TenantContext;

/// A session's use is noted at most this often, not on every request; oftener where it ends sooner.
const TOUCH_EVERY_SECS: u32 = 60;

pub(super) struct Visit<'a> {
    request: &'a HttpRequest,
    /// What all its pages share; they may run a style by this visit's nonce alone.
    frame: Frame,
    pub(super) tenant: &'a TenantContext,
    pub(super) app: &'a App,
    pub(super) now: Timestamp,
    pub(super) address: Option<IpAddr>,
    session_cookie: Option<String>,
    sign_in_cookie: Option<String>,
    browser_cookie: Option<String>,
    /// Made when the browser brought none; handed out with the answer.
    new_browser: Option<String>,
    /// The browser says that a page of another site sent this (Fetch Metadata).
    from_elsewhere: bool,
}

impl<'a> Visit<'a> {
    pub(super) fn of(request: &'a HttpRequest, tenant: &'a TenantContext, app: &'a App) -> Self {
        let browser_cookie = Kind::Browser.read(request, tenant);
        let new_browser = browser_cookie.is_none().then(|| opaque::fresh().expose().clone());
        Self {
            request,
            frame: Frame::of(tenant),
            tenant,
            app,
            now: app.clock.now(),
            address: origin::of(request).map(|origin| origin.address),
            session_cookie: Kind::Session.read(request, tenant),
            sign_in_cookie: Kind::SignIn.read(request, tenant),
            browser_cookie,
            new_browser,
            from_elsewhere: request
                .headers()
                .get("sec-fetch-site")
                .is_some_and(|site| site == "cross-site" || site == "same-site"),
        }
    }

    pub(super) fn query(&self) -> Result<Form<'a>, PageError> {
        form(self.tenant, self.request.query_string().as_bytes())
    }

    /// The part of the path that the route has that name for.
    pub(super) fn segment(&self, name: &str) -> &'a str {
        self.request.match_info().get(name).unwrap_or_default()
    }

    pub(super) fn frame(&self) -> Frame {
        self.frame.clone()
    }

    /// A page of this visit, and with it the cookie that a new browser is known by. `returns_to` is the redirect URI that
    /// the forms of this page may end at.
    pub(super) fn show(&self, status: StatusCode, page: &impl Template, returns_to: Option<&str>) -> HttpResponse {
        let mut response = pages::show(status, &self.frame, page, returns_to);
        self.bind(&mut response);
        response
    }

    /// The same with a script in it.
    pub(super) fn show_with_script(
        &self,
        status: StatusCode,
        page: &impl Template,
        returns_to: Option<&str>,
    ) -> HttpResponse {
        let mut response = pages::show_with_script(status, &self.frame, page, returns_to);
        self.bind(&mut response);
        response
    }

    /// The same about a client, whose logo alone comes from elsewhere.
    pub(super) fn show_about(
        &self,
        status: StatusCode,
        page: &impl Template,
        returns_to: Option<&str>,
        about: &About,
    ) -> HttpResponse {
        let mut response = pages::show_about(status, &self.frame, page, returns_to, about);
        self.bind(&mut response);
        response
    }

    pub(super) fn error(&self, code: ErrorCode, detail: &str) -> PageError {
        PageError::new(self.frame(), code, detail)
    }

    pub(super) fn db(&self) -> Result<&TenantDb, PageError> {
        self.tenant.db().map_err(|error| self.fault(&error))
    }

    pub(super) fn fault(&self, error: &DbError) -> PageError {
        PageError::database(self.tenant, error)
    }

    /// What the person is told of a change that is made now.
    pub(super) fn news(&self, change: Change) -> News {
        self.app.news(self.tenant, change)
    }

    /// There is something in the outbox.
    pub(super) fn posted(&self) {
        self.app.outbox.look_at(self.tenant.id);
    }

    /// As people know that client; by its id if it is gone.
    pub(super) fn name_of(&self, client_id: &str) -> String {
        self.tenant.client(client_id).map_or_else(|| client_id.to_owned(), |client| client.spec.name.clone())
    }

    /// A path of this tenant.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.tenant.base_path())
    }

    /// A page of this tenant that goes on with an interaction. Ids are base64url and need no escaping.
    pub(super) fn interaction_path(&self, path: &str, id: Option<&str>) -> String {
        match id {
            Some(id) => format!("{}{path}?interaction={id}", self.tenant.base_path()),
            None => self.path(path),
        }
    }

    pub(super) fn session_cookie(&self) -> Option<&str> {
        self.session_cookie.as_deref()
    }

    /// Who is signed in. Anybody else signs in first and comes to that page then.
    pub(super) async fn signed_in(&self, here: &Onward) -> Result<Session, PageError> {
        let session = self.session().await?;
        session.ok_or_else(|| PageError::sign_in_first(here.by_way_of(self, "/login")))
    }

    pub(super) fn sign_in_cookie(&self) -> Option<&str> {
        self.sign_in_cookie.as_deref()
    }

    /// What this browser's interactions are bound to.
    pub(super) fn browser(&self) -> &str {
        let known = self.browser_cookie.as_deref().or(self.new_browser.as_deref());
        known.expect("one of the two is there: `of` makes the second when the first is missing")
    }

    /// The live session, its use noted. Where the tenant requires two factors, one that has less is none: everybody signs
    /// in again once that is required.
    pub(super) async fn session(&self) -> Result<Option<Session>, PageError> {
        let Some(cookie) = &self.session_cookie else {
            return Ok(None);
        };
        let db = self.db()?;
        let idle_since = self.now.plus_secs(-i64::from(self.tenant.lifetimes.session_idle_secs));
        let found = sessions::find_live(db, cookie, self.now, idle_since).await.map_err(|e| self.fault(&e))?;
        let is_enough = |session: &Session| {
            self.tenant.oauth.mfa != Mfa::Required || Acr::of(&session.facts.amr) == Acr::MultiFactor
        };
        let found = found.filter(is_enough);
        let touch_every_secs = TOUCH_EVERY_SECS.min(self.tenant.lifetimes.session_idle_secs / 4);
        if let Some(session) = &found
            && session.last_seen_at.plus_secs(i64::from(touch_every_secs)) <= self.now
        {
            sessions::touch(db, cookie, self.now).await.map_err(|e| self.fault(&e))?;
        }
        Ok(found)
    }

    pub(super) fn key<'k>(&'k self, id: &'k str) -> Key<'k> {
        Key { id, browser: self.browser() }
    }

    /// The interaction that the page was opened for; a page if it is over or another browser's.
    pub(super) async fn interaction(&self, id: &str) -> Result<Interaction, PageError> {
        let found = interactions::find(self.db()?, self.key(id), self.now).await.map_err(|e| self.fault(&e))?;
        found.ok_or_else(|| self.stale())
    }

    /// The interaction that a query or a form names, if it names one.
    pub(super) async fn interaction_of<'f>(
        &self,
        form: &'f Form<'_>,
    ) -> Result<Option<(&'f str, Interaction)>, PageError> {
        match form.get("interaction") {
            Some(id) => Ok(Some((id, self.interaction(id).await?))),
            None => Ok(None),
        }
    }

    pub(super) fn stale(&self) -> PageError {
        self.error(
            ErrorCode::InvalidRequest,
            "This sign-in has expired, is finished, or was begun in another browser. \
             Please go back to the application and start again.",
        )
    }

    /// The token a form of this browser must bring back. `about` is what the form was shown for, so that a form cannot
    /// be used for anything else. Only this browser's cookie, which no script reads, leads to it.
    pub(super) fn csrf(&self, about: &[&str]) -> String {
        let mut hash = Sha256::new();
        for part in ["hellojohn form", self.browser()].iter().chain(about) {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        URL_SAFE_NO_PAD.encode(hash.finalize())
    }

    pub(super) fn check_csrf(&self, form: &Form<'_>, about: &[&str]) -> Result<(), PageError> {
        let expected = self.csrf(about);
        let given = form.get("csrf").unwrap_or_default();
        // A browser without the cookie cannot have been shown the form. One whose cookie somebody else planted (from
        // a sister domain, say) still tells where the form was.
        if !self.from_elsewhere
            && self.browser_cookie.is_some()
            && bool::from(expected.as_bytes().ct_eq(given.as_bytes()))
        {
            return Ok(());
        }
        Err(self.error(
            ErrorCode::Forbidden,
            "This form is not one that was shown to this browser. Please allow cookies, go back and try again.",
        ))
    }

    /// Gives a new browser its binding cookie with the answer.
    pub(super) fn bind(&self, response: &mut HttpResponse) {
        if let Some(value) = &self.new_browser {
            add_cookie(response, &Kind::Browser.set(self.tenant, value));
        }
    }
}

pub(super) fn add_cookie(response: &mut HttpResponse, cookie: &actix_web::cookie::Cookie<'_>) {
    if let Ok(value) = HeaderValue::try_from(cookie.to_string()) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

pub(super) fn form<'f>(tenant: &TenantContext, input: &'f [u8]) -> Result<Form<'f>, PageError> {
    Form::parse(input).map_err(|error| {
        let error = OAuthError::from(error);
        PageError::new(Frame::of(tenant), ErrorCode::InvalidRequest, error.description())
    })
}
