//! What the two grants have in common whose client waits for a user who answers elsewhere: a device (RFC 8628 §3.4) and
//! a client of CIBA (OIDC CIBA Core 1.0 §10).

use vocab::Timestamp;

use super::{Grant, Narrowing, UNKNOWN, UserTokens, may_refresh};
use crate::client::GrantType;
use crate::client_auth::AuthenticatedClient;
use crate::error::{self, OAuthError};
use crate::form::Form;

/// A request of that client as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub answer: Answer,
    pub expires_at: Timestamp,
    /// The client paused less than it must. From now on it must pause longer.
    pub asked_too_soon: bool,
    /// W3C `traceparent` of the client's request. No rule looks at it.
    pub traceparent: Option<String>,
}

/// What the user said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Pending,
    Denied,
    Approved(Box<Grant>),
}

/// The secret that a client asks with.
#[derive(Clone, Copy)]
pub enum Code<'a> {
    /// A `device_code` (RFC 8628 §3.4).
    Device(&'a str),
    /// An `auth_req_id` (OIDC CIBA §10.1).
    Ciba(&'a str),
}

impl std::fmt::Debug for Code<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Device(_) => "Code::Device(…)",
            Self::Ciba(_) => "Code::Ciba(…)",
        })
    }
}

impl<'a> Code<'a> {
    pub const fn secret(self) -> &'a str {
        match self {
            Self::Device(secret) | Self::Ciba(secret) => secret,
        }
    }

    pub const fn grant_type(self) -> GrantType {
        match self {
            Self::Device(_) => GrantType::DeviceCode,
            Self::Ciba(_) => GrantType::Ciba,
        }
    }
}

/// A client asks whether its user has answered, by itself or after a ping.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub code: Code<'a>,
    pub(super) narrowing: Narrowing,
}

impl<'a> Request<'a> {
    pub(super) fn of_device(form: &'a Form<'_>) -> Result<Self, OAuthError> {
        let code = form.get("device_code").ok_or(OAuthError::invalid_request("The device_code is missing."))?;
        Self::parse(Code::Device(code), form)
    }

    pub(super) fn of_ciba(form: &'a Form<'_>) -> Result<Self, OAuthError> {
        let code = form.get("auth_req_id").ok_or(OAuthError::invalid_request("The auth_req_id is missing."))?;
        Self::parse(Code::Ciba(code), form)
    }

    fn parse(code: Code<'a>, form: &Form<'_>) -> Result<Self, OAuthError> {
        Ok(Self { code, narrowing: Narrowing::read(form)? })
    }

    /// Decides on the request as it was found; `None` is also that of another client (RFC 8628 §3.5, OIDC CIBA §11). The
    /// shell then takes it and stores what follows in one statement.
    pub fn decide(
        self,
        now: Timestamp,
        issuer: &str,
        proof: AuthenticatedClient<'_>,
        found: Option<&Waiting>,
    ) -> Result<UserTokens, OAuthError> {
        let waiting = found.ok_or(UNKNOWN)?;
        if waiting.expires_at <= now {
            return Err(OAuthError::new(error::Code::ExpiredToken, "The user did not answer in time; begin again."));
        }
        match &waiting.answer {
            Answer::Pending if waiting.asked_too_soon => {
                Err(OAuthError::new(error::Code::SlowDown, "Pause 5 seconds longer between two requests."))
            }
            Answer::Pending => {
                Err(OAuthError::new(error::Code::AuthorizationPending, "The user has not answered yet."))
            }
            Answer::Denied => Err(OAuthError::access_denied("The user said no.")),
            Answer::Approved(grant) => self.allowed(issuer, proof, grant),
        }
    }

    /// What the user's yes is good for.
    pub fn allowed(
        self,
        issuer: &str,
        proof: AuthenticatedClient<'_>,
        grant: &Grant,
    ) -> Result<UserTokens, OAuthError> {
        if grant.client_id != proof.client().client_id.as_str() || grant.is_revoked || !grant.user_is_active {
            return Err(UNKNOWN);
        }
        let (resources, details) = self.narrowing.of(grant, proof.client(), issuer)?;
        let with_refresh_token = may_refresh(proof.client(), &grant.scope);
        Ok(UserTokens { scope: grant.scope.clone(), resources, details, with_refresh_token })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, grant};
    use super::*;
    use crate::client::tests::client;
    use crate::error::Code;
    use rstest::rstest;

    fn waiting(answer: Answer) -> Waiting {
        Waiting { answer, expires_at: NOW.plus_secs(60), asked_too_soon: false, traceparent: None }
    }

    fn run(found: Option<&Waiting>) -> Result<UserTokens, Code> {
        let client = client();
        let form = Form::parse(b"device_code=d").unwrap();
        let request = Request::of_device(&form).unwrap();
        let decided = request.decide(NOW, "https://id.example", AuthenticatedClient::proven(&client), found);
        decided.map_err(|error| error.code())
    }

    fn approved(change: impl FnOnce(&mut Grant)) -> Answer {
        let mut grant = grant();
        change(&mut grant);
        Answer::Approved(Box::new(grant))
    }

    #[rstest]
    #[case::unknown(None, Code::InvalidGrant)]
    #[case::pending(Some(waiting(Answer::Pending)), Code::AuthorizationPending)]
    #[case::too_fast(Some(Waiting { asked_too_soon: true, ..waiting(Answer::Pending) }), Code::SlowDown)]
    #[case::denied(Some(waiting(Answer::Denied)), Code::AccessDenied)]
    #[case::denied_and_too_fast(Some(Waiting { asked_too_soon: true, ..waiting(Answer::Denied) }), Code::AccessDenied)]
    #[case::expired(Some(Waiting { expires_at: NOW, ..waiting(Answer::Pending) }), Code::ExpiredToken)]
    #[case::approved_too_late(Some(Waiting { expires_at: NOW, ..waiting(approved(|_| {})) }), Code::ExpiredToken)]
    #[case::revoked(Some(waiting(approved(|grant| grant.is_revoked = true))), Code::InvalidGrant)]
    #[case::disabled(Some(waiting(approved(|grant| grant.user_is_active = false))), Code::InvalidGrant)]
    #[case::of_another(Some(waiting(approved(|grant| grant.client_id = "other".into()))), Code::InvalidGrant)]
    fn refused(#[case] found: Option<Waiting>, #[case] code: Code) {
        assert_eq!(run(found.as_ref()).unwrap_err(), code);
    }

    #[test]
    fn what_the_user_allowed_is_issued() {
        let tokens = run(Some(&Waiting { asked_too_soon: true, ..waiting(approved(|_| {})) })).unwrap();
        assert_eq!((tokens.scope, tokens.with_refresh_token), (grant().scope, true));
        assert_eq!(tokens.resources, ["https://api.example"]);
    }
}
