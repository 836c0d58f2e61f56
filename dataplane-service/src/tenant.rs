//! One tenant as requests see it: immutable, rebuilt whenever something of the tenant changes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use imbl::HashMap;
use vocab::branding::Branding;
use vocab::oauth::OAuthSettings;
use vocab::{ClientId, Revision, ScopeName, Slug, TenantId};

use crate::federation::secrets::ProviderSecrets;
use crate::issued::IssuedTokens;
use crate::mail::MailServer;
use crate::password::{Demands, MIN_CHARS};
use crate::rate_limit::Limiter;
use crate::signing::KeySet;
use crate::staleness;
use crate::store::{DbError, TenantDb};
use oauth_core::authorization_details::DetailTypes;
use oauth_core::client::{Client, GrantType};
use oauth_core::grant::jwt_bearer::TrustedIssuer;
use oauth_core::subject;
use uuid::Uuid;

pub struct TenantContext {
    pub id: TenantId,
    pub slug: Slug,
    pub display_name: String,
    pub status: TenantStatus,
    /// The issuer identifier (RFC 8414 §2): a URL without a trailing slash.
    pub issuer: String,
    /// Host names that are this tenant's own, in lower case.
    pub hosts: Vec<String>,
    pub lifetimes: Lifetimes,
    pub registration_enabled: bool,
    /// `None`: the directory's.
    pub staleness: Option<staleness::Policy>,
    /// `None`: as many requests as the pod can answer.
    pub limiter: Option<Arc<Limiter>>,
    pub mail: MailServer,
    pub provider_secrets: ProviderSecrets,
    pub oauth: OAuthSettings,
    /// How pages and mail look.
    pub branding: Arc<Branding>,
    /// Those of the settings, their keys parsed.
    pub trusted_jwt_issuers: Arc<[TrustedIssuer]>,
    /// Those of the settings, their schemas compiled.
    pub details_types: Arc<DetailTypes>,
    pub clients: HashMap<ClientId, Arc<Client>>,
    /// Scopes beside the standard ones.
    pub scopes: BTreeMap<ScopeName, Scope>,
    pub keys: KeySet,
    /// The newest revision of the tenant and of all that belongs to it.
    pub revision: Revision,
    pub(crate) base_path: String,
    pub(crate) database: Option<TenantDb>,
    pub(crate) issued: IssuedTokens,
}

impl TenantContext {
    /// The path below which the tenant's routes stand in its own URLs: `/t/acme`, or nothing on a host of its own.
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// The tenant's database. There is no other it could fall back to.
    pub fn db(&self) -> Result<&TenantDb, DbError> {
        self.database.as_ref().ok_or(DbError::NoDatabase)
    }

    /// The clients that want to be told by the back channel when a session ends.
    pub fn told_of_logout(&self) -> Vec<&str> {
        let wants = |client: &&Arc<Client>| client.spec.backchannel_logout_uri.is_some();
        self.clients.values().filter(wants).map(|client| client.client_id.as_str()).collect()
    }

    /// Whether any client, or a user for one, is ever sent a message.
    pub fn has_listeners(&self) -> bool {
        self.clients.values().any(|client| {
            client.spec.backchannel_logout_uri.is_some()
                || client.spec.backchannel_client_notification_endpoint.is_some()
                || client.may_use(GrantType::Ciba)
        })
    }

    /// What `client` knows a user by. The tenant's database must have been asked for something before.
    pub fn subject(&self, client: &Client, user: Uuid) -> Result<String, DbError> {
        match subject::sector(&client.spec) {
            None => Ok(user.to_string()),
            Some(sector) => Ok(subject::pairwise(&sector, user, self.db()?.pairwise_salt()?)),
        }
    }

    /// What a password must be that is chosen here. `person`: names and addresses of whom it is for.
    pub fn password_demands<'a>(&'a self, person: &[&'a str]) -> Demands<'a> {
        let tenant = [self.display_name.as_str(), self.slug.as_str()];
        Demands { min_chars: self.password_min_length(), known: [&tenant, person].concat() }
    }

    pub fn password_min_length(&self) -> u32 {
        self.oauth.password_min_length.unwrap_or(MIN_CHARS)
    }

    pub fn client(&self, client_id: &str) -> Option<&Arc<Client>> {
        self.clients.get(client_id)
    }
}

impl fmt::Debug for TenantContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantContext")
            .field("slug", &self.slug)
            .field("status", &self.status)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantStatus {
    Active,
    Suspended,
}

/// A scope that the tenant defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub name: ScopeName,
    /// Shown on the consent page.
    pub description: String,
    /// User claims that the scope releases (OIDC Core §5.4).
    pub claims: Vec<String>,
}

/// How long things live, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    pub access_token_secs: u32,
    pub id_token_secs: u32,
    pub refresh_token_idle_secs: u32,
    pub refresh_token_absolute_secs: u32,
    pub session_idle_secs: u32,
    pub session_absolute_secs: u32,
    pub authorization_code_secs: u32,
    /// How long verifiers may keep the JWK Set.
    pub jwks_cache_secs: u32,
}
