//! What a committed entry does.
//!
//! Decide, then do: the arms below only look at the state and return a [`Decision`]; the changes are carried out
//! afterwards, all of them, by `State::absorb`. So an entry that is refused cannot have changed anything.
//!
//! A replacement that changes nothing still makes a new revision: whoever wrote it gets an `ETag` of its own write.

mod admin;
mod audit;
mod batch;
mod client;
mod fleet;
mod key;
mod node;
mod registration;
mod replay;
mod restore;
mod scope;
mod seal;
mod settings;
mod tenant;

use std::sync::Arc;

use uuid::Uuid;
use vocab::{Revision, Slug, Timestamp, Violations};

use crate::audit::{Circumstances, Recorder};
use crate::entry::{Command, Entry, FreshKey};
use crate::limits;
use crate::model::Tenant;
use crate::mutation::{Change, Mutation, ResourceRef};
use crate::rejection::Rejection;
use crate::state::{Applied, Remembered, State};

/// Applies the entry committed at `revision`.
pub fn apply(state: &mut State, revision: Revision, entry: Entry) -> Result<Applied, Rejection> {
    let Entry { command, stamp, format } = entry;
    let Command { actor, request_id, expected_revision, based_on, mutation, receipt, origin } = command;
    let request = request_id.map(|id| (id, replay::fingerprint(&mutation, expected_revision)));

    if let Some((id, fingerprint)) = &request
        && let Some(earlier) = state.remembered(&actor, id)
    {
        return replay::answer(earlier, fingerprint);
    }
    if receipt.as_ref().is_some_and(|receipt| receipt.to_string().len() > limits::SEALED_BYTES) {
        return Err(conflict("the receipt is too long"));
    }

    let circumstances = Circumstances { revision, at: stamp.at, actor: actor.clone(), origin, action: mutation.name() };
    let bookkeeping = audit::Bookkeeping::of(&mutation);
    let expected = match (expected_revision, based_on) {
        // Whatever the resource is at, one of the two does not hold.
        (Some(expected), Some(actual)) if expected != actual => {
            return Err(Rejection::PreconditionFailed { expected, actual });
        }
        (expected, based_on) => expected.or(based_on),
    };
    let Decision { resource, changes } = match *mutation {
        Mutation::Batch { items, planned_on, managed_by } => {
            let batch = batch::Batch { items, planned_on, managed_by, expected };
            batch::decide(state, revision, &stamp, batch)?
        }
        single => {
            let keys: Vec<_> = stamp.keys().collect();
            let stamped = Stamped { at: stamp.at, id: stamp.id, keys: &keys };
            let context = Context { state, revision, stamp: stamped, expected, managed_by: None };
            decide(&context, single)?
        }
    };

    let mut recorder = Recorder::default();
    for change in &changes {
        recorder.observe(state, change);
        state.absorb(change.clone());
    }
    let records = bookkeeping.keep(&mut state.audit, &circumstances, recorder, &resource, format);
    if let Some((id, fingerprint)) = request {
        let answer = Remembered { fingerprint, revision, resource: resource.clone(), receipt, at: stamp.at };
        state.remember(actor, id, answer);
    }
    state.forget_requests(stamp.at);
    Ok(Applied { revision, resource, changes, replayed: false, receipt: None, records })
}

/// What an entry will do, decided but not done.
struct Decision {
    resource: ResourceRef,
    changes: Vec<Change>,
}

/// What every arm looks at.
struct Context<'a> {
    state: &'a State,
    revision: Revision,
    stamp: Stamped<'a>,
    expected: Option<Revision>,
    /// Whose the tenants, clients and scopes become that are put. Absent: they stay whose they are.
    managed_by: Option<&'a String>,
}

/// What one mutation takes of the stamp.
#[derive(Clone, Copy, Debug)]
struct Stamped<'a> {
    at: Timestamp,
    id: Uuid,
    /// Those that no earlier item of a batch took.
    keys: &'a [&'a FreshKey],
}

fn decide(cx: &Context<'_>, mutation: Mutation) -> Result<Decision, Rejection> {
    use Mutation as M;
    match mutation {
        M::TenantCreate { slug, spec } => tenant::create(cx, slug, spec),
        M::TenantUpdate { slug, spec } => tenant::update(cx, &slug, spec),
        M::TenantDelete { slug } => tenant::delete(cx, slug),
        M::ClientCreate { tenant, client_id, spec, secret } => client::create(cx, tenant, client_id, spec, secret),
        M::ClientUpdate { tenant, client_id, spec } => client::update(cx, tenant, &client_id, spec),
        M::ClientDelete { tenant, client_id } => client::delete(cx, tenant, client_id),
        M::ClientSecretAdd { tenant, client_id, secret, previous_expires_at } => {
            client::add_secret(cx, tenant, &client_id, secret, previous_expires_at)
        }
        M::ClientSecretRemove { tenant, client_id, secret_id } => {
            client::remove_secret(cx, tenant, &client_id, secret_id)
        }
        M::ClientRegister { tenant, spec, secret, proofs } => registration::register(cx, tenant, spec, secret, &proofs),
        M::ClientReregister { tenant, client_id, spec, proof, statement_issuer, secret, management } => {
            let shown = registration::Shown { proof, statement_issuer };
            registration::reregister(cx, tenant, &client_id, spec, shown, registration::Offered { secret, management })
        }
        M::ClientUnregister { tenant, client_id, proof } => registration::unregister(cx, tenant, client_id, &proof),
        M::RegistrationTokenCreate { tenant, id, spec, digest } => {
            registration::create_token(cx, tenant, id, spec, digest)
        }
        M::RegistrationTokenRevoke { tenant, id } => registration::revoke_token(cx, tenant, id),
        M::ScopeCreate { tenant, name, spec } => scope::create(cx, tenant, name, spec),
        M::ScopeUpdate { tenant, name, spec } => scope::update(cx, tenant, name, spec),
        M::ScopeDelete { tenant, name } => scope::delete(cx, tenant, name),
        M::KeyRotate { tenant, step, family } => key::rotate(cx, tenant, step, family),
        M::KeyActivate { tenant, kid } => key::activate(cx, tenant, &kid),
        M::KeyRevoke { tenant, kid } => key::revoke(cx, tenant, kid),
        M::AdminCreate { id, spec, digest } => admin::create(cx, id, spec, digest),
        M::AdminUpdate { id, spec } => admin::update(cx, id, spec),
        M::AdminDelete { id } => admin::delete(cx, id),
        M::NodePut { id, spec } => node::put(cx, id, spec),
        M::NodeSeen { ids } => node::seen(cx, &ids),
        M::NodeRemove { id } => node::remove(cx, id),
        M::AdminUsed { uses } => admin::used(cx, &uses),
        M::KeyReseal { moves } => seal::reseal(cx, moves),
        M::Restore { resources } => restore::restore(cx, resources),
        M::AuditNote { notes } => audit::note(cx, &notes),
        M::SettingsUpdate { spec } => settings::update(cx, spec),
        M::FleetUpdate { sightings, forget } => fleet::update(cx, sightings, forget),
        M::Batch { .. } => Err(conflict("a batch within a batch")),
        M::AuditTruncate { truncation, removed_bytes } => audit::truncate(cx, &truncation, removed_bytes),
        M::AuditCursor { sink, seq } => audit::cursor(cx, &sink, seq),
    }
}

impl<'a> Context<'a> {
    fn tenant(&self, slug: &Slug) -> Result<&'a Arc<Tenant>, Rejection> {
        self.state.tenant(slug).ok_or_else(|| not_found(format!("tenant {slug}")))
    }

    /// Whose a resource is that is put now.
    fn manager(&self, until_now: Option<&String>) -> Option<String> {
        self.managed_by.or(until_now).cloned()
    }

    /// `If-Match` against the addressed resource (RFC 9110 §13.1.1); zero stands for one that does not exist yet.
    fn check_precondition(&self, actual: Revision) -> Result<(), Rejection> {
        match self.expected {
            Some(expected) if expected != actual => Err(Rejection::PreconditionFailed { expected, actual }),
            _ => Ok(()),
        }
    }
}

fn not_found(what: String) -> Rejection {
    Rejection::NotFound { what }
}

fn conflict(why: impl Into<String>) -> Rejection {
    Rejection::Conflict { why: why.into() }
}

fn check(violations: Violations) -> Result<(), Rejection> {
    violations.into_result().map_err(|violations| Rejection::Invalid { violations })
}

/// Refuses one more when there are `count` already.
fn check_room(what: &str, count: usize, limit: usize) -> Result<(), Rejection> {
    if count < limit {
        return Ok(());
    }
    Err(Rejection::LimitReached { what: what.to_owned(), limit: u64::try_from(limit).unwrap_or(u64::MAX) })
}
