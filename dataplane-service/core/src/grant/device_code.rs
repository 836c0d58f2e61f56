//! A device asks whether its user has answered (RFC 8628 §3.4).

use vocab::Timestamp;

use super::UserTokens;
use super::waiting::{self, Waiting};
use crate::authorization_details::AuthorizationDetails;
use crate::client_auth::AuthenticatedClient;
use crate::error::OAuthError;
use crate::form::Form;

#[derive(Debug)]
pub struct Request<'a> {
    pub device_code: &'a str,
    resources: Vec<String>,
    details: Option<AuthorizationDetails>,
}

impl<'a> Request<'a> {
    pub(super) fn parse(form: &'a Form<'_>) -> Result<Self, OAuthError> {
        Ok(Self {
            device_code: form.get("device_code").ok_or(OAuthError::invalid_request("The device_code is missing."))?,
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
