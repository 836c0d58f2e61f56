//! Every error of the admin API, as a problem document (RFC 9457). The only mapping from errors to HTTP.

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use controlplane_core::Rejection;
use serde_json::{Value, json};
use vocab::{ErrorCode, Violations};

use crate::control_plane::{BarrierError, ProposeError};

#[derive(Debug)]
pub(super) struct Problem {
    code: ErrorCode,
    detail: String,
    errors: Violations,
    header: Option<(HeaderName, String)>,
}

impl Problem {
    pub(super) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        let header = match code {
            ErrorCode::NoLeader | ErrorCode::Unavailable | ErrorCode::RevisionNotReached => {
                Some((RETRY_AFTER, "1".to_owned()))
            }
            _ => None,
        };
        Self { code, detail: detail.into(), errors: Violations::new(), header }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, detail)
    }

    pub(super) fn not_found(what: impl fmt::Display) -> Self {
        Self::new(ErrorCode::NotFound, format!("{what} does not exist"))
    }

    pub(super) fn invalid(errors: Violations) -> Self {
        Self { errors, ..Self::new(ErrorCode::ValidationFailed, "the document breaks rules; see errors") }
    }

    /// Several, of which the first has this code.
    pub(super) fn many(code: ErrorCode, errors: Violations) -> Self {
        Self { errors, ..Self::new(code, "the documents cannot be applied; see errors") }
    }

    /// The same, with its place in something larger.
    #[must_use]
    pub(super) fn at(self, place: impl fmt::Display) -> Self {
        Self { detail: format!("{place}: {}", self.detail), ..self }
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::Forbidden, detail)
    }

    /// RFC 6750 §3: the bare challenge when nothing was presented, `invalid_token` when what was is no good.
    pub(super) fn unauthenticated(presented: Presented, detail: impl Into<String>) -> Self {
        let challenge = match presented {
            Presented::Nothing => "Bearer realm=\"hellojohn-admin\"",
            Presented::Token => "Bearer realm=\"hellojohn-admin\", error=\"invalid_token\"",
        };
        let header = Some((WWW_AUTHENTICATE, challenge.to_owned()));
        Self { header, ..Self::new(ErrorCode::Unauthenticated, detail) }
    }

    /// RFC 6585 §4.
    pub(super) fn too_many_requests(wait: Duration, detail: impl Into<String>) -> Self {
        let secs = wait.as_secs_f64().ceil().max(1.0);
        Self { header: Some((RETRY_AFTER, secs.to_string())), ..Self::new(ErrorCode::TooManyRequests, detail) }
    }

    /// RFC 9110 §15.5.6 asks for `Allow`.
    pub(super) fn method_not_allowed(allow: &str) -> Self {
        let detail = format!("this resource takes {allow}");
        Self { header: Some((ALLOW, allow.to_owned())), ..Self::new(ErrorCode::MethodNotAllowed, detail) }
    }

    /// A fault of ours. The cause goes to the log only.
    pub(super) fn internal(cause: impl fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::new(ErrorCode::Internal, "the cause is in this node's log")
    }

    /// Every problem with its pointer; of an error that is about the whole, that one.
    pub(super) fn into_violations(self) -> Violations {
        if self.errors.is_empty() { Violations::one("", self.detail) } else { self.errors }
    }

    pub(super) const fn code(&self) -> ErrorCode {
        self.code
    }

    pub(super) fn document(&self) -> Value {
        let mut document = json!({
            "type": "about:blank",
            "title": self.code.title(),
            "status": self.code.http_status(),
            "code": self.code.as_str(),
            "detail": self.detail,
        });
        if !self.errors.is_empty() {
            document["errors"] = json!(self.errors);
        }
        document
    }

    /// With the document, which may say more than ours does (RFC 9457 §3.2).
    pub(super) fn response(&self, document: String) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((CONTENT_TYPE, "application/problem+json"));
        if let Some((name, value)) = &self.header {
            response.insert_header((name.clone(), value.as_str()));
        }
        if matches!(self.code, ErrorCode::PayloadTooLarge | ErrorCode::RequestTimeout) {
            // The rest of the body is not worth reading.
            response.force_close();
        }
        response.body(document)
    }
}

/// Whether a request tried to authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presented {
    Nothing,
    Token,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        self.response(self.document().to_string())
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let code = rejection.code();
        match rejection {
            Rejection::Invalid { violations } => Self::invalid(violations),
            other => Self::new(code, other.to_string()),
        }
    }
}

impl From<ProposeError> for Problem {
    fn from(error: ProposeError) -> Self {
        let code = error.code();
        match error {
            ProposeError::Rejected(rejection) => rejection.into(),
            other => Self::new(code, other.to_string()),
        }
    }
}

impl From<BarrierError> for Problem {
    fn from(error: BarrierError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::to_bytes;
    use vocab::Revision;

    async fn document(problem: Problem) -> (HttpResponse, serde_json::Value) {
        let (head, body) = problem.error_response().into_parts();
        let bytes = to_bytes(body).await.unwrap();
        (head.map_body(|_, ()| actix_web::body::BoxBody::new(())), serde_json::from_slice(&bytes).unwrap())
    }

    #[actix_web::test]
    async fn every_code_becomes_a_document_with_its_status() {
        for code in ErrorCode::ALL {
            let (response, document) = document(Problem::new(code, "why")).await;
            assert_eq!(response.status().as_u16(), code.http_status());
            assert_eq!(response.headers().get(CONTENT_TYPE).unwrap(), "application/problem+json");
            assert_eq!(document["code"], code.as_str());
            assert_eq!(document["status"], code.http_status());
            assert_eq!(document["type"], "about:blank");
            assert_eq!(document["detail"], "why");
        }
    }

    #[actix_web::test]
    async fn headers_and_pointers_come_along() {
        let (response, document) = document(Problem::invalid(Violations::one("/name", "is empty"))).await;
        assert_eq!(response.status(), 422);
        assert_eq!(document["errors"][0]["pointer"], "/name");
        let (response, _) = self::document(ProposeError::NoLeader.into()).await;
        assert_eq!(response.headers().get(RETRY_AFTER).unwrap(), "1");
        let (response, _) = self::document(ProposeError::OutcomeUnknown.into()).await;
        assert_eq!(response.status(), 504);
        let (response, _) = self::document(Problem::method_not_allowed("GET, POST")).await;
        assert_eq!(response.headers().get(ALLOW).unwrap(), "GET, POST");
        let stale = Rejection::PreconditionFailed { expected: Revision(1), actual: Revision(2) };
        assert_eq!(Problem::from(stale).code(), ErrorCode::PreconditionFailed);
    }
}
