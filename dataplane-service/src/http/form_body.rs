//! The bodies and headers that OAuth endpoints read: one media type, one `Authorization` header.

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use oauth_core::error::OAuthError;

use super::body::Body;

/// Whether the body is a form (RFC 6749 §3.2, Appendix B), whatever parameters the media type has. A compressed one is
/// not: nothing here inflates what strangers send.
pub fn is_form(request: &HttpRequest) -> bool {
    is(request, "application/x-www-form-urlencoded")
}

/// Whether the body is JSON (RFC 8259 §11), on the same terms.
pub fn is_json(request: &HttpRequest) -> bool {
    is(request, "application/json")
}

fn is(request: &HttpRequest, media_type: &str) -> bool {
    let header = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let essence = header(CONTENT_TYPE).and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(media_type)
        && request.headers().get_all(CONTENT_ENCODING).all(|coding| coding == "identity")
}

/// The body, if it kept to the limit.
pub(super) fn read(body: &Body) -> Result<&[u8], OAuthError> {
    body.0.as_deref().map_err(|_| OAuthError::invalid_request("The body is over 128 KiB or was cut off."))
}

/// The body, if it is a form and kept to the limit.
pub(super) fn form<'b>(request: &HttpRequest, body: &'b Body) -> Result<&'b [u8], OAuthError> {
    if !is_form(request) {
        let told = "The body must be application/x-www-form-urlencoded, not compressed.";
        return Err(OAuthError::invalid_request(told));
    }
    read(body)
}

/// The one `Authorization` header there may be (RFC 9110 §11.6.2).
pub fn authorization(request: &HttpRequest) -> Result<Option<&[u8]>, OAuthError> {
    let mut values = request.headers().get_all(AUTHORIZATION);
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(OAuthError::invalid_request("The Authorization header is repeated.")),
        (value, None) => Ok(value.map(HeaderValue::as_bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use rstest::rstest;

    #[rstest]
    #[case(&[("content-type", "application/x-www-form-urlencoded")], true)]
    #[case(&[("content-type", "Application/X-WWW-Form-Urlencoded; charset=utf-8")], true)]
    #[case(&[("content-type", "application/x-www-form-urlencoded"), ("content-encoding", "identity")], true)]
    #[case(&[("content-type", "application/x-www-form-urlencoded"), ("content-encoding", "gzip")], false)]
    #[case(&[("content-type", "application/json")], false)]
    #[case(&[("content-type", "text/plain")], false)]
    #[case(&[], false)]
    fn forms(#[case] headers: &[(&str, &str)], #[case] expected: bool) {
        let request = headers.iter().fold(TestRequest::post(), |request, header| request.insert_header(*header));
        assert_eq!(is_form(&request.to_http_request()), expected, "{headers:?}");
    }

    #[test]
    fn one_authorization_header() {
        let request = TestRequest::post().insert_header(("authorization", "a"));
        assert_eq!(authorization(&request.to_http_request()), Ok(Some(&b"a"[..])));
        let request = TestRequest::post().append_header(("authorization", "a")).append_header(("authorization", "b"));
        assert!(authorization(&request.to_http_request()).is_err());
        assert_eq!(authorization(&TestRequest::post().to_http_request()), Ok(None));
    }
}
