//! The pod's copy of the configuration: changes go in, an immutable [`Directory`] comes out.
//!
//! Only the tenants that a change touches are built anew; everything else is shared with the directory before. What
//! cannot be used is kept at its last good state and reported to the control plane.

mod key;
mod rejection;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use imbl::{HashMap, OrdMap};
use oauth_core::client::Client;
use prost::Message as _;
use shared_proto::watch;
use url::Url;
use vocab::{ClientId, ClusterId, KeyFamily, KeyId, Keyring, Revision, ScopeName, TenantId};

use self::key::Key;
use self::rejection::Rejection;
use super::decode::{self, Database, IssuerMode, Malformed, ResourceKey, TenantRecord};
use crate::decryption::DecryptionKeys;
use crate::directory::Directory;
use crate::federation::secrets::ProviderSecrets;
use crate::issued::IssuedTokens;
use crate::mail::MailServer;
use crate::rate_limit::Limiter;
use crate::signing::{KeyRecord, KeySet, KeyStatus, SigningKey};
use crate::store::dsn;
use crate::store::pool::PodPools;
use crate::tenant::{Scope, TenantContext};

/// What a tenant is built with beside its own configuration.
#[derive(Clone, Debug)]
pub struct Surroundings {
    pub keyring: Keyring,
    pub public_url: Url,
    pub pools: Arc<PodPools>,
}

/// What a control plane is told at most of what could not be used: all of it may be, and it is told again and again.
const MOST_LISTED: usize = 50;
const MOST_REASON_CHARS: usize = 256;

#[derive(Debug)]
pub struct Mirror {
    surroundings: Surroundings,
    directory: Directory,
    tenants: BTreeMap<TenantId, Parts>,
    /// As they came, for the state file.
    encoded: OrdMap<ResourceKey, Bytes>,
    rejected: BTreeMap<ResourceKey, Rejection>,
}

/// All that belongs to one tenant.
#[derive(Debug, Default)]
struct Parts {
    record: Option<TenantRecord>,
    mail: MailServer,
    provider_secrets: ProviderSecrets,
    clients: HashMap<ClientId, Arc<Client>>,
    scopes: BTreeMap<ScopeName, Scope>,
    keys: BTreeMap<KeyId, (KeyRecord, Key)>,
    /// The last active key of each family that could be used: signs on when its successor cannot be.
    last_active: BTreeMap<KeyFamily, (KeyId, Arc<SigningKey>)>,
    /// The newest revision that touched any of it.
    revision: Revision,
    /// What the directory shows.
    built: Option<Arc<TenantContext>>,
}

/// A complete state, cheap to take: what the state file holds.
#[derive(Clone, Debug)]
pub struct Saved {
    pub cluster_id: ClusterId,
    pub revision: Revision,
    pub resources: OrdMap<ResourceKey, Bytes>,
}

impl Mirror {
    pub fn new(surroundings: Surroundings) -> Self {
        Self {
            surroundings,
            directory: Directory::default(),
            tenants: BTreeMap::new(),
            encoded: OrdMap::new(),
            rejected: BTreeMap::new(),
        }
    }

    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    pub fn saved(&self) -> Option<Saved> {
        let cluster_id = self.directory.cluster_id?;
        Some(Saved { cluster_id, revision: self.directory.revision, resources: self.encoded.clone() })
    }

    /// What could not be used, each with the reason: the signing keys first, for which the rotation of keys waits, and of
    /// very many only some.
    pub fn rejected(&self) -> Vec<watch::RejectedResource> {
        let name = |key: &ResourceKey| {
            let id = key.tenant();
            let slug = id.and_then(|id| self.tenants.get(&id)?.record.as_ref()).map(|record| record.slug.to_string());
            slug.or_else(|| id.map(|id| id.to_string())).unwrap_or_default()
        };
        let is_signing_key = |key: &ResourceKey| matches!(key, ResourceKey::SigningKey(..));
        let keys = self.rejected.iter().filter(|(key, _)| is_signing_key(key));
        let others = self.rejected.iter().filter(|(key, _)| !is_signing_key(key));
        keys.chain(others)
            .take(MOST_LISTED)
            .map(|(key, rejection)| watch::RejectedResource {
                resource: key.path(&name(key)),
                reason: rejection.reason.chars().take(MOST_REASON_CHARS).collect(),
            })
            .collect()
    }

    pub fn rejected_count(&self) -> usize {
        self.rejected.len()
    }

    /// Why secrets could not be opened, when this pod lacks the master key.
    pub fn unopened(&self) -> Option<&str> {
        self.rejected.values().find(|rejection| rejection.unopened).map(|rejection| rejection.reason.as_str())
    }

    /// Replaces all there is. Pools and parsed keys that are still wanted are kept.
    pub fn replace(&mut self, cluster_id: ClusterId, revision: Revision, resources: Vec<watch::Resource>) {
        let mut before = std::mem::replace(self, Self::new(self.surroundings.clone()));
        let settings =
            |resource: &watch::Resource| matches!(resource.kind, Some(watch::resource::Kind::ClusterSettings(_)));
        if resources.iter().any(settings) {
            // In case that they prove unusable.
            self.directory.staleness = before.directory.staleness;
        }
        for (id, old) in &mut before.tenants {
            let kept = Parts {
                keys: std::mem::take(&mut old.keys),
                last_active: std::mem::take(&mut old.last_active),
                built: old.built.take(),
                ..Parts::default()
            };
            self.tenants.insert(*id, kept);
        }
        // Last good states of resources that may prove unusable now, taken up again only then.
        let old_parts = before.tenants;
        let mut seen_keys = BTreeSet::new();
        for resource in resources {
            if let Ok(key @ ResourceKey::SigningKey(..)) = ResourceKey::of(&resource) {
                seen_keys.insert(key);
            }
            self.put(resource, revision, Some(&old_parts));
        }
        let known = std::mem::take(&mut self.tenants);
        let mut directory = Directory::of(cluster_id, revision);
        directory.staleness = self.directory.staleness;
        for (id, mut parts) in known {
            parts.keys.retain(|kid, _| seen_keys.contains(&ResourceKey::SigningKey(Some(id), kid.clone())));
            if let Some(tenant) = parts.build(&self.surroundings) {
                directory.put(None, &tenant);
            } else {
                parts.built = None;
            }
            if !parts.is_empty() {
                self.tenants.insert(id, parts);
            }
        }
        self.directory = directory;
    }

    /// Applies all changes of one revision.
    pub fn apply(&mut self, revision: Revision, changes: Vec<watch::Change>) {
        let mut touched = BTreeSet::new();
        for change in changes {
            let tenant = match change.kind {
                Some(watch::change::Kind::Put(resource)) => self.put(resource, revision, None),
                Some(watch::change::Kind::Deleted(deleted)) => self.delete(&deleted, revision),
                None => {
                    tracing::warn!(%revision, "a change of a kind that this build does not know");
                    None
                }
            };
            touched.extend(tenant);
        }
        for id in touched {
            let Some(parts) = self.tenants.get_mut(&id) else { continue };
            let previous = parts.built.clone();
            if let Some(tenant) = parts.build(&self.surroundings) {
                self.directory.put(previous.as_deref(), &tenant);
            } else {
                if let Some(previous) = previous {
                    self.directory.remove(&previous);
                }
                parts.built = None;
                if parts.is_empty() {
                    self.tenants.remove(&id);
                }
            }
        }
        self.directory.revision = revision;
    }

    /// Which tenant has to be built anew.
    fn put(
        &mut self,
        resource: watch::Resource,
        revision: Revision,
        old: Option<&BTreeMap<TenantId, Parts>>,
    ) -> Option<TenantId> {
        let key = match ResourceKey::of(&resource) {
            Ok(key) => key,
            Err(malformed) => {
                tracing::error!(%malformed, "a resource without a usable name was left out");
                return None;
            }
        };
        self.encoded.insert(key.clone(), resource.encode_to_vec().into());
        if let Some(watch::resource::Kind::ClusterSettings(settings)) = &resource.kind {
            match decode::cluster_settings(settings) {
                Ok(staleness) => {
                    self.directory.staleness = staleness;
                    self.rejected.remove(&key);
                }
                Err(malformed) => {
                    tracing::error!(resource = key.path(&""), reason = %malformed, "kept at its last good state");
                    self.rejected.insert(key, malformed.into());
                }
            }
            return None;
        }
        let tenant = key.tenant()?;
        let parts = self.tenants.entry(tenant).or_default();
        parts.revision = parts.revision.max(revision);
        let last_good = old.and_then(|old| old.get(&tenant));
        let known =
            last_good.and_then(|old| old.record.as_ref()).or(parts.record.as_ref()).and_then(|it| it.database.clone());
        match parts.take(resource, &self.surroundings.keyring, known) {
            Ok(()) => {
                self.rejected.remove(&key);
            }
            Err(rejection) => {
                tracing::error!(resource = key.path(&tenant), reason = rejection.reason, "kept at its last good state");
                if let Some(last_good) = last_good {
                    parts.take_over(&key, last_good);
                }
                self.rejected.insert(key, rejection);
            }
        }
        Some(tenant)
    }

    fn delete(&mut self, deleted: &watch::Deleted, revision: Revision) -> Option<TenantId> {
        let key = ResourceKey::of_deleted(deleted).inspect_err(|e| tracing::error!(%e, "an unusable deletion")).ok()?;
        self.encoded.remove(&key);
        self.rejected.remove(&key);
        let id = key.tenant()?;
        let parts = self.tenants.get_mut(&id)?;
        parts.revision = parts.revision.max(revision);
        match &key {
            ResourceKey::Tenant(_) => {
                // With all that belongs to it, whether or not each is deleted by name.
                let of_tenant = |key: &ResourceKey| key.tenant() == Some(id);
                let gone: Vec<_> = self.encoded.keys().filter(|key| of_tenant(key)).cloned().collect();
                for key in gone {
                    self.encoded.remove(&key);
                }
                self.rejected.retain(|key, _| !of_tenant(key));
                *parts = Parts { built: parts.built.take(), ..Parts::default() };
            }
            ResourceKey::Client(_, client) => drop(parts.clients.remove(client)),
            ResourceKey::Scope(_, name) => drop(parts.scopes.remove(name)),
            ResourceKey::SigningKey(_, kid) => drop(parts.keys.remove(kid)),
            ResourceKey::ClusterSettings => {}
        }
        Some(id)
    }
}

impl Parts {
    /// Parts may be there before, or without, the tenant itself: it may have been refused.
    fn is_empty(&self) -> bool {
        self.record.is_none() && self.clients.is_empty() && self.scopes.is_empty() && self.keys.is_empty()
    }

    /// `database` is the last good one.
    fn take(
        &mut self,
        resource: watch::Resource,
        keyring: &Keyring,
        database: Option<Database>,
    ) -> Result<(), Rejection> {
        use watch::resource::Kind;
        match resource.kind {
            Some(Kind::Tenant(tenant)) => {
                let mut record = decode::tenant(tenant)?;
                if let (Some(first), None) = (&record.database, &database) {
                    // Told now, and to the control plane, not to the first user who signs in.
                    keyring.open(&first.dsn)?;
                }
                let fault = record.database.as_ref().filter(|wanted| Some(*wanted) != database.as_ref());
                let fault = fault.and_then(|wanted| dsn::check(&wanted.dsn, keyring).err());
                if fault.is_some() && database.is_some() {
                    // The rest is taken: a suspension must not wait for a database.
                    record.database = database;
                }
                let held = self.built.as_ref();
                let mail = held.map(|built| built.mail.clone()).unwrap_or_default();
                let secrets = held.map(|built| built.provider_secrets.clone()).unwrap_or_default();
                let (mail, unusable) = mail.next(record.smtp.as_ref(), keyring);
                let (secrets, sealed) = secrets.next(&record.oauth.identity_providers, keyring);
                (self.mail, self.provider_secrets) = (mail, secrets);
                self.record = Some(record);
                if let Some(fault) = fault {
                    return Err(Malformed(format!("its database: {fault}")).into());
                }
                if let Some(why) = unusable {
                    return Err(Malformed(format!("its mail server: {why}")).into());
                }
                if let Some(why) = sealed {
                    return Err(Malformed(format!("its identity providers: {why}")).into());
                }
            }
            Some(Kind::Client(client)) => {
                let client = decode::client(client, keyring)?;
                self.clients.insert(client.client_id.clone(), Arc::new(client));
            }
            Some(Kind::Scope(scope)) => {
                let scope = decode::scope(scope)?;
                self.scopes.insert(scope.name.clone(), scope);
            }
            Some(Kind::SigningKey(key)) => {
                let kid: Option<KeyId> = key.kid.parse().ok();
                match decode::key(key)? {
                    // Parsing a key costs; a key that only another part of the tenant changed beside is not parsed again.
                    Some(record) if self.keys.get(&record.kid).is_some_and(|(held, _)| *held == record) => {}
                    Some(record) => {
                        let key = Key::open(&record, keyring)?;
                        self.keys.insert(record.kid.clone(), (record, key));
                    }
                    None => drop(kid.and_then(|kid| self.keys.remove(&kid))),
                }
            }
            Some(Kind::ClusterSettings(_)) | None => return Err(Malformed("it is no tenant's".to_owned()).into()),
        }
        Ok(())
    }

    /// Takes one resource over from what was there before.
    fn take_over(&mut self, key: &ResourceKey, old: &Self) {
        match key {
            ResourceKey::Tenant(_) if self.record.is_none() => {
                self.record.clone_from(&old.record);
                self.mail.clone_from(&old.mail);
                self.provider_secrets.clone_from(&old.provider_secrets);
            }
            ResourceKey::Client(_, id) => {
                old.clients.get(id).map(|client| self.clients.insert(id.clone(), Arc::clone(client)));
            }
            ResourceKey::Scope(_, name) => {
                old.scopes.get(name).map(|scope| self.scopes.insert(name.clone(), scope.clone()));
            }
            // Keys were carried over as a whole.
            ResourceKey::Tenant(_) | ResourceKey::SigningKey(..) | ResourceKey::ClusterSettings => {}
        }
    }

    /// Its keys; when the active one of a family cannot be used, the one before signs, unless it was taken back.
    fn key_set(&mut self) -> KeySet {
        let (mut signing, mut decrypting) = (Vec::new(), Vec::new());
        for (record, key) in self.keys.values() {
            match key {
                Key::Signs(key) => signing.push((record, key)),
                Key::Decrypts(key) => decrypting.push(Arc::clone(key)),
            }
        }
        for (record, key) in signing.iter().filter(|(record, _)| record.status == KeyStatus::Active) {
            self.last_active.insert(record.family, (record.kid.clone(), Arc::clone(key)));
        }
        let signing = signing.into_iter().map(|(record, key)| match self.last_active.get(&record.family) {
            Some((last, signs)) if *last == record.kid => Arc::clone(signs),
            _ => Arc::clone(key),
        });
        let wanted = self.record.as_ref().and_then(|record| record.signing_algorithm);
        KeySet::new(signing.collect(), wanted).with_decryption(DecryptionKeys::new(decrypting))
    }

    /// `None` when there is no tenant (any more).
    fn build(&mut self, surroundings: &Surroundings) -> Option<Arc<TenantContext>> {
        let keys = self.key_set();
        let record = self.record.as_ref()?;
        let issuer = issuer(&record.issuer, &surroundings.public_url, record.slug.as_str());
        let base_path = match &record.issuer {
            IssuerMode::Host(_) => String::new(),
            IssuerMode::Path => {
                issuer.parse::<Url>().map(|url| url.path().trim_end_matches('/').to_owned()).unwrap_or_default()
            }
        };
        let built = self.built.take();
        let limiter = record.rate_limit.map(|rate| Limiter::kept(built.as_deref(), rate));
        let held = built.and_then(|built| built.database.clone());
        let database = record.database.as_ref().map(|wanted| {
            held.filter(|held| held.is_for(wanted))
                .unwrap_or_else(|| surroundings.pools.database(record.id, &record.slug, wanted.clone()))
        });
        let tenant = Arc::new(TenantContext {
            id: record.id,
            slug: record.slug.clone(),
            display_name: record.display_name.clone(),
            status: record.status,
            issuer,
            hosts: record.hosts.clone(),
            lifetimes: record.lifetimes,
            registration_enabled: record.registration_enabled,
            staleness: record.staleness,
            limiter,
            mail: self.mail.clone(),
            provider_secrets: self.provider_secrets.clone(),
            oauth: record.oauth.clone(),
            branding: Arc::clone(&record.branding),
            trusted_jwt_issuers: Arc::clone(&record.trusted_jwt_issuers),
            details_types: Arc::clone(&record.details_types),
            clients: self.clients.clone(),
            scopes: self.scopes.clone(),
            keys,
            revision: self.revision.max(record.revision),
            base_path,
            database,
            issued: IssuedTokens::of(&record.slug),
        });
        self.built = Some(Arc::clone(&tenant));
        Some(tenant)
    }
}

fn issuer(mode: &IssuerMode, public_url: &Url, slug: &str) -> String {
    match mode {
        IssuerMode::Path => format!("{}/t/{slug}", public_url.as_str().trim_end_matches('/')),
        IssuerMode::Host(host) => format!("https://{host}"),
    }
}

#[cfg(test)]
mod tests;
