//! A client of CIBA asks whether the user has answered, by itself or after a ping (OIDC CIBA Core 1.0 §10.1).

use vocab::Timestamp;

use super::UserTokens;
use super::waiting::{self, Waiting};
use crate::authorization_details::AuthorizationDetails;
use crate::client_auth::AuthenticatedClient;
use crate::error::OAuthError;
use crate::form::Form;

#[derive(Debug)]
pub struct Request<'a> {
    pub auth_req_id: &'a str,
    resources: Vec<String>,
    details: Option<AuthorizationDetails>,
}

impl<'a> Request<'a> {
    pub(super) fn parse(form: &'a Form<'_>) -> Result<Self, OAuthError> {
        Ok(Self {
            auth_req_id: form.get("auth_req_id").ok_or(OAuthError::invalid_request("The auth_req_id is missing."))?,
            resources: form.all("resource").map(str::to_owned).collect(),
            details: AuthorizationDetails::read(form)?,
        })
    }

    pub fn decide(
        self,
        now: Timestamp,
        issuer: &str,
        proof: AuthenticatedClient<'_>,
        found: Option<&Waiting>,
    ) -> Result<UserTokens, OAuthError> {
        waiting::decide(now, issuer, proof, (self.resources, self.details), found)
    }
}
