//! Whose signature counts, by which algorithm. Also the keys that other modules' tests sign with.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use proptest::prelude::*;
use serde_json::{Value, json};
use vocab::Secret;
use vocab::jwk::{Jwk, Jwks};
use vocab::jws::JwsAlgorithm;

use super::*;

/// A key of a client, both halves.
pub(crate) struct KeyOfTest {
    pub(crate) encoding: EncodingKey,
    pub(crate) algorithm: Algorithm,
    pub(crate) jwk: Value,
}

impl KeyOfTest {
    pub(crate) fn es256(kid: &str) -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        Self {
            encoding: EncodingKey::from_ec_der(pkcs8.as_ref()),
            algorithm: Algorithm::ES256,
            jwk: json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid}),
        }
    }

    pub(crate) fn ed25519(kid: &str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        Self {
            encoding: EncodingKey::from_ed_der(pkcs8.as_ref()),
            algorithm: Algorithm::EdDSA,
            jwk: json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid}),
        }
    }

    pub(crate) fn public(&self) -> Jwk {
        serde_json::from_value(self.jwk.clone()).unwrap()
    }

    /// A JWS whose header has `more` beside `alg`.
    pub(crate) fn sign(&self, more: &Value, claims: &Value) -> String {
        let mut header = json!({"alg": format!("{:?}", self.algorithm)});
        for (name, value) in more.as_object().unwrap() {
            header[name] = value.clone();
        }
        self.sign_as(&header, claims)
    }

    pub(crate) fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let message = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.encoding, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

pub(crate) fn keys(of: &[&KeyOfTest]) -> ClientKeys {
    ClientKeys::registered(&Jwks { keys: of.iter().map(|key| key.public()).collect() }).unwrap()
}

fn check(keys: &ClientKeys, token: &str) -> Result<Value, JoseError> {
    keys.verify(&Jws::parse(token)?, &JwsAlgorithm::ASYMMETRIC)
}

#[test]
fn a_signature_of_one_of_the_keys_counts() {
    let (ec, ed, stranger) = (KeyOfTest::es256("a"), KeyOfTest::ed25519("b"), KeyOfTest::es256("a"));
    let both = keys(&[&ec, &ed]);
    let claims = json!({"sub": "x"});
    for (token, expected) in [
        (ec.sign(&json!({"kid": "a"}), &claims), Ok(())),
        (ed.sign(&json!({"kid": "b"}), &claims), Ok(())),
        (ec.sign(&json!({}), &claims), Ok(())),
        (ed.sign(&json!({}), &claims), Ok(())),
        (ec.sign(&json!({"kid": "b"}), &claims), Err(JoseError::UnknownKey)),
        (ec.sign(&json!({"kid": "c"}), &claims), Err(JoseError::UnknownKey)),
        (ec.sign(&json!({"kid": "../../../../dev/null"}), &claims), Err(JoseError::UnknownKey)),
        (ec.sign(&json!({"kid": "' OR '1'='1"}), &claims), Err(JoseError::UnknownKey)),
        (ec.sign(&json!({"kid": 7}), &claims), Err(JoseError::Malformed)),
        (ec.sign(&json!({"crit": ["x"], "x": 1}), &claims), Err(JoseError::Critical)),
        (stranger.sign(&json!({"kid": "a"}), &claims), Err(JoseError::Signature)),
        (stranger.sign(&json!({}), &claims), Err(JoseError::UnknownKey)),
        // Its own key in the header is not one of the client's (RFC 8725 §3.10).
        (stranger.sign(&json!({"kid": "a", "jwk": stranger.jwk}), &claims), Err(JoseError::Signature)),
        (stranger.sign(&json!({"jku": "https://x.example"}), &claims), Err(JoseError::UnknownKey)),
        (ed.sign_as(&json!({"alg": "ES256", "kid": "b"}), &claims), Err(JoseError::UnknownKey)),
        (ec.sign_as(&json!({"alg": "none"}), &claims), Err(JoseError::Algorithm)),
        (ec.sign_as(&json!({"alg": "HS256"}), &claims), Err(JoseError::Algorithm)),
        (ec.sign_as(&json!({"alg": ""}), &claims), Err(JoseError::Algorithm)),
        (ec.sign_as(&json!({}), &claims), Err(JoseError::Malformed)),
    ] {
        assert_eq!(check(&both, &token).map(|_| ()), expected, "{token}");
    }
}

#[test]
fn a_signature_of_zeros_is_none() {
    let ec = KeyOfTest::es256("a");
    let token = ec.sign(&json!({"kid": "a"}), &json!({}));
    let (message, _) = token.rsplit_once('.').unwrap();
    for signature in [URL_SAFE_NO_PAD.encode([0; 64]), String::new(), URL_SAFE_NO_PAD.encode([1])] {
        assert_eq!(check(&keys(&[&ec]), &format!("{message}.{signature}")), Err(JoseError::Signature));
    }
}

#[test]
fn the_public_key_is_nobodys_secret() {
    let ec = KeyOfTest::es256("a");
    let point = URL_SAFE_NO_PAD.decode(ec.jwk["x"].as_str().unwrap()).unwrap();
    let forged = jsonwebtoken::encode(&Header::default(), &json!({}), &EncodingKey::from_secret(&point)).unwrap();
    assert_eq!(check(&keys(&[&ec]), &forged), Err(JoseError::Algorithm));
    let all = [&JwsAlgorithm::ASYMMETRIC[..], &JwsAlgorithm::SYMMETRIC[..]].concat();
    let verified: Result<Value, _> = keys(&[&ec]).verify(&Jws::parse(&forged).unwrap(), &all);
    assert_eq!(verified, Err(JoseError::UnknownKey));
}

#[test]
fn a_key_that_says_what_it_is_for_is_used_for_nothing_else() {
    let ec = KeyOfTest::es256("a");
    let token = ec.sign(&json!({"kid": "a"}), &json!({}));
    for (member, value, good) in [
        ("use", json!("sig"), true),
        ("use", json!("enc"), false),
        ("alg", json!("ES256"), true),
        ("alg", json!("ES384"), false),
        ("key_ops", json!(["verify"]), true),
        ("key_ops", json!(["encrypt"]), false),
    ] {
        let mut jwk = ec.jwk.clone();
        jwk[member] = value.clone();
        let keys = ClientKeys::published(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
        assert_eq!(check(&keys, &token).is_ok(), good, "{member}: {value}");
    }
}

#[test]
fn what_is_published_may_hold_what_we_do_not_understand() {
    let ec = KeyOfTest::es256("a");
    let odd = json!({"keys": [{"kty": "future", "z": 1}, 7, {"kty": "oct", "k": "AA"}, ec.jwk]}).to_string();
    assert_eq!(ClientKeys::published(odd.as_bytes()).unwrap(), keys(&[&ec]));
    for none in ["", "{}", "[]", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"AA"}]}"#] {
        assert!(ClientKeys::published(none.as_bytes()).is_err(), "{none}");
    }
    let mut private = ec.jwk.clone();
    private["d"] = json!("AAAA");
    assert!(serde_json::from_value::<Jwks>(json!({"keys": [ec.jwk, private]})).is_err());
    let weak: Jwks = serde_json::from_value(json!({"keys": [ec.jwk, {"kty": "oct"}]})).unwrap();
    assert!(ClientKeys::registered(&weak).is_err());
}

#[test]
fn secrets_verify_hmacs_that_they_are_long_enough_for() {
    let secret = b"0123456789abcdef0123456789abcdef";
    let key = SecretKey::new(&Secret::new(secret.to_vec()));
    for (algorithm, good) in [(Algorithm::HS256, true), (Algorithm::HS384, false), (Algorithm::HS512, false)] {
        let token =
            jsonwebtoken::encode(&Header::new(algorithm), &json!({}), &EncodingKey::from_secret(secret)).unwrap();
        let verified: Result<Value, _> = key.verify(&Jws::parse(&token).unwrap(), &JwsAlgorithm::SYMMETRIC);
        assert_eq!(verified.is_ok(), good, "{algorithm:?}");
    }
}

/// RFC 7638 §3.1's own example.
#[test]
fn thumbprints_are_those_of_the_rfc() {
    let jwk: Jwk = serde_json::from_str(
        r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#,
    )
    .unwrap();
    let key = PublicKey::parse(jwk).unwrap();
    assert_eq!(key.thumbprint().to_string(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

#[test]
fn dates_are_seconds() {
    let rows = [
        ("1700000000", Some(1_700_000_000)),
        ("1700000000.75", Some(1_700_000_000)),
        ("-1", Some(-1)),
        ("1e300", None),
        ("99999999999999999999", None),
        ("\"1700000000\"", None),
        ("null", None),
    ];
    for (json, expected) in rows {
        let read: Option<NumericDate> = serde_json::from_str(json).ok();
        assert_eq!(read.map(NumericDate::secs), expected, "{json}");
    }
}

#[test]
fn types_are_compared_as_media_types() {
    let ec = KeyOfTest::es256("a");
    for (typ, is) in
        [("dpop+jwt", true), ("application/DPoP+JWT", true), ("JWT", false), ("", false), ("aédpop", false)]
    {
        let token = ec.sign(&json!({"typ": typ}), &json!({}));
        assert_eq!(Jws::parse(&token).unwrap().has_type("dpop+jwt"), is, "{typ}");
    }
    let untyped = ec.sign(&json!({}), &json!({}));
    assert!(!Jws::parse(&untyped).unwrap().has_type("dpop+jwt"));
}

proptest! {
    #[test]
    fn never_panics(text in "[A-Za-z0-9_.=-]{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Jws::parse(&text);
        let _ = Jws::parse(&format!("{}.{}.x", URL_SAFE_NO_PAD.encode(&bytes), text));
        let _ = ClientKeys::published(&bytes);
    }
}
