//! Access tokens that open nothing (RFC 6750 §3.1), as far as no database is needed.

use actix_web::ResponseError as _;
use actix_web::test::TestRequest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rstest::rstest;
use serde_json::{Value, json};

use super::authenticate;
use crate::fixture::{NOW, app, tenant};
use crate::tenant::TenantContext;

fn claims() -> Value {
    json!({
        "iss": "https://id.example/t/acme",
        "sub": "web",
        "aud": "https://id.example/t/acme",
        "client_id": "web",
        "scope": "hj:users.read",
        "iat": NOW.secs(),
        "exp": NOW.secs() + 1,
        "jti": uuid::Uuid::from_u128(7),
    })
}

async fn present(tenant: &TenantContext, header: Option<String>) -> (u16, Option<String>) {
    let mut request = TestRequest::get();
    if let Some(header) = header {
        request = request.insert_header(("authorization", header));
    }
    match authenticate(&request.to_http_request(), None, tenant, &app(), "hj:users.read").await {
        Ok(_) => (200, None),
        Err(failure) => {
            let response = failure.error_response();
            let challenge = response.headers().get("www-authenticate").map(|v| v.to_str().unwrap().to_owned());
            (response.status().as_u16(), challenge)
        }
    }
}

#[rstest]
#[case::good("at+jwt", json!({}), 200, None)]
#[case::id_token("JWT", json!({}), 401, Some("invalid_token"))]
#[case::expired("at+jwt", json!({"exp": NOW.secs()}), 401, Some("invalid_token"))]
#[case::other_issuer("at+jwt", json!({"iss": "https://id.example/t/other"}), 401, Some("invalid_token"))]
#[case::other_audience("at+jwt", json!({"aud": "https://api.example"}), 401, Some("invalid_token"))]
#[case::other_scope("at+jwt", json!({"scope": "staff"}), 403, Some("insufficient_scope"))]
#[case::disabled_client("at+jwt", json!({"client_id": "off"}), 401, Some("invalid_token"))]
#[case::deleted_client("at+jwt", json!({"client_id": "gone"}), 401, Some("invalid_token"))]
#[case::of_a_user_without_a_database("at+jwt", json!({"hj_grant": "00000000-0000-0000-0000-000000000001"}), 409, None)]
#[actix_web::test]
async fn tokens_of_ours(#[case] typ: &str, #[case] change: Value, #[case] status: u16, #[case] error: Option<&str>) {
    let tenant = tenant();
    let mut claims = claims();
    claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let token = tenant.keys.sign(typ, &claims).unwrap();
    let (found, challenge) = present(&tenant, Some(format!("bearer {token}"))).await;
    assert_eq!(found, status, "{challenge:?}");
    match error {
        None => assert_eq!(challenge, None),
        Some(error) => assert!(challenge.unwrap().contains(&format!("error=\"{error}\""))),
    }
}

#[actix_web::test]
async fn tokens_of_others() {
    let (tenant, other) = (tenant(), tenant());
    let foreign = other.keys.sign("at+jwt", &claims()).unwrap();
    let unsigned = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"at+jwt","kid":"k1"}"#),
        URL_SAFE_NO_PAD.encode(claims().to_string())
    );
    for token in [foreign, unsigned, "x".to_owned(), "a.b.c".to_owned()] {
        let (status, challenge) = present(&tenant, Some(format!("Bearer {token}"))).await;
        assert_eq!(status, 401, "{token}");
        assert!(challenge.unwrap().contains("error=\"invalid_token\""));
    }
}

#[actix_web::test]
async fn no_token_is_no_error_of_its_own() {
    let (status, challenge) = present(&tenant(), None).await;
    let told = "Bearer realm=\"acme\", \
                resource_metadata=\"https://id.example/.well-known/oauth-protected-resource/t/acme/api/v1/users\"";
    assert_eq!((status, challenge.as_deref()), (401, Some(told)));
    assert_eq!(present(&tenant(), Some("Bearer".to_owned())).await.0, 400);
}
