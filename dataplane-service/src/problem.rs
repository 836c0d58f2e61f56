//! Errors that are not OAuth's, as RFC 9457 problem documents. The only place that turns an `ErrorCode` into an answer.

use std::fmt;

use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use vocab::{ErrorCode, Violations};

use crate::http::respond::not_now;
use crate::store::DbError;
use crate::throttle::Wait;

/// What the caller is told. The log keeps more; this never names a secret, an address or a statement.
#[derive(Debug)]
pub struct Problem {
    code: ErrorCode,
    detail: String,
    errors: Violations,
    allow: Vec<Method>,
    retry_after_secs: Option<u32>,
    shape: Shape,
}

/// How the caller reads errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// RFC 9457.
    Problem,
    /// RFC 6749 §5.2.
    OAuth,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Violations::is_empty")]
    errors: &'a Violations,
}

impl Problem {
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        let retry_after_secs = (code.http_status() == 503).then_some(1);
        Self {
            code,
            detail: detail.into(),
            errors: Violations::new(),
            allow: Vec::new(),
            retry_after_secs,
            shape: Shape::Problem,
        }
    }

    /// A document that breaks rules, with every problem that was found.
    pub fn invalid(errors: Violations) -> Self {
        Self { errors, ..Self::new(ErrorCode::ValidationFailed, "see errors") }
    }

    /// More requests of the tenant than its limit allows (RFC 6585 §4).
    pub fn too_many(wait: Wait) -> Self {
        let told = "this tenant's requests are more than its limit allows";
        Self { retry_after_secs: Some(wait.secs), ..Self::new(ErrorCode::TooManyRequests, told) }
    }

    /// For an endpoint of OAuth, whose callers know its errors only: `temporarily_unavailable`.
    #[must_use]
    pub fn as_oauth(self) -> Self {
        Self { shape: Shape::OAuth, ..self }
    }

    /// RFC 9110 §15.5.6: the answer names the methods that are allowed.
    pub fn method_not_allowed(allow: Vec<Method>) -> Self {
        Self { allow, ..Self::new(ErrorCode::MethodNotAllowed, "this resource does not know the method") }
    }

    pub const fn code(&self) -> ErrorCode {
        self.code
    }

    pub const fn retry_after_secs(&self) -> Option<u32> {
        self.retry_after_secs
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        if self.shape == Shape::OAuth {
            return not_now(self.code, self.retry_after_secs);
        }
        let document = Document {
            r#type: "about:blank",
            title: self.code.title(),
            status: self.code.http_status(),
            code: self.code.as_str(),
            detail: &self.detail,
            errors: &self.errors,
        };
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")));
        if !self.allow.is_empty() {
            let methods = self.allow.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
            response.insert_header((header::ALLOW, methods));
        }
        if let Some(secs) = self.retry_after_secs {
            response.insert_header((header::RETRY_AFTER, secs));
        }
        if self.code == ErrorCode::RequestTimeout {
            // RFC 9110 §15.5.9: the rest of the body is not waited for.
            response.force_close();
        }
        response.content_type("application/problem+json");
        response.body(serde_json::to_string(&document).unwrap_or_default())
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        let code = error.code();
        if matches!(error, DbError::Query(_)) {
            tracing::error!(%error, "a statement failed");
        }
        Self::new(
            code,
            match code {
                ErrorCode::NoDatabase => "this tenant has no database configured",
                ErrorCode::DatabaseUnavailable => "the tenant's database does not answer; try again",
                _ => "something went wrong here; it was logged",
            },
        )
    }
}
