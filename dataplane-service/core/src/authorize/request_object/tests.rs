//! Which objects are taken, what becomes of their claims, and what is refused before anything is fetched.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::client::tests::client_with;
use crate::jose::tests::{KeyOfTest, keys};
use vocab::client::ClientSpec;

const NOW: Timestamp = Timestamp::from_secs(1_000_000);
const ISSUER: &str = "https://id.example/t/acme";

fn signing(change: impl FnOnce(&mut ClientSpec)) -> Client {
    client_with(|spec| {
        spec.jwks_uri = Some("https://app.example/jwks".into());
        change(spec);
    })
}

fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "iss": "web", "aud": ISSUER, "exp": NOW.secs() + 60, "response_type": "code", "client_id": "web",
        "redirect_uri": "https://app.example/cb", "scope": "openid", "state": "s",
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn check_with(client: &Client, key: &KeyOfTest, object: &str, outer: &str) -> Result<Opened, NotProven> {
    let outer = Form::parse(outer.as_bytes()).unwrap();
    open(NOW, client, &keys(&[key]), object, Envelope { issuer: ISSUER, form: &outer })
}

fn check(changes: &Value) -> Result<Opened, NotProven> {
    let key = KeyOfTest::es256("a");
    let object = key.sign(&json!({"kid": "a", "typ": "oauth-authz-req+jwt"}), &claims(changes));
    check_with(&signing(|_| {}), &key, &object, "client_id=web&scope=other&state=t")
}

fn code(outcome: &Result<Opened, NotProven>) -> Option<Code> {
    match outcome {
        Ok(_) => None,
        Err(NotProven::UnknownKey) => Some(Code::InvalidClient),
        Err(NotProven::Refused(error)) => Some(error.code()),
    }
}

#[test]
fn the_claims_are_the_parameters_and_nothing_beside_them_is() {
    let opened = check(&json!({
        "max_age": 60, "claims": {"userinfo": {"name": null}}, "resource": ["https://a.example", "https://b.example"],
        "nonce": null, "jti": "1", "authorization_details": [{"type": "payment"}],
    }))
    .unwrap();
    let form = &opened.form;
    assert_eq!((form.get("scope"), form.get("state"), form.get("nonce")), (Some("openid"), Some("s"), None));
    assert_eq!((form.get("max_age"), form.get("claims")), (Some("60"), Some(r#"{"userinfo":{"name":null}}"#)));
    assert_eq!(form.get("authorization_details"), Some(r#"[{"type":"payment"}]"#));
    assert_eq!(form.resources(), ["https://a.example", "https://b.example"]);
    assert!(form.iter().all(|(name, _)| !ABOUT_ITSELF.contains(&name)));
    assert_eq!(opened.once, Some(Once { jti: "1".into(), expires_at: NOW.plus_secs(60) }));
}

#[rstest]
#[case(json!({}))]
#[case(json!({"aud": ["https://other.example", ISSUER]}))]
#[case(json!({"client_id": null}))]
#[case(json!({"exp": null}))]
#[case(json!({"nbf": NOW.secs() + 10, "iat": NOW.secs() - 9}))]
#[case(json!({"sub": "alice"}))]
fn taken(#[case] changes: Value) {
    let opened = check(&changes).unwrap();
    assert_eq!(opened.form.get("client_id"), Some("web"));
    assert_eq!(opened.once, None);
}

#[rstest]
#[case(json!({"iss": "other"}))]
#[case(json!({"iss": null}))]
#[case(json!({"aud": null}))]
#[case(json!({"aud": "https://other.example"}))]
#[case(json!({"aud": format!("{ISSUER}/oauth2/token")}))]
#[case(json!({"exp": NOW.secs()}))]
#[case(json!({"exp": NOW.secs() + 7200}))]
#[case(json!({"exp": "soon"}))]
#[case(json!({"nbf": NOW.secs() + 60}))]
#[case(json!({"iat": NOW.secs() + 60}))]
#[case(json!({"sub": "web"}))]
#[case(json!({"jti": ""}))]
#[case(json!({"jti": "j".repeat(600)}))]
#[case(json!({"client_id": "other"}))]
#[case(json!({"request": "e30.e30."}))]
#[case(json!({"request_uri": "https://app.example/r"}))]
#[case(json!({"resource": [1]}))]
#[case(json!({"state": "a\u{0}b"}))]
fn refused_for_what_it_says(#[case] changes: Value) {
    assert_eq!(code(&check(&changes)), Some(Code::InvalidRequestObject));
}

#[test]
fn who_signed_and_how() {
    let (key, stranger, ed) = (KeyOfTest::es256("a"), KeyOfTest::es256("a"), KeyOfTest::ed25519("a"));
    let (usual, strict) = (signing(|_| {}), signing(|spec| spec.require_signed_request_object = true));
    let only_ps256 = signing(|spec| spec.request_object_signing_alg = Some(JwsAlgorithm::Ps256));
    let good = claims(&json!({}));
    let unsigned = {
        let signed = key.sign_as(&json!({"alg": "none"}), &good);
        signed.rsplit_once('.').unwrap().0.to_owned() + "."
    };
    let bad = Some(Code::InvalidRequestObject);
    let endless = claims(&json!({"exp": null}));
    for (what, client, object, outer, expected) in [
        ("a good one", &usual, key.sign(&json!({}), &good), "", None),
        ("by its old type", &usual, key.sign(&json!({"typ": "JWT"}), &good), "", None),
        ("in whitespace, as files end", &usual, key.sign(&json!({}), &good) + "\n", "", None),
        ("the same response_type beside", &usual, key.sign(&json!({}), &good), "response_type=code", None),
        ("another response_type beside", &usual, key.sign(&json!({}), &good), "response_type=none", bad),
        ("a token of another kind", &usual, key.sign(&json!({"typ": "dpop+jwt"}), &good), "", bad),
        ("an extension", &usual, key.sign(&json!({"crit": ["x"]}), &good), "", bad),
        ("by somebody else", &usual, stranger.sign(&json!({"kid": "a"}), &good), "", bad),
        ("by another kind of key", &usual, ed.sign(&json!({"kid": "a"}), &good), "", Some(Code::InvalidClient)),
        ("by a key that is not known", &usual, key.sign(&json!({"kid": "b"}), &good), "", Some(Code::InvalidClient)),
        ("by nobody", &usual, unsigned, "", bad),
        ("HMAC", &usual, key.sign_as(&json!({"alg": "HS256"}), &good), "", bad),
        ("an algorithm that is not registered", &only_ps256, key.sign(&json!({}), &good), "", bad),
        ("encrypted", &usual, "a.b.c.d.e".to_owned(), "", bad),
        ("no end, of a client that must sign", &strict, key.sign(&json!({}), &endless), "", bad),
    ] {
        assert_eq!(code(&check_with(client, &key, &object, outer)), expected, "{what}");
    }
}

#[rstest]
#[case("request=a.b.c", Channel::Front, Ok(Carried::ByValue("a.b.c")))]
#[case("request=a.b.c", Channel::Pushed, Ok(Carried::ByValue("a.b.c")))]
#[case("request_uri=https://app.example/r", Channel::Front, Ok(Carried::ByReference("https://app.example/r")))]
#[case("request_uri=https://app.example/r%23v2", Channel::Front, Ok(Carried::ByReference("https://app.example/r")))]
#[case("request_uri=https://app.example/r", Channel::Pushed, Err(Code::InvalidRequest))]
#[case("request_uri=https://app.example/r&request=a.b.c", Channel::Front, Err(Code::InvalidRequest))]
#[case("request_uri=https://app.example/r%3Fx", Channel::Front, Err(Code::InvalidRequestUri))]
#[case("request_uri=http://127.0.0.1/r", Channel::Front, Err(Code::InvalidRequestUri))]
#[case("scope=openid", Channel::Front, Ok(Carried::Plain))]
fn where_the_parameters_are(
    #[case] query: &str,
    #[case] channel: Channel,
    #[case] expected: Result<Carried<'_>, Code>,
) {
    let client = signing(|spec| spec.request_uris = vec!["https://app.example/r#v1".into()]);
    let form = Form::parse(query.as_bytes()).unwrap();
    assert_eq!(carried(&form, &client, channel).map_err(|error| error.code()), expected);
}

#[test]
fn what_the_client_must_and_cannot_do() {
    let (keyless, signs) = (client_with(|_| {}), signing(|spec| spec.require_signed_request_object = true));
    for (client, query, expected) in [
        (&keyless, "request=a.b.c", Code::RequestNotSupported),
        (&keyless, "request_uri=https://app.example/r", Code::RequestUriNotSupported),
        (&signs, "request_uri=https://app.example/r", Code::RequestUriNotSupported),
        (&signs, "scope=openid", Code::InvalidRequest),
    ] {
        let form = Form::parse(query.as_bytes()).unwrap();
        assert_eq!(carried(&form, client, Channel::Front).unwrap_err().code(), expected, "{query}");
    }
}

#[test]
fn what_nobody_signed_is_taken_from_clients_that_never_said_they_would() {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let object = |alg: &str, signature: &str, claims: &Value| {
        format!("{}.{}.{signature}", encode(&json!({ "alg": alg })), encode(claims))
    };
    let asks = json!({ "response_type": "code", "scope": "openid", "state": "s", "max_age": 60 });
    let plain = object("none", "", &asks);
    let read = |client: &Client, object: &str| {
        let outer = Form::parse(b"client_id=web&response_type=code").unwrap();
        unsigned(client, object, &outer)
    };
    let form = read(&signing(|_| {}), &plain).unwrap().unwrap();
    assert_eq!((form.get("state"), form.get("max_age"), form.get("client_id")), (Some("s"), Some("60"), Some("web")));
    for (client, object) in [
        (signing(|spec| spec.require_signed_request_object = true), plain.as_str()),
        (signing(|spec| spec.request_object_signing_alg = Some(JwsAlgorithm::Es256)), &plain),
        (signing(|_| {}), &object("none", "AAAA", &asks)),
        (signing(|_| {}), &object("ES256", "", &asks)),
        (signing(|_| {}), &object("None", "", &asks)),
        (signing(|_| {}), "x.y."),
    ] {
        assert!(read(&client, object).unwrap().is_none(), "{object}");
    }
    let nested = object("none", "", &json!({ "response_type": "code", "request": "a.b.c" }));
    let foreign = object("none", "", &json!({ "response_type": "code", "client_id": "other" }));
    let other = object("none", "", &json!({ "response_type": "token" }));
    for object in [nested, foreign, other] {
        assert_eq!(read(&signing(|_| {}), &object).unwrap_err().code(), Code::InvalidRequestObject, "{object}");
    }
}

#[test]
fn what_is_encrypted_otherwise_than_registered_is_refused_before_it_is_opened() {
    let token = |alg: &str, enc: &str| {
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}","enc":"{enc}","cty":"JWT"}}"#));
        format!("{header}.a.b.c.d\n")
    };
    let any = client_with(|_| {});
    let registered = client_with(|spec| {
        spec.request_object_encryption_alg = Some(vocab::jwe::JweAlgorithm::EcdhEs);
        spec.request_object_encryption_enc = Some(vocab::jwe::ContentEncryption::A256Gcm);
    });
    for (alg, enc, by_any, by_registered) in [
        ("ECDH-ES", "A256GCM", true, true),
        ("RSA-OAEP-256", "A256GCM", true, false),
        ("ECDH-ES+A256KW", "A256GCM", true, false),
        ("RSA1_5", "A256GCM", false, false),
        ("ECDH-ES", "A128CBC-HS256", false, false),
        ("dir", "A256GCM", false, false),
    ] {
        for (client, taken) in [(&any, by_any), (&registered, by_registered)] {
            let outcome = encrypted(client, &token(alg, enc)).map(|found| found.is_some());
            let expected = if taken { Ok(true) } else { Err(Code::InvalidRequestObject) };
            assert_eq!(outcome.map_err(|error| error.code()), expected, "{alg} {enc}");
        }
    }
    // What is signed alone is taken from both (OIDC Registration §2).
    assert!(encrypted(&registered, "a.b.c").unwrap().is_none());
}
