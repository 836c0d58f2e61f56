//! Whether a token is the issuer's own, meant for us, and of this hour (OIDC Core §3.1.3.7, RFC 9068 §4, RFC 8725).

use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde_json::{Map, Value};
use vocab::Timestamp;

use crate::jws::{LEEWAY_SECS, PUBLIC_KEY_ALGORITHMS};

const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// OIDC Core §2: `sub` has at most 255 ASCII characters.
const MAX_SUBJECT_BYTES: usize = 255;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    Id,
    Access,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) audience: &'a str,
    pub(super) kind: TokenKind,
}

/// Why a token is not accepted. The log names it; its bearer hears only that it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("not a JWT, or not of this kind")]
    Malformed,
    #[error("its algorithm is not allowed, or not its key's")]
    Algorithm,
    #[error("signed with a key that the issuer does not publish")]
    UnknownKey,
    #[error("the signature does not verify")]
    Signature,
    #[error("from another issuer")]
    Issuer,
    #[error("for somebody else (aud, azp)")]
    Audience,
    #[error("bound to a key, and shown without a proof (cnf)")]
    Bound,
    #[error("expired, or not valid yet")]
    Time,
    #[error("without a subject, or about another one")]
    Subject,
}

/// Nothing of it is believed yet; it only says which key to try.
pub(super) fn read_header(token: &str, kind: TokenKind) -> Result<Header, Refusal> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Refusal::Malformed);
    }
    // `none` is no algorithm of the library's and does not parse.
    let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Malformed)?;
    if !PUBLIC_KEY_ALGORITHMS.contains(&header.alg) {
        return Err(Refusal::Algorithm);
    }
    let typ = header.typ.as_deref().map(str::to_ascii_lowercase);
    let typ = typ.as_deref().map(|typ| typ.strip_prefix("application/").unwrap_or(typ));
    match (kind, typ) {
        // Many issuers give their access tokens no type of their own.
        (_, None | Some("jwt")) | (TokenKind::Access, Some("at+jwt")) => Ok(header),
        _ => Err(Refusal::Malformed),
    }
}

pub(super) fn verify(
    token: &str,
    header: &Header,
    key: &Jwk,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<Map<String, Value>, Refusal> {
    let for_signing = !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
    if !for_signing || key.common.key_algorithm.is_some_and(|of_key| !is_same(of_key, header.alg)) {
        return Err(Refusal::Algorithm);
    }
    let verifying_key = DecodingKey::from_jwk(key).map_err(|_| Refusal::Algorithm)?;
    let mut rules = Validation::new(header.alg);
    // The claims are judged below, one by one, by our own clock.
    rules.validate_exp = false;
    rules.validate_nbf = false;
    rules.validate_aud = false;
    rules.required_spec_claims.clear();
    let claims = jsonwebtoken::decode::<Map<String, Value>>(token, &verifying_key, &rules)
        .map_err(|_| Refusal::Signature)?
        .claims;
    judge(&claims, expected, now)?;
    Ok(claims)
}

/// The key's `alg` and the token's, by their common name in RFC 7518.
fn is_same(of_key: KeyAlgorithm, of_token: Algorithm) -> bool {
    serde_json::to_value(of_key).ok() == serde_json::to_value(of_token).ok()
}

fn judge(claims: &Map<String, Value>, expected: &Expected<'_>, now: Timestamp) -> Result<(), Refusal> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(expected.issuer) {
        return Err(Refusal::Issuer);
    }
    // A logout token (OIDC Back-Channel Logout §2.4) is signed with the same keys for the same audience.
    if claims.contains_key("events") {
        return Err(Refusal::Malformed);
    }
    // RFC 9449 §7.2, RFC 8705 §3: with it comes a proof, and there is no room for one where it is presented.
    if claims.contains_key("cnf") {
        return Err(Refusal::Bound);
    }
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let for_us = audiences.contains(&expected.audience);
    let party = match (expected.kind, claims.get("azp")) {
        // It was made for another client, which passes it on.
        (TokenKind::Id, Some(azp)) => azp.as_str() == Some(expected.audience),
        (TokenKind::Id, None) => audiences.len() == 1,
        (TokenKind::Access, _) => true,
    };
    if !for_us || !party {
        return Err(Refusal::Audience);
    }
    let second =
        |name: &str| claims.get(name).map(|value| value.as_i64().or_else(|| whole(value)).ok_or(Refusal::Time));
    let (expires, issued) = (second("exp").ok_or(Refusal::Time)??, second("iat").ok_or(Refusal::Time)??);
    let begins = second("nbf").transpose()?.unwrap_or(issued);
    let now = now.secs();
    let valid = now < expires.saturating_add(LEEWAY_SECS)
        && issued <= now.saturating_add(LEEWAY_SECS)
        && begins <= now.saturating_add(LEEWAY_SECS);
    if valid { Ok(()) } else { Err(Refusal::Time) }
}

/// RFC 7519 §2 allows fractions of a second.
#[expect(clippy::cast_possible_truncation, reason = "a float becomes the nearest whole second, or the type's limit")]
fn whole(value: &Value) -> Option<i64> {
    value.as_f64().map(|secs| secs as i64)
}

pub(super) fn subject(claims: &Map<String, Value>) -> Result<String, Refusal> {
    let subject = claims.get("sub").and_then(Value::as_str).ok_or(Refusal::Subject)?;
    let allowed = !subject.is_empty() && subject.len() <= MAX_SUBJECT_BYTES && !subject.contains(char::is_control);
    if allowed { Ok(subject.to_owned()) } else { Err(Refusal::Subject) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::EncodingKey;
    use serde_json::json;
    use vocab::{Keyring, MasterKey};

    const NOW: i64 = 1_000_000;

    /// A key pair of ours, as a JWK and for signing.
    fn key() -> (Jwk, EncodingKey) {
        let ring = Keyring::new(MasterKey::new([1; 32]), vec![]);
        let made = crate::keys::generate(controlplane_core::model::KeyFamily::P256, &ring).unwrap();
        let private = ring.open(&made.private_key).unwrap();
        (serde_json::from_str(&made.public_jwk).unwrap(), EncodingKey::from_ec_der(private.expose()))
    }

    fn claims() -> Value {
        json!({"iss": "https://id.example", "aud": "cli", "sub": "ada", "iat": NOW - 10, "exp": NOW + 600})
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[name] = value;
        claims
    }

    fn check(claims: &Value, kind: TokenKind) -> Result<Map<String, Value>, Refusal> {
        let (jwk, private) = key();
        let token = jsonwebtoken::encode(&Header::new(Algorithm::ES256), claims, &private).unwrap();
        let expected = Expected { issuer: "https://id.example", audience: "cli", kind };
        verify(&token, &read_header(&token, kind)?, &jwk, &expected, Timestamp::from_secs(NOW))
    }

    #[test]
    fn a_token_of_the_issuer_for_us_is_taken() {
        check(&claims(), TokenKind::Id).unwrap();
        check(&claims(), TokenKind::Access).unwrap();
        check(&with("azp", json!("cli")), TokenKind::Id).unwrap();
        check(&with("aud", json!(["api", "cli"])), TokenKind::Access).unwrap();
        check(&with("exp", json!(NOW - 59)), TokenKind::Id).unwrap();
        check(&with("iat", json!(999_990.5)), TokenKind::Id).unwrap();
    }

    #[test]
    fn each_wrong_claim_is_refused() {
        for (name, value, why) in [
            ("iss", json!("https://id.example/"), Refusal::Issuer),
            ("iss", json!(["https://id.example"]), Refusal::Issuer),
            ("aud", json!("other"), Refusal::Audience),
            ("aud", json!(["other"]), Refusal::Audience),
            ("aud", Value::Null, Refusal::Audience),
            // Several audiences and nobody named as the party.
            ("aud", json!(["cli", "other"]), Refusal::Audience),
            ("azp", json!("other"), Refusal::Audience),
            ("exp", json!(NOW - 60), Refusal::Time),
            ("exp", json!("soon"), Refusal::Time),
            ("exp", Value::Null, Refusal::Time),
            ("iat", json!(NOW + 61), Refusal::Time),
            ("nbf", json!(NOW + 61), Refusal::Time),
            ("events", json!({}), Refusal::Malformed),
            ("cnf", json!({"jkt": "x"}), Refusal::Bound),
        ] {
            assert_eq!(check(&with(name, value.clone()), TokenKind::Id), Err(why), "{name}: {value}");
        }
        let mut missing = claims();
        missing.as_object_mut().unwrap().remove("iat");
        assert_eq!(check(&missing, TokenKind::Id), Err(Refusal::Time));
        for bad in [json!(""), json!(1), json!("x".repeat(256)), json!("a\nb")] {
            let Value::Object(claims) = with("sub", bad) else { panic!("an object") };
            assert_eq!(subject(&claims), Err(Refusal::Subject));
        }
    }

    /// RFC 8725 §3.1, §3.2, §3.11.
    #[test]
    fn other_algorithms_keys_and_types_are_refused() {
        let (jwk, private) = key();
        let (other, _) = key();
        let public = serde_json::to_string(&jwk).unwrap();
        let hmac = jsonwebtoken::encode(&Header::default(), &claims(), &EncodingKey::from_secret(public.as_bytes()));
        assert_eq!(read_header(&hmac.unwrap(), TokenKind::Id).unwrap_err(), Refusal::Algorithm);
        assert_eq!(read_header("eyJhbGciOiJub25lIn0.e30.", TokenKind::Id).unwrap_err(), Refusal::Malformed);
        let typed = |typ: &str| {
            let header = Header { typ: Some(typ.to_owned()), ..Header::new(Algorithm::ES256) };
            jsonwebtoken::encode(&header, &claims(), &private).unwrap()
        };
        for typ in ["at+jwt", "application/at+jwt", "logout+jwt", "hj-admin+jwt"] {
            assert_eq!(read_header(&typed(typ), TokenKind::Id).unwrap_err(), Refusal::Malformed, "{typ}");
        }
        read_header(&typed("at+jwt"), TokenKind::Access).unwrap();
        assert_eq!(read_header(&typed("logout+jwt"), TokenKind::Access).unwrap_err(), Refusal::Malformed);

        let token = typed("JWT");
        let header = read_header(&token, TokenKind::Id).unwrap();
        let expected = Expected { issuer: "https://id.example", audience: "cli", kind: TokenKind::Id };
        let now = Timestamp::from_secs(NOW);
        assert_eq!(verify(&token, &header, &other, &expected, now), Err(Refusal::Signature));
        let mut of_another_algorithm = jwk.clone();
        of_another_algorithm.common.key_algorithm = Some(KeyAlgorithm::ES384);
        assert_eq!(verify(&token, &header, &of_another_algorithm, &expected, now), Err(Refusal::Algorithm));
        let mut for_encryption = jwk;
        for_encryption.common.public_key_use = Some(PublicKeyUse::Encryption);
        assert_eq!(verify(&token, &header, &for_encryption, &expected, now), Err(Refusal::Algorithm));
    }
}
