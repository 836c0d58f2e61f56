use rstest::rstest;
use serde_json::json;

use super::*;

const ISSUER: &str = "https://id.corp.example";
const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn metadata(changes: &Value) -> Metadata {
    let mut document = json!({
        "issuer": ISSUER, "authorization_endpoint": "https://id.corp.example/authorize",
        "token_endpoint": "https://id.corp.example/token", "jwks_uri": "https://id.corp.example/jwks",
    });
    merge(&mut document, changes);
    Metadata::parse(document.to_string().as_bytes()).unwrap()
}

fn merge(into: &mut Value, changes: &Value) {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(name);
        } else {
            into[name] = value.clone();
        }
    }
}

fn token(changes: &Value) -> IdToken {
    let mut claims = json!({
        "iss": ISSUER, "sub": "alice", "aud": "us", "exp": NOW.secs() + 60, "iat": NOW.secs(), "nonce": "n",
        "amr": ["pwd", "otp", "", "a b"], "email": "alice@corp.example", "email_verified": true,
    });
    merge(&mut claims, changes);
    serde_json::from_value(claims).unwrap()
}

fn expected() -> Expected<'static> {
    Expected { issuer: ISSUER, client_id: "us", nonce: "n", signed_in_since: None, now: NOW }
}

#[rstest]
#[case::good(json!({}), Ok(()))]
#[case::one_in_a_list(json!({"aud": ["us"]}), Ok(()))]
#[case::several_and_made_for_us(json!({"aud": ["us", "them"], "azp": "us"}), Ok(()))]
#[case::another_issuer(json!({"iss": "https://id.corp.example/"}), Err(Refused::Issuer))]
#[case::another_audience(json!({"aud": "them"}), Err(Refused::Audience))]
#[case::no_audience(json!({"aud": []}), Err(Refused::Audience))]
#[case::several_and_nobodys(json!({"aud": ["us", "them"]}), Err(Refused::AuthorizedParty))]
#[case::made_for_another(json!({"azp": "them"}), Err(Refused::AuthorizedParty))]
#[case::expired(json!({"exp": NOW.secs() - 30}), Err(Refused::Time))]
#[case::just_expired(json!({"exp": NOW.secs() - 29}), Ok(()))]
#[case::of_the_future(json!({"iat": NOW.secs() + 31}), Err(Refused::Time))]
#[case::of_long_ago(json!({"iat": NOW.secs() - 601}), Err(Refused::Time))]
#[case::of_no_time(json!({"iat": i64::MAX, "exp": i64::MAX}), Err(Refused::Time))]
#[case::another_nonce(json!({"nonce": "m"}), Err(Refused::Nonce))]
#[case::no_nonce(json!({"nonce": null}), Err(Refused::Nonce))]
#[case::nobody(json!({"sub": ""}), Err(Refused::Subject))]
#[case::too_long_a_name(json!({"sub": "x".repeat(256)}), Err(Refused::Subject))]
fn id_tokens(#[case] changes: Value, #[case] verdict: Result<(), Refused>) {
    assert_eq!(token(&changes).check(expected()), verdict);
}

#[rstest]
#[case(json!({"auth_time": NOW.secs()}), Ok(()))]
#[case(json!({"auth_time": NOW.secs() - 31}), Err(Refused::Stale))]
#[case(json!({}), Err(Refused::Stale))]
fn whoever_must_sign_in_anew_did(#[case] changes: Value, #[case] verdict: Result<(), Refused>) {
    let expected = Expected { signed_in_since: Some(NOW), ..expected() };
    assert_eq!(token(&changes).check(expected), verdict);
}

#[rstest]
#[case(json!({}), Ok(()))]
#[case(json!({"issuer": "https://id.corp.example/"}), Err(Refused::MetadataIssuer))]
#[case(json!({"issuer": "https://evil.example"}), Err(Refused::MetadataIssuer))]
#[case(json!({"authorization_endpoint": "http://127.0.0.1:1/a"}), Ok(()))]
#[case(json!({"authorization_endpoint": "http://id.corp.example/a"}), Err(Refused::Endpoint))]
#[case(json!({"authorization_endpoint": "http://127.0.0.1.evil.example/a"}), Err(Refused::Endpoint))]
#[case(json!({"authorization_endpoint": "javascript:alert(1)"}), Err(Refused::Endpoint))]
fn metadata_are_the_issuers_own(#[case] changes: Value, #[case] verdict: Result<(), Refused>) {
    assert_eq!(metadata(&changes).is_of(ISSUER), verdict);
}

#[rstest]
#[case(false, "code=c", Ok("c"))]
#[case(false, "code=c&iss=https://id.corp.example", Ok("c"))]
#[case(false, "code=c&iss=https://evil.example", Err(Refused::AnswerIssuer))]
#[case(true, "code=c&iss=https://id.corp.example", Ok("c"))]
#[case(true, "code=c", Err(Refused::AnswerIssuer))]
#[case(true, "error=access_denied", Err(Refused::AnswerIssuer))]
#[case(false, "error=access_denied&code=c", Err(Refused::Declined))]
#[case(false, "code=", Err(Refused::NoCode))]
fn answers(#[case] promised: bool, #[case] answer: &str, #[case] verdict: Result<&str, Refused>) {
    let metadata = metadata(&json!({ "authorization_response_iss_parameter_supported": promised }));
    assert_eq!(metadata.code(&Form::parse(answer.as_bytes()).unwrap()), verdict);
}

#[test]
fn only_a_verified_address_is_one() {
    assert_eq!(token(&json!({})).verified_email("email_verified"), Some("alice@corp.example"));
    for verified in [json!(false), json!("true"), json!(1), Value::Null] {
        assert_eq!(token(&json!({ "email_verified": verified })).verified_email("email_verified"), None);
    }
    assert_eq!(token(&json!({})).methods(), ["pwd", "otp"]);
}

#[test]
fn metadata_are_below_the_issuer() {
    let url = "https://id.corp.example/.well-known/openid-configuration";
    assert_eq!((Metadata::url(ISSUER), Metadata::url("https://id.corp.example/")), (url.to_owned(), url.to_owned()));
}

#[test]
fn userinfo_is_of_the_same_person_and_changes_nothing() {
    let mut token = token(&json!({}));
    for other in [&b"{}"[..], b"[]", br#"{"sub":"bob","name":"Bob"}"#] {
        assert_eq!(token.add_userinfo(other), Err(Refused::Userinfo));
    }
    assert_eq!(token.claim("name"), None);
    token.add_userinfo(br#"{"sub":"alice","name":"Alice","email":"other@corp.example"}"#).unwrap();
    assert_eq!(
        (token.claim("name"), token.verified_email("email_verified")),
        (Some(&json!("Alice")), Some("alice@corp.example"))
    );
}
