//! Which pages of other origins may read what the endpoints answer that clients in browsers call (Fetch §3.2): those of the
//! client that the answer is for, as it names them in its `allowed_origins`. None of these endpoints looks at cookies, so
//! none are allowed.

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use oauth_core::client::Client;

use super::call::Call;
use crate::resolve::Tenant;
use crate::tenant::TenantContext;

/// `OPTIONS`: what a browser asks before it lets a page send `Authorization`. It names no client, so any client's origins
/// may go on.
pub(super) async fn preflight(request: HttpRequest, tenant: Tenant) -> HttpResponse {
    let mut response = HttpResponse::NoContent().finish();
    let headers = response.headers_mut();
    let Some(origin) = origin(&request, headers) else { return response };
    if any_client_allows(&tenant, origin) {
        allow(origin, headers);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("authorization, content-type, dpop"),
        );
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

/// Lets the page that asked read the answer, if its origin is the client's. Requests without `Origin` cost nothing.
///
/// What named no client got a refusal that says as much: a developer may read it in any page that could have meant well.
pub(super) fn permit(call: &Call, answer: &mut HeaderMap) {
    let Some(origin) = origin(call, answer) else { return };
    let may_read = match call.client_id() {
        Some(client_id) => call.tenant.client(&client_id).is_some_and(|client| allows(client, origin)),
        None => any_client_allows(&call.tenant, origin),
    };
    if may_read {
        allow(origin, answer);
    }
}

/// The origin of the page that asks. Whether one does makes the answer another, so that a cache must tell them apart.
fn origin<'r>(request: &'r HttpRequest, answer: &mut HeaderMap) -> Option<&'r HeaderValue> {
    let origin = request.headers().get(header::ORIGIN)?;
    answer.append(header::VARY, HeaderValue::from_static("origin"));
    Some(origin)
}

fn allows(client: &Client, origin: &HeaderValue) -> bool {
    client.spec.enabled && client.spec.allowed_origins.iter().any(|known| known.as_bytes() == origin.as_bytes())
}

fn any_client_allows(tenant: &TenantContext, origin: &HeaderValue) -> bool {
    tenant.clients.values().any(|client| allows(client, origin))
}

fn allow(origin: &HeaderValue, answer: &mut HeaderMap) {
    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    // So that a page can read why it was refused (RFC 6750 §3) and when to come back.
    let exposed = HeaderValue::from_static("www-authenticate, retry-after, dpop-nonce");
    answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::tenant;
    use actix_web::test::TestRequest;
    use rstest::rstest;

    fn allowed(headers: &HeaderMap) -> Option<&str> {
        headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap())
    }

    #[rstest]
    #[case(None, false)]
    #[case(Some("https://app.example"), true)]
    #[case(Some("https://portal.example"), true)]
    #[case(Some("https://evil.example"), false)]
    #[case(Some("https://off.example"), false)]
    #[case(Some("null"), false)]
    #[actix_web::test]
    async fn any_clients_origin_may_ask(#[case] origin: Option<&str>, #[case] expected: bool) {
        let mut request = TestRequest::default();
        if let Some(origin) = origin {
            request = request.insert_header(("origin", origin));
        }
        let response = preflight(request.to_http_request(), Tenant(tenant().into())).await;
        assert_eq!(allowed(response.headers()), origin.filter(|_| expected));
        assert_eq!(response.headers().contains_key("access-control-allow-headers"), expected);
        assert!(!response.headers().contains_key("access-control-allow-credentials"));
    }

    #[rstest]
    #[case::its_own("client_id=app", "https://app.example", true)]
    #[case::of_another_client("client_id=app", "https://portal.example", false)]
    #[case::the_others_own("client_id=code-only", "https://portal.example", true)]
    #[case::of_a_disabled_one("client_id=off", "https://off.example", false)]
    #[case::of_nobody("client_id=nobody", "https://app.example", false)]
    #[case::named_nobody("", "https://app.example", true)]
    #[case::named_two("client_id=app&client_id=code-only", "https://portal.example", true)]
    #[case::strangers("", "https://evil.example", false)]
    #[actix_web::test]
    async fn only_the_clients_own_pages_read(#[case] body: &'static str, #[case] origin: &str, #[case] expected: bool) {
        let request = TestRequest::post()
            .insert_header(("origin", origin))
            .insert_header(("content-type", "application/x-www-form-urlencoded"));
        let mut answer = HeaderMap::new();
        permit(&Call::of(request.to_http_request(), body), &mut answer);
        assert_eq!(allowed(&answer), Some(origin).filter(|_| expected));
        assert_eq!(answer.get("vary").map(HeaderValue::as_bytes), Some(&b"origin"[..]));
    }

    #[rstest]
    #[case("https://app.example", true)]
    #[case("https://portal.example", false)]
    #[actix_web::test]
    async fn an_access_token_says_whose_the_answer_is(#[case] origin: &str, #[case] expected: bool) {
        let call = Call::of(TestRequest::get().insert_header(("origin", origin)).to_http_request(), "");
        call.is_of("app");
        let mut answer = HeaderMap::new();
        permit(&call, &mut answer);
        assert_eq!(allowed(&answer), Some(origin).filter(|_| expected));
    }
}
