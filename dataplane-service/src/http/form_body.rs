//! The bodies and headers that OAuth endpoints read: one media type, one `Authorization` header.

use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use actix_web::{HttpRequest, web};
use oauth_core::error::OAuthError;

/// Whether the body is a form (RFC 6749 §3.2, Appendix B), whatever parameters the media type has.
pub fn is_form(request: &HttpRequest) -> bool {
    let essence = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// The body, if it kept to the limit.
pub fn read(body: Result<web::Bytes, actix_web::Error>) -> Result<web::Bytes, OAuthError> {
    body.map_err(|_| OAuthError::invalid_request("The body is over 64 KiB or was cut off."))
}

/// The one `Authorization` header there may be (RFC 9110 §11.6.2).
pub fn authorization(request: &HttpRequest) -> Result<Option<&[u8]>, OAuthError> {
    let mut values = request.headers().get_all(AUTHORIZATION);
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(OAuthError::invalid_request("The Authorization header is repeated.")),
        (value, None) => Ok(value.map(HeaderValue::as_bytes)),
    }
}
