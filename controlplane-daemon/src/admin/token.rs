//! Administrators' tokens: short-lived JWTs that the global active key signs, so that any node verifies them. What the
//! holder may do is looked up at each use and never stands in the token.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use controlplane_core::model::{KeyOwner, SigningAlgorithm};
use controlplane_core::{Admin, SigningKey, State};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;
use vocab::{AdminId, ErrorCode, KeyId, Keyring, SecretDigest, Timestamp};

use super::Api;
use super::fields::{Fields, Problems};
use super::json::Document;
use super::origin;
use super::problem::{Presented, Problem};
use crate::credential::Credential;

const LIFETIME_SECS: i64 = 600;
const AUDIENCE: &str = "hellojohn-admin";
const ISSUER: &str = "hellojohn-control-plane";
/// Explicit typing (RFC 8725 §3.11): no other token of ours is mistaken for this one.
const TYPE: &str = "hj-admin+jwt";
/// A clock may be this much ahead of the one that reads.
const LEEWAY_SECS: i64 = 30;

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: AdminId,
    iat: i64,
    exp: i64,
    jti: Uuid,
}

/// Why a token is not accepted. All the same to its bearer; the log tells them apart.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    #[error("not a JWT of this kind")]
    Malformed,
    #[error("signed by a key that is not published")]
    UnknownKey,
    #[error("the signature does not verify")]
    Signature,
    #[error("expired")]
    Expired,
}

/// `POST /auth/token`
pub(super) async fn issue(api: web::Data<Api>, request: HttpRequest, body: Document) -> Result<HttpResponse, Problem> {
    let address = origin::address(&request).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    api.throttle.check(address, Instant::now()).map_err(|wait| {
        Problem::too_many_requests(wait, "too many failed attempts from your address; wait before the next")
    })?;
    let issued = issue_for(&api, &body);
    if issued.as_ref().is_err_and(|problem| problem.code() == ErrorCode::Unauthenticated) {
        api.throttle.failed(address, Instant::now());
    }
    issued
}

fn issue_for(api: &Api, body: &Document) -> Result<HttpResponse, Problem> {
    let problems = Problems::default();
    let text = Fields::of(&body.0, "", &problems).and_then(|fields| {
        fields.require("credential");
        let text = fields.text("credential");
        fields.finish();
        text
    });
    let credential: Result<Credential, _> = problems.settle(text)?.parse();
    let refused = || Problem::unauthenticated(Presented::Token, "this credential is not valid");
    let credential = credential.map_err(|_| refused())?;
    let now = api.clock.now();
    let (admin, key) = api.control.read(|state| {
        // A digest that nothing matches, so that an unknown id takes as long as a wrong secret.
        let digest = state.admin(credential.id).map_or(SecretDigest::from_bytes([0; 32]), |admin| admin.digest);
        let matches = credential.matches(&digest);
        let admin = usable(state, credential.id, now).filter(|_| matches).map(|admin| admin.id);
        (admin, state.active_key(KeyOwner::Global).cloned())
    });
    let admin = admin.ok_or_else(refused)?;
    let key = key.ok_or_else(|| Problem::new(ErrorCode::Unavailable, "the cluster has no signing key yet"))?;
    let token = sign(&key, &api.keyring, admin, now)?;
    Ok(HttpResponse::Ok().json(json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": LIFETIME_SECS,
    })))
}

/// The administrator, unless the credential has expired.
pub(super) fn usable(state: &State, id: AdminId, now: Timestamp) -> Option<&Admin> {
    state.admin(id).map(AsRef::as_ref).filter(|admin| admin.spec.expires_at.is_none_or(|end| now < end))
}

fn sign(key: &SigningKey, keyring: &Keyring, admin: AdminId, now: Timestamp) -> Result<String, Problem> {
    let claims = Claims {
        iss: ISSUER.to_owned(),
        aud: AUDIENCE.to_owned(),
        sub: admin,
        iat: now.secs(),
        exp: now.secs().saturating_add(LIFETIME_SECS),
        jti: Uuid::from_u128(rand::random()),
    };
    let pkcs8 = keyring.open(&key.private_key).map_err(Problem::internal)?;
    let signing_key = match key.algorithm {
        SigningAlgorithm::Es256 => EncodingKey::from_ec_der(pkcs8.expose()),
        SigningAlgorithm::EdDsa => EncodingKey::from_ed_der(pkcs8.expose()),
        SigningAlgorithm::Rs256 => {
            // jsonwebtoken takes RSA keys as PKCS#8 in PEM only.
            let body = vocab::Secret::new(STANDARD.encode(pkcs8.expose()));
            let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", body.expose());
            EncodingKey::from_rsa_pem(vocab::Secret::new(pem).expose().as_bytes()).map_err(Problem::internal)?
        }
    };
    let header = Header {
        typ: Some(TYPE.to_owned()),
        kid: Some(key.kid.as_str().to_owned()),
        ..Header::new(jws_algorithm(key.algorithm))
    };
    jsonwebtoken::encode(&header, &claims, &signing_key).map_err(Problem::internal)
}

/// A token whose signature is right. Whether it still counts is asked at each use.
#[derive(Clone, Debug)]
pub(super) struct Verified {
    admin: AdminId,
    kid: KeyId,
    issued_at_secs: i64,
    expires_at_secs: i64,
}

impl Verified {
    /// Whose token this is, as long as its key is published and its time has come and not gone.
    pub(super) fn holder(&self, state: &State, now: Timestamp) -> Result<AdminId, TokenError> {
        if self.is_over(now) || self.issued_at_secs > now.secs().saturating_add(LEEWAY_SECS) {
            return Err(TokenError::Expired);
        }
        let published = state.published_keys(KeyOwner::Global).any(|key| key.kid == self.kid);
        if published { Ok(self.admin) } else { Err(TokenError::UnknownKey) }
    }

    pub(super) const fn is_over(&self, now: Timestamp) -> bool {
        now.secs() >= self.expires_at_secs
    }
}

/// Checks the signature. The algorithm is the key's own, whatever the token's header says (RFC 8725 §3.1).
pub(super) fn verify(token: &str, state: &State) -> Result<Verified, TokenError> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
    if header.typ.as_deref() != Some(TYPE) {
        return Err(TokenError::Malformed);
    }
    let kid: KeyId = header.kid.and_then(|kid| kid.parse().ok()).ok_or(TokenError::UnknownKey)?;
    let key = state.published_keys(KeyOwner::Global).find(|key| key.kid == kid).ok_or(TokenError::UnknownKey)?;
    let jwk: Jwk = serde_json::from_str(&key.public_jwk).map_err(|_| TokenError::UnknownKey)?;
    let verifying_key = DecodingKey::from_jwk(&jwk).map_err(|_| TokenError::UnknownKey)?;
    let mut rules = Validation::new(jws_algorithm(key.algorithm));
    rules.set_audience(&[AUDIENCE]);
    rules.set_issuer(&[ISSUER]);
    rules.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
    // Judged at each use, by our own clock.
    rules.validate_exp = false;
    let claims =
        jsonwebtoken::decode::<Claims>(token, &verifying_key, &rules).map_err(|_| TokenError::Signature)?.claims;
    Ok(Verified { admin: claims.sub, kid, issued_at_secs: claims.iat, expires_at_secs: claims.exp })
}

const fn jws_algorithm(algorithm: SigningAlgorithm) -> Algorithm {
    match algorithm {
        SigningAlgorithm::Es256 => Algorithm::ES256,
        SigningAlgorithm::EdDsa => Algorithm::EdDSA,
        SigningAlgorithm::Rs256 => Algorithm::RS256,
    }
}
