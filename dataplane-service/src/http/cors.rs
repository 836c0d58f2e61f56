//! Which pages of other origins may read what the endpoints answer that clients in browsers call (Fetch §3.2): those that
//! a client of the tenant names in its `allowed_origins`. None of these endpoints looks at cookies, so none are allowed.

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use crate::resolve::Tenant;
use crate::tenant::TenantContext;

/// `OPTIONS`: what a browser asks before it lets a page send `Authorization`.
pub(super) async fn preflight(request: HttpRequest, tenant: Tenant) -> HttpResponse {
    let mut response = HttpResponse::NoContent().finish();
    if permit(&request, &tenant, response.headers_mut()) {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("authorization, content-type, dpop"),
        );
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

/// Lets the page that asked read the answer, if its origin is known. Requests without `Origin` cost nothing.
pub(super) fn permit(request: &HttpRequest, tenant: &TenantContext, answer: &mut HeaderMap) -> bool {
    let Some(origin) = request.headers().get(header::ORIGIN) else { return false };
    answer.append(header::VARY, HeaderValue::from_static("origin"));
    let known = origin.to_str().is_ok_and(|origin| {
        let clients = tenant.clients.values();
        clients
            .filter(|client| client.spec.enabled)
            .any(|client| client.spec.allowed_origins.iter().any(|known| known == origin))
    });
    if known {
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        // So that a page can read why it was refused (RFC 6750 §3) and when to come back.
        let exposed = HeaderValue::from_static("www-authenticate, retry-after, dpop-nonce");
        answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::tenant;
    use actix_web::test::TestRequest;
    use rstest::rstest;

    #[rstest]
    #[case(None, false)]
    #[case(Some("https://app.example"), true)]
    #[case(Some("https://evil.example"), false)]
    #[case(Some("https://off.example"), false)]
    #[case(Some("null"), false)]
    #[actix_web::test]
    async fn known_origins_may_read(#[case] origin: Option<&str>, #[case] expected: bool) {
        let mut request = TestRequest::default();
        if let Some(origin) = origin {
            request = request.insert_header(("origin", origin));
        }
        let response = preflight(request.to_http_request(), Tenant(tenant().into())).await;
        let allowed = response.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap());
        assert_eq!(allowed, origin.filter(|_| expected));
        assert_eq!(response.headers().contains_key("access-control-allow-headers"), expected);
        assert!(!response.headers().contains_key("access-control-allow-credentials"));
    }
}
