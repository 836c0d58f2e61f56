//! Who asks: the credential, or the sign-in at an issuer, for one of the server's tokens. They live for some minutes.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use vocab::{Clock as _, Secret, SystemClock};

use super::{Api, MAX_PAUSE, REQUEST_TIMEOUT, http_client, parse_server, unreachable};
use crate::args::Connection;
use crate::failure::Failure;
use crate::output::{Output, note};
use crate::profile::{Profiles, Proof, Target};

/// Between two tries to reach a server that was there before.
const AGAIN: Duration = Duration::from_secs(1);
/// A change is on its way for so long at most, being sent twice.
const ONE_CHANGE: Duration = REQUEST_TIMEOUT.saturating_mul(2).saturating_add(MAX_PAUSE);

/// The API for a command of many requests, which may take longer than a token lives.
#[derive(Debug)]
pub(crate) struct Lasting<'a> {
    connection: &'a Connection,
    api: Api,
}

impl<'a> Lasting<'a> {
    pub(crate) async fn connect(connection: &'a Connection) -> Result<Self, Failure> {
        Ok(Self { connection, api: Api::connect(connection).await? })
    }

    /// With a token for the next request; not for all that come after it.
    pub(crate) async fn api(&mut self) -> Result<&Api, Failure> {
        let left_secs = self.api.ends_at - SystemClock.now().secs();
        if left_secs <= ONE_CHANGE.as_secs().cast_signed() {
            let again = Api::connect(self.connection).await?;
            // The profile may have been written by another command meanwhile.
            if again.base != self.api.base {
                let (is, was) = (again.base, &self.api.base);
                return Err(Failure::Usage(format!("the profile is for {is} by now, no longer for {was}")));
            }
            self.api = again;
        }
        Ok(&self.api)
    }

    /// How long the fleet is waited for, if it is.
    pub(crate) fn fleet_timeout(&self) -> Option<String> {
        self.api.wait.iter().find(|(name, _)| name == "timeout").map(|(_, timeout)| timeout.clone())
    }

    pub(crate) const fn output(&self) -> Output {
        self.api.output
    }
}

impl Api {
    pub(crate) async fn connect(connection: &Connection) -> Result<Self, Failure> {
        let path = Profiles::path()?;
        let mut profiles = Profiles::load(&path)?;
        let mut target = profiles.target(connection)?;
        if let Proof::Session(session) = &target.proof
            && session.is_due(ONE_CHANGE)
        {
            target.proof = Proof::Session(Box::new(session.renew(&target.server, target.ca_file.as_deref()).await?));
            let name = profiles.name(connection.profile.as_deref()).to_owned();
            profiles.store(&path, Some(&name), &target)?;
        }
        let mut api = Self::login(&target).await?;
        if connection.wait.is_some() {
            let timeout = format!("{}s", connection.wait_timeout);
            api.wait = vec![("wait".to_owned(), "fleet".to_owned()), ("timeout".to_owned(), timeout)];
        }
        api.output = Output::new(connection.output);
        Ok(api)
    }

    /// For whoever listened already and goes on: waits for the server to be there again.
    pub(crate) async fn reconnect(connection: &Connection) -> Result<Self, Failure> {
        let mut is_told = false;
        loop {
            match Self::connect(connection).await {
                Err(why @ Failure::Unreachable { .. }) => {
                    if !is_told {
                        note(format_args!("hellojohn: {why}; trying again"));
                        is_told = true;
                    }
                    tokio::time::sleep(AGAIN).await;
                }
                connected => return connected,
            }
        }
    }

    /// Exchanges the credential for a short-lived token.
    pub(crate) async fn login(target: &Target) -> Result<Self, Failure> {
        let base = parse_server(&target.server)?;
        let mut api = Self {
            http: http_client(target.ca_file.as_deref())?,
            base,
            token: Secret::new(String::new()),
            ends_at: 0,
            wait: Vec::new(),
            output: Output::default(),
        };
        let credential = match &target.proof {
            Proof::Credential(credential) => credential,
            Proof::Session(session) => {
                let token = session.token().context("the token ended a moment ago: try again")?;
                (api.token, api.ends_at) = (Secret::new(token.to_owned()), session.ends_at());
                return Ok(api);
            }
        };
        let asked_at = SystemClock.now().secs();
        let url = api.url(&["auth", "token"], &[]);
        let request = || api.http.post(url.clone()).json(&json!({ "credential": credential.expose() }));
        let response = match request().send().await {
            Err(error) if error.is_connect() => return Err(unreachable(&target.server, &error)),
            Err(_) => request().send().await.map_err(|error| unreachable(&target.server, &error))?,
            Ok(response) => response,
        };
        let body = api.read_body(response).await?;
        match body.pointer("/access_token").and_then(Value::as_str) {
            Some(token) => api.token = Secret::new(token.to_owned()),
            None => return Err(anyhow::anyhow!("{url} answered without an access_token").into()),
        }
        // Where that is not said (RFC 6749 §5.1 has it optional), it is good for one request.
        api.ends_at = asked_at + body.get("expires_in").and_then(Value::as_i64).unwrap_or_default();
        Ok(api)
    }
}
