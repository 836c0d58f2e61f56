//! Refusals in the RFCs' own words: a code that programs read, a description for the developer who reads logs.

use std::borrow::Cow;
use std::fmt;

/// The registered error codes (IANA "OAuth Extensions Error" registry) that this server uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    // RFC 6749 §4.1.2.1 and §5.2
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    UnauthorizedClient,
    UnsupportedGrantType,
    UnsupportedResponseType,
    InvalidScope,
    AccessDenied,
    ServerError,
    TemporarilyUnavailable,
    /// RFC 8707 §2.
    InvalidTarget,
    // OIDC Core §3.1.2.6
    LoginRequired,
    ConsentRequired,
    InteractionRequired,
    RequestNotSupported,
    RequestUriNotSupported,
    RegistrationNotSupported,
    // RFC 8628 §3.5
    AuthorizationPending,
    SlowDown,
    ExpiredToken,
    // OIDC CIBA Core 1.0 §13
    UnknownUserId,
    InvalidBindingMessage,
    /// OIDC Core §3.1.2.6, RFC 9101 §7, RFC 9126 §2.3: a `request_uri` that leads to nothing good.
    InvalidRequestUri,
    /// RFC 9101 §7.
    InvalidRequestObject,
    /// OpenID Connect Core Error Code unmet_authentication_requirements §2.
    UnmetAuthenticationRequirements,
    // RFC 6750 §3.1
    InvalidToken,
    InsufficientScope,
    // RFC 9449 §5, §8. At protected endpoints their status is 401 (§7.1).
    InvalidDpopProof,
    UseDpopNonce,
    // RFC 7591 §3.2.2
    InvalidRedirectUri,
    InvalidClientMetadata,
    InvalidSoftwareStatement,
    UnapprovedSoftwareStatement,
    /// RFC 9470 §3.
    InsufficientUserAuthentication,
    /// RFC 9396 §5.
    InvalidAuthorizationDetails,
}

impl Code {
    pub const ALL: [Self; 35] = [
        Self::InvalidRequest,
        Self::InvalidClient,
        Self::InvalidGrant,
        Self::UnauthorizedClient,
        Self::UnsupportedGrantType,
        Self::UnsupportedResponseType,
        Self::InvalidScope,
        Self::AccessDenied,
        Self::ServerError,
        Self::TemporarilyUnavailable,
        Self::InvalidTarget,
        Self::LoginRequired,
        Self::ConsentRequired,
        Self::InteractionRequired,
        Self::RequestNotSupported,
        Self::RequestUriNotSupported,
        Self::RegistrationNotSupported,
        Self::AuthorizationPending,
        Self::SlowDown,
        Self::ExpiredToken,
        Self::UnknownUserId,
        Self::InvalidBindingMessage,
        Self::InvalidRequestUri,
        Self::InvalidRequestObject,
        Self::UnmetAuthenticationRequirements,
        Self::InvalidToken,
        Self::InsufficientScope,
        Self::InvalidDpopProof,
        Self::UseDpopNonce,
        Self::InvalidRedirectUri,
        Self::InvalidClientMetadata,
        Self::InvalidSoftwareStatement,
        Self::UnapprovedSoftwareStatement,
        Self::InsufficientUserAuthentication,
        Self::InvalidAuthorizationDetails,
    ];

    /// The one table: the `error` value, and the status of an answer that is not a redirect.
    const fn row(self) -> (&'static str, u16) {
        match self {
            Self::InvalidRequest => ("invalid_request", 400),
            // RFC 6749 §5.2: 401, and a challenge when the client used the Authorization header.
            Self::InvalidClient => ("invalid_client", 401),
            Self::InvalidGrant => ("invalid_grant", 400),
            Self::UnauthorizedClient => ("unauthorized_client", 400),
            Self::UnsupportedGrantType => ("unsupported_grant_type", 400),
            Self::UnsupportedResponseType => ("unsupported_response_type", 400),
            Self::InvalidScope => ("invalid_scope", 400),
            // At the token endpoint (RFC 8628 §3.5); elsewhere it goes by redirect.
            Self::AccessDenied => ("access_denied", 400),
            Self::ServerError => ("server_error", 500),
            Self::TemporarilyUnavailable => ("temporarily_unavailable", 503),
            Self::InvalidTarget => ("invalid_target", 400),
            Self::LoginRequired => ("login_required", 400),
            Self::ConsentRequired => ("consent_required", 400),
            Self::InteractionRequired => ("interaction_required", 400),
            Self::RequestNotSupported => ("request_not_supported", 400),
            Self::RequestUriNotSupported => ("request_uri_not_supported", 400),
            Self::RegistrationNotSupported => ("registration_not_supported", 400),
            Self::AuthorizationPending => ("authorization_pending", 400),
            Self::SlowDown => ("slow_down", 400),
            Self::ExpiredToken => ("expired_token", 400),
            Self::UnknownUserId => ("unknown_user_id", 400),
            Self::InvalidBindingMessage => ("invalid_binding_message", 400),
            Self::InvalidRequestUri => ("invalid_request_uri", 400),
            Self::InvalidRequestObject => ("invalid_request_object", 400),
            Self::UnmetAuthenticationRequirements => ("unmet_authentication_requirements", 400),
            Self::InvalidToken => ("invalid_token", 401),
            Self::InsufficientScope => ("insufficient_scope", 403),
            Self::InvalidDpopProof => ("invalid_dpop_proof", 400),
            Self::UseDpopNonce => ("use_dpop_nonce", 400),
            Self::InvalidRedirectUri => ("invalid_redirect_uri", 400),
            Self::InvalidClientMetadata => ("invalid_client_metadata", 400),
            Self::InvalidSoftwareStatement => ("invalid_software_statement", 400),
            Self::UnapprovedSoftwareStatement => ("unapproved_software_statement", 400),
            Self::InsufficientUserAuthentication => ("insufficient_user_authentication", 401),
            Self::InvalidAuthorizationDetails => ("invalid_authorization_details", 400),
        }
    }

    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    pub const fn status(self) -> u16 {
        self.row().1
    }
}

/// What a client is told. Carries nothing that the client did not send or may not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthError {
    code: Code,
    description: Cow<'static, str>,
}

impl OAuthError {
    pub const fn new(code: Code, description: &'static str) -> Self {
        Self { code, description: Cow::Borrowed(description) }
    }

    /// With a description that quotes the request. Characters that RFC 6749 §5.2 does not allow in
    /// `error_description` (controls, `"`, `\`, anything beyond ASCII) become `?`; the text is cut at 200 characters.
    pub fn quoting(code: Code, description: &str) -> Self {
        let allowed = |c: char| (c.is_ascii_graphic() || c == ' ') && c != '"' && c != '\\';
        let clean = description.chars().take(200).map(|c| if allowed(c) { c } else { '?' }).collect();
        Self { code, description: Cow::Owned(clean) }
    }

    pub const fn code(&self) -> Code {
        self.code
    }

    pub const fn status(&self) -> u16 {
        self.code.status()
    }

    pub fn description(&self) -> &str {
        &self.description
    }
}

/// One constructor per code, so that a refusal reads as one word.
macro_rules! constructors {
    ($($name:ident => $code:ident),* $(,)?) => {
        impl OAuthError {
            $(pub const fn $name(description: &'static str) -> Self {
                Self::new(Code::$code, description)
            })*
        }
    };
}

constructors! {
    invalid_request => InvalidRequest,
    invalid_client => InvalidClient,
    invalid_grant => InvalidGrant,
    unauthorized_client => UnauthorizedClient,
    unsupported_grant_type => UnsupportedGrantType,
    unsupported_response_type => UnsupportedResponseType,
    invalid_scope => InvalidScope,
    access_denied => AccessDenied,
    server_error => ServerError,
    temporarily_unavailable => TemporarilyUnavailable,
    invalid_target => InvalidTarget,
    login_required => LoginRequired,
    consent_required => ConsentRequired,
    interaction_required => InteractionRequired,
    invalid_token => InvalidToken,
    insufficient_scope => InsufficientScope,
    invalid_dpop_proof => InvalidDpopProof,
    use_dpop_nonce => UseDpopNonce,
    invalid_request_uri => InvalidRequestUri,
    invalid_request_object => InvalidRequestObject,
    unmet_authentication_requirements => UnmetAuthenticationRequirements,
    insufficient_user_authentication => InsufficientUserAuthentication,
    invalid_authorization_details => InvalidAuthorizationDetails,
}

impl fmt::Display for OAuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.description)
    }
}

impl std::error::Error for OAuthError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_is_listed_once() {
        let texts: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
    }

    #[test]
    fn quoted_descriptions_keep_to_the_grammar() {
        let error = OAuthError::quoting(Code::InvalidScope, "scope \"a\"\r\nSet-Cookie: ü\\");
        assert_eq!(error.description(), "scope ?a???Set-Cookie: ??");
        assert_eq!(OAuthError::quoting(Code::InvalidScope, &"x".repeat(500)).description().len(), 200);
    }
}
