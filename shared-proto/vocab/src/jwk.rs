//! Public keys of clients as JSON (RFC 7517), and the rules that they keep to wherever they come from: the operator, a
//! registration, the client's own `jwks_uri`.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

/// Keys of one client; more are of no use to anybody.
pub const MAX_KEYS: usize = 32;
/// Larger ones only cost time.
const MAX_RSA_BITS: usize = 8192;
const MIN_RSA_BITS: usize = 2048;
const MAX_KID_BYTES: usize = 256;

/// A JWK Set (RFC 7517 §5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwks {
    pub keys: Vec<Jwk>,
}

/// One key. Members that are not listed here mean nothing to us and are not kept (RFC 7517 §4); private ones make it
/// unreadable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Jwk {
    pub kty: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub key_ops: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
    /// The certificate of the key, then those above it: base64 of DER, not base64url (§4.7).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub x5c: Vec<String>,
    #[serde(flatten, skip_serializing)]
    private: Private,
}

/// Members that only whoever signs may know (RFC 7518 §6.2.2, §6.3.2, §6.4.1). A key that has one is not even read, so that
/// none gets into a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Private {
    d: Never,
    p: Never,
    q: Never,
    dp: Never,
    dq: Never,
    qi: Never,
    oth: Never,
    k: Never,
}

/// What nothing can be read into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Never;

impl<'de> Deserialize<'de> for Never {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer)?;
        Err(serde::de::Error::custom("a key holds private or secret members: publish the public key alone"))
    }
}

impl Jwks {
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Everything that is wrong, each with the place of the key; `None`: of the set as a whole.
    pub fn problems(&self) -> Vec<(Option<usize>, &'static str)> {
        let mut problems = Vec::new();
        if self.keys.is_empty() {
            problems.push((None, "has no key"));
        }
        if self.keys.len() > MAX_KEYS {
            problems.push((None, "has more than 32 keys"));
        }
        let mut kids = BTreeSet::new();
        for (place, key) in self.keys.iter().enumerate().take(MAX_KEYS) {
            if let Some(problem) = key.problem() {
                problems.push((Some(place), problem));
            }
            // RFC 7517 §4.5: keys of one kind are told apart by it.
            if let Some(kid) = &key.kid
                && !kids.insert((&key.kty, kid))
            {
                problems.push((Some(place), "has the kid of another key"));
            }
        }
        problems
    }
}

impl Jwk {
    /// What forbids the use of this key; `None`: nothing.
    pub fn problem(&self) -> Option<&'static str> {
        if self.kid.as_ref().is_some_and(|kid| kid.is_empty() || kid.len() > MAX_KID_BYTES) {
            return Some("has a kid that is empty or longer than 256 bytes");
        }
        match self.kty.as_str() {
            "RSA" => self.rsa_problem(),
            "EC" => {
                let bytes = match self.crv.as_deref() {
                    Some("P-256") => 32,
                    Some("P-384") => 48,
                    _ => return Some("has a curve other than P-256 and P-384"),
                };
                let fits = |member: &Option<String>| decoded(member.as_deref()).is_some_and(|it| it.len() == bytes);
                (!fits(&self.x) || !fits(&self.y)).then_some("has no point of its curve in x and y")
            }
            "OKP" => {
                if !matches!(self.crv.as_deref(), Some("Ed25519" | "X25519")) {
                    return Some("has a curve other than Ed25519 and X25519");
                }
                (decoded(self.x.as_deref()).map(|x| x.len()) != Some(32)).then_some("has no point of its curve in x")
            }
            _ => Some("has a kty other than RSA, EC and OKP"),
        }
    }

    fn rsa_problem(&self) -> Option<&'static str> {
        let (Some(modulus), Some(exponent)) = (decoded(self.n.as_deref()), decoded(self.e.as_deref())) else {
            return Some("has no n and e in base64url");
        };
        let bits = bits(&modulus);
        if bits < MIN_RSA_BITS {
            return Some("is RSA of less than 2048 bits");
        }
        if bits > MAX_RSA_BITS {
            return Some("is RSA of more than 8192 bits");
        }
        // Small exponents have broken too often; an even one is none. At most 32 bits: more is slow and of no use.
        let exponent = match exponent.len() {
            3 | 4 => exponent.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)),
            _ => 0,
        };
        (exponent < 65_537 || exponent % 2 == 0).then_some("has an e that is not an odd number from 65537 to 2^32")
    }

    /// Whether signatures may be verified with it (RFC 7517 §4.2, §4.3).
    pub fn is_for_signatures(&self) -> bool {
        self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && (self.key_ops.is_empty() || self.key_ops.iter().any(|operation| operation == "verify"))
            && self.crv.as_deref() != Some("X25519")
    }

    /// Whether something may be encrypted to it.
    pub fn is_for_encryption(&self) -> bool {
        let operations = ["encrypt", "wrapKey", "deriveKey", "deriveBits"];
        self.usage.as_deref().is_none_or(|usage| usage == "enc")
            && (self.key_ops.is_empty() || self.key_ops.iter().any(|own| operations.contains(&own.as_str())))
            && self.crv.as_deref() != Some("Ed25519")
    }
}

fn decoded(member: Option<&str>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(member?).ok().filter(|bytes| !bytes.is_empty())
}

/// Of a number without its leading zeros.
fn bits(number: &[u8]) -> usize {
    let significant = number.iter().position(|byte| *byte != 0).map_or(&[][..], |start| number.split_at(start).1);
    match significant.first() {
        None => 0,
        Some(first) => significant.len() * 8 - first.leading_zeros() as usize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(json: &str) -> Jwk {
        serde_json::from_str(json).unwrap()
    }

    fn rsa(bytes: usize, e: &str) -> String {
        let n = URL_SAFE_NO_PAD.encode(vec![0xff; bytes]);
        format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}"}}"#)
    }

    /// The public key of RFC 7517 appendix A.1.
    const EC: &str = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"enc","kid":"1"}"#;
    /// And of RFC 8037 appendix A.2.
    const ED: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    #[test]
    fn which_keys_are_good() {
        let rows = [
            (EC.to_owned(), true),
            (ED.to_owned(), true),
            (rsa(256, "AQAB"), true),
            (rsa(1024, "AQAB"), true),
            (rsa(255, "AQAB"), false),
            (rsa(64, "AQAB"), false),
            (rsa(1025, "AQAB"), false),
            (rsa(256, "AQ"), false),
            (rsa(256, "Aw"), false),
            (rsa(256, "AQAA"), false),
            (rsa(256, ""), false),
            (EC.replace("P-256", "secp256k1"), false),
            (EC.replace("P-256", "P-384"), false),
            (EC.replace(r#""y""#, r#""z""#), false),
            (ED.replace("Ed25519", "Ed448"), false),
            (ED.replace("11qY", ""), false),
            (r#"{"kty":"oct"}"#.to_owned(), false),
            ("{}".to_owned(), false),
        ];
        for (json, good) in rows {
            assert_eq!(key(&json).problem().is_none(), good, "{json}");
        }
        for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            let private = rsa(256, "AQAB").replace('}', &format!(r#","{member}":["secret"]}}"#));
            let refused = serde_json::from_str::<Jwk>(&private).unwrap_err().to_string();
            assert!(refused.contains("private") && !refused.contains("[\"secret"), "{member}: {refused}");
        }
    }

    #[test]
    fn a_set_has_keys_that_can_be_told_apart() {
        let set = |keys: &str| serde_json::from_str::<Jwks>(&format!(r#"{{"keys":[{keys}]}}"#)).unwrap().problems();
        assert_eq!(set(""), [(None, "has no key")]);
        assert!(set(&format!("{EC},{ED}")).is_empty());
        assert_eq!(set(&format!("{EC},{EC}")), [(Some(1), "has the kid of another key")]);
        assert!(!set(&vec![ED; 33].join(",")).is_empty());
    }

    #[test]
    fn what_is_not_ours_is_not_kept_and_the_rest_comes_back() {
        let with_more = EC.replace('}', r#","https://x.example/m":{"a":1},"ext":true}"#);
        let read = key(&with_more);
        assert_eq!(read, key(EC));
        let written = serde_json::to_string(&read).unwrap();
        assert_eq!(key(&written), read);
        assert!(!written.contains("ext"));
    }

    #[test]
    fn uses() {
        assert!(key(EC).is_for_encryption() && !key(EC).is_for_signatures());
        assert!(key(ED).is_for_signatures() && !key(ED).is_for_encryption());
        let both = key(&EC.replace(r#""use":"enc","#, ""));
        assert!(both.is_for_encryption() && both.is_for_signatures());
    }
}
