use aws_lc_rs::signature::KeyPair as _;
use rstest::rstest;
use serde_json::json;
use vocab::MasterKey;

use super::*;

const ISSUER: &str = "https://id.example/t/acme";

pub(crate) fn ring() -> Keyring {
    Keyring::new(MasterKey::new([7; 32]), vec![])
}

/// A fresh key, as the control plane would make it.
pub(crate) fn record(family: KeyFamily, kid: &str, status: KeyStatus) -> KeyRecord {
    let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let on_curve = |crv: &str, algorithm| {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(pair.public_key().as_ref().len() / 2);
        let jwk = json!({"kty": "EC", "crv": crv, "x": b64(x), "y": b64(y)});
        (pair.to_pkcs8v1().unwrap().as_ref().to_vec(), jwk)
    };
    let (pkcs8, jwk) = match family {
        KeyFamily::P256 | KeyFamily::P256Encryption => on_curve("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING),
        KeyFamily::P384 => on_curve("P-384", &ECDSA_P384_SHA384_FIXED_SIGNING),
        KeyFamily::Ed25519 => {
            let pair = Ed25519KeyPair::generate().unwrap();
            let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key().as_ref())});
            (pair.to_pkcs8().unwrap().as_ref().to_vec(), jwk)
        }
        KeyFamily::Rsa | KeyFamily::RsaEncryption => {
            let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
            let public = pair.public_key();
            let jwk = json!({
                "kty": "RSA",
                "n": b64(public.modulus().big_endian_without_leading_zero()),
                "e": b64(public.exponent().big_endian_without_leading_zero()),
                "d": "must not be published",
            });
            let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = aws_lc_rs::encoding::AsDer::as_der(&pair).unwrap();
            (pkcs8.as_ref().to_vec(), jwk)
        }
    };
    KeyRecord {
        kid: kid.parse().unwrap(),
        family,
        status,
        public_jwk: jwk.to_string(),
        private_key: ring().seal(&pkcs8, rand::random()),
    }
}

fn set(records: &[KeyRecord]) -> KeySet {
    set_for(records, None)
}

fn set_for(records: &[KeyRecord], wanted: Option<SigningAlgorithm>) -> KeySet {
    KeySet::new(records.iter().map(|record| Arc::new(SigningKey::open(record, &ring()).unwrap())).collect(), wanted)
}

fn claims() -> Value {
    json!({"iss": ISSUER, "sub": "u1", "aud": "api", "exp": 1000, "iat": 400})
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

#[rstest]
#[case(SigningAlgorithm::Es256)]
#[case(SigningAlgorithm::EdDsa)]
#[case(SigningAlgorithm::Rs256)]
#[case(SigningAlgorithm::Ps256)]
#[case(SigningAlgorithm::Es384)]
fn what_is_signed_verifies_here_and_with_jsonwebtoken(#[case] algorithm: SigningAlgorithm) {
    let keys = set_for(&[record(algorithm.family(), "k1", KeyStatus::Active)], Some(algorithm));
    for typ in ["at+jwt", "JWT", "logout+jwt"] {
        let token = keys.sign(typ, &claims()).unwrap();
        assert_eq!(keys.verify::<Value>(&token, typ, ISSUER, at(999)).unwrap(), claims());

        let jwks: jsonwebtoken::jwk::JwkSet = serde_json::from_slice(&keys.jwks()).unwrap();
        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert_eq!((header.typ.as_deref(), header.alg), (Some(typ), verifier(algorithm)));
        let key = DecodingKey::from_jwk(jwks.find(&header.kid.unwrap()).unwrap()).unwrap();
        let mut rules = Validation::new(verifier(algorithm));
        rules.validate_exp = false;
        rules.validate_aud = false;
        assert_eq!(jsonwebtoken::decode::<Value>(&token, &key, &rules).unwrap().claims, claims());
    }
}

#[test]
fn each_family_has_a_key_that_signs_and_one_of_them_is_the_tenants() {
    let records = KeyFamily::SIGNING.map(|family| record(family, &format!("{family:?}"), KeyStatus::Active));
    let keys = set_for(&records, Some(SigningAlgorithm::Ps256));
    let header_of = |token: Result<String, _>| jsonwebtoken::decode_header(token.unwrap()).unwrap();
    for algorithm in SigningAlgorithm::ALL {
        let token = keys.sign_with(algorithm, "JWT", &claims()).unwrap();
        assert_eq!(keys.verify::<Value>(&token, "JWT", ISSUER, at(999)).unwrap(), claims());
        let header = header_of(Ok::<_, SignError>(token));
        assert_eq!(header.alg, verifier(algorithm));
        assert_eq!(header.kid, Some(format!("{:?}", algorithm.family())));
    }
    assert_eq!(keys.signing_algorithm(), Some(SigningAlgorithm::Ps256));
    assert_eq!(header_of(keys.sign("at+jwt", &claims())).alg, jsonwebtoken::Algorithm::PS256);
    // Its key cannot be used: it signs with what there is, by the order of the families.
    let without = set_for(&records[..2], Some(SigningAlgorithm::Ps256));
    assert_eq!(without.signing_algorithm(), Some(SigningAlgorithm::Es256));
    assert!(matches!(without.sign_with(SigningAlgorithm::Rs256, "JWT", &claims()), Err(SignError::NoActiveKey)));
}

/// RFC 8037 appendix A.4: the one signature that is the same wherever it is made.
#[test]
fn ed25519_signs_as_the_rfc_does() {
    let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
    let signer = Signer::EdDsa(Ed25519KeyPair::from_seed_unchecked(&seed).unwrap());
    let mut jws = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc".to_owned();
    signer.sign_onto(SigningAlgorithm::EdDsa, &mut jws).unwrap();
    assert!(
        jws.ends_with(".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"),
        "{jws}"
    );
}

#[test]
fn one_key_signs_and_all_that_are_published_verify() {
    let old = record(KeyFamily::P256, "old", KeyStatus::Active);
    let token = set(std::slice::from_ref(&old)).sign("JWT", &claims()).unwrap();
    let retired = KeyRecord { status: KeyStatus::Retiring, ..old };
    let next = record(KeyFamily::Ed25519, "next", KeyStatus::Next);
    let keys = set(&[retired, record(KeyFamily::Ed25519, "new", KeyStatus::Active), next]);
    assert!(keys.verify::<Value>(&token, "JWT", ISSUER, at(999)).is_ok());
    assert_eq!(jsonwebtoken::decode_header(keys.sign("JWT", &claims()).unwrap()).unwrap().kid.unwrap(), "new");
    let jwks: Value = serde_json::from_slice(&keys.jwks()).unwrap();
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 3);
    // A revoked key is not in the set at all.
    let without = set(&[record(KeyFamily::Ed25519, "new", KeyStatus::Active)]);
    assert_eq!(without.verify::<Value>(&token, "JWT", ISSUER, at(999)), Err(VerifyError::UnknownKey));
    assert!(matches!(KeySet::new(vec![], None).sign("JWT", &claims()), Err(SignError::NoActiveKey)));
}

#[test]
fn only_public_members_are_published() {
    let text = String::from_utf8(set(&[record(KeyFamily::Rsa, "k", KeyStatus::Active)]).jwks().to_vec()).unwrap();
    assert!(!text.contains("\"d\"") && text.contains("\"use\":\"sig\"") && !text.contains("\"alg\""), "{text}");
}

fn with_header(token: &str, header: &Value) -> String {
    let (_, rest) = token.split_once('.').unwrap();
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
}

#[test]
fn whatever_is_not_ours_is_refused() {
    let keys = set(&[record(KeyFamily::P256, "k1", KeyStatus::Active)]);
    let token = keys.sign("at+jwt", &claims()).unwrap();
    let verify = |token: &str, now| keys.verify::<Value>(token, "at+jwt", ISSUER, at(now));
    let forged = |header: Value| verify(&with_header(&token, &header), 999);

    assert_eq!(forged(json!({"alg": "none", "typ": "at+jwt", "kid": "k1"})), Err(VerifyError::Algorithm));
    assert_eq!(forged(json!({"alg": "HS256", "typ": "at+jwt", "kid": "k1"})), Err(VerifyError::Algorithm));
    assert_eq!(forged(json!({"alg": "ES256", "typ": "at+jwt", "kid": "../k1"})), Err(VerifyError::UnknownKey));
    assert_eq!(forged(json!({"alg": "ES256", "typ": "at+jwt"})), Err(VerifyError::Malformed));
    assert_eq!(
        forged(json!({"alg": "ES256", "typ": "at+jwt", "kid": "k1", "crit": ["x"]})),
        Err(VerifyError::Malformed)
    );
    // The header is signed, too.
    assert_eq!(forged(json!({"alg": "ES256", "kid": "k1", "typ": "AT+JWT"})), Err(VerifyError::Signature));

    assert_eq!(verify(&token, 1000), Err(VerifyError::Expired));
    assert_eq!(keys.verify::<Value>(&token, "JWT", ISSUER, at(999)), Err(VerifyError::Type));
    assert_eq!(keys.verify::<Value>(&token, "at+jwt", "https://id.example/t/b", at(999)), Err(VerifyError::Issuer));

    // CVE-2022-21449: a signature of zeros.
    let (signed, _) = token.rsplit_once('.').unwrap();
    let zeros = format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0; 64]));
    assert_eq!(verify(&zeros, 999), Err(VerifyError::Signature));
    // Another tenant's key of the same name.
    let other = set(&[record(KeyFamily::P256, "k1", KeyStatus::Active)]);
    assert_eq!(other.verify::<Value>(&token, "at+jwt", ISSUER, at(999)), Err(VerifyError::Signature));
    for garbage in ["", ".", "..", "a.b.c", "é.é.é", &token[..token.len() - 3], signed] {
        assert!(verify(garbage, 999).is_err(), "{garbage}");
    }

    let endless = keys.sign("at+jwt", &json!({"iss": ISSUER})).unwrap();
    assert_eq!(verify(&endless, 999), Err(VerifyError::Claims));
    let early = keys.sign("at+jwt", &json!({"iss": ISSUER, "exp": 2000, "nbf": 1500})).unwrap();
    assert_eq!(verify(&early, 999), Err(VerifyError::Expired));
}

#[test]
fn a_hint_may_have_expired_and_its_key_may_be_gone() {
    let keys = set(&[record(KeyFamily::P256, "k1", KeyStatus::Active)]);
    let later = set(&[record(KeyFamily::P256, "k2", KeyStatus::Active)]);
    let hint = |keys: &KeySet, token: &str, issuer: &str| keys.verify_hint::<Value>(token, issuer).map(drop);
    let token = keys.sign("JWT", &claims()).unwrap();
    assert_eq!(hint(&keys, &token, ISSUER), Ok(()));
    assert_eq!(hint(&later, &token, ISSUER), Err(HintFault::KeyGone));
    assert_eq!(hint(&later, &token, "https://id.example/t/b"), Err(HintFault::Invalid));
    let access_token = keys.sign("at+jwt", &claims()).unwrap();
    assert_eq!(hint(&keys, &access_token, ISSUER), Err(HintFault::Invalid));
    for header in [json!({"alg": "none", "typ": "JWT", "kid": "k1"}), json!({"alg": "ES256", "typ": "JWT"})] {
        assert_eq!(hint(&keys, &with_header(&token, &header), ISSUER), Err(HintFault::Invalid), "{header}");
    }
    for garbage in ["", ".", "..", "a.b.c"] {
        assert_eq!(hint(&later, garbage, ISSUER), Err(HintFault::Invalid), "{garbage}");
    }
}

#[test]
fn an_access_token_type_may_carry_its_long_name() {
    let keys = set(&[record(KeyFamily::P256, "k1", KeyStatus::Active)]);
    let token = keys.sign("application/at+jwt", &claims()).unwrap();
    assert!(keys.verify::<Value>(&token, "at+jwt", ISSUER, at(999)).is_ok());
}

#[test]
fn faults_of_keys_are_told_apart() {
    let good = record(KeyFamily::P256, "k1", KeyStatus::Active);
    let other_ring = Keyring::new(MasterKey::new([9; 32]), vec![]);
    assert!(matches!(SigningKey::open(&good, &other_ring), Err(KeyFault::Sealed(SealError::UnknownKey { .. }))));
    let wrong_kind = KeyRecord { private_key: ring().seal(b"not a key", [1; 24]), ..good.clone() };
    assert!(matches!(SigningKey::open(&wrong_kind, &ring()), Err(KeyFault::PrivateKey(_))));
    let no_jwk = KeyRecord { public_jwk: "{}".into(), ..good };
    assert!(matches!(SigningKey::open(&no_jwk, &ring()), Err(KeyFault::PublicKey(_))));
}
