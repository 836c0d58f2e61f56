//! What a person reads who tries too often: how long to wait, on the page that was filled in and in a header beside it.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};

pub(super) fn alert(wait_secs: u32) -> String {
    format!("Too many attempts. Please wait {wait_secs} seconds and try again.")
}

/// That page with the alert (RFC 6585 §4).
pub(super) fn page(wait_secs: u32, show: impl FnOnce(StatusCode, String) -> HttpResponse) -> HttpResponse {
    let mut response = show(StatusCode::TOO_MANY_REQUESTS, alert(wait_secs));
    mark(&mut response, wait_secs);
    response
}

/// Tells programs, too.
pub(super) fn mark(response: &mut HttpResponse, wait_secs: u32) {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait_secs));
}
