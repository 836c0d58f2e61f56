//! The token endpoint's answers as bytes, as far as no database is needed.

use actix_web::ResponseError as _;
use actix_web::body::MessageBody as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oauth_core::bearer::Claims;
use oauth_core::issue::ACCESS_TOKEN_TYPE;
use rstest::rstest;
use serde_json::{Value, json};

use super::{TokenRequest, exchange};
use crate::app::App;
use crate::caller::{Caller, DpopHeader};
use crate::fixture::{NOW, app, tenant};

fn basic(credentials: &str) -> String {
    format!("Basic {}", STANDARD.encode(credentials))
}

fn caller<'a>(app: &'a App, authorization: Option<&'a str>) -> Caller<'a> {
    Caller {
        verifier: &app.verifier,
        method: "POST",
        path: "/oauth2/token",
        authorization: authorization.map(str::as_bytes),
        certificate: None,
        dpop: DpopHeader::Absent,
    }
}

/// Status, `WWW-Authenticate` and JSON of the answer.
async fn ask(authorization: Option<&str>, query: &str, body: &str) -> (u16, Option<String>, Value) {
    let app = app();
    let request = TokenRequest { caller: caller(&app, authorization), query, body: body.as_bytes() };
    match exchange(&tenant(), NOW, &request).await {
        Ok(response) => (200, None, serde_json::to_value(&response).unwrap()),
        Err(failure) => {
            let response = failure.error_response();
            let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(header("cache-control").as_deref(), Some("no-store"));
            assert_eq!(header("pragma").as_deref(), Some("no-cache"));
            assert_eq!(header("content-type").as_deref(), Some("application/json"));
            let (status, challenge) = (response.status().as_u16(), header("www-authenticate"));
            let bytes = response.into_body().try_into_bytes().expect("a whole body");
            (status, challenge, serde_json::from_slice(&bytes).unwrap())
        }
    }
}

#[actix_web::test]
async fn client_credentials_give_a_jwt_of_rfc_9068() {
    let tenant = tenant();
    let authorization = basic("web:s3cret");
    let body = b"grant_type=client_credentials&scope=staff+hj:users.read";
    let app = app();
    let request = TokenRequest { caller: caller(&app, Some(&authorization)), query: "", body };
    let response = serde_json::to_value(exchange(&tenant, NOW, &request).await.unwrap()).unwrap();
    assert_eq!(response["token_type"], "Bearer");
    assert_eq!(response["expires_in"], 600);
    assert_eq!(response["scope"], "staff hj:users.read");
    assert_eq!(response.get("refresh_token"), None);
    let token = response["access_token"].as_str().unwrap();
    let claims: Value = tenant.keys.verify(token, ACCESS_TOKEN_TYPE, &tenant.issuer, NOW).unwrap();
    assert_eq!(claims["iss"], "https://id.example/t/acme");
    assert_eq!(claims["sub"], "web");
    assert_eq!(claims["client_id"], "web");
    assert_eq!(claims["aud"], json!(["https://api.example", "https://id.example/t/acme"]));
    assert_eq!(claims["iat"], 1_700_000_000);
    assert_eq!(claims["exp"], 1_700_000_600);
    assert_eq!(claims["jti"].as_str().unwrap().len(), 36);
    let read: Claims = tenant.keys.verify(token, ACCESS_TOKEN_TYPE, &tenant.issuer, NOW).unwrap();
    assert_eq!(read.hj_grant, None);
    assert!(read.permit("hj:users.read", &tenant.issuer).is_ok());
}

const MACHINE: &str = "grant_type=client_credentials";

#[rstest]
#[case::wrong_secret(Some(basic("web:wrong")), "", MACHINE, 401, "invalid_client")]
#[case::unknown_client(Some(basic("nobody:s3cret")), "", MACHINE, 401, "invalid_client")]
#[case::disabled_client(Some(basic("off:s3cret")), "", MACHINE, 401, "invalid_client")]
#[case::other_method(
    None,
    "",
    "grant_type=client_credentials&client_id=web&client_secret=s3cret",
    401,
    "invalid_client"
)]
#[case::no_secret(None, "", "grant_type=authorization_code&code=x&client_id=web", 401, "invalid_client")]
#[case::in_the_url(None, "client_id=post&client_secret=s3cret", MACHINE, 400, "invalid_request")]
#[case::grant_type_twice(
    Some(basic("web:s3cret")),
    "",
    "grant_type=client_credentials&grant_type=client_credentials",
    400,
    "invalid_request"
)]
#[case::client_id_twice(None, "", "client_id=app&client_id=app&grant_type=x", 400, "invalid_request")]
#[case::no_grant_type(Some(basic("web:s3cret")), "", "", 400, "invalid_request")]
#[case::password(Some(basic("web:s3cret")), "", "grant_type=password", 400, "unsupported_grant_type")]
#[case::not_registered(
    None,
    "",
    "client_id=code-only&client_secret=s3cret&grant_type=client_credentials",
    400,
    "unauthorized_client"
)]
#[case::public(None, "", "client_id=app&grant_type=client_credentials", 400, "unauthorized_client")]
#[case::scope(Some(basic("web:s3cret")), "", "grant_type=client_credentials&scope=openid", 400, "invalid_scope")]
#[case::resource(
    Some(basic("web:s3cret")),
    "",
    "grant_type=client_credentials&resource=urn:unknown",
    400,
    "invalid_target"
)]
#[case::no_database(Some(basic("web:s3cret")), "", "grant_type=refresh_token&refresh_token=x", 409, "server_error")]
#[actix_web::test]
async fn refusals(
    #[case] authorization: Option<String>,
    #[case] query: &str,
    #[case] body: &str,
    #[case] status: u16,
    #[case] error: &str,
) {
    let (found, challenge, json) = ask(authorization.as_deref(), query, body).await;
    assert_eq!((found, json["error"].as_str()), (status, Some(error)), "{json}");
    assert_eq!(challenge.is_some_and(|text| text.starts_with("Basic ")), status == 401);
}

#[actix_web::test]
async fn an_unknown_client_and_a_wrong_secret_cannot_be_told_apart() {
    let unknown = ask(Some(&basic("nobody:s3cret")), "", MACHINE).await;
    assert_eq!(ask(Some(&basic("web:wrong")), "", MACHINE).await, unknown);
    assert_eq!(ask(Some(&basic("off:s3cret")), "", MACHINE).await, unknown);
}
