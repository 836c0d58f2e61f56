//! JWTs that were encrypted to us (RFC 7516), as far as they can be read without the key. Which key opens one, the shell
//! knows; whether it may be opened at all is decided here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use vocab::jwe::{ContentEncryption, Encryption, JweAlgorithm};

use super::{JoseError, MAX_BYTES};

/// Five parts: header, key, nonce, content, tag (RFC 7516 §7.1). What is signed has three.
const DOTS: usize = 4;

/// A JWE in compact form. Nothing of it is believed, and a key of ours is all that will show whether it is one.
#[derive(Clone, Debug)]
pub struct Encrypted<'a> {
    token: &'a str,
    encryption: Encryption,
    kid: Option<String>,
}

/// Members that point at keys elsewhere are not even read (RFC 8725 §3.10).
#[derive(Deserialize)]
struct Header {
    alg: String,
    enc: String,
    kid: Option<String>,
    cty: Option<String>,
    crit: Option<IgnoredAny>,
    zip: Option<IgnoredAny>,
}

impl<'a> Encrypted<'a> {
    /// `None`: it is something else, such as a JWT that is signed alone.
    pub fn parse(token: &'a str) -> Option<Result<Self, JoseError>> {
        let encrypted = token.bytes().filter(|byte| *byte == b'.').count() == DOTS;
        encrypted.then(|| Self::read(token))
    }

    fn read(token: &'a str) -> Result<Self, JoseError> {
        // What is encrypted is a third longer for it.
        if token.len() > 2 * MAX_BYTES {
            return Err(JoseError::Malformed);
        }
        let header = token.split('.').next().unwrap_or_default();
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| JoseError::Malformed)?;
        let header: Header = serde_json::from_slice(&header).map_err(|_| JoseError::Malformed)?;
        // RFC 7516 §4.1.13; and nothing is inflated (RFC 8725 §3.6).
        if header.crit.is_some() || header.zip.is_some() {
            return Err(JoseError::Critical);
        }
        // RFC 7519 §5.2: what is inside is a JWT.
        if header.cty.is_some_and(|cty| !cty.eq_ignore_ascii_case("JWT")) {
            return Err(JoseError::Malformed);
        }
        let alg = JweAlgorithm::ALL.into_iter().find(|alg| alg.as_str() == header.alg).ok_or(JoseError::Algorithm)?;
        let enc =
            ContentEncryption::ALL.into_iter().find(|enc| enc.as_str() == header.enc).ok_or(JoseError::Algorithm)?;
        Ok(Self { token, encryption: Encryption { alg, enc }, kid: header.kid })
    }

    pub const fn token(&self) -> &'a str {
        self.token
    }

    pub const fn encryption(&self) -> Encryption {
        self.encryption
    }

    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(r#"{"alg":"ECDH-ES","enc":"A256GCM","kid":"k"}"#, None)]
    #[case(r#"{"alg":"RSA-OAEP-256","enc":"A256GCM","cty":"jwt","unheard_of":1}"#, None)]
    #[case(r#"{"alg":"ECDH-ES","enc":"A256GCM","cty":"text/plain"}"#, Some(JoseError::Malformed))]
    #[case(r#"{"alg":"ECDH-ES","enc":"A256GCM","zip":"DEF"}"#, Some(JoseError::Critical))]
    #[case(r#"{"alg":"ECDH-ES","enc":"A256GCM","crit":["x"],"x":1}"#, Some(JoseError::Critical))]
    #[case(r#"{"alg":"dir","enc":"A256GCM"}"#, Some(JoseError::Algorithm))]
    #[case(r#"{"alg":"RSA1_5","enc":"A256GCM"}"#, Some(JoseError::Algorithm))]
    #[case(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#, Some(JoseError::Algorithm))]
    #[case(r#"{"alg":"ECDH-ES","enc":"A128CBC-HS256"}"#, Some(JoseError::Algorithm))]
    #[case(r#"{"alg":"ECDH-ES"}"#, Some(JoseError::Malformed))]
    #[case(r#"{"alg":"ECDH-ES","alg":"dir","enc":"A256GCM"}"#, Some(JoseError::Malformed))]
    #[case("[]", Some(JoseError::Malformed))]
    fn what_may_be_opened(#[case] header: &str, #[case] refused: Option<JoseError>) {
        let token = format!("{}.a.b.c.d", URL_SAFE_NO_PAD.encode(header));
        assert_eq!(Encrypted::parse(&token).unwrap().err(), refused);
    }

    #[test]
    fn what_has_not_five_parts_is_something_else() {
        for token in ["", "a", "a.b.c", "a.b.c.d", "a.b.c.d.e.f"] {
            assert!(Encrypted::parse(token).is_none(), "{token}");
        }
        let long = format!("{}.b.c.d.e", "a".repeat(2 * MAX_BYTES));
        assert_eq!(Encrypted::parse(&long).unwrap().err(), Some(JoseError::Malformed));
    }
}
