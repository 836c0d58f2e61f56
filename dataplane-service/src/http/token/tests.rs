//! The public endpoints through the whole route table.

use actix_web::dev::ServiceResponse;
use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::web;
use rstest::rstest;
use serde_json::{Value, json};

use crate::fixture::{SECRET, app};
use crate::http::{BODY_LIMIT, configure, pin_directory};

async fn call(request: TestRequest) -> ServiceResponse {
    let app = actix_web::App::new().app_data(web::Data::new(app())).wrap(from_fn(pin_directory)).configure(configure);
    call_service(&init_service(app).await, request.to_request()).await.map_into_boxed_body()
}

fn header(response: &ServiceResponse, name: &str) -> Option<String> {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
}

async fn json_of(response: ServiceResponse) -> Value {
    serde_json::from_slice(&read_body(response).await).unwrap()
}

fn machine() -> TestRequest {
    let form = [("grant_type", "client_credentials"), ("client_id", "post"), ("client_secret", SECRET)];
    TestRequest::post().uri("/t/acme/oauth2/token").set_form(form)
}

#[actix_web::test]
async fn a_token() {
    let response = call(machine().insert_header(("origin", "https://app.example"))).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-type").as_deref(), Some("application/json"));
    assert_eq!(header(&response, "cache-control").as_deref(), Some("no-store"));
    assert_eq!(header(&response, "pragma").as_deref(), Some("no-cache"));
    assert_eq!(header(&response, "access-control-allow-origin").as_deref(), Some("https://app.example"));
    assert_eq!(json_of(response).await["token_type"], "Bearer");
}

#[rstest]
#[case::json(machine().insert_header(("content-type", "application/json")), 400)]
#[case::gzip(machine().insert_header(("content-encoding", "gzip")), 400)]
#[case::two_credentials(
    machine().append_header(("authorization", "Basic YTpi")).append_header(("authorization", "Basic YTpi")),
    400
)]
#[case::too_large(machine().set_payload(vec![b'a'; BODY_LIMIT + 1]), 400)]
#[case::no_body(TestRequest::post().uri("/t/acme/oauth2/token"), 400)]
#[actix_web::test]
async fn unreadable_requests(#[case] request: TestRequest, #[case] status: u16) {
    let response = call(request).await;
    assert_eq!(response.status(), status);
    assert_eq!(json_of(response).await["error"], "invalid_request");
}

#[rstest]
#[case("/t/acme/oauth2/token", Method::GET, "POST, OPTIONS")]
#[case("/t/acme/oauth2/userinfo", Method::PUT, "GET, HEAD, POST, OPTIONS")]
#[case("/t/acme/.well-known/openid-configuration", Method::DELETE, "GET, HEAD")]
#[case("/t/acme/.well-known/jwks.json", Method::TRACE, "GET, HEAD")]
#[actix_web::test]
async fn other_methods(#[case] path: &str, #[case] method: Method, #[case] allow: &str) {
    let response = call(TestRequest::default().uri(path).method(method)).await;
    assert_eq!(response.status(), 405);
    assert_eq!(header(&response, "allow").as_deref(), Some(allow));
}

#[rstest]
#[case("/t/acme/.well-known/openid-configuration", None)]
#[case("/t/acme/.well-known/oauth-authorization-server", None)]
#[case("/.well-known/oauth-authorization-server/t/acme", None)]
#[case("/.well-known/openid-configuration/t/acme", None)]
#[case("/.well-known/openid-configuration", Some("acme"))]
#[actix_web::test]
async fn the_metadata_wherever_a_client_may_look(#[case] path: &str, #[case] tenant: Option<&str>) {
    let mut request = TestRequest::get().uri(path).insert_header(("x-forwarded-host", "evil.example"));
    if let Some(tenant) = tenant {
        request = request.insert_header(("x-tenant-slug", tenant));
    }
    let response = call(request).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "vary").as_deref(), Some("x-tenant-slug"));
    let document = json_of(response).await;
    assert_eq!(document["issuer"], "https://id.example/t/acme");
    assert_eq!(document["jwks_uri"], "https://id.example/t/acme/.well-known/jwks.json");
    assert!(!document.to_string().contains("evil"));
}

#[actix_web::test]
async fn keys_are_public() {
    let response = call(TestRequest::get().uri("/t/acme/.well-known/jwks.json")).await;
    assert_eq!(header(&response, "cache-control").as_deref(), Some("public, max-age=300"));
    let keys = json_of(response).await;
    assert_eq!(keys["keys"][0]["kid"], "k1");
    assert_eq!(keys["keys"][0].get("d"), None);
}

#[actix_web::test]
async fn userinfo_without_and_with_a_token_of_a_client() {
    let userinfo = || TestRequest::get().uri("/t/acme/oauth2/userinfo");
    let response = call(userinfo()).await;
    assert_eq!(response.status(), 401);
    assert_eq!(
        header(&response, "www-authenticate").as_deref(),
        Some(
            "Bearer realm=\"acme\", resource_metadata=\"https://id.example/.well-known/oauth-protected-resource/t/acme/oauth2/userinfo\""
        )
    );
    let twice = TestRequest::post().uri("/t/acme/oauth2/userinfo").insert_header(("authorization", "Bearer x"));
    let response = call(twice.set_form([("access_token", "x")])).await;
    assert_eq!((response.status().as_u16(), json_of(response).await["error"].clone()), (400, json!("invalid_request")));
}
