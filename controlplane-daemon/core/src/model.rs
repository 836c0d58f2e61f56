//! The resources. Each is stored, put into snapshots and shown to the watch exactly as it stands here.
//!
//! Fields are named in the log and in snapshots: renaming one is a format change. A new field needs a serde default.

mod cluster_settings;
mod node;
mod pod;
mod policy;
mod registration;
mod smtp;

pub use cluster_settings::{ClusterSettings, ClusterSettingsSpec};
pub use node::{NodeRecord, NodeSource, NodeSpec, Promotion};
pub use pod::{PodRecord, PodSighting, Presence};
pub use policy::{AuditRetention, FailMode, KeyRotation, Longest, RateLimit, Staleness};
pub use registration::{Registration, RegistrationToken, RegistrationTokenSpec};
use serde::{Deserialize, Serialize};
pub use smtp::{Smtp, SmtpAccount, SmtpSecurity};
pub use vocab::branding::Branding;
pub use vocab::client::{AuthMethod, ClientSpec, GrantType};
pub use vocab::oauth::OAuthSettings;
use vocab::{AdminId, ClientId, KeyId, Revision, ScopeName, Sealed, SecretDigest, SecretId, Slug, TenantId, Timestamp};
pub use vocab::{KeyFamily, SigningAlgorithm};

/// A customer: a name, a database, keys of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    pub id: TenantId,
    pub slug: Slug,
    pub spec: TenantSpec,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The revision of the last change of the tenant itself, not of what belongs to it.
    pub revision: Revision,
    #[serde(default, skip_serializing_if = "Longest::is_empty")]
    pub longest: Longest,
    /// In the order of their making. They have no part in the revision: a tenant does not change when clients register.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registration_tokens: Vec<RegistrationToken>,
    /// The manifest set that states this resource, if one does: only that set may change or prune it by `/apply`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
}

/// The part of a tenant that its operators write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantSpec {
    pub display_name: String,
    #[serde(default)]
    pub status: TenantStatus,
    #[serde(default)]
    pub settings: TenantSettings,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantStatus {
    #[default]
    Active,
    /// Every data-plane route of the tenant answers 403.
    Suspended,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantSettings {
    pub database: Option<Database>,
    pub issuer_mode: IssuerMode,
    /// Host names whose requests are this tenant's; the first is the issuer's when `issuer_mode` is `host`.
    pub hosts: Vec<String>,
    /// Whether people may create their own accounts on `/register`.
    pub registration_enabled: bool,
    pub lifetimes: Lifetimes,
    /// With what tokens are signed, unless a client asks for another algorithm.
    pub signing_algorithm: SigningAlgorithm,
    /// `None`: as the cluster's settings say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_rotation: Option<KeyRotation>,
    /// `None`: as the cluster's settings say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub staleness: Option<Staleness>,
    /// `None`: as many requests as the pods can answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// `None`: the pods' own, if they have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smtp: Option<Smtp>,
    #[serde(skip_serializing_if = "OAuthSettings::is_default")]
    pub oauth: OAuthSettings,
    #[serde(skip_serializing_if = "Branding::is_default")]
    pub branding: Branding,
}

impl TenantSettings {
    /// The sealed password of the mail server.
    pub fn smtp_password(&self) -> Option<&Sealed> {
        Some(&self.smtp.as_ref()?.account.as_ref()?.password)
    }

    /// The sealed client secrets at identity providers, by the providers' ids.
    pub fn provider_secrets(&self) -> impl Iterator<Item = (&str, &Sealed)> {
        let providers = self.oauth.identity_providers.iter();
        providers.filter_map(|provider| Some((provider.id.as_str(), provider.client_secret.as_ref()?)))
    }

    /// One of them.
    pub fn provider_secret(&self, id: &str) -> Option<&Sealed> {
        self.provider_secrets().find(|(provider, _)| *provider == id).map(|(_, secret)| secret)
    }
}

/// The tenant's Postgres.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// A libpq connection string or URL, sealed before it came here.
    pub dsn: Sealed,
    /// Connections one pod may open, 1 to 100.
    pub max_connections: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssuerMode {
    /// `{public URL of the data plane}/t/{slug}`
    #[default]
    Path,
    /// `https://{first of hosts}`
    Host,
}

/// How long things live, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lifetimes {
    pub access_token_secs: u32,
    pub id_token_secs: u32,
    /// A refresh token not used for this long is dead.
    pub refresh_token_idle_secs: u32,
    /// A family of refresh tokens is dead after this, however often it was used.
    pub refresh_token_absolute_secs: u32,
    pub session_idle_secs: u32,
    pub session_absolute_secs: u32,
    /// At most 60 (RFC 9700 §2.1.1 asks for short; the conformance suites for a minute).
    pub authorization_code_secs: u32,
    /// How long verifiers may keep the tenant's JWK Set: what pods send as `max-age`, and what a rotation waits for.
    #[serde(skip_serializing_if = "is_usual_jwks_cache")]
    pub jwks_cache_secs: u32,
}

impl Lifetimes {
    /// The longest life of a token that a key signs.
    pub fn longest_token_secs(&self) -> u32 {
        self.access_token_secs.max(self.id_token_secs)
    }
}

const USUAL_JWKS_CACHE_SECS: u32 = 300;

/// Left out of the bytes, as it was before it could be set.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
const fn is_usual_jwks_cache(secs: &u32) -> bool {
    *secs == USUAL_JWKS_CACHE_SECS
}

impl Default for Lifetimes {
    fn default() -> Self {
        const HOUR: u32 = 3600;
        const DAY: u32 = 24 * HOUR;
        Self {
            access_token_secs: 600,
            id_token_secs: 600,
            refresh_token_idle_secs: 14 * DAY,
            refresh_token_absolute_secs: 90 * DAY,
            session_idle_secs: 8 * HOUR,
            session_absolute_secs: 30 * DAY,
            authorization_code_secs: 60,
            jwks_cache_secs: USUAL_JWKS_CACHE_SECS,
        }
    }
}

/// An OAuth client of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    pub tenant_id: TenantId,
    pub client_id: ClientId,
    pub spec: ClientSpec,
    /// Two at most, so that a secret can be rotated without an outage. Empty for public clients.
    pub secrets: Vec<ClientSecret>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub revision: Revision,
    /// The manifest set that states this resource, if one does: only that set may change or prune it by `/apply`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
    /// Of a client that registered itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<Registration>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientSecret {
    pub id: SecretId,
    pub digest: SecretDigest,
    pub created_at: Timestamp,
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// The secret itself, of clients for which a digest is not enough ([`AuthMethod::needs_sealed_secret`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
}

/// A scope that a tenant defines beside the standard ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    pub tenant_id: TenantId,
    pub name: ScopeName,
    pub spec: ScopeSpec,
    pub revision: Revision,
    /// The manifest set that states this resource, if one does: only that set may change or prune it by `/apply`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScopeSpec {
    /// Shown on the consent page.
    pub description: String,
    /// User claims that the scope releases (OIDC Core §5.4).
    pub claims: Vec<String>,
}

/// Whose keys: one set per tenant, and one that belongs to no tenant (it signs administrators' tokens).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyOwner {
    Global,
    Tenant(TenantId),
}

/// A key that signs, or of the families for [encryption](KeyFamily::is_for_encryption) one that opens requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigningKey {
    pub owner: KeyOwner,
    pub kid: KeyId,
    #[serde(rename = "algorithm")]
    pub family: KeyFamily,
    pub status: KeyStatus,
    /// The public key as a JWK (RFC 7517), JSON text.
    pub public_jwk: String,
    /// The private key as PKCS#8 DER, sealed.
    pub private_key: Sealed,
    pub created_at: Timestamp,
    /// When the status last changed.
    pub status_since: Timestamp,
    pub revision: Revision,
}

/// `next → active → retiring → revoked`; a key never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyStatus {
    /// Published, so that verifiers learn it before it signs. For encryption: known to every pod before it is published.
    Next,
    /// Signs. One per owner and family; each owner has one at least. For encryption: published.
    Active,
    /// Still published, no longer signs. For encryption: no longer published, still opens what was encrypted to it.
    Retiring,
    /// Neither published nor accepted. Kept for the record.
    Revoked,
}

/// A credential of the admin API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    pub id: AdminId,
    pub spec: AdminSpec,
    /// Of the secret part of the credential `hja_<id>_<secret>`.
    pub digest: SecretDigest,
    pub created_at: Timestamp,
    /// To about a minute. It has no part in the revision: using a credential does not change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    pub revision: Revision,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminSpec {
    pub name: String,
    pub role: Role,
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

/// What an administrator may do; the table of route × role is the admin API's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Owner,
    Operator,
    /// Everything of one tenant, nothing beside it.
    TenantAdmin(Slug),
    Auditor,
}
