//! Signing in at another OpenID provider, as its client (OIDC Core §3.1): what is believed of its metadata, of the answer
//! that the browser brings, and of its ID token. A provider may lie, and one may be put in another's place (RFC 9700 §4.4):
//! each way has its check, with its name.

use serde::Deserialize;
use serde_json::{Map, Value};
use vocab::Timestamp;
use vocab::jws::JwsAlgorithm;

use crate::bearer::one_or_many;
use crate::form::Form;
use crate::jose::{ClientKeys, JoseError, Jws, NumericDate};

/// Signatures that are believed: no symmetric ones (RFC 8725 §3.2).
const ALGORITHMS: [JwsAlgorithm; 5] =
    [JwsAlgorithm::Es256, JwsAlgorithm::Es384, JwsAlgorithm::EdDsa, JwsAlgorithm::Ps256, JwsAlgorithm::Rs256];
/// Clocks differ.
const SKEW_SECS: i64 = 30;
/// Nobody takes longer from an ID token to its use.
const MAX_AGE_SECS: i64 = 600;
/// OIDC Core §2: `sub` has at most 255 characters.
const SUBJECT_BYTES: usize = 255;
/// Of `amr`, as many as are carried on.
const METHODS: usize = 8;

/// Why a sign-in at a provider comes to nothing. For the log; the person reads that it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("its metadata are those of another issuer (OIDC Discovery §4.3)")]
    MetadataIssuer,
    #[error("its metadata name an endpoint that is no https URL")]
    Endpoint,
    #[error("the answer is another issuer's, or does not say whose (RFC 9207 §2.4)")]
    AnswerIssuer,
    #[error("the answer has neither a code nor an error")]
    NoCode,
    #[error("the provider answered with an error")]
    Declined,
    #[error("the ID token is not a signed JWT of the provider's keys by an algorithm that is allowed")]
    Signature,
    #[error("the token is of another kind than an ID token")]
    Kind,
    #[error("the ID token's iss is another issuer")]
    Issuer,
    #[error("the ID token's aud is not this client")]
    Audience,
    #[error("the ID token's azp is another client")]
    AuthorizedParty,
    #[error("the ID token has expired, or is of another time")]
    Time,
    #[error("the ID token's nonce is not the one that was sent")]
    Nonce,
    #[error("the ID token's sub is none")]
    Subject,
    #[error("the person did not sign in anew, as was asked for")]
    Stale,
    #[error("userinfo is no JSON object, or another person's (OIDC Core §5.3.2)")]
    Userinfo,
}

/// What the provider says about itself (OIDC Discovery §3), as far as it is of use here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Metadata {
    pub issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    pub jwks_uri: String,
    /// Where claims are that the ID token has not (OIDC Core §5.4).
    pub userinfo_endpoint: Option<String>,
    /// RFC 9207 §3.
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl Metadata {
    pub fn parse(document: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(document).map_err(|error| error.to_string())
    }

    /// Where the metadata of an issuer are (OIDC Discovery §4).
    pub fn url(issuer: &str) -> String {
        format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer))
    }

    /// OIDC Discovery §4.3: exactly the issuer that was asked about, or one provider stands in for another.
    pub fn is_of(&self, issuer: &str) -> Result<(), Refused> {
        if self.issuer != issuer {
            return Err(Refused::MetadataIssuer);
        }
        // The browser is sent there; the others are fetched, with that one's own checks.
        let web = |url: &str| {
            let loopback = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
            url.starts_with("https://")
                || loopback.iter().any(|it| url.strip_prefix(it).is_some_and(|rest| rest.starts_with([':', '/'])))
        };
        if web(&self.authorization_endpoint) { Ok(()) } else { Err(Refused::Endpoint) }
    }

    /// The code in what the browser brings. `iss` is compared first, also of an error (RFC 9207 §2.4); a provider that
    /// promises it must keep its word.
    pub fn code<'f>(&self, answer: &'f Form<'_>) -> Result<&'f str, Refused> {
        let by_this = match answer.get("iss") {
            Some(iss) => iss == self.issuer,
            None => !self.authorization_response_iss_parameter_supported,
        };
        if !by_this {
            return Err(Refused::AnswerIssuer);
        }
        if answer.get("error").is_some() {
            return Err(Refused::Declined);
        }
        answer.get("code").filter(|code| !code.is_empty()).ok_or(Refused::NoCode)
    }
}

/// What an ID token must fit.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub nonce: &'a str,
    /// The person had to sign in anew after this.
    pub signed_in_since: Option<Timestamp>,
    pub now: Timestamp,
}

impl std::fmt::Debug for Expected<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expected").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// An ID token that was believed.
#[derive(Clone, Debug, Deserialize)]
pub struct IdToken {
    iss: String,
    pub sub: String,
    #[serde(deserialize_with = "one_or_many")]
    aud: Vec<String>,
    exp: NumericDate,
    iat: NumericDate,
    azp: Option<String>,
    nonce: Option<String>,
    auth_time: Option<NumericDate>,
    #[serde(default)]
    amr: Vec<String>,
    #[serde(flatten)]
    claims: Map<String, Value>,
}

/// Why an ID token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotBelieved {
    /// The key may have been published since the keys were fetched.
    UnknownKey,
    Refused(Refused),
}

impl IdToken {
    /// Reads and checks an ID token (OIDC Core §3.1.3.7) by the provider's keys.
    pub fn verify(token: &str, keys: &ClientKeys, expected: Expected<'_>) -> Result<Self, NotBelieved> {
        let refused = NotBelieved::Refused;
        let jws = Jws::parse(token).map_err(|_| refused(Refused::Signature))?;
        // RFC 8725 §3.11: a logout token or an access token is not taken for one.
        if jws.is_typed() && !jws.has_type("JWT") {
            return Err(refused(Refused::Kind));
        }
        let token: Self = keys.verify(&jws, &ALGORITHMS).map_err(|error| match error {
            JoseError::UnknownKey => NotBelieved::UnknownKey,
            _ => refused(Refused::Signature),
        })?;
        token.check(expected).map_err(refused)?;
        Ok(token)
    }

    fn check(&self, expected: Expected<'_>) -> Result<(), Refused> {
        self.is_by(expected.issuer)?;
        self.is_for(expected.client_id)?;
        self.is_in_time(expected.now)?;
        self.answers(expected.nonce)?;
        self.has_subject()?;
        expected.signed_in_since.map_or(Ok(()), |since| self.was_signed_in_after(since))
    }

    fn is_by(&self, issuer: &str) -> Result<(), Refused> {
        if self.iss == issuer { Ok(()) } else { Err(Refused::Issuer) }
    }

    /// §3.1.3.7, 3 to 5: for this client; if for others as well, made for this one.
    fn is_for(&self, client_id: &str) -> Result<(), Refused> {
        if !self.aud.iter().any(|audience| audience == client_id) {
            return Err(Refused::Audience);
        }
        match self.azp.as_deref() {
            Some(azp) if azp == client_id => Ok(()),
            None if self.aud.len() == 1 => Ok(()),
            _ => Err(Refused::AuthorizedParty),
        }
    }

    fn is_in_time(&self, now: Timestamp) -> Result<(), Refused> {
        let (now, exp, iat) = (now.secs(), self.exp.secs(), self.iat.secs());
        let fits = now < exp.saturating_add(SKEW_SECS)
            && iat <= now.saturating_add(SKEW_SECS)
            && iat >= now.saturating_sub(MAX_AGE_SECS);
        if fits { Ok(()) } else { Err(Refused::Time) }
    }

    fn answers(&self, nonce: &str) -> Result<(), Refused> {
        if self.nonce.as_deref() == Some(nonce) { Ok(()) } else { Err(Refused::Nonce) }
    }

    fn has_subject(&self) -> Result<(), Refused> {
        if (1..=SUBJECT_BYTES).contains(&self.sub.len()) { Ok(()) } else { Err(Refused::Subject) }
    }

    /// §2: whom `max_age` is asked of says when.
    fn was_signed_in_after(&self, since: Timestamp) -> Result<(), Refused> {
        let fresh = self.auth_time.is_some_and(|at| at.secs() >= since.secs().saturating_sub(SKEW_SECS));
        if fresh { Ok(()) } else { Err(Refused::Stale) }
    }

    /// Adds what the ID token does not say itself. OIDC Core §5.3.2: of the same `sub`, or it is not looked at.
    pub fn add_userinfo(&mut self, document: &[u8]) -> Result<(), Refused> {
        let told: Map<String, Value> = serde_json::from_slice(document).map_err(|_| Refused::Userinfo)?;
        if told.get("sub").and_then(Value::as_str) != Some(self.sub.as_str()) {
            return Err(Refused::Userinfo);
        }
        for (name, value) in told {
            self.claims.entry(name).or_insert(value);
        }
        Ok(())
    }

    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }

    /// The address, if the provider says by `verified` that it is the person's.
    pub fn verified_email(&self, verified: &str) -> Option<&str> {
        let verified = self.claim(verified) == Some(&Value::Bool(true));
        self.claim("email").filter(|_| verified).and_then(Value::as_str)
    }

    /// How the person signed in there (RFC 8176), as far as it looks like it.
    pub fn methods(&self) -> Vec<&str> {
        let method = |text: &&str| {
            (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        self.amr.iter().map(String::as_str).filter(method).take(METHODS).collect()
    }
}

#[cfg(test)]
mod tests;
