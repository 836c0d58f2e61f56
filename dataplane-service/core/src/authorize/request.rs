//! An authorization request that passed every check, and what it is made of.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use vocab::ClientId;

use super::response::ReturnAddress;
use crate::authorization_details::AuthorizationDetails;
use crate::claims_request::ClaimsRequest;
use crate::confirmation::Thumbprint;
use crate::pkce::Challenge;
use crate::scope::{OPENID, ScopeSet};

/// A request that passed every check. Serialized while the user is busy signing in, and while it waits to be used
/// after it was pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationRequest {
    pub client_id: ClientId,
    /// As the request gave it, which the token request must repeat.
    pub redirect_uri: String,
    #[serde(default)]
    pub response_type: ResponseType,
    pub response_mode: ResponseMode,
    pub scope: ScopeSet,
    pub state: Option<String>,
    pub nonce: Option<String>,
    pub code_challenge: Option<Challenge>,
    /// The key that the code will be bound to (RFC 9449 §10).
    #[serde(default)]
    pub dpop_jkt: Option<Thumbprint>,
    pub prompt: BTreeSet<Prompt>,
    pub max_age_secs: Option<u32>,
    /// The classes of authentication that the client would like (OIDC Core §3.1.2.1), dearest first.
    #[serde(default)]
    pub acr_values: Vec<String>,
    pub login_hint: Option<String>,
    /// Unverified: the shell checks its signature and tells [`super::decide`] what came of it.
    pub id_token_hint: Option<String>,
    /// What the access token will be good for (RFC 8707); empty: the client's default.
    pub resources: Vec<String>,
    /// What is asked for beside the scope (RFC 9396).
    #[serde(default)]
    pub authorization_details: AuthorizationDetails,
    /// Single claims beside those of the scope; only such as the client may have.
    #[serde(default)]
    pub claims: ClaimsRequest,
    /// The scopes that cover `claims`: what a user is told, who is asked for them.
    #[serde(default)]
    pub claims_scope: ScopeSet,
}

impl AuthorizationRequest {
    /// A plain request for a code.
    pub fn new(client_id: ClientId, redirect_uri: String, scope: ScopeSet) -> Self {
        Self {
            client_id,
            redirect_uri,
            response_type: ResponseType::default(),
            response_mode: ResponseMode::default(),
            scope,
            state: None,
            nonce: None,
            code_challenge: None,
            dpop_jkt: None,
            prompt: BTreeSet::new(),
            max_age_secs: None,
            acr_values: Vec::new(),
            login_hint: None,
            id_token_hint: None,
            resources: Vec::new(),
            authorization_details: AuthorizationDetails::default(),
            claims: ClaimsRequest::default(),
            claims_scope: ScopeSet::default(),
        }
    }

    pub fn return_address(&self) -> ReturnAddress {
        ReturnAddress {
            redirect_uri: self.redirect_uri.clone(),
            response_mode: self.response_mode,
            state: self.state.clone(),
        }
    }

    /// Whether an ID token comes with the access token (OIDC Core §3.1.2.1).
    pub fn is_openid(&self) -> bool {
        self.scope.contains(OPENID)
    }

    /// What the user has to allow.
    pub fn scope_to_allow(&self) -> ScopeSet {
        self.scope.union(&self.claims_scope)
    }

    /// The classes of authentication asked for, and whether another is a failure (OIDC Core §5.5.1.1).
    pub fn acr_wanted(&self) -> (Vec<&str>, bool) {
        let voluntary = || (self.acr_values.iter().map(String::as_str).collect(), false);
        self.claims.acr().filter(|(values, _)| !values.is_empty()).unwrap_or_else(voluntary)
    }
}

/// What the client gets (OAuth 2.0 Multiple Response Types §3, §4): a code, or only to know that the user agreed. Never
/// a token in a URL (RFC 9700 §2.1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseType {
    #[default]
    Code,
    None,
}

impl ResponseType {
    pub const ALL: [Self; 2] = [Self::Code, Self::None];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::None => "none",
        }
    }
}

/// How the answer reaches the client (OAuth 2.0 Multiple Response Types §2.1, OAuth 2.0 Form Post Response Mode).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseMode {
    #[default]
    Query,
    Fragment,
    FormPost,
}

impl ResponseMode {
    pub const ALL: [Self; 3] = [Self::Query, Self::Fragment, Self::FormPost];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Fragment => "fragment",
            Self::FormPost => "form_post",
        }
    }
}

/// What the client wants the user to be asked (OIDC Core §3.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    None,
    Login,
    Consent,
    SelectAccount,
}

impl Prompt {
    pub const ALL: [Self; 4] = [Self::None, Self::Login, Self::Consent, Self::SelectAccount];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Login => "login",
            Self::Consent => "consent",
            Self::SelectAccount => "select_account",
        }
    }
}
