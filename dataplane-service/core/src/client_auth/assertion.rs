//! A JWT in place of a secret: `private_key_jwt`, and `client_secret_jwt` for who has one (OIDC Core §9, RFC 7523 §2.2, §3).

use serde::Deserialize;
use vocab::Timestamp;
use vocab::jws::JwsAlgorithm;

use super::FAILED;
use crate::client::{AuthMethod, Client};
use crate::error::OAuthError;
use crate::form::Form;
use crate::jose::{Audiences, ClientKeys, JoseError, Jws, NumericDate};

/// RFC 7523 §2.2.
pub const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What the clocks of client and server may differ by. FAPI 2.0 Security Profile §5.3.2.1 wants 10 seconds accepted and a
/// minute refused.
const LEEWAY_SECS: i64 = 30;
/// An assertion is made for one request. One that lives longer would have to be remembered for as long.
const MAX_LIFETIME_SECS: i64 = 3600;
const MAX_JTI_BYTES: usize = 512;

/// An assertion that came with a request. Nothing of it is believed yet.
#[derive(Debug)]
pub struct Assertion<'a> {
    jws: Jws<'a>,
    client_id: String,
}

/// Whom an assertion may be meant for. The issuer in any case.
#[derive(Clone, Copy, Debug)]
pub struct Audience<'a> {
    pub issuer: &'a str,
    /// FAPI 2.0 Security Profile §5.3.2.1: nobody but the issuer, as a string, and §5.4.1: by few algorithms. Otherwise the token endpoint and the endpoint
    /// at hand will do, too (OIDC Core §9, RFC 9126 §2), and may stand in a list.
    pub strict: Strictness,
    /// The path of the endpoint at hand, below the issuer.
    pub endpoint: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    Usual,
    IssuerOnly,
}

/// An assertion that was found good, to be noted so that it counts once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    pub jti: String,
    /// From when on it would be refused for its age.
    pub expires_at: Timestamp,
}

/// Why an assertion proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotProven {
    /// None of the keys that were given: the client may have published another one since they were fetched.
    UnknownKey,
    Refused(OAuthError),
}

#[derive(Deserialize)]
struct Subject {
    sub: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audiences,
    exp: NumericDate,
    nbf: Option<NumericDate>,
    iat: Option<NumericDate>,
    jti: String,
}

const fn refused(told: &'static str) -> NotProven {
    NotProven::Refused(OAuthError::invalid_client(told))
}

impl<'a> Assertion<'a> {
    /// The request's assertion, if it has one. Nothing else may prove the client beside it (RFC 6749 §2.3).
    pub fn of(authorization: Option<&[u8]>, form: &'a Form<'_>) -> Result<Option<Self>, OAuthError> {
        let token = match (form.get("client_assertion"), form.get("client_assertion_type")) {
            (None, None) => return Ok(None),
            (Some(token), Some(TYPE)) => token,
            _ => return Err(OAuthError::invalid_client("An assertion needs the type of jwt-bearer, and the reverse.")),
        };
        if authorization.is_some() || form.get("client_secret").is_some() {
            return Err(OAuthError::invalid_request("The client proves itself twice, by assertion and by secret."));
        }
        let jws = Jws::parse(token).map_err(|_| FAILED)?;
        let Subject { sub: client_id } = jws.unverified_claims().map_err(|_| FAILED)?;
        match form.get("client_id") {
            // RFC 7521 §4.2: it "MUST identify the same client".
            Some(other) if other != client_id => {
                Err(OAuthError::invalid_request("The client_id differs from the subject of the assertion."))
            }
            _ => Ok(Some(Self { jws, client_id })),
        }
    }

    /// Who it claims to be.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Checks it against the client that it claims to be, and the keys of that client.
    pub fn verify(
        &self,
        now: Timestamp,
        client: &Client,
        keys: &ClientKeys,
        audience: Audience<'_>,
    ) -> Result<Once, NotProven> {
        let claims: Claims = self.signed_by(now, client, keys, audience.strict).map_err(|error| match error {
            JoseError::UnknownKey => NotProven::UnknownKey,
            _ => NotProven::Refused(FAILED),
        })?;
        // From here on the client wrote it, so it may be told what is wrong.
        if claims.iss != self.client_id || claims.sub != self.client_id {
            return Err(refused("The assertion's iss and sub must both be the client_id."));
        }
        if !audience.includes(&claims.aud) {
            return Err(refused("The assertion is for somebody else: aud must be the issuer."));
        }
        let (at, limit) = (now.secs(), now.secs().saturating_add(LEEWAY_SECS));
        let exp = claims.exp.secs();
        if exp <= at {
            return Err(refused("The assertion has expired."));
        }
        if exp > at.saturating_add(MAX_LIFETIME_SECS) {
            return Err(refused("The assertion lives too long: its exp must lie within an hour."));
        }
        if [claims.nbf, claims.iat].into_iter().flatten().any(|begin| begin.secs() > limit) {
            return Err(refused("The assertion is from the future: see nbf and iat."));
        }
        if claims.jti.is_empty() || claims.jti.len() > MAX_JTI_BYTES {
            return Err(refused("The assertion's jti is empty or longer than 512 bytes."));
        }
        Ok(Once { jti: claims.jti, expires_at: Timestamp::from_secs(exp) })
    }

    fn signed_by<T: serde::de::DeserializeOwned>(
        &self,
        now: Timestamp,
        client: &Client,
        keys: &ClientKeys,
        strict: Strictness,
    ) -> Result<T, JoseError> {
        // The method decides what kind of key it is, whatever the token says: else a public key could be taken for a
        // secret (RFC 8725 §3.1).
        let taken: &[JwsAlgorithm] = match (client.spec.token_endpoint_auth_method, strict) {
            (AuthMethod::PrivateKeyJwt, Strictness::Usual) => &JwsAlgorithm::ASYMMETRIC,
            (AuthMethod::PrivateKeyJwt, Strictness::IssuerOnly) => &JwsAlgorithm::FAPI,
            (AuthMethod::ClientSecretJwt, Strictness::Usual) => &JwsAlgorithm::SYMMETRIC,
            _ => return Err(JoseError::Algorithm),
        };
        let registered = client.spec.token_endpoint_auth_signing_alg;
        if registered.is_some_and(|registered| !taken.contains(&registered)) {
            return Err(JoseError::Algorithm);
        }
        let taken = registered.as_ref().map_or(taken, std::slice::from_ref);
        match client.spec.token_endpoint_auth_method {
            AuthMethod::ClientSecretJwt => self.sealed_by(now, client, taken),
            _ => keys.verify(&self.jws, taken),
        }
    }

    /// By the HMAC of either secret, while it lasts.
    fn sealed_by<T: serde::de::DeserializeOwned>(
        &self,
        now: Timestamp,
        client: &Client,
        taken: &[JwsAlgorithm],
    ) -> Result<T, JoseError> {
        let live = client.secrets.iter().filter(|secret| secret.is_valid_at(now));
        live.filter_map(|secret| secret.key.as_ref())
            .find_map(|key| key.verify(&self.jws, taken).ok())
            .ok_or(JoseError::Signature)
    }
}

impl Audience<'_> {
    fn includes(&self, named: &Audiences) -> bool {
        let is_endpoint = |one: &str| {
            one.strip_prefix(self.issuer).is_some_and(|path| path == "/oauth2/token" || path == self.endpoint)
        };
        match (self.strict, named) {
            (Strictness::IssuerOnly, Audiences::One(one)) => one == self.issuer,
            (Strictness::IssuerOnly, Audiences::Many(_)) => false,
            (Strictness::Usual, Audiences::One(one)) => one == self.issuer || is_endpoint(one),
            (Strictness::Usual, Audiences::Many(all)) => all.iter().any(|one| one == self.issuer || is_endpoint(one)),
        }
    }
}

#[cfg(test)]
mod tests;
