//! The token endpoint's grants (RFC 6749 §4): each decides, from facts, what is issued or why nothing is.
//!
//! A grant is added by: a [`GrantType`], a file here with its `decide`, an arm in [`Request::parse`] and in the shell's
//! `exchange.rs`, and a row in the tests of both.

pub mod authorization_code;
pub mod client_credentials;
pub mod jwt_bearer;
pub mod outright;
pub mod refresh_token;
pub mod token_exchange;
pub mod waiting;

use uuid::Uuid;
use vocab::Timestamp;

use crate::authorization_details::AuthorizationDetails;
use crate::claims_request::ClaimsRequest;
use crate::client::{Client, GrantType};
use crate::confirmation::{Confirmation, Thumbprint};
use crate::error::OAuthError;
use crate::form::Form;
use crate::pkce::Challenge;
use crate::resource::is_own;
use crate::scope::{OFFLINE_ACCESS, ScopeSet};

/// A token request whose parameters are all there.
#[derive(Debug)]
pub enum Request<'a> {
    AuthorizationCode(authorization_code::Request<'a>),
    RefreshToken(refresh_token::Request<'a>),
    ClientCredentials(client_credentials::Request<'a>),
    TokenExchange(token_exchange::Request<'a>),
    Waiting(waiting::Request<'a>),
    JwtBearer(jwt_bearer::Request<'a>),
}

impl<'a> Request<'a> {
    /// Reads the form for a client that has authenticated (RFC 6749 §3.2, §5.2).
    pub fn parse(form: &'a Form<'_>, client: &Client) -> Result<Self, OAuthError> {
        let name = form.get("grant_type").ok_or(OAuthError::invalid_request("The grant_type is missing."))?;
        let grant =
            GrantType::parse(name).ok_or(OAuthError::unsupported_grant_type("This grant_type does not exist here."))?;
        if !client.may_use(grant) {
            return Err(OAuthError::unauthorized_client("The client is not registered for this grant_type."));
        }
        Ok(match grant {
            GrantType::AuthorizationCode => Self::AuthorizationCode(authorization_code::Request::parse(form)?),
            GrantType::RefreshToken => Self::RefreshToken(refresh_token::Request::parse(form)?),
            GrantType::ClientCredentials => Self::ClientCredentials(client_credentials::Request::parse(form)?),
            GrantType::TokenExchange => Self::TokenExchange(token_exchange::Request::parse(form)?),
            GrantType::DeviceCode => Self::Waiting(waiting::Request::of_device(form)?),
            GrantType::Ciba => Self::Waiting(waiting::Request::of_ciba(form)?),
            GrantType::JwtBearer => Self::JwtBearer(jwt_bearer::Request::parse(form)?),
        })
    }

    pub const fn grant_type(&self) -> GrantType {
        match self {
            Self::AuthorizationCode(_) => GrantType::AuthorizationCode,
            Self::RefreshToken(_) => GrantType::RefreshToken,
            Self::ClientCredentials(_) => GrantType::ClientCredentials,
            Self::TokenExchange(_) => GrantType::TokenExchange,
            Self::Waiting(request) => request.code.grant_type(),
            Self::JwtBearer(_) => GrantType::JwtBearer,
        }
    }
}

/// What a user allowed a client: the family that a code, its refresh tokens and access tokens belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub id: Uuid,
    pub user_id: Uuid,
    pub client_id: String,
    pub sid: Option<Uuid>,
    pub scope: ScopeSet,
    /// Empty: the client's default.
    pub audience: Vec<String>,
    pub nonce: Option<String>,
    /// Single claims that were asked for beside the scope (OIDC Core §5.5).
    pub claims: ClaimsRequest,
    /// What was allowed in detail beside the scope (RFC 9396).
    pub details: AuthorizationDetails,
    pub auth_time: Timestamp,
    pub amr: Vec<String>,
    /// The absolute end of its refresh tokens.
    pub expires_at: Timestamp,
    pub is_revoked: bool,
    pub user_is_active: bool,
}

/// A code or a refresh token as it is stored, with its grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCode {
    pub grant: Grant,
    pub redirect_uri: String,
    pub code_challenge: Option<Challenge>,
    /// The key that the authorization request bound the code to (RFC 9449 §10).
    pub dpop_jkt: Option<Thumbprint>,
    pub expires_at: Timestamp,
    pub is_redeemed: bool,
    /// Where the trace of the sign-in goes on, if it is exported. Decides nothing.
    pub traceparent: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRefreshToken {
    pub grant: Grant,
    /// The idle end.
    pub expires_at: Timestamp,
    /// What a public client must prove to have to use it.
    pub confirmation: Option<Confirmation>,
    /// When it was replaced.
    pub rotated_at: Option<Timestamp>,
    /// Its successor, sealed, when that may be had again.
    pub successor: Option<String>,
}

/// What is to be issued in the name of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserTokens {
    /// Of the access token; may be narrower than the grant's.
    pub scope: ScopeSet,
    /// Of the access token, as asked for; empty: the client's default.
    pub resources: Vec<String>,
    /// Of the access token; may be less than the grant's.
    pub details: AuthorizationDetails,
    pub with_refresh_token: bool,
}

/// No tokens: what the client is told, and what has to happen in the store all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub error: OAuthError,
    pub effect: Effect,
}

/// What a refusal leaves behind. It must be on disk before the answer goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Nothing,
    /// The code was shown to the wrong party or with the wrong proof: it is used up.
    BurnCode,
    /// Somebody has a copy of the code or of the refresh token: every token of the grant dies
    /// (RFC 6749 §4.1.2, RFC 9700 §4.14.2).
    RevokeGrant(RevokedBecause),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokedBecause {
    CodeReused,
    RefreshTokenReused,
    /// By its client (RFC 7009).
    ClientAsked,
    /// By its user, on the account page.
    ConsentRevoked,
    /// Whoever knew the old password may have made it.
    PasswordChanged,
    UserDisabled,
}

impl RevokedBecause {
    /// As in the column `grants.revoked_reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CodeReused => "code_reused",
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::ClientAsked => "client_asked",
            Self::ConsentRevoked => "consent_revoked",
            Self::PasswordChanged => "password_changed",
            Self::UserDisabled => "user_disabled",
        }
    }
}

impl Refusal {
    const fn quietly(error: OAuthError) -> Self {
        Self { error, effect: Effect::Nothing }
    }
}

/// The answer to anything that is wrong with a code or refresh token; which of the reasons it was, nobody is told
/// that does not hold it.
const UNKNOWN: OAuthError = OAuthError::invalid_grant("It is unknown, expired, revoked or belongs to another client.");

/// A refresh token is issued to a client that registered the grant, when the user allowed `offline_access`
/// (OIDC Core §11).
fn may_refresh(client: &Client, scope: &ScopeSet) -> bool {
    client.may_use(GrantType::RefreshToken) && scope.contains(OFFLINE_ACCESS)
}

const NOT_GRANTED: OAuthError = OAuthError::invalid_target("The resource is not part of the grant.");

/// What a token request names of all that its grant allows.
#[derive(Clone, Debug)]
pub struct Narrowing {
    /// RFC 8707 §2.2; empty: all.
    resources: Vec<String>,
    /// RFC 9396 §6; left out: all.
    details: Option<AuthorizationDetails>,
}

impl Narrowing {
    fn read(form: &Form<'_>) -> Result<Self, OAuthError> {
        Ok(Self {
            resources: form.resources().into_iter().map(str::to_owned).collect(),
            details: AuthorizationDetails::read(form)?,
        })
    }

    /// All of the grant is left.
    const fn is_none(&self) -> bool {
        self.resources.is_empty() && self.details.is_none()
    }

    /// The resources and details that are left.
    fn of(
        self,
        grant: &Grant,
        client: &Client,
        issuer: &str,
    ) -> Result<(Vec<String>, AuthorizationDetails), OAuthError> {
        let resources = narrowed_resources(self.resources, grant, client, issuer)?;
        Ok((resources, grant.details.narrowed(self.details, client)?))
    }
}

/// RFC 8707 §2.2: a token request may narrow the resources of its grant, never widen them. When the authorization
/// request named none, any that the client is registered for will do.
fn narrowed_resources(
    asked: Vec<String>,
    grant: &Grant,
    client: &Client,
    issuer: &str,
) -> Result<Vec<String>, OAuthError> {
    let may_have = |resource: &String| is_own(resource, issuer) || client.spec.audiences.contains(resource);
    if asked.is_empty() {
        // What the client has lost the right to ask for since is no longer issued.
        let left: Vec<_> = grant.audience.iter().filter(|resource| may_have(resource)).cloned().collect();
        return if left.is_empty() && !grant.audience.is_empty() { Err(NOT_GRANTED) } else { Ok(left) };
    }
    let granted = |resource: &String| grant.audience.is_empty() || grant.audience.contains(resource);
    if asked.iter().all(|resource| granted(resource) && may_have(resource)) { Ok(asked) } else { Err(NOT_GRANTED) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::client::tests::{client, client_with};
    use crate::error::Code;
    use rstest::rstest;

    pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_000_000);

    pub(crate) fn grant() -> Grant {
        Grant {
            id: Uuid::from_u128(1),
            user_id: Uuid::from_u128(2),
            client_id: "web".into(),
            sid: Some(Uuid::from_u128(3)),
            scope: ScopeSet::parse("openid email offline_access").unwrap(),
            audience: vec!["https://api.example".into()],
            nonce: Some("n".into()),
            claims: ClaimsRequest::default(),
            details: AuthorizationDetails::default(),
            auth_time: NOW.plus_secs(-10),
            amr: vec!["pwd".into()],
            expires_at: NOW.plus_secs(1000),
            is_revoked: false,
            user_is_active: true,
        }
    }

    #[rstest]
    #[case("", Code::InvalidRequest)]
    #[case("grant_type=password&username=a&password=b", Code::UnsupportedGrantType)]
    #[case("grant_type=implicit", Code::UnsupportedGrantType)]
    #[case("grant_type=urn:x", Code::UnsupportedGrantType)]
    #[case("grant_type=authorization_code", Code::InvalidRequest)]
    #[case("grant_type=refresh_token", Code::InvalidRequest)]
    #[case("grant_type=urn:ietf:params:oauth:grant-type:device_code", Code::InvalidRequest)]
    #[case("grant_type=urn:openid:params:grant-type:ciba", Code::InvalidRequest)]
    #[case("grant_type=refresh_token&refresh_token=x&scope=%22", Code::InvalidScope)]
    fn refused(#[case] body: &str, #[case] code: Code) {
        let form = Form::parse(body.as_bytes()).unwrap();
        assert_eq!(Request::parse(&form, &client()).unwrap_err().code(), code);
    }

    #[test]
    fn only_registered_grants() {
        let form = Form::parse(b"grant_type=client_credentials").unwrap();
        assert_eq!(Request::parse(&form, &client()).unwrap().grant_type(), GrantType::ClientCredentials);
        let web_only = client_with(|spec| spec.grant_types = vec![GrantType::AuthorizationCode]);
        assert_eq!(Request::parse(&form, &web_only).unwrap_err().code(), Code::UnauthorizedClient);
    }
}
