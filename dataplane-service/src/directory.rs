//! All tenants of one revision, and the one pointer through which a newer set replaces them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use imbl::HashMap;
use vocab::{ClusterId, Revision, Slug};

use crate::staleness::{self, Verdict};
use crate::tenant::TenantContext;

/// An immutable picture of the configuration. Persistent maps: the next picture shares all that did not change.
#[derive(Clone, Default)]
pub struct Directory {
    pub revision: Revision,
    /// `None` until the first complete state came; such a directory serves nobody.
    pub cluster_id: Option<ClusterId>,
    /// Of tenants that have no policy of their own.
    pub staleness: staleness::Policy,
    by_slug: HashMap<Slug, Arc<TenantContext>>,
    by_host: HashMap<String, Arc<TenantContext>>,
}

impl Directory {
    /// Without tenants yet.
    pub fn of(cluster_id: ClusterId, revision: Revision) -> Self {
        Self { revision, cluster_id: Some(cluster_id), ..Self::default() }
    }

    /// Whether a complete state stands behind this directory: before that, "unknown tenant" would be a lie.
    pub fn is_ready(&self) -> bool {
        self.cluster_id.is_some()
    }

    pub fn by_slug(&self, slug: &str) -> Option<&Arc<TenantContext>> {
        self.by_slug.get(slug)
    }

    /// `host` without a port, in lower case.
    pub fn by_host(&self, host: &str) -> Option<&Arc<TenantContext>> {
        self.by_host.get(host)
    }

    pub fn tenants(&self) -> impl Iterator<Item = &Arc<TenantContext>> {
        self.by_slug.values()
    }

    /// The policy that holds for a tenant.
    pub fn staleness_of(&self, tenant: &TenantContext) -> staleness::Policy {
        tenant.staleness.unwrap_or(self.staleness)
    }

    /// What an age comes to for each tenant: how many there are of each verdict.
    pub fn judge(&self, age: Duration) -> BTreeMap<Verdict, usize> {
        let mut verdicts = BTreeMap::new();
        for tenant in self.tenants() {
            *verdicts.entry(self.staleness_of(tenant).judge(age)).or_default() += 1;
        }
        verdicts
    }

    pub fn tenant_count(&self) -> usize {
        self.by_slug.len()
    }

    /// Puts `tenant` in, in the place of `previous` (what stood there before under whatever slug and hosts).
    pub fn put(&mut self, previous: Option<&TenantContext>, tenant: &Arc<TenantContext>) {
        if let Some(previous) = previous {
            self.remove(previous);
        }
        for host in &tenant.hosts {
            self.by_host.insert(host.clone(), Arc::clone(tenant));
        }
        self.by_slug.insert(tenant.slug.clone(), Arc::clone(tenant));
    }

    pub fn remove(&mut self, tenant: &TenantContext) {
        // Another tenant may have taken the slug or host over already in the same change.
        if self.by_slug.get(&tenant.slug).is_some_and(|held| held.id == tenant.id) {
            self.by_slug.remove(&tenant.slug);
        }
        for host in &tenant.hosts {
            if self.by_host.get(host).is_some_and(|held| held.id == tenant.id) {
                self.by_host.remove(host);
            }
        }
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("revision", &self.revision)
            .field("tenants", &self.tenant_count())
            .finish_non_exhaustive()
    }
}

/// The current directory. Readers take an `Arc` and keep it; the writer (only `sync`) swaps the pointer.
#[derive(Debug)]
pub struct LiveDirectory {
    current: ArcSwap<Directory>,
    revision: tokio::sync::watch::Sender<Revision>,
}

impl Default for LiveDirectory {
    fn default() -> Self {
        Self::new(Directory::default())
    }
}

impl LiveDirectory {
    pub fn new(directory: Directory) -> Self {
        let revision = tokio::sync::watch::Sender::new(directory.revision);
        Self { current: ArcSwap::from_pointee(directory), revision }
    }

    pub fn load(&self) -> Arc<Directory> {
        self.current.load_full()
    }

    pub fn swap(&self, directory: Directory) {
        let revision = directory.revision;
        self.current.store(Arc::new(directory));
        self.revision.send_replace(revision);
    }

    /// Returns once requests see at least this revision.
    pub async fn reach(&self, revision: Revision) {
        // The sender lives in `self`, so waiting cannot fail while we borrow it.
        let _ = self.revision.subscribe().wait_for(|reached| *reached >= revision).await;
    }
}
