//! Proofs of possession by an application's own key (RFC 9449): one small JWT per request, whose key the tokens are bound
//! to. This checks one proof; that none counts twice is the shell's to remember.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use url::Url;
use vocab::Timestamp;
use vocab::jws::JwsAlgorithm;

use crate::confirmation::{Confirmation, Thumbprint};
use crate::error::OAuthError;
use crate::jose::{Jws, NumericDate, PublicKey};

/// `typ` of a proof (§4.2).
const TYPE: &str = "dpop+jwt";
/// How old a proof may be, and so how long it is remembered.
const MAX_AGE_SECS: i64 = 120;
/// What a client's clock may be ahead.
const LEEWAY_SECS: i64 = 30;
const MAX_JTI_BYTES: usize = 512;
/// Keys and claims are short; a proof of this size has something else in mind.
const MAX_PROOF_BYTES: usize = 8 * 1024;

/// What a proof is held against.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub now: Timestamp,
    pub method: &'a str,
    /// Those that proofs may be signed with.
    pub algorithms: &'a [JwsAlgorithm],
    /// The addresses that the endpoint is known by, without query: one, or two where it has an alias for mutual TLS.
    pub urls: &'a [String],
    /// The access token that comes with the proof at a protected endpoint.
    pub access_token: Option<&'a str>,
}

/// Whether the server's nonce must be in a proof (§8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceRule {
    Optional,
    Required,
}

/// A proof that was found good, to be noted so that it counts once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    pub key: Thumbprint,
    pub jti: String,
    /// From when on it would be refused for its age.
    pub expires_at: Timestamp,
}

impl Proof {
    pub const fn confirmation(&self) -> Confirmation {
        Confirmation::Key(self.key)
    }
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: NumericDate,
    ath: Option<String>,
    nonce: Option<String>,
}

const fn refused(told: &'static str) -> OAuthError {
    OAuthError::invalid_dpop_proof(told)
}

/// §4.3, in its order. `is_nonce` says whether a nonce is one that was given out lately.
pub fn verify(
    header: &str,
    request: Request<'_>,
    rule: NonceRule,
    is_nonce: impl FnOnce(&str) -> bool,
) -> Result<Proof, OAuthError> {
    if header.len() > MAX_PROOF_BYTES {
        return Err(refused("The proof is longer than 8 KiB."));
    }
    let jws = Jws::parse(header).map_err(|_| refused("The proof is not a signed JWT, or has a crit."))?;
    if !jws.has_type(TYPE) {
        return Err(refused("The proof's typ is not dpop+jwt."));
    }
    jws.algorithm(request.algorithms)
        .map_err(|_| refused("The proof's alg is not among those of dpop_signing_alg_values_supported."))?;
    let jwk = jws.embedded_key().ok_or(refused("The proof has no jwk."))?;
    let key = PublicKey::parse(jwk.clone()).map_err(|_| refused("The proof's jwk is no public key that is taken."))?;
    let claims: Claims = key
        .verify(&jws, request.algorithms)
        .map_err(|_| refused("The proof's signature is not its key's, or a claim is missing."))?;
    if claims.htm != request.method {
        return Err(refused("The proof is for another method: see htm."));
    }
    if !is_at(&claims.htu, request.urls) {
        return Err(refused("The proof is for another address: see htu."));
    }
    if claims.jti.is_empty() || claims.jti.len() > MAX_JTI_BYTES {
        return Err(refused("The proof's jti is empty or longer than 512 bytes."));
    }
    match claims.nonce {
        Some(nonce) if is_nonce(&nonce) => {}
        Some(_) => return Err(OAuthError::use_dpop_nonce("The proof's nonce is not one of the last few minutes.")),
        None if rule == NonceRule::Required => {
            return Err(OAuthError::use_dpop_nonce("The proof needs the nonce of the DPoP-Nonce header."));
        }
        None => {}
    }
    let (iat, now) = (claims.iat.secs(), request.now.secs());
    if iat > now.saturating_add(LEEWAY_SECS) || iat < now.saturating_sub(MAX_AGE_SECS) {
        return Err(refused("The proof is too old, or from the future: see iat."));
    }
    if let Some(token) = request.access_token {
        let expected = URL_SAFE_NO_PAD.encode(Sha256::digest(token));
        if claims.ath.as_deref() != Some(&expected) {
            return Err(refused("The proof is for another access token: see ath."));
        }
    }
    let expires_at = Timestamp::from_secs(iat.saturating_add(MAX_AGE_SECS + 1));
    Ok(Proof { key: key.thumbprint(), jti: claims.jti, expires_at })
}

/// Query and fragment do not count; the rest is compared as URLs, whose parser settles case and default ports (§4.3).
fn is_at(htu: &str, urls: &[String]) -> bool {
    let Ok(mut named) = Url::parse(htu) else { return false };
    named.set_query(None);
    named.set_fragment(None);
    urls.iter().any(|url| Url::parse(url).is_ok_and(|url| url == named))
}

/// The value of `algs` in a challenge (§7.1).
pub fn algorithms() -> String {
    JwsAlgorithm::ASYMMETRIC.map(JwsAlgorithm::as_str).join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::jose::tests::KeyOfTest;
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
    const URL: &str = "https://id.example/t/acme/oauth2/token";
    const TOKEN: &str = "header.payload.signature";

    fn claims() -> Value {
        json!({"jti": "1", "htm": "POST", "htu": URL, "iat": NOW.secs()})
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[name] = value;
        claims
    }

    fn without(name: &str) -> Value {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        claims
    }

    fn run(proof: &str, access_token: Option<&str>, rule: NonceRule) -> Result<Proof, Code> {
        let urls = [URL.to_owned(), "https://mtls.example/t/acme/oauth2/token".to_owned()];
        let request =
            Request { now: NOW, method: "POST", algorithms: &JwsAlgorithm::ASYMMETRIC, urls: &urls, access_token };
        verify(proof, request, rule, |nonce| nonce == "fresh").map_err(|error| error.code())
    }

    fn header(key: &KeyOfTest) -> Value {
        json!({"typ": "dpop+jwt", "jwk": key.jwk})
    }

    #[rstest]
    #[case::good(claims(), true)]
    #[case::e02_htm(with("htm", json!("GET")), false)]
    #[case::htm_in_small_letters(with("htm", json!("post")), false)]
    #[case::no_htm(without("htm"), false)]
    #[case::e03_old(with("iat", json!(NOW.secs() - 600)), false)]
    #[case::a_minute_old(with("iat", json!(NOW.secs() - 60)), true)]
    #[case::from_the_future(with("iat", json!(NOW.secs() + 61)), false)]
    #[case::clocks_differ(with("iat", json!(NOW.secs() + 10)), true)]
    #[case::no_iat(without("iat"), false)]
    #[case::e07_no_jti(without("jti"), false)]
    #[case::empty_jti(with("jti", json!("")), false)]
    #[case::k07_of_another_tenant(with("htu", json!("https://id.example/t/other/oauth2/token")), false)]
    #[case::with_a_query(with("htu", json!(format!("{URL}?a=b#c"))), true)]
    #[case::spelled_otherwise(with("htu", json!("HTTPS://ID.example:443/t/acme/oauth2/token")), true)]
    #[case::over_mutual_tls(with("htu", json!("https://mtls.example/t/acme/oauth2/token")), true)]
    #[case::in_the_clear(with("htu", json!("http://id.example/t/acme/oauth2/token")), false)]
    #[case::on_another_path(with("htu", json!(format!("{URL}/"))), false)]
    #[case::not_a_url(with("htu", json!("token")), false)]
    fn what_a_proof_says(#[case] claims: Value, #[case] accepted: bool) {
        let key = KeyOfTest::es256("a");
        let outcome = run(&key.sign(&header(&key), &claims), None, NonceRule::Optional);
        assert_eq!(outcome.as_ref().err(), (!accepted).then_some(&Code::InvalidDpopProof), "{outcome:?}");
    }

    #[test]
    fn who_signed_it() {
        let (key, ed, other) = (KeyOfTest::es256("a"), KeyOfTest::ed25519("b"), KeyOfTest::es256("a"));
        let private = {
            let mut jwk = key.jwk.clone();
            jwk["d"] = json!("AAAA");
            json!({"typ": "dpop+jwt", "jwk": jwk})
        };
        let zeros = {
            let token = key.sign(&header(&key), &claims());
            format!("{}.{}", token.rsplit_once('.').unwrap().0, "A".repeat(86))
        };
        let symmetric = json!({"typ": "dpop+jwt", "alg": "HS256", "jwk": {"kty": "oct", "k": "AAAA"}});
        for (name, proof, accepted) in [
            ("EdDSA", ed.sign(&header(&ed), &claims()), true),
            ("media type in full", key.sign(&json!({"typ": "application/dpop+jwt", "jwk": key.jwk}), &claims()), true),
            ("another key", other.sign(&header(&key), &claims()), false),
            ("no typ", key.sign(&json!({"jwk": key.jwk}), &claims()), false),
            ("another typ", key.sign(&json!({"typ": "JWT", "jwk": key.jwk}), &claims()), false),
            ("no jwk", key.sign(&json!({"typ": "dpop+jwt"}), &claims()), false),
            ("a private jwk", key.sign(&private, &claims()), false),
            ("none", key.sign_as(&json!({"typ": "dpop+jwt", "alg": "none", "jwk": key.jwk}), &claims()), false),
            ("symmetric", key.sign_as(&symmetric, &claims()), false),
            ("zeros", zeros, false),
            ("crit", key.sign(&json!({"typ": "dpop+jwt", "jwk": key.jwk, "crit": ["b64"]}), &claims()), false),
            ("garbage", "x".to_owned(), false),
            ("nothing", String::new(), false),
            ("huge", "x".repeat(9000), false),
        ] {
            let outcome = run(&proof, None, NonceRule::Optional).map(|_| ());
            assert_eq!(outcome, if accepted { Ok(()) } else { Err(Code::InvalidDpopProof) }, "{name}");
        }
    }

    #[test]
    fn nonces() {
        let key = KeyOfTest::es256("a");
        let sign = |claims: &Value| key.sign(&header(&key), claims);
        for (nonce, rule, expected) in [
            (None, NonceRule::Optional, Ok(())),
            (None, NonceRule::Required, Err(Code::UseDpopNonce)),
            (Some("fresh"), NonceRule::Optional, Ok(())),
            (Some("fresh"), NonceRule::Required, Ok(())),
            (Some("old"), NonceRule::Optional, Err(Code::UseDpopNonce)),
            (Some("old"), NonceRule::Required, Err(Code::UseDpopNonce)),
        ] {
            let claims = nonce.map_or_else(claims, |nonce| with("nonce", json!(nonce)));
            assert_eq!(run(&sign(&claims), None, rule).map(|_| ()), expected, "{nonce:?} {rule:?}");
        }
    }

    #[test]
    fn the_access_token_is_named_where_there_is_one() {
        let key = KeyOfTest::es256("a");
        let ath = URL_SAFE_NO_PAD.encode(Sha256::digest(TOKEN));
        for (claims, accepted) in [(with("ath", json!(ath)), true), (claims(), false), (with("ath", json!("x")), false)]
        {
            let outcome = run(&key.sign(&header(&key), &claims), Some(TOKEN), NonceRule::Optional);
            assert_eq!(outcome.is_ok(), accepted);
        }
    }

    #[test]
    fn the_key_is_named_by_its_thumbprint_and_the_proof_remembered_while_it_is_good() {
        let key = KeyOfTest::es256("a");
        let proof = run(&key.sign(&header(&key), &claims()), None, NonceRule::Optional).unwrap();
        assert_eq!(proof.key, PublicKey::parse(key.public()).unwrap().thumbprint());
        assert_eq!(proof.expires_at, NOW.plus_secs(MAX_AGE_SECS + 1));
    }

    proptest! {
        #[test]
        fn never_panics(header in "[A-Za-z0-9_.=-]{0,300}") {
            let _ = run(&header, Some(TOKEN), NonceRule::Required);
        }
    }
}
