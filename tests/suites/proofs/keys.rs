//! Keys of clients, and what they sign.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub(super) struct Key {
    encoding: EncodingKey,
    pub(super) jwk: Value,
}

pub(super) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since.as_secs()).expect("seconds fit")
}

pub(super) fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>())
}

impl Key {
    pub(super) fn new(kid: &str) -> Self {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).expect("its own bytes");
        let (x, y) = pair.public_key().as_ref().get(1..).expect("a point").split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        Self {
            encoding: EncodingKey::from_ec_der(pkcs8.as_ref()),
            jwk: json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "alg": "ES256"}),
        }
    }

    /// The key as a proof shows it.
    fn bare(&self) -> Value {
        json!({"kty": "EC", "crv": "P-256", "x": self.jwk["x"], "y": self.jwk["y"]})
    }

    /// RFC 7638.
    pub(super) fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.bare().to_string()))
    }

    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.encoding, Algorithm::ES256);
        format!("{message}.{}", signature.expect("the key signs"))
    }

    /// An assertion of the client for `audience`, with `changes` to its claims (null: left out).
    pub(super) fn assertion(&self, client_id: &str, audience: &str, changes: &Value) -> String {
        let claims = changed(assertion_claims(client_id, audience), changes);
        self.sign(&json!({"alg": "ES256", "kid": self.jwk["kid"]}), &claims)
    }

    /// A proof of DPoP for one request, with `changes` to its claims (null: left out).
    pub(super) fn proof(&self, method: &str, url: &str, changes: &Value) -> String {
        let claims = json!({"jti": random(), "htm": method, "htu": url, "iat": now()});
        self.sign(&json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.bare()}), &changed(claims, changes))
    }

    pub(super) fn proof_with(&self, method: &str, url: &str, access_token: &str) -> String {
        let ath = URL_SAFE_NO_PAD.encode(Sha256::digest(access_token));
        self.proof(method, url, &json!({ "ath": ath }))
    }
}

/// A key for RS256 and PS256 alike.
pub(super) struct RsaKey {
    pair: RsaKeyPair,
    pub(super) jwk: Value,
}

impl RsaKey {
    pub(super) fn new(kid: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        let public = pair.public_key();
        let [n, e] = [public.modulus(), public.exponent()]
            .map(|number| URL_SAFE_NO_PAD.encode(number.big_endian_without_leading_zero()));
        let jwk = json!({"kty": "RSA", "kid": kid, "use": "sig", "n": n, "e": e});
        Self { pair, jwk }
    }

    pub(super) fn sign(&self, alg: &str, claims: &Value) -> String {
        let header = json!({"alg": alg, "kid": self.jwk["kid"]});
        let message = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let padding = match alg {
            "RS256" => &RSA_PKCS1_SHA256,
            "PS256" => &RSA_PSS_SHA256,
            _ => panic!("{alg} is not for this key"),
        };
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair.sign(padding, &SystemRandom::new(), message.as_bytes(), &mut signature).expect("the key signs");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// An assertion of the client for `audience`.
    pub(super) fn assertion(&self, alg: &str, client_id: &str, audience: &str) -> String {
        self.sign(alg, &assertion_claims(client_id, audience))
    }
}

fn assertion_claims(client_id: &str, audience: &str) -> Value {
    json!({"iss": client_id, "sub": client_id, "aud": audience, "jti": random(), "iat": now(), "exp": now() + 60})
}

fn changed(mut claims: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().expect("claims by name") {
        match value {
            Value::Null => drop(claims.as_object_mut().expect("an object").remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

/// The claims of a JWT of ours, unchecked.
pub(super) fn claims(token: &str) -> Value {
    tests::tokens::Jwt::parse(token).claims
}
