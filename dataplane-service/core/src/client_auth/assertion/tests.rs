//! What an assertion must say, and who must have signed it. The names are those of the list of attacks.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::client::ClientSecret;
use crate::client::tests::client_with;
use crate::error::Code;
use crate::jose::SecretKey;
use crate::jose::tests::{KeyOfTest, keys};

const NOW: Timestamp = Timestamp::from_secs(1_000_000);
const ISSUER: &str = "https://id.example/t/acme";

fn good() -> Value {
    json!({"iss": "web", "sub": "web", "aud": ISSUER, "exp": NOW.secs() + 60, "iat": NOW.secs(), "jti": "1"})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = good();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = good();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn client(alg: Option<JwsAlgorithm>) -> Client {
    client_with(|spec| {
        spec.token_endpoint_auth_method = AuthMethod::PrivateKeyJwt;
        spec.token_endpoint_auth_signing_alg = alg;
    })
}

fn usual() -> Audience<'static> {
    Audience { issuer: ISSUER, strict: Strictness::Usual, endpoint: "/oauth2/par" }
}

fn body(token: &str) -> String {
    format!("client_assertion_type={TYPE}&client_assertion={token}")
}

fn check(client: &Client, keys: &ClientKeys, audience: Audience<'_>, token: &str) -> Result<Once, NotProven> {
    let body = body(token);
    let form = Form::parse(body.as_bytes()).unwrap();
    let assertion = Assertion::of(None, &form).map_err(NotProven::Refused)?.expect("there is one");
    assertion.verify(NOW, client, keys, audience)
}

fn code(outcome: &Result<Once, NotProven>) -> Option<Code> {
    match outcome {
        Ok(_) => None,
        Err(NotProven::UnknownKey) => Some(Code::InvalidClient),
        Err(NotProven::Refused(error)) => Some(error.code()),
    }
}

#[rstest]
#[case::good(good(), true)]
#[case::for_the_token_endpoint(with("aud", json!(format!("{ISSUER}/oauth2/token"))), true)]
#[case::for_the_endpoint_at_hand(with("aud", json!(format!("{ISSUER}/oauth2/par"))), true)]
#[case::for_several(with("aud", json!(["https://other.example", ISSUER])), true)]
#[case::d03_for_another_server(with("aud", json!("https://other.example")), false)]
#[case::for_another_endpoint(with("aud", json!(format!("{ISSUER}/oauth2/revoke"))), false)]
#[case::k07_for_another_tenant(with("aud", json!("https://id.example/t/other")), false)]
#[case::for_a_longer_name(with("aud", json!(format!("{ISSUER}x"))), false)]
#[case::for_nobody(without("aud"), false)]
#[case::for_none_of_a_list(with("aud", json!([])), false)]
#[case::d04_expired(with("exp", json!(NOW.secs() - 300)), false)]
#[case::expires_now(with("exp", json!(NOW.secs())), false)]
#[case::with_a_fraction(with("exp", serde_json::from_str("1000030.5").unwrap()), true)]
#[case::d05_no_exp(without("exp"), false)]
#[case::lives_too_long(with("exp", json!(NOW.secs() + 3601)), false)]
#[case::exp_is_text(with("exp", json!("soon")), false)]
#[case::exp_is_huge(with("exp", json!(1e300)), false)]
#[case::d07_no_sub(without("sub"), false)]
#[case::no_iss(without("iss"), false)]
#[case::iss_is_another(with("iss", json!("other")), false)]
#[case::d08_from_the_future(with("nbf", json!(NOW.secs() + 600)), false)]
#[case::clocks_differ(with("nbf", json!(NOW.secs() + 10)), true)]
#[case::made_in_the_future(with("iat", json!(NOW.secs() + 61)), false)]
#[case::no_iat(without("iat"), true)]
#[case::no_jti(without("jti"), false)]
#[case::empty_jti(with("jti", json!("")), false)]
#[case::long_jti(with("jti", json!("x".repeat(513))), false)]
fn what_it_says(#[case] claims: Value, #[case] accepted: bool) {
    let key = KeyOfTest::es256("a");
    let outcome = check(&client(None), &keys(&[&key]), usual(), &key.sign(&json!({"kid": "a"}), &claims));
    assert_eq!(code(&outcome), (!accepted).then_some(Code::InvalidClient), "{outcome:?}");
}

#[rstest]
#[case(json!(ISSUER), true)]
#[case(json!([ISSUER]), false)]
#[case(json!(format!("{ISSUER}/oauth2/token")), false)]
fn fapi_wants_the_issuer_alone(#[case] aud: Value, #[case] accepted: bool) {
    let key = KeyOfTest::es256("a");
    let strict = Audience { strict: Strictness::IssuerOnly, ..usual() };
    let token = key.sign(&json!({}), &with("aud", aud));
    assert_eq!(check(&client(None), &keys(&[&key]), strict, &token).is_ok(), accepted);
}

#[test]
fn signatures() {
    let (key, ed, stranger) = (KeyOfTest::es256("a"), KeyOfTest::ed25519("b"), KeyOfTest::es256("a"));
    let zeros = {
        let token = key.sign(&json!({"kid": "a"}), &good());
        let (message, _) = token.rsplit_once('.').unwrap();
        format!("{message}.{}", "A".repeat(86))
    };
    let refused = Err(NotProven::Refused(FAILED));
    for (name, token, registered, expected) in [
        ("ES256 as registered", key.sign(&json!({}), &good()), Some(JwsAlgorithm::Es256), Ok(())),
        ("another than registered", ed.sign(&json!({}), &good()), Some(JwsAlgorithm::Es256), refused.clone()),
        ("none", key.sign_as(&json!({"alg": "none"}), &good()), None, refused.clone()),
        ("crit", key.sign(&json!({"crit": ["x"]}), &good()), None, refused.clone()),
        ("zeros", zeros, None, refused.clone()),
        ("a key of its own", stranger.sign(&json!({"kid": "a", "jwk": stranger.jwk}), &good()), None, refused),
        ("jku", stranger.sign(&json!({"jku": "https://x"}), &good()), None, Err(NotProven::UnknownKey)),
        ("kid", key.sign(&json!({"kid": "../../dev/null"}), &good()), None, Err(NotProven::UnknownKey)),
    ] {
        let outcome = check(&client(registered), &keys(&[&key, &ed]), usual(), &token).map(|_| ());
        assert_eq!(outcome, expected, "{name}");
    }
}

/// The method decides, so the public key is nobody's secret.
#[test]
fn a_mac_is_no_signature() {
    let key = KeyOfTest::es256("a");
    let forged = EncodingKey::from_secret(key.jwk["x"].as_str().unwrap().as_bytes());
    let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &good(), &forged).unwrap();
    for registered in [None, Some(JwsAlgorithm::Hs256)] {
        assert!(check(&client(registered), &keys(&[&key]), usual(), &token).is_err());
    }
    let by_secret = client_with(|_| {});
    assert!(check(&by_secret, &keys(&[&key]), usual(), &key.sign(&json!({}), &good())).is_err(), "not registered");
}

#[rstest]
#[case::twice(Some(&b"Basic d2ViOng="[..]), "", Code::InvalidRequest)]
#[case::with_a_secret(None, "&client_secret=x", Code::InvalidRequest)]
#[case::another_name(None, "&client_id=other", Code::InvalidRequest)]
fn nothing_beside_it(#[case] authorization: Option<&[u8]>, #[case] more: &str, #[case] expected: Code) {
    let key = KeyOfTest::es256("a");
    let body = body(&key.sign(&json!({}), &good())) + more;
    let form = Form::parse(body.as_bytes()).unwrap();
    assert_eq!(Assertion::of(authorization, &form).unwrap_err().code(), expected);
}

#[rstest]
#[case("client_assertion=x")]
#[case("client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer")]
#[case("client_assertion_type=urn:ietf:params:oauth:client-assertion-type:saml2-bearer&client_assertion=x")]
#[case("client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=a.b.c")]
#[case("client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=e30.e30.")]
fn what_is_no_assertion(#[case] body: &str) {
    let form = Form::parse(body.as_bytes()).unwrap();
    assert_eq!(Assertion::of(None, &form).unwrap_err().code(), Code::InvalidClient);
}

const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// `HS256` and so on, with this secret.
fn hmac(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

fn client_of_hmacs(alg: Option<JwsAlgorithm>, secrets: &[(&str, Option<Timestamp>)]) -> Client {
    let secret = |&(text, expires_at): &(&str, Option<Timestamp>)| {
        let key = Some(SecretKey::new(&vocab::Secret::new(text.as_bytes().to_vec())));
        ClientSecret { digest: vocab::SecretDigest::of(text.as_bytes()), key, expires_at }
    };
    let client = client_with(|spec| {
        spec.token_endpoint_auth_method = AuthMethod::ClientSecretJwt;
        spec.token_endpoint_auth_signing_alg = alg;
    });
    Client { secrets: secrets.iter().map(secret).collect(), ..client }
}

#[rstest]
#[case::any(None, Algorithm::HS256, SECRET, true)]
#[case::any(None, Algorithm::HS384, SECRET, true)]
#[case::any(None, Algorithm::HS512, SECRET, true)]
#[case::the_registered_one(Some(JwsAlgorithm::Hs512), Algorithm::HS512, SECRET, true)]
#[case::d14_another(Some(JwsAlgorithm::Hs512), Algorithm::HS256, SECRET, false)]
#[case::another_secret(None, Algorithm::HS256, "another", false)]
#[case::the_leaving_one(None, Algorithm::HS256, "leaving: fedcba9876543210fedcba987654", true)]
#[case::the_leaving_one_is_too_short(None, Algorithm::HS384, "leaving: fedcba9876543210fedcba987654", false)]
#[case::an_expired_one(None, Algorithm::HS256, "expired: fedcba9876543210fedcba987654", false)]
fn hmacs(
    #[case] registered: Option<JwsAlgorithm>,
    #[case] algorithm: Algorithm,
    #[case] secret: &str,
    #[case] accepted: bool,
) {
    let secrets = [
        ("expired: fedcba9876543210fedcba987654", Some(NOW)),
        ("leaving: fedcba9876543210fedcba987654", Some(NOW.plus_secs(1))),
        (SECRET, None),
    ];
    let client = client_of_hmacs(registered, &secrets);
    let outcome = check(&client, &ClientKeys::default(), usual(), &hmac(algorithm, secret, &good()));
    assert_eq!(code(&outcome), (!accepted).then_some(Code::InvalidClient));
}

#[test]
fn the_method_decides_what_kind_of_key_it_is() {
    let key = KeyOfTest::es256("a");
    let hmacs = client_of_hmacs(None, &[(SECRET, None)]);
    // A signature for who has a secret, even by a key that is registered; and a secret that is the public key.
    assert!(check(&hmacs, &keys(&[&key]), usual(), &key.sign(&json!({}), &good())).is_err());
    let public = key.jwk.to_string();
    assert!(check(&client(None), &keys(&[&key]), usual(), &hmac(Algorithm::HS256, &public, &good())).is_err());
    // An HMAC from a client of signatures that had secrets once.
    let signs = Client { secrets: hmacs.secrets.clone(), ..client(None) };
    assert!(check(&signs, &keys(&[&key]), usual(), &hmac(Algorithm::HS256, SECRET, &good())).is_err());
    let none = format!("{}.", hmac(Algorithm::HS256, SECRET, &good()).rsplit_once('.').unwrap().0);
    assert!(check(&hmacs, &ClientKeys::default(), usual(), &none).is_err());
    // FAPI 2.0 takes none of them; the claims are judged as everybody's are.
    let strict = Audience { strict: Strictness::IssuerOnly, ..usual() };
    assert!(check(&hmacs, &ClientKeys::default(), strict, &hmac(Algorithm::HS256, SECRET, &good())).is_err());
    for wrong in [with("aud", json!("https://other.example")), without("jti"), without("exp"), with("iss", json!("x"))]
    {
        let outcome = check(&hmacs, &ClientKeys::default(), usual(), &hmac(Algorithm::HS256, SECRET, &wrong));
        assert_eq!(code(&outcome), Some(Code::InvalidClient), "{wrong}");
    }
}
