//! From the wire's messages to types that cannot be wrong. What does not decode is refused with a reason.

use std::fmt::Display;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use oauth_core::authorization_details::DetailTypes;
use oauth_core::client::{AuthMethod, Client, ClientSecret, ClientSpec, GrantType};
use oauth_core::grant::jwt_bearer::TrustedIssuer;
use oauth_core::jose::{ClientKeys, SecretKey};
use serde::de::DeserializeOwned;
use shared_proto::watch;
use vocab::branding::{Branding, fill};
use vocab::oauth::{OAuthSettings, TrustedJwtIssuer};
use vocab::{
    ClientId, KeyFamily, KeyId, Keyring, Revision, ScopeName, SealError, Sealed, SecretDigest, SigningAlgorithm, Slug,
    TenantId, Timestamp,
};

use crate::mail::{OwnServer, Security};
use crate::rate_limit::Rate;
use crate::signing::{KeyRecord, KeyStatus};
use crate::staleness::{FailMode, Policy};
use crate::tenant::{Lifetimes, Scope, TenantStatus};

/// What a control plane of a build that could not set it meant.
const USUAL_JWKS_CACHE_SECS: u32 = 300;

/// Which resource of all: what a later change or deletion names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKey {
    Tenant(TenantId),
    Client(TenantId, ClientId),
    Scope(TenantId, ScopeName),
    /// `None`: of the global set, which signs administrators' tokens and is of no use to a pod.
    SigningKey(Option<TenantId>, KeyId),
    ClusterSettings,
}

impl ResourceKey {
    pub fn tenant(&self) -> Option<TenantId> {
        match self {
            Self::Tenant(tenant) | Self::Client(tenant, _) | Self::Scope(tenant, _) => Some(*tenant),
            Self::SigningKey(tenant, _) => *tenant,
            Self::ClusterSettings => None,
        }
    }

    /// For people: `tenants/acme/clients/web`.
    pub fn path(&self, tenant: &dyn Display) -> String {
        match self {
            Self::Tenant(_) => format!("tenants/{tenant}"),
            Self::Client(_, client) => format!("tenants/{tenant}/clients/{client}"),
            Self::Scope(_, name) => format!("tenants/{tenant}/scopes/{name}"),
            Self::SigningKey(Some(_), kid) => format!("tenants/{tenant}/keys/{kid}"),
            Self::SigningKey(None, kid) => format!("keys/{kid}"),
            Self::ClusterSettings => "settings".to_owned(),
        }
    }

    pub fn of(resource: &watch::Resource) -> Result<Self, Malformed> {
        use watch::resource::Kind;
        Ok(match resource.kind.as_ref().ok_or_else(unknown_kind)? {
            Kind::Tenant(tenant) => Self::Tenant(id(&tenant.id)?),
            Kind::Client(client) => Self::Client(id(&client.tenant_id)?, id(&client.client_id)?),
            Kind::Scope(scope) => Self::Scope(id(&scope.tenant_id)?, id(&scope.name)?),
            Kind::SigningKey(key) => Self::SigningKey(key.tenant_id.as_deref().map(id).transpose()?, id(&key.kid)?),
            Kind::ClusterSettings(_) => Self::ClusterSettings,
        })
    }

    pub fn of_deleted(deleted: &watch::Deleted) -> Result<Self, Malformed> {
        use watch::deleted::Kind;
        Ok(match deleted.kind.as_ref().ok_or_else(unknown_kind)? {
            Kind::Tenant(tenant) => Self::Tenant(id(&tenant.tenant_id)?),
            Kind::Client(client) => Self::Client(id(&client.tenant_id)?, id(&client.client_id)?),
            Kind::Scope(scope) => Self::Scope(id(&scope.tenant_id)?, id(&scope.name)?),
            Kind::SigningKey(key) => Self::SigningKey(key.tenant_id.as_deref().map(id).transpose()?, id(&key.kid)?),
        })
    }
}

/// Why a message is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

fn unknown_kind() -> Malformed {
    Malformed("a resource of a kind that this build does not know".to_owned())
}

fn id<T: FromStr<Err: Display>>(text: &str) -> Result<T, Malformed> {
    text.parse().map_err(|error: T::Err| Malformed(error.to_string()))
}

fn ids<T: FromStr<Err: Display>>(texts: &[String]) -> Result<Vec<T>, Malformed> {
    texts.iter().map(|text| id(text)).collect()
}

/// A tenant without what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRecord {
    pub id: TenantId,
    pub slug: Slug,
    pub display_name: String,
    pub status: TenantStatus,
    pub issuer: IssuerMode,
    pub hosts: Vec<String>,
    pub database: Option<Database>,
    pub registration_enabled: bool,
    pub lifetimes: Lifetimes,
    pub staleness: Option<Policy>,
    pub rate_limit: Option<Rate>,
    pub smtp: Option<OwnServer>,
    pub oauth: OAuthSettings,
    pub branding: Arc<Branding>,
    pub trusted_jwt_issuers: Arc<[TrustedIssuer]>,
    pub details_types: Arc<DetailTypes>,
    /// `None`: a node of the release before, whose tenants have one active key.
    pub signing_algorithm: Option<SigningAlgorithm>,
    pub revision: Revision,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerMode {
    Path,
    /// `https://{host}`
    Host(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    pub dsn: Sealed,
    pub max_connections: usize,
}

pub fn tenant(wire: watch::Tenant) -> Result<TenantRecord, Malformed> {
    let status = match wire.status() {
        watch::TenantStatus::Active => TenantStatus::Active,
        watch::TenantStatus::Suspended => TenantStatus::Suspended,
        watch::TenantStatus::Unspecified => return Err(Malformed("an unknown status".to_owned())),
    };
    let hosts: Vec<_> = wire.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
    let issuer = match (wire.issuer_mode(), hosts.first()) {
        (watch::IssuerMode::Path, _) => IssuerMode::Path,
        (watch::IssuerMode::Host, Some(host)) => IssuerMode::Host(host.clone()),
        (watch::IssuerMode::Host, None) => return Err(Malformed("its issuer is a host, but it has none".to_owned())),
        (watch::IssuerMode::Unspecified, _) => return Err(Malformed("an unknown issuer mode".to_owned())),
    };
    let database = wire.database.map(|database| {
        let dsn = id(&database.sealed_dsn)?;
        Ok(Database { dsn, max_connections: usize::try_from(database.max_connections).unwrap_or(usize::MAX).max(1) })
    });
    let oauth = if wire.oauth_json.is_empty() { OAuthSettings::default() } else { json(&wire.oauth_json)? };
    let branding = branding(&wire.branding_json)?;
    let lifetimes = wire.lifetimes.ok_or_else(|| Malformed("it has no lifetimes".to_owned()))?;
    Ok(TenantRecord {
        id: id(&wire.id)?,
        slug: id(&wire.slug)?,
        display_name: wire.display_name,
        status,
        issuer,
        hosts,
        database: database.transpose()?,
        registration_enabled: wire.registration_enabled,
        lifetimes: Lifetimes {
            access_token_secs: lifetimes.access_token_secs,
            id_token_secs: lifetimes.id_token_secs,
            refresh_token_idle_secs: lifetimes.refresh_token_idle_secs,
            refresh_token_absolute_secs: lifetimes.refresh_token_absolute_secs,
            session_idle_secs: lifetimes.session_idle_secs,
            session_absolute_secs: lifetimes.session_absolute_secs,
            authorization_code_secs: lifetimes.authorization_code_secs,
            jwks_cache_secs: match lifetimes.jwks_cache_secs {
                0 => USUAL_JWKS_CACHE_SECS,
                secs => secs,
            },
        },
        staleness: wire.staleness.map(|wire| staleness(&wire)).transpose()?,
        rate_limit: wire.rate_limit.map(rate).transpose()?,
        smtp: wire.smtp.map(mail_server).transpose()?,
        signing_algorithm: match wire.signing_algorithm.as_str() {
            "" => None,
            name => Some(algorithm(name)?),
        },
        trusted_jwt_issuers: trusted_jwt_issuers(&oauth)?,
        details_types: Arc::new(DetailTypes::compile(&oauth.authorization_details_types).map_err(Malformed)?),
        oauth,
        branding: Arc::new(branding),
        revision: Revision(wire.revision),
    })
}

/// What a mail cannot be filled with is known now, not when somebody waits for it.
fn branding(wire: &[u8]) -> Result<Branding, Malformed> {
    let branding: Branding = if wire.is_empty() { Branding::default() } else { json(wire)? };
    for (kind, template) in &branding.mails {
        let known = |name: &str| kind.placeholders().contains(&name).then(String::new);
        for words in [Some(&template.subject), Some(&template.text), template.html.as_ref()].into_iter().flatten() {
            fill(words, known).map_err(|why| Malformed(format!("its mail {}: {why}", kind.as_str())))?;
        }
    }
    Ok(branding)
}

fn mail_server(wire: watch::Smtp) -> Result<OwnServer, Malformed> {
    let malformed = |what: &str| Malformed(format!("its mail server: {what}"));
    Ok(OwnServer {
        host: wire.host,
        port: Some(u16::try_from(wire.port).map_err(|_| malformed("no such port"))?).filter(|port| *port > 0),
        security: Security::parse(&wire.security).map_err(|_| malformed("an unknown security"))?,
        from: wire.from.parse().map_err(|_| malformed("mail cannot be from that address"))?,
        account: if wire.username.is_empty() { None } else { Some((wire.username, id(&wire.sealed_password)?)) },
    })
}

fn rate(wire: watch::RateLimit) -> Result<Rate, Malformed> {
    let none = || Malformed("its rate limit lets nothing through".to_owned());
    let number = |of: u32| NonZeroU32::new(of).ok_or_else(none);
    Ok(Rate { per_second: number(wire.requests_per_second)?, burst: number(wire.burst)? })
}

fn trusted_jwt_issuers(oauth: &OAuthSettings) -> Result<Arc<[TrustedIssuer]>, Malformed> {
    let parse = |spec: &TrustedJwtIssuer| {
        let by_value = Some(&spec.jwks).filter(|jwks| !jwks.is_empty());
        let keys = by_value
            .map(ClientKeys::registered)
            .transpose()
            .map(Option::unwrap_or_default)
            .map_err(|why| Malformed(format!("{}: {why}", spec.issuer)))?;
        Ok(TrustedIssuer { spec: spec.clone(), keys })
    };
    oauth.trusted_jwt_issuers.iter().map(parse).collect()
}

/// The policy of tenants that have none of their own.
pub fn cluster_settings(wire: &watch::ClusterSettings) -> Result<Policy, Malformed> {
    staleness(wire.staleness.as_ref().ok_or_else(|| Malformed("it has no staleness".to_owned()))?)
}

fn staleness(wire: &watch::Staleness) -> Result<Policy, Malformed> {
    let fail_mode = match wire.fail_mode() {
        watch::FailMode::Serve => FailMode::Serve,
        watch::FailMode::NotReady => FailMode::NotReady,
        watch::FailMode::Refuse => FailMode::Refuse,
        watch::FailMode::Unspecified => return Err(Malformed("an unknown fail mode".to_owned())),
    };
    Ok(Policy {
        warn_after: Duration::from_secs(wire.warn_after_secs.into()),
        refuse_after: Duration::from_secs(wire.refuse_after_secs.into()),
        fail_mode,
    })
}

/// Why a client cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientFault {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("its secret is sealed: {0}")]
    Sealed(#[from] SealError),
}

pub fn client(mut wire: watch::Client, keyring: &Keyring) -> Result<Client, ClientFault> {
    let (client_id, revision) = (id(&wire.client_id)?, Revision(wire.revision));
    let kept = std::mem::take(&mut wire.secrets);
    let spec = client_spec(wire)?;
    let secret = |wire: &watch::ClientSecret| {
        let sealed = wire.sealed.as_deref().filter(|_| spec.token_endpoint_auth_method.needs_sealed_secret());
        secret(wire, sealed, keyring)
    };
    let secrets = kept.iter().map(secret).collect::<Result<_, _>>()?;
    Ok(Client {
        client_id,
        secrets,
        revision,
        keys: spec.jwks.as_ref().map(ClientKeys::registered).transpose().map_err(Malformed)?.unwrap_or_default(),
        spec,
    })
}

/// `sealed`: the secret itself, where it is needed.
fn secret(wire: &watch::ClientSecret, sealed: Option<&str>, keyring: &Keyring) -> Result<ClientSecret, ClientFault> {
    let digest: Result<[u8; 32], _> = wire.digest.as_ref().try_into();
    let digest = digest.map_err(|_| Malformed("a secret's digest has not 32 bytes".to_owned()))?;
    let expires_at = wire.expires_at_ms.map(Timestamp::from_millis);
    let key = match sealed {
        Some(sealed) => Some(SecretKey::new(&keyring.open(&id(sealed)?)?)),
        None => None,
    };
    Ok(ClientSecret { digest: SecretDigest::from_bytes(digest), key, expires_at })
}

fn client_spec(wire: watch::Client) -> Result<ClientSpec, Malformed> {
    if !wire.spec_json.is_empty() {
        return json(&wire.spec_json);
    }
    // A node of the release before: the fields of then.
    let method = wire.token_endpoint_auth_method;
    let grant_types = wire
        .grant_types
        .iter()
        .map(|name| GrantType::parse(name).ok_or_else(|| Malformed(format!("an unknown grant type {name:?}"))));
    Ok(ClientSpec {
        name: wire.name,
        enabled: wire.enabled,
        token_endpoint_auth_method: AuthMethod::parse(&method)
            .ok_or_else(|| Malformed(format!("an unknown authentication method {method:?}")))?,
        redirect_uris: wire.redirect_uris,
        post_logout_redirect_uris: wire.post_logout_redirect_uris,
        grant_types: grant_types.collect::<Result<_, _>>()?,
        scopes: ids(&wire.scopes)?,
        audiences: wire.audiences,
        allowed_origins: wire.allowed_origins,
        require_consent: wire.require_consent,
        // What came later, that node cannot have set.
        ..ClientSpec::default()
    })
}

/// A setting that this build does not know is refused, not passed over: it could be the one that restricts.
fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    serde_json::from_slice(bytes).map_err(|error| Malformed(error.to_string()))
}

pub fn scope(wire: watch::Scope) -> Result<Scope, Malformed> {
    Ok(Scope { name: id(&wire.name)?, description: wire.description, claims: wire.claims })
}

/// `None`: a revoked key, which is neither published nor accepted.
pub fn key(wire: watch::SigningKey) -> Result<Option<KeyRecord>, Malformed> {
    let status = match wire.status() {
        watch::KeyStatus::Next => KeyStatus::Next,
        watch::KeyStatus::Active => KeyStatus::Active,
        watch::KeyStatus::Retiring => KeyStatus::Retiring,
        watch::KeyStatus::Revoked => return Ok(None),
        watch::KeyStatus::Unspecified => return Err(Malformed("an unknown status".to_owned())),
    };
    Ok(Some(KeyRecord {
        kid: id(&wire.kid)?,
        family: KeyFamily::parse(&wire.algorithm)
            .ok_or_else(|| Malformed(format!("an unknown algorithm {:?}", wire.algorithm)))?,
        status,
        public_jwk: wire.public_jwk,
        private_key: id(&wire.sealed_private_key)?,
    }))
}

fn algorithm(name: &str) -> Result<SigningAlgorithm, Malformed> {
    SigningAlgorithm::parse(name).ok_or_else(|| Malformed(format!("an unknown algorithm {name:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(spec_json: &str) -> watch::Client {
        watch::Client {
            tenant_id: uuid::Uuid::nil().to_string(),
            client_id: "web".to_owned(),
            spec_json: spec_json.as_bytes().to_vec().into(),
            ..watch::Client::default()
        }
    }

    fn client(wire: watch::Client) -> Result<Client, Malformed> {
        let keyring = Keyring::new(vocab::MasterKey::new([1; 32]), vec![]);
        super::client(wire, &keyring).map_err(|fault| match fault {
            ClientFault::Malformed(malformed) => malformed,
            ClientFault::Sealed(sealed) => panic!("{sealed}"),
        })
    }

    #[test]
    fn a_secret_is_opened_for_whoever_proves_itself_by_it_and_for_nobody_else() {
        let keyring = Keyring::new(vocab::MasterKey::new([1; 32]), vec![]);
        let with = |method: &str, keyring: &Keyring| {
            let kept = watch::ClientSecret {
                digest: SecretDigest::of(b"s").as_bytes().to_vec().into(),
                sealed: Some(Keyring::new(vocab::MasterKey::new([1; 32]), vec![]).seal(b"s", [0; 24]).to_string()),
                ..watch::ClientSecret::default()
            };
            let spec = format!(r#"{{"name":"Web","token_endpoint_auth_method":"{method}"}}"#);
            super::client(watch::Client { secrets: vec![kept], ..wire(&spec) }, keyring)
        };
        let key = |client: Client| client.secrets[0].key.clone();
        let expected = SecretKey::new(&vocab::Secret::new(b"s".to_vec()));
        assert_eq!(key(with("client_secret_jwt", &keyring).unwrap()), Some(expected));
        assert_eq!(key(with("client_secret_basic", &keyring).unwrap()), None);
        let other = Keyring::new(vocab::MasterKey::new([2; 32]), vec![]);
        assert!(matches!(with("client_secret_jwt", &other), Err(ClientFault::Sealed(_))));
        assert!(with("client_secret_basic", &other).is_ok());
    }

    #[test]
    fn a_client_is_what_its_json_says() {
        let read = client(wire(r#"{"name":"Web","grant_types":["client_credentials"]}"#)).unwrap();
        assert_eq!((read.spec.name.as_str(), read.spec.grant_types), ("Web", vec![GrantType::ClientCredentials]));
    }

    #[test]
    fn keys_are_parsed_when_they_arrive() {
        let with = |key: &str| client(wire(&format!(r#"{{"name":"Web","jwks":{{"keys":[{key}]}}}}"#)));
        let good = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        assert_eq!(with(good).unwrap().keys.iter().count(), 1);
        let refused = with(r#"{"kty":"oct"}"#).unwrap_err();
        assert!(refused.0.contains("jwks"), "{refused}");
    }

    #[test]
    fn a_setting_of_a_later_build_is_refused_by_name() {
        let refused = client(wire(r#"{"name":"Web","must_be_safe":true}"#)).unwrap_err();
        assert!(refused.0.contains("must_be_safe"), "{refused}");
    }
}
