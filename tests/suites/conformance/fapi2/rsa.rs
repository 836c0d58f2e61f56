//! A client whose registered key could sign by RS256, which the profile forbids (FAPI 2.0 Security Profile §5.4.1).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::super::keys::{now, random};
use super::super::{Outcome, ensure};
use super::checks::{Op, refused};

struct Key(KeyPair);

impl Key {
    fn new() -> Result<Self, String> {
        KeyPair::generate(KeySize::Rsa2048).map(Self).map_err(|error| error.to_string())
    }

    fn jwk(&self) -> Value {
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let public = self.0.public_key();
        json!({
            "kty": "RSA", "kid": "rsa", "use": "sig",
            "n": number(public.modulus().big_endian_without_leading_zero()),
            "e": number(public.exponent().big_endian_without_leading_zero()),
        })
    }

    fn assertion(&self, alg: &str, padding: &'static dyn RsaEncoding, client_id: &str, issuer: &str) -> String {
        let claims = json!({
            "iss": client_id, "sub": client_id, "aud": issuer, "jti": random(), "iat": now(), "exp": now() + 60,
        });
        let header = json!({ "alg": alg, "kid": "rsa" });
        let message = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(padding, &SystemRandom::new(), message.as_bytes(), &mut signature).expect("the key signs");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

impl Op {
    /// The same key, which is registered, by PS256 and by RS256: it is the algorithm that is refused.
    pub(super) async fn by_rs256(&self) -> Outcome {
        let key = Key::new()?;
        let patch = json!({ "jwks": { "keys": [self.bank.key.jwk, key.jwk()] } });
        self.tenant.patch_client(&self.bank.party.client_id, &patch).await;
        let (client_id, issuer) = (&self.bank.party.client_id, &self.bank.party.base);
        let by_ps256 = self.answer_to(&key.assertion("PS256", &RSA_PSS_SHA256, client_id, issuer)).await?;
        ensure(by_ps256.status == 200, || format!("{by_ps256:?}"))?;
        let by_rs256 = self.answer_to(&key.assertion("RS256", &RSA_PKCS1_SHA256, client_id, issuer)).await?;
        refused(&by_rs256, &["invalid_client", "invalid_request"])
    }
}
