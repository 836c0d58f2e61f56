//! Token requests in their usual form, which are granted outright: what has to be stored for that, put so plainly that a
//! database checks it in the statement that uses the code, refresh token or user's answer up.
//!
//! What does not meet the terms is not refused: it is found, and decided by `decide`, in full. So terms may ask for more
//! than the rules do, never for less; a test over all combinations holds them side by side. Each `are_met_by` says what the
//! statement of the shell does, and the tests of that hold the two side by side.

use vocab::Timestamp;

use super::waiting::{self, Answer, Waiting};
use super::{Grant, StoredCode, StoredRefreshToken, authorization_code, refresh_token};
use crate::client_auth::AuthenticatedClient;
use crate::confirmation::{Confirmation, Thumbprint};
use crate::pkce::Challenge;
use crate::resource::own;

/// What a grant has to be, whatever stands for it: alive, this client's, and without anything that takes more than columns
/// to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms<'a> {
    pub client_id: &'a str,
    /// What the request proves to have.
    pub confirmation: Option<Confirmation>,
    /// What the client may have tokens for. A grant that names resources names one of these.
    pub resources: Vec<String>,
}

impl<'a> Terms<'a> {
    fn of(proof: AuthenticatedClient<'a>, issuer: &str) -> Self {
        let client = proof.client();
        Self {
            client_id: client.client_id.as_str(),
            confirmation: proof.confirmation(),
            resources: client.spec.audiences.iter().cloned().chain(own(issuer)).collect(),
        }
    }

    fn are_met_by_grant(&self, now: Timestamp, grant: &Grant) -> bool {
        grant.client_id == self.client_id
            && now < grant.expires_at
            && !grant.is_revoked
            && grant.user_is_active
            && grant.claims.is_empty()
            && grant.details.is_empty()
            && (grant.audience.is_empty() || grant.audience.iter().any(|resource| self.resources.contains(resource)))
    }

    /// A request whose user has answered.
    pub fn are_met_by_answer(&self, now: Timestamp, waiting: &Waiting) -> bool {
        let grant = match &waiting.answer {
            Answer::Approved(grant) => grant,
            Answer::Pending | Answer::Denied => return false,
        };
        now < waiting.expires_at && self.are_met_by_grant(now, grant)
    }

    pub fn are_met_by(&self, now: Timestamp, token: &StoredRefreshToken) -> bool {
        token.rotated_at.is_none()
            && now < token.expires_at
            && (token.confirmation.is_none() || token.confirmation == self.confirmation)
            && self.are_met_by_grant(now, &token.grant)
    }
}

/// What a code has to be besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeTerms<'a> {
    pub grant: Terms<'a>,
    pub redirect_uri: &'a str,
    /// The one that the verifier answers; `None`: the code was asked for without.
    pub challenge: Option<Challenge>,
}

impl CodeTerms<'_> {
    /// The key that the request proves to have, of those that a code can be bound to.
    pub const fn key(&self) -> Option<Thumbprint> {
        match self.grant.confirmation {
            Some(Confirmation::Key(key)) => Some(key),
            Some(Confirmation::Certificate(_)) | None => None,
        }
    }

    pub fn are_met_by(&self, now: Timestamp, code: &StoredCode) -> bool {
        !code.is_redeemed
            && now < code.expires_at
            && code.redirect_uri == self.redirect_uri
            && code.code_challenge == self.challenge
            && (code.dpop_jkt.is_none() || code.dpop_jkt == self.key())
            && self.grant.are_met_by_grant(now, &code.grant)
    }
}

impl<'a> refresh_token::Request<'a> {
    /// `None`: the request asks for something that must be looked at, or the token is not rotated.
    pub fn terms(
        &self,
        issuer: &str,
        proof: AuthenticatedClient<'a>,
        rotation: refresh_token::Rotation,
    ) -> Option<Terms<'a>> {
        let is_usual = self.scope.is_none() && self.narrowing.is_none();
        (is_usual && rotation != refresh_token::Rotation::Keep).then(|| Terms::of(proof, issuer))
    }
}

impl<'a> authorization_code::Request<'a> {
    /// `None`: the request asks for something that must be looked at, or lacks something.
    pub fn terms(&self, issuer: &str, proof: AuthenticatedClient<'a>) -> Option<CodeTerms<'a>> {
        if !self.narrowing.is_none() {
            return None;
        }
        let challenge = match self.code_verifier {
            Some(verifier) => Some(Challenge::answered_by(verifier)?),
            None => None,
        };
        Some(CodeTerms { grant: Terms::of(proof, issuer), redirect_uri: self.redirect_uri?, challenge })
    }
}

impl waiting::Request<'_> {
    /// `None`: the request asks for something that must be looked at.
    pub fn terms<'a>(&self, issuer: &str, proof: AuthenticatedClient<'a>) -> Option<Terms<'a>> {
        self.narrowing.is_none().then(|| Terms::of(proof, issuer))
    }
}

#[cfg(test)]
mod tests;
