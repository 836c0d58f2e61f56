//! The page for what went wrong: a clear sentence, and the code to quote to whoever helps.

use std::fmt;
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError};
use askama::Template;
use oauth_core::error::OAuthError;
use vocab::ErrorCode;

use super::{Frame, see_other, show};
use crate::http::unread::{self, Extracted};
use crate::password::HashError;
use crate::problem::Problem;
use crate::resolve::Tenant;
use crate::store::DbError;
use crate::tenant::TenantContext;

/// What a person gets instead of the page.
#[derive(Debug)]
pub struct PageError(Box<Instead>);

#[derive(Debug)]
enum Instead {
    Error {
        page: ErrorPage,
        status: StatusCode,
        retry_after_secs: Option<u32>,
    },
    /// The page at which to sign in, which leads back.
    SignInFirst(String),
}

#[derive(Debug, Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    title: String,
    detail: String,
    code: &'static str,
}

impl PageError {
    pub fn new(frame: Frame, code: ErrorCode, detail: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after_secs = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        let page = ErrorPage { frame, title: title(code).to_owned(), detail: detail.into(), code: code.as_str() };
        Self(Box::new(Instead::Error { page, status, retry_after_secs }))
    }

    fn retry_after(mut self, secs: Option<u32>) -> Self {
        if let Instead::Error { retry_after_secs, .. } = self.0.as_mut() {
            *retry_after_secs = secs;
        }
        self
    }

    /// A request of a client that cannot be told by redirect (RFC 6749 §4.1.2.1).
    pub fn refused(tenant: &TenantContext, error: &OAuthError) -> Self {
        let page = ErrorPage {
            frame: Frame::of(tenant),
            title: "This link does not work".to_owned(),
            detail: format!("The application that sent you here made a mistake. {}", error.description()),
            code: error.code().as_str(),
        };
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
        Self(Box::new(Instead::Error { page, status, retry_after_secs: None }))
    }

    pub fn sign_in_first(location: String) -> Self {
        Self(Box::new(Instead::SignInFirst(location)))
    }

    pub fn database(tenant: &TenantContext, error: &DbError) -> Self {
        let detail = match error {
            DbError::NoDatabase => "Sign-in is not set up here yet: no database is configured.",
            DbError::Query(_) => "Something went wrong on our side. It was logged.",
            _ => "We cannot reach our database right now. Please try again in a moment.",
        };
        tracing::error!(tenant = %tenant.slug, %error, "the tenant's database failed");
        Self::new(Frame::of(tenant), error.code(), detail)
    }

    pub fn hashing(tenant: &TenantContext, error: HashError) -> Self {
        tracing::warn!(tenant = %tenant.slug, %error, "a password was not checked");
        let detail = "Many people are signing in right now. Please try again in a moment.";
        Self::new(Frame::of(tenant), ErrorCode::Unavailable, detail)
    }
}

const fn title(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::NotFound => "Not found",
        ErrorCode::TenantSuspended | ErrorCode::NoDatabase | ErrorCode::NotConfigured => "Not available",
        ErrorCode::Unavailable | ErrorCode::DatabaseUnavailable | ErrorCode::TooManyRequests => "Please try again",
        ErrorCode::Forbidden => "This form cannot be used",
        ErrorCode::InvalidRequest
        | ErrorCode::UnsupportedMediaType
        | ErrorCode::PayloadTooLarge
        | ErrorCode::RequestTimeout => "That did not work",
        _ => "Something went wrong",
    }
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_ref() {
            Instead::Error { page, .. } => write!(f, "{}: {}", page.code, page.detail),
            Instead::SignInFirst(_) => f.write_str("nobody is signed in"),
        }
    }
}

impl std::error::Error for PageError {}

impl ResponseError for PageError {
    fn status_code(&self) -> StatusCode {
        match self.0.as_ref() {
            Instead::Error { status, .. } => *status,
            Instead::SignInFirst(_) => StatusCode::SEE_OTHER,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let (page, status, retry_after_secs) = match self.0.as_ref() {
            Instead::Error { page, status, retry_after_secs } => (page, *status, *retry_after_secs),
            Instead::SignInFirst(location) => return see_other(location),
        };
        let mut response = show(status, &page.frame, page, None);
        if let Some(secs) = retry_after_secs {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        if status == StatusCode::REQUEST_TIMEOUT {
            // RFC 9110 §15.5.9: the rest of the body is not waited for.
            response.head_mut().set_connection_type(ConnectionType::Close);
        }
        response
    }
}

/// [`Tenant`] for routes that people visit: what is wrong with it is said on a page.
#[derive(Clone, Debug)]
pub struct PageTenant(pub Tenant);

impl Deref for PageTenant {
    type Target = TenantContext;

    fn deref(&self) -> &TenantContext {
        &self.0
    }
}

impl PageTenant {
    /// Of whom the request is, without counting it.
    pub(crate) fn known(request: &HttpRequest) -> Result<Self, PageError> {
        Tenant::known(request).map(Self).map_err(|problem| unresolved(&problem))
    }
}

impl FromRequest for PageTenant {
    type Error = PageError;
    type Future = Extracted<Self, PageError>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let tenant = Tenant::admitted(request).map(Self).map_err(|problem| unresolved(&problem));
        unread::after(tenant, request, payload)
    }
}

fn unresolved(problem: &Problem) -> PageError {
    let detail = match problem.code() {
        ErrorCode::NotFound => "There is nothing at this address.",
        ErrorCode::TenantSuspended => "This organisation's sign-in is suspended.",
        ErrorCode::Unavailable => "This service is not ready. Please try again in a moment.",
        ErrorCode::TooManyRequests => "Very many requests are coming in right now. Please try again in a moment.",
        _ => "The address contradicts itself about whose sign-in this is.",
    };
    PageError::new(Frame::of_nobody(), problem.code(), detail).retry_after(problem.retry_after_secs())
}
