//! Software statements (RFC 7591 §2.3): a JWT in which somebody the tenant trusts says what a client is.

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Map, Value};
use vocab::Timestamp;
use vocab::registration::RegistrationPolicy;

use super::Refusal;
use crate::jws::{LEEWAY_SECS, PUBLIC_KEY_ALGORITHMS};

const MAX_BYTES: usize = 16 * 1024;
/// Claims about the statement itself, not about the client (RFC 7519 §4.1).
const OF_THE_JWT: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// The metadata with the statement's claims in place of what stands beside it, and who made the statement, if there is
/// one (RFC 7591 §2.3: its values take precedence).
pub(super) fn believe(
    mut said: Map<String, Value>,
    policy: &RegistrationPolicy,
    now: Timestamp,
) -> Result<(Map<String, Value>, Option<String>), Refusal> {
    let statement = match said.remove("software_statement") {
        None | Some(Value::Null) => return Ok((said, None)),
        Some(Value::String(statement)) => statement,
        Some(_) => return Err(invalid("it must be a string")),
    };
    let (claims, issuer) = verify(&statement, policy, now)?;
    said.extend(claims.into_iter().filter(|(name, _)| !OF_THE_JWT.contains(&name.as_str())));
    Ok((said, Some(issuer)))
}

fn verify(
    statement: &str,
    policy: &RegistrationPolicy,
    now: Timestamp,
) -> Result<(Map<String, Value>, String), Refusal> {
    if statement.len() > MAX_BYTES {
        return Err(invalid("it is too long"));
    }
    // `none` is no algorithm of the library's and does not parse.
    let header = jsonwebtoken::decode_header(statement).map_err(|_| invalid("it is not a signed JWT"))?;
    if !PUBLIC_KEY_ALGORITHMS.contains(&header.alg) {
        return Err(invalid("its algorithm is not allowed"));
    }
    // Only to know whose keys to try.
    let unproven = jsonwebtoken::dangerous::insecure_decode::<Map<String, Value>>(statement);
    let unproven = unproven.map_err(|_| invalid("its claims are not an object"))?.claims;
    let issuer = unproven.get("iss").and_then(Value::as_str).ok_or_else(|| invalid("it does not name its issuer"))?;
    let trusted = policy.statement_issuers.iter().find(|trusted| trusted.issuer == issuer);
    let trusted = trusted.ok_or_else(|| {
        Refusal::StatementIssuer("This tenant does not trust the issuer of the software statement.".to_owned())
    })?;
    let keys: JwkSet =
        serde_json::from_value(trusted.jwks.clone()).map_err(|_| invalid("its issuer's keys are not readable"))?;
    let may_be = |key: &&Jwk| header.kid.is_none() || key.common.key_id == header.kid;
    let mut rules = Validation::new(header.alg);
    // The claims are judged below, by our own clock.
    rules.validate_exp = false;
    rules.validate_nbf = false;
    rules.validate_aud = false;
    rules.required_spec_claims.clear();
    let proven = keys.keys.iter().filter(may_be).find_map(|key| {
        let key = DecodingKey::from_jwk(key).ok()?;
        jsonwebtoken::decode::<Map<String, Value>>(statement, &key, &rules).ok()
    });
    let claims = proven.ok_or_else(|| invalid("no key of its issuer verifies it"))?.claims;
    judge_time(&claims, now)?;
    Ok((claims, issuer.to_owned()))
}

fn judge_time(claims: &Map<String, Value>, now: Timestamp) -> Result<(), Refusal> {
    let second = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => value.as_i64().map(Some).ok_or_else(|| invalid("its times are not whole seconds")),
    };
    let now = now.secs();
    let over = second("exp")?.is_some_and(|end| end.saturating_add(LEEWAY_SECS) <= now);
    let early = [second("nbf")?, second("iat")?].into_iter().flatten().any(|at| at > now.saturating_add(LEEWAY_SECS));
    if over || early { Err(invalid("it is expired, or not valid yet")) } else { Ok(()) }
}

fn invalid(why: &str) -> Refusal {
    Refusal::Statement(format!("The software statement is not valid: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use controlplane_core::model::KeyFamily;
    use jsonwebtoken::{Algorithm, EncodingKey, Header};
    use serde_json::json;
    use vocab::registration::StatementIssuer;
    use vocab::{Keyring, MasterKey};

    const NOW: i64 = 1_000_000;

    fn key() -> (Value, EncodingKey) {
        let ring = Keyring::new(MasterKey::new([1; 32]), vec![]);
        let made = crate::keys::generate(KeyFamily::P256, &ring).unwrap();
        let private = ring.open(&made.private_key).unwrap();
        (serde_json::from_str(&made.public_jwk).unwrap(), EncodingKey::from_ec_der(private.expose()))
    }

    fn policy(jwk: &Value) -> RegistrationPolicy {
        let trusted = StatementIssuer { issuer: "https://vouch.example".to_owned(), jwks: json!({"keys": [jwk]}) };
        RegistrationPolicy { statement_issuers: vec![trusted], ..RegistrationPolicy::default() }
    }

    fn claims() -> Value {
        json!({"iss": "https://vouch.example", "iat": NOW, "exp": NOW + 600, "client_name": "Vouched", "software_id": "x"})
    }

    fn with(statement: &str, policy: &RegistrationPolicy) -> Result<(Map<String, Value>, Option<String>), Refusal> {
        let Value::Object(said) =
            json!({"client_name": "Mine", "client_uri": "https://c.example", "software_statement": statement})
        else {
            unreachable!()
        };
        believe(said, policy, Timestamp::from_secs(NOW))
    }

    #[test]
    fn its_claims_win() {
        let (jwk, private) = key();
        let statement = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims(), &private).unwrap();
        let (said, issuer) = with(&statement, &policy(&jwk)).unwrap();
        assert_eq!(issuer.as_deref(), Some("https://vouch.example"));
        assert_eq!(
            Value::Object(said),
            json!({"client_name": "Vouched", "client_uri": "https://c.example", "software_id": "x"})
        );
    }

    #[test]
    fn what_is_not_proven_is_not_believed() {
        let ((jwk, private), (other, _)) = (key(), key());
        let sign = |claims: &Value| jsonwebtoken::encode(&Header::new(Algorithm::ES256), claims, &private).unwrap();
        let altered = |name: &str, value: Value| {
            let mut claims = claims();
            claims[name] = value;
            sign(&claims)
        };
        let public = serde_json::to_vec(&jwk).unwrap();
        let hmac = jsonwebtoken::encode(&Header::default(), &claims(), &EncodingKey::from_secret(&public)).unwrap();
        let none = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL3ZvdWNoLmV4YW1wbGUifQ.";
        for statement in [
            "",
            "a.b.c",
            none,
            &hmac,
            &altered("exp", json!(NOW - 61)),
            &altered("nbf", json!(NOW + 61)),
            &altered("exp", json!("soon")),
        ] {
            assert!(matches!(with(statement, &policy(&jwk)), Err(Refusal::Statement(_))), "{statement}");
        }
        assert!(matches!(with(&sign(&claims()), &policy(&other)), Err(Refusal::Statement(_))));
        let stranger = altered("iss", json!("https://other.example"));
        assert!(matches!(with(&stranger, &policy(&jwk)), Err(Refusal::StatementIssuer(_))));
    }
}
