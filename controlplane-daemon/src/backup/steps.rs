//! What an import comes to: mutations, each small enough for one log entry, in the order in which they must be made.

use std::collections::BTreeSet;
use std::io::BufRead;

use controlplane_core::model::{Admin, Client, KeyOwner, Scope, SigningKey, Tenant};
use controlplane_core::mutation::{Precondition, Restored};
use controlplane_core::{Mutation, Resource, ResourceRef, State, limits};
use serde::Serialize;
use vocab::{AdminId, ClientId, Revision, ScopeName, Slug, Timestamp};

use super::read::{self, ReadError, Survey};

/// What one mutation may carry: an fsync is shared by many resources, and other writes still get their turn.
const CHUNK_BYTES: usize = 256 << 10;

/// What becomes of what is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Anything that is there and different is a conflict.
    #[default]
    Add,
    /// What is in the file takes the place of what is there under the same id; the rest stays.
    Merge,
    /// The configuration becomes that of the file; what is not in it goes.
    Replace,
}

/// How many resources an import makes, changes, finds as they are, and removes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub created: usize,
    pub updated: usize,
    pub unchanged: usize,
    pub deleted: usize,
}

/// Against what the steps are made.
#[derive(Debug)]
pub struct Basis<'a> {
    pub state: &'a State,
    pub survey: &'a Survey,
    pub mode: Mode,
    /// Who imports: nobody removes their own credential by it.
    pub importer: Option<AdminId>,
}

/// A mutation, and the last line of the file that is in it.
#[derive(Debug)]
pub struct Step {
    pub line: usize,
    pub mutation: Mutation,
}

/// Reads the file and hands on step after step; what it all comes to, and what is there already and different.
pub fn steps(
    input: impl BufRead,
    basis: &Basis<'_>,
    each: impl FnMut(Step) -> Result<(), ReadError>,
) -> Result<(Tally, Vec<String>), ReadError> {
    let mut maker = Maker {
        basis,
        each,
        chunk: Vec::new(),
        planned_on: Vec::new(),
        bytes: 0,
        line: 0,
        tally: Tally::default(),
        conflicts: Vec::new(),
        keys: Vec::new(),
        tenant: None,
    };
    maker.remove_tenants()?;
    read::records(input, |line, record, text| {
        maker.line = line;
        maker.take(record, text.len())
    })?;
    maker.close_keys();
    maker.close_tenant()?;
    maker.flush()?;
    maker.remove_admins()?;
    Ok((maker.tally, maker.conflicts))
}

struct Maker<'a, F> {
    basis: &'a Basis<'a>,
    each: F,
    chunk: Vec<Restored>,
    /// What of the chunk is not there yet.
    planned_on: Vec<Precondition>,
    bytes: usize,
    line: usize,
    tally: Tally,
    conflicts: Vec<String>,
    /// Of the owner that is being read: they are put together or not at all.
    keys: Vec<SigningKey>,
    tenant: Option<Open>,
}

/// A tenant that is being read.
struct Open {
    tenant: Tenant,
    scopes: BTreeSet<ScopeName>,
    clients: BTreeSet<ClientId>,
}

impl<F: FnMut(Step) -> Result<(), ReadError>> Maker<'_, F> {
    fn take(&mut self, record: Restored, bytes: usize) -> Result<(), ReadError> {
        let state = self.basis.state;
        if !matches!(record, Restored::Key(_)) {
            self.close_keys();
        }
        match record {
            Restored::Key(key) => {
                self.bytes += bytes;
                self.keys.push(key);
                Ok(())
            }
            Restored::Tenant(tenant) => {
                self.close_tenant()?;
                self.make_room()?;
                let there = state.tenant_by_id(tenant.id).map(|it| plain_tenant(it));
                let resource = ResourceRef::Tenant { slug: tenant.slug.clone() };
                let same_name = state.tenant(&tenant.slug).filter(|it| it.id != tenant.id);
                if same_name.is_some() && self.basis.mode != Mode::Replace {
                    self.conflicts.push(format!("{resource} (there is one with another id)"));
                }
                if self.judge(there, &plain_tenant(&tenant), resource) {
                    self.put(Restored::Tenant(tenant.clone()), bytes);
                }
                self.tenant = Some(Open { tenant, scopes: BTreeSet::new(), clients: BTreeSet::new() });
                Ok(())
            }
            Restored::Scope(scope) => {
                self.make_room()?;
                let there = state.scope(scope.tenant_id, &scope.name).map(|it| plain_scope(it));
                let resource = ResourceRef::Scope { tenant: self.owner()?, name: scope.name.clone() };
                if self.judge(there, &plain_scope(&scope), resource) {
                    self.put(Restored::Scope(scope.clone()), bytes);
                }
                self.tenant.iter_mut().for_each(|open| open.scopes.extend([scope.name.clone()]));
                Ok(())
            }
            Restored::Client(client) => {
                self.make_room()?;
                let there = state.client(client.tenant_id, &client.client_id).map(|it| plain_client(it));
                let resource = ResourceRef::Client { tenant: self.owner()?, client_id: client.client_id.clone() };
                if self.judge(there, &plain_client(&client), resource) {
                    self.put(Restored::Client(client.clone()), bytes);
                }
                self.tenant.iter_mut().for_each(|open| open.clients.extend([client.client_id.clone()]));
                Ok(())
            }
            Restored::Admin(admin) => {
                self.close_tenant()?;
                self.make_room()?;
                let there = state.admin(admin.id).map(|it| plain_admin(it));
                if self.judge(there, &plain_admin(&admin), ResourceRef::Admin { id: admin.id }) {
                    self.put(Restored::Admin(admin), bytes);
                }
                Ok(())
            }
            Restored::Settings(settings) => {
                let there = state.resources().find_map(|it| match it {
                    Resource::Settings(settings) => Some(settings.spec.clone()),
                    _ => None,
                });
                // A cluster's own settings are not overruled by a file that is only added.
                if (there.is_none() || self.basis.mode != Mode::Add) && there.as_ref() != Some(&settings.spec) {
                    self.tally.updated += 1;
                    if there.is_none() {
                        self.planned_on.push(Precondition::new(ResourceRef::Settings, Revision::ZERO));
                    }
                    self.put(Restored::Settings(settings), bytes);
                } else {
                    self.tally.unchanged += 1;
                }
                Ok(())
            }
        }
    }

    /// Of what is being read.
    fn owner(&self) -> Result<Slug, ReadError> {
        let ownerless = || ReadError::Line { line: self.line, problem: "it has no tenant".to_owned() };
        self.tenant.as_ref().map(|open| open.tenant.slug.clone()).ok_or_else(ownerless)
    }

    /// Whether it has to be put.
    fn judge<T: PartialEq>(&mut self, there: Option<T>, new: &T, resource: ResourceRef) -> bool {
        match there {
            None => {
                self.tally.created += 1;
                self.planned_on.push(Precondition::new(resource, Revision::ZERO));
            }
            Some(there) if there == *new => {
                self.tally.unchanged += 1;
                return false;
            }
            Some(_) => {
                if self.basis.mode == Mode::Add {
                    self.conflicts.push(resource.to_string());
                }
                self.tally.updated += 1;
            }
        }
        true
    }

    fn put(&mut self, resource: Restored, bytes: usize) {
        self.bytes += bytes;
        self.chunk.push(resource);
    }

    /// Ends the set of keys of one owner.
    fn close_keys(&mut self) {
        let keys = std::mem::take(&mut self.keys);
        let Some(owner) = keys.first().map(|key| key.owner) else { return };
        let mut there: Vec<SigningKey> = self.basis.state.keys_of(owner).map(|key| plain_key(key)).collect();
        let mut new: Vec<SigningKey> = keys.iter().map(plain_key).collect();
        let by_id = |a: &SigningKey, b: &SigningKey| a.kid.cmp(&b.kid);
        there.sort_by(by_id);
        new.sort_by(by_id);
        if there == new {
            self.tally.unchanged += new.len();
            return;
        }
        if owner == KeyOwner::Global && !there.is_empty() && self.basis.mode != Mode::Replace {
            // It signs this cluster's own tokens; the file's signed another's.
            self.tally.unchanged += there.len();
            return;
        }
        if !there.is_empty() && self.basis.mode == Mode::Add {
            self.conflicts.push(format!("the keys of {owner:?}"));
        }
        if there.is_empty() {
            self.tally.created += new.len();
        } else {
            self.tally.updated += new.len();
        }
        self.chunk.extend(keys.into_iter().map(Restored::Key));
    }

    /// When a tenant is read whole: what it has beside that goes, if the file is all there is to be.
    fn close_tenant(&mut self) -> Result<(), ReadError> {
        let Some(Open { tenant, scopes, clients }) = self.tenant.take() else { return Ok(()) };
        if self.basis.mode != Mode::Replace {
            return Ok(());
        }
        let state = self.basis.state;
        let slug = || tenant.slug.clone();
        let clients: Vec<Mutation> = state
            .clients_of(tenant.id, None)
            .filter(|it| !clients.contains(&it.client_id))
            .map(|it| Mutation::ClientDelete { tenant: slug(), client_id: it.client_id.clone() })
            .collect();
        let scopes: Vec<Mutation> = state
            .scopes_of(tenant.id, None)
            .filter(|it| !scopes.contains(&it.name))
            .map(|it| Mutation::ScopeDelete { tenant: slug(), name: it.name.clone() })
            .collect();
        self.remove(clients.into_iter().chain(scopes))
    }

    /// First of all: names and hosts become free.
    fn remove_tenants(&mut self) -> Result<(), ReadError> {
        if self.basis.mode != Mode::Replace {
            return Ok(());
        }
        let gone = self.basis.state.tenants_after(None).filter(|it| !self.basis.survey.tenants.contains(&it.id));
        let gone: Vec<Mutation> = gone.map(|it| Mutation::TenantDelete { slug: it.slug.clone() }).collect();
        self.remove(gone.into_iter())
    }

    /// Last of all: by then the file's owners are there.
    fn remove_admins(&mut self) -> Result<(), ReadError> {
        if self.basis.mode != Mode::Replace {
            return Ok(());
        }
        let stays = |id: AdminId| self.basis.survey.admins.contains(&id) || self.basis.importer == Some(id);
        let file_has_tenant = |slug| {
            let tenant = self.basis.state.tenant(slug);
            tenant.is_some_and(|tenant| self.basis.survey.tenants.contains(&tenant.id))
        };
        let gone: Vec<Mutation> = self
            .basis
            .state
            .admins_after(None)
            .filter(|it| !stays(it.id))
            // A removed tenant took its administrators along.
            .filter(|it| match &it.spec.role {
                controlplane_core::Role::TenantAdmin(slug) => file_has_tenant(slug),
                _ => true,
            })
            .map(|it| Mutation::AdminDelete { id: it.id })
            .collect();
        self.remove(gone.into_iter())
    }

    fn remove(&mut self, mutations: impl Iterator<Item = Mutation>) -> Result<(), ReadError> {
        for mutation in mutations {
            self.flush()?;
            self.tally.deleted += 1;
            (self.each)(Step { line: self.line, mutation })?;
        }
        Ok(())
    }

    /// Before something that need not share an entry with what was before it.
    fn make_room(&mut self) -> Result<(), ReadError> {
        // A tenant comes with its keys: some room is left for them.
        if self.bytes >= CHUNK_BYTES || self.chunk.len() + 64 >= limits::RESTORED_TOGETHER {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ReadError> {
        self.bytes = 0;
        let resources = std::mem::take(&mut self.chunk);
        let planned_on = std::mem::take(&mut self.planned_on);
        if resources.is_empty() {
            return Ok(());
        }
        let restore = Mutation::Restore { resources };
        // By itself it would take the place of what somebody makes before it is applied.
        let mutation = match planned_on.as_slice() {
            [] => restore,
            _ => Mutation::Batch { items: vec![restore], planned_on, managed_by: None },
        };
        (self.each)(Step { line: self.line, mutation })
    }
}

// Without what differs between two clusters that say the same.

const NEVER: Timestamp = Timestamp::from_secs(0);

fn plain_tenant(it: &Tenant) -> Tenant {
    Tenant { revision: Revision::ZERO, created_at: NEVER, updated_at: NEVER, ..it.clone() }
}

fn plain_scope(it: &Scope) -> Scope {
    Scope { revision: Revision::ZERO, ..it.clone() }
}

fn plain_client(it: &Client) -> Client {
    Client { revision: Revision::ZERO, created_at: NEVER, updated_at: NEVER, ..it.clone() }
}

fn plain_key(it: &SigningKey) -> SigningKey {
    SigningKey { revision: Revision::ZERO, created_at: NEVER, status_since: NEVER, ..it.clone() }
}

fn plain_admin(it: &Admin) -> Admin {
    Admin { revision: Revision::ZERO, created_at: NEVER, last_used_at: None, ..it.clone() }
}
