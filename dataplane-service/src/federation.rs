//! Use case of signing in at another OpenID provider: sending the browser there, and finding the person when it is back.
//!
//! ```text
//!   /login/{id} ─▶ metadata ─▶ state, nonce, PKCE kept ─▶ the provider ─▶ /login/{id}/callback
//!                                                                              │ state taken: once, this browser, this
//!   a session here ◀─ the person ◀─ ID token believed ◀─ code redeemed ◀───────┘ provider; `iss` compared
//! ```
//!
//! What is believed is `oauth_core::federation`'s to say. How the tenant authenticates there is in [`authentication`]; what
//! with, where it is a secret, in [`secrets`].

mod authentication;
pub mod secrets;

use std::sync::Arc;

use oauth_core::federation::{Expected, IdToken, Metadata, NotBelieved, Refused};
use oauth_core::form::Form;
use oauth_core::pkce::Challenge;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;
use uuid::Uuid;
use vocab::identity_provider::{IdentityProvider, People};
use vocab::{Secret, Timestamp};

use crate::caller::Verifier;
use crate::email::Email;
use crate::fetch::FetchError;
use crate::opaque;
use crate::signing::SignError;
use crate::store::federation::{self, Identity, Key, Known, NewLogin};
use crate::store::users::NewUser;
use crate::store::{DbError, TenantDb};
use crate::tenant::TenantContext;

/// Of a claim that a new person gets.
const CLAIM_BYTES: usize = 1000;

/// Why nobody is signed in. Nothing in it is secret.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the token endpoint answered with status {0}")]
    Status(u16),
    #[error("the provider does not take this tenant for its client: is what it knows it by, and its secret, still so?")]
    Client,
    #[error("the client secret cannot be opened")]
    Secret,
    #[error("the token endpoint's answer has no ID token")]
    NoIdToken,
    /// It is over, was another browser's, or is not of this provider.
    #[error("no such sign-in is under way")]
    Unknown,
    #[error("the person has no account here")]
    Nobody,
    #[error(transparent)]
    Database(#[from] DbError),
    #[error(transparent)]
    Signing(#[from] SignError),
}

/// A provider of the tenant, and what it takes to talk to it.
#[derive(Clone, Copy, Debug)]
pub struct Federation<'a> {
    pub tenant: &'a TenantContext,
    pub verifier: &'a Verifier,
    pub provider: &'a IdentityProvider,
    pub now: Timestamp,
}

/// Whether the session that the person may have there will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignIn {
    AnyWillDo,
    /// The client asked for a person who signs in now.
    Anew,
}

/// Where a sign-in begins, and so goes on.
pub struct Origin<'a> {
    /// The browser's binding cookie.
    pub browser: &'a str,
    pub interaction: Option<&'a str>,
    /// A query of ours that names a page.
    pub onward: String,
    pub sign_in: SignIn,
}

impl std::fmt::Debug for Origin<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origin").field("sign_in", &self.sign_in).finish_non_exhaustive()
    }
}

/// Who came, how they signed in there, and where to go on.
pub struct Arrived {
    pub user: Uuid,
    pub methods: Vec<String>,
    pub interaction: Option<String>,
    pub onward: String,
}

impl std::fmt::Debug for Arrived {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arrived").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What is kept meanwhile, sealed.
#[derive(Serialize, Deserialize)]
struct Kept {
    nonce: String,
    verifier: String,
    interaction: Option<String>,
    onward: String,
    /// In seconds: the person must sign in after it.
    anew_since: Option<i64>,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: Option<Secret<String>>,
}

impl Federation<'_> {
    /// The address to send the browser to.
    pub async fn begin(self, origin: Origin<'_>) -> Result<String, Failure> {
        let db = self.tenant.db()?;
        self.check_secret()?;
        let metadata = self.metadata().await?;
        let (nonce, verifier) = (opaque::fresh(), opaque::fresh());
        let challenge = Challenge::answered_by(verifier.expose()).expect("43 characters of base64url are a verifier");
        let anew = origin.sign_in == SignIn::Anew;
        let kept = Kept {
            nonce: nonce.expose().clone(),
            verifier: verifier.expose().clone(),
            interaction: origin.interaction.map(ToOwned::to_owned),
            onward: origin.onward,
            anew_since: anew.then(|| self.now.secs()),
        };
        let new = NewLogin {
            browser: origin.browser,
            provider: &self.provider.id,
            issuer: &self.provider.issuer,
            sealed: &db.seal(&serde_json::to_vec(&kept).expect("texts are JSON")),
            now: self.now,
        };
        let state = federation::begin(db, new).await?;
        let mut url = Url::parse(&metadata.authorization_endpoint).map_err(|_| Refused::Endpoint)?;
        let scope = std::iter::once("openid").chain(self.provider.scopes.iter().map(String::as_str));
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.provider.client_id)
            .append_pair("redirect_uri", &self.redirect_uri())
            .append_pair("scope", &scope.collect::<Vec<_>>().join(" "))
            .append_pair("state", state.expose())
            .append_pair("nonce", nonce.expose())
            .append_pair("code_challenge", challenge.as_str())
            .append_pair("code_challenge_method", "S256");
        if anew {
            url.query_pairs_mut().append_pair("prompt", "login").append_pair("max_age", "0");
        }
        Ok(url.into())
    }

    /// What the browser brought is used up whatever comes of it.
    pub async fn finish(self, browser: &str, answer: &Form<'_>) -> Result<Arrived, Failure> {
        let db = self.tenant.db()?;
        let state = answer.get("state").ok_or(Failure::Unknown)?;
        let key = Key { state, browser, provider: &self.provider.id };
        let login = federation::take(db, key, self.now).await?.ok_or(Failure::Unknown)?;
        // The settings may have become another's since.
        let same = login.issuer == self.provider.issuer;
        let kept = db.open(&login.sealed).ok().filter(|_| same).ok_or(Failure::Unknown)?;
        let kept: Kept = serde_json::from_slice(kept.expose()).map_err(|_| Failure::Unknown)?;
        let metadata = self.metadata().await?;
        let code = metadata.code(answer)?;
        let tokens = self.redeem(&metadata, code, &kept.verifier).await?;
        let expected = Expected {
            issuer: &self.provider.issuer,
            client_id: &self.provider.client_id,
            nonce: &kept.nonce,
            signed_in_since: kept.anew_since.map(Timestamp::from_secs),
            now: self.now,
        };
        let mut token = self.believed(&metadata, &tokens.id_token, expected).await?;
        let known = federation::find(db, self.identity(&token)).await?;
        let user = match known {
            Some(Known::Active(user)) => user,
            Some(Known::Disabled) => return Err(Failure::Nobody),
            None => {
                self.complete(&metadata, &mut token, tokens.access_token.as_ref()).await?;
                self.newcomer(db, &token).await?
            }
        };
        let methods = token.methods().into_iter().map(ToOwned::to_owned).collect();
        Ok(Arrived { user, methods, interaction: kept.interaction, onward: kept.onward })
    }

    async fn metadata(&self) -> Result<Arc<Metadata>, Failure> {
        let issuer = &self.provider.issuer;
        let metadata = self.verifier.providers.get(&self.verifier.fetcher, &Metadata::url(issuer)).await?;
        metadata.is_of(issuer)?;
        Ok(metadata)
    }

    /// Of this provider alone: what comes there can be no other's answer (RFC 9700 §4.4.2.2).
    fn redirect_uri(&self) -> String {
        format!("{}/login/{}/callback", self.tenant.issuer, self.provider.id)
    }

    async fn believed(&self, metadata: &Metadata, token: &str, expected: Expected<'_>) -> Result<IdToken, Failure> {
        let (published, fetcher) = (&self.verifier.published_keys, &self.verifier.fetcher);
        let held = published.get(fetcher, &metadata.jwks_uri).await?;
        let outcome = match IdToken::verify(token, &held, expected) {
            // It may have been published since.
            Err(NotBelieved::UnknownKey) => {
                IdToken::verify(token, &*published.renew(fetcher, &metadata.jwks_uri, &held).await?, expected)
            }
            outcome => outcome,
        };
        outcome.map_err(|why| match why {
            NotBelieved::UnknownKey => Refused::Signature.into(),
            NotBelieved::Refused(refused) => refused.into(),
        })
    }

    fn identity<'t>(&'t self, token: &'t IdToken) -> Identity<'t> {
        Identity { issuer: &self.provider.issuer, subject: &token.sub }
    }

    /// A provider that puts no address into its ID tokens tells it elsewhere (OIDC Core §5.4).
    async fn complete(
        &self,
        metadata: &Metadata,
        token: &mut IdToken,
        access_token: Option<&Secret<String>>,
    ) -> Result<(), Failure> {
        let (Some(url), Some(access_token)) = (&metadata.userinfo_endpoint, access_token) else { return Ok(()) };
        if token.claim("email").is_none() {
            token.add_userinfo(&self.verifier.fetcher.get_by(url, access_token).await?.body)?;
        }
        Ok(())
    }

    /// Known from now on, by an address that both sides have verified; else made, if anybody may come.
    async fn newcomer(&self, db: &TenantDb, token: &IdToken) -> Result<Uuid, Failure> {
        let identity = self.identity(token);
        let email = token
            .verified_email(self.provider.email_verified_claim())
            .and_then(|email| Email::parse(email).ok())
            .ok_or(Failure::Nobody)?;
        if let Some(user) = federation::link(db, identity, email.normalized(), self.now).await? {
            tracing::info!(tenant = %self.tenant.slug, %user, provider = self.provider.id, "a provider knows a user now");
            return Ok(user);
        }
        let made = match self.provider.people {
            People::Known => None,
            People::Anybody => {
                let claims = self.claims(token);
                let new = NewUser {
                    id: opaque::fresh_id(self.now),
                    email: &email,
                    email_verified: true,
                    password_hash: None,
                    claims: &claims,
                    now: self.now,
                };
                federation::create(db, identity, &new).await?
            }
        };
        if let Some(user) = made {
            tracing::info!(tenant = %self.tenant.slug, %user, provider = self.provider.id, "a provider sent a new user");
            return Ok(user);
        }
        // Another request of the same person may have been first.
        match federation::find(db, identity).await? {
            Some(Known::Active(user)) => Ok(user),
            _ => Err(Failure::Nobody),
        }
    }

    fn claims(&self, token: &IdToken) -> Map<String, Value> {
        let fits = |value: &&Value| match value {
            Value::String(text) => text.len() <= CLAIM_BYTES,
            value => value.is_boolean() || value.is_number(),
        };
        let taken = |(ours, theirs): (&String, &String)| {
            token.claim(theirs).filter(fits).map(|value| (ours.clone(), value.clone()))
        };
        self.provider.claims.iter().filter_map(taken).collect()
    }
}
