//! What the two grants have in common whose client waits for a user who answers elsewhere: a device (RFC 8628 §3.4) and
//! a client of CIBA (OIDC CIBA Core 1.0 §10).

use vocab::Timestamp;

use super::{Grant, UNKNOWN, UserTokens, may_refresh, narrowed_resources};
use crate::authorization_details::AuthorizationDetails;
use crate::client_auth::AuthenticatedClient;
use crate::error::{Code, OAuthError};

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

/// Decides on the request as it was found; `None` is also that of another client (RFC 8628 §3.5, OIDC CIBA §11). The
/// shell then takes it and stores what follows in one statement.
pub(super) fn decide(
    now: Timestamp,
    issuer: &str,
    proof: AuthenticatedClient<'_>,
    (resources, details): (Vec<String>, Option<AuthorizationDetails>),
    found: Option<&Waiting>,
) -> Result<UserTokens, OAuthError> {
    let waiting = found.ok_or(UNKNOWN)?;
    if waiting.expires_at <= now {
        return Err(OAuthError::new(Code::ExpiredToken, "The user did not answer in time; begin again."));
    }
    let grant = match &waiting.answer {
        Answer::Pending if waiting.asked_too_soon => {
            return Err(OAuthError::new(Code::SlowDown, "Pause 5 seconds longer between two requests."));
        }
        Answer::Pending => {
            return Err(OAuthError::new(Code::AuthorizationPending, "The user has not answered yet."));
        }
        Answer::Denied => return Err(OAuthError::access_denied("The user said no.")),
        Answer::Approved(grant) => grant,
    };
    if grant.client_id != proof.client().client_id.as_str() || grant.is_revoked || !grant.user_is_active {
        return Err(UNKNOWN);
    }
    Ok(UserTokens {
        scope: grant.scope.clone(),
        resources: narrowed_resources(resources, grant, proof.client(), issuer)?,
        details: grant.details.narrowed(details, proof.client())?,
        with_refresh_token: may_refresh(proof.client(), &grant.scope),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, grant};
    use super::*;
    use crate::client::tests::client;
    use rstest::rstest;

    fn waiting(answer: Answer) -> Waiting {
        Waiting { answer, expires_at: NOW.plus_secs(60), asked_too_soon: false, traceparent: None }
    }

    fn run(found: Option<&Waiting>) -> Result<UserTokens, Code> {
        let client = client();
        let asked = (Vec::new(), None);
        decide(NOW, "https://id.example", AuthenticatedClient::proven(&client), asked, found)
            .map_err(|error| error.code())
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
