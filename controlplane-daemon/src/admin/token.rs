//! Administrators' tokens: short-lived JWTs that the global active key signs, so that any node verifies them. What the
//! holder may do is looked up at each use and never stands in the token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use controlplane_core::model::KeyOwner;
use controlplane_core::{Actor, Admin, Role, SigningKey, State};
use jsonwebtoken::Validation;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vocab::{AdminId, KeyId, Keyring, SecretDigest, Timestamp};

use super::problem::Problem;
use crate::credential::TOKEN_LIFETIME;
use crate::jws;
use crate::oidc::{Identity, Oidc};

pub(super) const LIFETIME_SECS: i64 = TOKEN_LIFETIME.as_secs().cast_signed();
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
    sub: String,
    iat: i64,
    exp: i64,
    jti: Uuid,
    /// RFC 7800 §3.1. In none of ours: nobody here asks for the proof that such a token is good with.
    #[serde(default, skip_serializing)]
    cnf: Option<IgnoredAny>,
    #[serde(flatten)]
    proof: Proof,
}

/// What the holder proved to get the token.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Proof {
    /// A credential: which one, so that the token ends with it even when another takes over its id.
    Credential { cred: String },
    /// What an issuer said of him, in the words that the mapping of roles knows.
    Issuer { idp: String, idp_values: Vec<String> },
}

/// Whom a token is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Credential { id: AdminId, mark: String },
    Subject { issuer: String, identity: Identity },
}

impl Holder {
    pub(super) fn of(admin: &Admin) -> Self {
        Self::Credential { id: admin.id, mark: mark(&admin.digest) }
    }

    pub(super) fn actor(&self) -> Actor {
        match self {
            Self::Credential { id, .. } => Actor::Admin { id: *id },
            Self::Subject { issuer, identity } => {
                Actor::Subject { issuer: issuer.clone(), subject: identity.subject.clone() }
            }
        }
    }

    /// As it stands in tokens, logs and the audit.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Credential { id, .. } => id.to_string(),
            Self::Subject { identity, .. } => identity.subject.clone(),
        }
    }

    /// What the holder may do by now. `None`: nothing any more.
    pub(super) fn role(&self, state: &State, oidc: Option<&Oidc>, now: Timestamp) -> Option<Role> {
        match self {
            Self::Credential { id, mark } => {
                let admin = usable(state, *id, now).filter(|admin| *mark == self::mark(&admin.digest))?;
                Some(admin.spec.role.clone())
            }
            Self::Subject { issuer, identity } => {
                oidc.filter(|oidc| oidc.issuer() == issuer)?.role(&identity.values).cloned()
            }
        }
    }
}

/// Tells credentials apart without telling anything of them: it stands in tokens, which their holders can read.
fn mark(digest: &SecretDigest) -> String {
    let of_digest = SecretDigest::of(digest.as_bytes());
    URL_SAFE_NO_PAD.encode(of_digest.as_bytes().get(..12).unwrap_or_default())
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
    #[error("bound to a key, and shown without a proof")]
    Bound,
    #[error("expired")]
    Expired,
}

/// The administrator, unless the credential has expired.
pub(super) fn usable(state: &State, id: AdminId, now: Timestamp) -> Option<&Admin> {
    state.admin(id).map(AsRef::as_ref).filter(|admin| admin.spec.expires_at.is_none_or(|end| now < end))
}

pub(super) fn sign(key: &SigningKey, keyring: &Keyring, holder: &Holder, now: Timestamp) -> Result<String, Problem> {
    let proof = match holder {
        Holder::Credential { mark, .. } => Proof::Credential { cred: mark.clone() },
        Holder::Subject { issuer, identity } => {
            Proof::Issuer { idp: issuer.clone(), idp_values: identity.values.clone() }
        }
    };
    let claims = Claims {
        iss: ISSUER.to_owned(),
        aud: AUDIENCE.to_owned(),
        sub: holder.name(),
        iat: now.secs(),
        exp: now.secs().saturating_add(LIFETIME_SECS),
        jti: Uuid::from_u128(rand::random()),
        cnf: None,
        proof,
    };
    jws::sign(key, keyring, TYPE, &claims).map_err(Problem::internal)
}

/// A token whose signature is right. Whether it still counts is asked at each use.
#[derive(Clone, Debug)]
pub(super) struct Verified {
    pub(super) holder: Holder,
    kid: KeyId,
    issued_at_secs: i64,
    expires_at_secs: i64,
}

impl Verified {
    /// Whether its key is published and its time has come and not gone.
    pub(super) fn check(&self, state: &State, now: Timestamp) -> Result<(), TokenError> {
        if self.is_over(now) || self.issued_at_secs > now.secs().saturating_add(LEEWAY_SECS) {
            return Err(TokenError::Expired);
        }
        let published = state.published_keys(KeyOwner::Global).any(|key| key.kid == self.kid);
        if published { Ok(()) } else { Err(TokenError::UnknownKey) }
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
    let verifying_key = jws::verifying_key(key).ok_or(TokenError::UnknownKey)?;
    let mut rules = Validation::new(jws::algorithm(key.family).ok_or(TokenError::UnknownKey)?);
    rules.set_audience(&[AUDIENCE]);
    rules.set_issuer(&[ISSUER]);
    rules.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
    // Judged at each use, by our own clock.
    rules.validate_exp = false;
    let claims =
        jsonwebtoken::decode::<Claims>(token, &verifying_key, &rules).map_err(|_| TokenError::Signature)?.claims;
    if claims.cnf.is_some() {
        return Err(TokenError::Bound);
    }
    let holder = match claims.proof {
        Proof::Credential { cred } => {
            Holder::Credential { id: claims.sub.parse().map_err(|_| TokenError::Malformed)?, mark: cred }
        }
        Proof::Issuer { idp, idp_values } => {
            Holder::Subject { issuer: idp, identity: Identity { subject: claims.sub, values: idp_values } }
        }
    };
    Ok(Verified { holder, kid, issued_at_secs: claims.iat, expires_at_secs: claims.exp })
}
