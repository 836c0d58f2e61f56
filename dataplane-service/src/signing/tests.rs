use aws_lc_rs::signature::KeyPair as _;
use rstest::rstest;
use serde_json::json;
use vocab::MasterKey;

use super::*;

const ISSUER: &str = "https://id.example/t/acme";

fn ring() -> Keyring {
    Keyring::new(MasterKey::new([7; 32]), vec![])
}

/// A fresh key, as the control plane would make it.
fn record(algorithm: Algorithm, kid: &str, status: KeyStatus) -> KeyRecord {
    let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (pkcs8, jwk) = match algorithm {
        Algorithm::Es256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            let point = pair.public_key().as_ref();
            let jwk = json!({"kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..])});
            (pair.to_pkcs8v1().unwrap().as_ref().to_vec(), jwk)
        }
        Algorithm::EdDsa => {
            let pair = Ed25519KeyPair::generate().unwrap();
            let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key().as_ref())});
            (pair.to_pkcs8().unwrap().as_ref().to_vec(), jwk)
        }
        Algorithm::Rs256 => {
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
        algorithm,
        status,
        public_jwk: jwk.to_string(),
        private_key: ring().seal(&pkcs8, rand::random()),
    }
}

fn set(records: &[KeyRecord]) -> KeySet {
    KeySet::new(records.iter().map(|record| Arc::new(SigningKey::open(record, &ring()).unwrap())).collect())
}

fn claims() -> Value {
    json!({"iss": ISSUER, "sub": "u1", "aud": "api", "exp": 1000, "iat": 400})
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

#[rstest]
#[case(Algorithm::Es256)]
#[case(Algorithm::EdDsa)]
#[case(Algorithm::Rs256)]
fn what_is_signed_verifies_here_and_with_jsonwebtoken(#[case] algorithm: Algorithm) {
    let keys = set(&[record(algorithm, "k1", KeyStatus::Active)]);
    for typ in ["at+jwt", "JWT", "logout+jwt"] {
        let token = keys.sign(typ, &claims()).unwrap();
        assert_eq!(keys.verify::<Value>(&token, typ, ISSUER, at(999)).unwrap(), claims());

        let jwks: jsonwebtoken::jwk::JwkSet = serde_json::from_slice(&keys.jwks()).unwrap();
        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert_eq!(header.typ.as_deref(), Some(typ));
        let key = DecodingKey::from_jwk(jwks.find(&header.kid.unwrap()).unwrap()).unwrap();
        let mut rules = Validation::new(algorithm.verifier());
        rules.validate_exp = false;
        rules.validate_aud = false;
        assert_eq!(jsonwebtoken::decode::<Value>(&token, &key, &rules).unwrap().claims, claims());
    }
}

/// RFC 8037 appendix A.4: the one signature that is the same wherever it is made.
#[test]
fn ed25519_signs_as_the_rfc_does() {
    let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
    let signer = Signer::EdDsa(Ed25519KeyPair::from_seed_unchecked(&seed).unwrap());
    let mut jws = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc".to_owned();
    signer.sign_onto(&mut jws).unwrap();
    assert!(
        jws.ends_with(".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"),
        "{jws}"
    );
}

#[test]
fn one_key_signs_and_all_that_are_published_verify() {
    let old = record(Algorithm::Es256, "old", KeyStatus::Active);
    let token = set(std::slice::from_ref(&old)).sign("JWT", &claims()).unwrap();
    let retired = KeyRecord { status: KeyStatus::Retiring, ..old };
    let next = record(Algorithm::EdDsa, "next", KeyStatus::Next);
    let keys = set(&[retired, record(Algorithm::EdDsa, "new", KeyStatus::Active), next]);
    assert!(keys.verify::<Value>(&token, "JWT", ISSUER, at(999)).is_ok());
    assert_eq!(jsonwebtoken::decode_header(keys.sign("JWT", &claims()).unwrap()).unwrap().kid.unwrap(), "new");
    let jwks: Value = serde_json::from_slice(&keys.jwks()).unwrap();
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 3);
    // A revoked key is not in the set at all.
    let without = set(&[record(Algorithm::EdDsa, "new", KeyStatus::Active)]);
    assert_eq!(without.verify::<Value>(&token, "JWT", ISSUER, at(999)), Err(VerifyError::UnknownKey));
    assert!(matches!(KeySet::new(vec![]).sign("JWT", &claims()), Err(SignError::NoActiveKey)));
}

#[test]
fn only_public_members_are_published() {
    let text = String::from_utf8(set(&[record(Algorithm::Rs256, "k", KeyStatus::Active)]).jwks().to_vec()).unwrap();
    assert!(
        !text.contains("\"d\"") && text.contains("\"use\":\"sig\"") && text.contains("\"alg\":\"RS256\""),
        "{text}"
    );
}

fn with_header(token: &str, header: &Value) -> String {
    let (_, rest) = token.split_once('.').unwrap();
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
}

#[test]
fn whatever_is_not_ours_is_refused() {
    let keys = set(&[record(Algorithm::Es256, "k1", KeyStatus::Active)]);
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
    assert!(keys.verify_expired::<Value>(&token, "at+jwt", ISSUER).is_ok());

    // CVE-2022-21449: a signature of zeros.
    let (signed, _) = token.rsplit_once('.').unwrap();
    let zeros = format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0; 64]));
    assert_eq!(verify(&zeros, 999), Err(VerifyError::Signature));
    // Another tenant's key of the same name.
    let other = set(&[record(Algorithm::Es256, "k1", KeyStatus::Active)]);
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
fn an_access_token_type_may_carry_its_long_name() {
    let keys = set(&[record(Algorithm::Es256, "k1", KeyStatus::Active)]);
    let token = keys.sign("application/at+jwt", &claims()).unwrap();
    assert!(keys.verify::<Value>(&token, "at+jwt", ISSUER, at(999)).is_ok());
}

#[test]
fn faults_of_keys_are_told_apart() {
    let good = record(Algorithm::Es256, "k1", KeyStatus::Active);
    let other_ring = Keyring::new(MasterKey::new([9; 32]), vec![]);
    assert!(matches!(SigningKey::open(&good, &other_ring), Err(KeyFault::Sealed(SealError::UnknownKey { .. }))));
    let wrong_kind = KeyRecord { private_key: ring().seal(b"not a key", [1; 24]), ..good.clone() };
    assert!(matches!(SigningKey::open(&wrong_kind, &ring()), Err(KeyFault::PrivateKey(_))));
    let no_jwk = KeyRecord { public_jwk: "{}".into(), ..good };
    assert!(matches!(SigningKey::open(&no_jwk, &ring()), Err(KeyFault::PublicKey(_))));
}
