//! Authorization requests that a client pushes before it sends the browser (RFC 9126): checked as if they came by the
//! browser, kept for a moment, and then referred to by a name that nobody can guess.

use crate::client_auth::AuthenticatedClient;
use crate::confirmation::{Confirmation, Thumbprint};
use crate::error::OAuthError;
use crate::form::Form;

use super::request::AuthorizationRequest;
use super::validate::{Channel, Refusal, Site, validate};

/// What every name begins with (§2.2).
pub const URN: &str = "urn:ietf:params:oauth:request_uri:";

/// How long a client has to send the browser: §2.2 asks for a short time, between 5 and 600 seconds.
pub const LIFETIME_SECS: u32 = 90;

/// The name in a request by the browser, if it refers to a pushed one.
pub fn reference<'f>(form: &'f Form<'_>) -> Option<&'f str> {
    form.get("request_uri")?.strip_prefix(URN)
}

/// Checks what the client pushed, in parameters or in a request object that was opened. Nothing goes by redirect here:
/// the client itself is told (§2.3).
pub fn check(
    form: &Form<'_>,
    site: Site<'_>,
    proof: AuthenticatedClient<'_>,
) -> Result<AuthorizationRequest, OAuthError> {
    let client = proof.client();
    let find = |id: &str| (id == client.client_id.as_str()).then_some(client);
    let mut request = validate(form, site, Channel::Pushed, find).map_err(|refusal| match refusal {
        Refusal::Page(error) | Refusal::Redirect(_, error) => error,
    })?;
    request.dpop_jkt = bound(request.dpop_jkt, proof.confirmation())?;
    Ok(request)
}

/// RFC 9449 §10.1: a proof that comes with the pushed request binds the code like `dpop_jkt` does, and both must name
/// the same key.
fn bound(asked: Option<Thumbprint>, proven: Option<Confirmation>) -> Result<Option<Thumbprint>, OAuthError> {
    match (asked, proven) {
        (Some(asked), Some(Confirmation::Key(key))) if asked != key => {
            Err(OAuthError::invalid_dpop_proof("The proof is of another key than dpop_jkt."))
        }
        (_, Some(Confirmation::Key(key))) => Ok(Some(key)),
        (asked, _) => Ok(asked),
    }
}

/// The name is unknown, has ended, was used, or belongs to another client or browser; nobody is told which.
pub const UNKNOWN: OAuthError = OAuthError::invalid_request_uri(
    "The request_uri is unknown, was used before, has ended or was opened in another browser.",
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn key(byte: u8) -> Thumbprint {
        Thumbprint::from_bytes([byte; 32])
    }

    #[test]
    fn a_proof_binds_the_code_and_fits_what_was_asked() {
        let proven = Some(Confirmation::Key(key(1)));
        assert_eq!(bound(None, proven).unwrap(), Some(key(1)));
        assert_eq!(bound(Some(key(1)), proven).unwrap(), Some(key(1)));
        assert_eq!(bound(Some(key(2)), proven).unwrap_err().code(), Code::InvalidDpopProof);
        assert_eq!(bound(Some(key(2)), None).unwrap(), Some(key(2)));
        assert_eq!(bound(None, Some(Confirmation::Certificate(key(3)))).unwrap(), None);
    }

    #[test]
    fn only_names_of_ours_are_references() {
        let name = |query: &str| reference(&Form::parse(query.as_bytes()).unwrap()).map(str::to_owned);
        assert_eq!(name("request_uri=urn:ietf:params:oauth:request_uri:abc"), Some("abc".to_owned()));
        assert_eq!(name("request_uri=https://evil.example/x"), None);
        assert_eq!(name("client_id=web"), None);
    }
}
