//! Resources that are put back whole.

use vocab::{ErrorCode, Revision};

use super::build::*;
use crate::model::{KeyFamily, KeyOwner, KeyStatus, Role};
use crate::mutation::{Change, Mutation, Precondition, ResourceRef, Restored};
use crate::rejection::Rejection;
use crate::state::{Resource, State};

fn restore(resources: Vec<Restored>) -> Mutation {
    Mutation::Restore { resources }
}

/// All of a state, owners before what they own, as an import would send it.
fn everything(state: &State) -> Vec<Restored> {
    let mut resources: Vec<Restored> = state
        .resources()
        .filter_map(|resource| match resource {
            Resource::Tenant(tenant) => Some(Restored::Tenant(tenant.as_ref().clone())),
            Resource::Scope(scope) => Some(Restored::Scope(scope.as_ref().clone())),
            Resource::Key(key) => Some(Restored::Key(key.as_ref().clone())),
            Resource::Client(client) => Some(Restored::Client(client.as_ref().clone())),
            Resource::Admin(admin) => Some(Restored::Admin(admin.as_ref().clone())),
            Resource::Settings(settings) => Some(Restored::Settings(settings.as_ref().clone())),
            // Which pods and nodes there are is no configuration.
            Resource::Pod(_) | Resource::Node(_) => None,
        })
        .collect();
    resources.retain(|resource| !matches!(resource, Restored::Key(key) if key.owner == KeyOwner::Global));
    resources
}

#[test]
fn what_is_restored_into_nothing_is_what_there_was_but_for_the_revisions() {
    let source = World::furnished();
    let mut target = World::default();
    target.apply(restore(everything(&source.state))).unwrap();
    let at = Revision(target.revision);
    let expected: Vec<Restored> = everything(&source.state)
        .into_iter()
        .map(|mut resource| {
            match &mut resource {
                Restored::Tenant(it) => it.revision = at,
                Restored::Scope(it) => it.revision = at,
                Restored::Key(it) => it.revision = at,
                Restored::Client(it) => it.revision = at,
                Restored::Admin(it) => it.revision = at,
                Restored::Settings(it) => it.revision = at,
            }
            resource
        })
        .collect();
    assert_eq!(everything(&target.state), expected);

    // Once more comes to the same.
    let again = target.apply(restore(everything(&source.state))).unwrap();
    assert_eq!(again.changes.len(), expected.len());
    assert_eq!(target.state.counts(), {
        let mut counts = source.state.counts();
        counts.requests = 0;
        counts.pods = 0;
        counts
    });
}

/// What was not there when it was planned, and is when it is applied, stays as it is.
#[test]
fn what_is_put_on_the_condition_that_it_is_new_takes_the_place_of_nothing() {
    let mut theirs = World::furnished();
    theirs.apply(restore(vec![restored_settings()])).unwrap();
    let acme = || slug("acme");
    let admin = theirs.state.admins_after(None).next().unwrap().id;
    let there = [
        ResourceRef::Tenant { slug: acme() },
        ResourceRef::Scope { tenant: acme(), name: "orders".parse().unwrap() },
        ResourceRef::Client { tenant: acme(), client_id: "web".parse().unwrap() },
        ResourceRef::Admin { id: admin },
        ResourceRef::Settings,
    ];
    let put = |planned: &[ResourceRef]| Mutation::Batch {
        items: vec![restore(everything(&theirs.state))],
        planned_on: planned.iter().map(|it| Precondition::new(it.clone(), Revision::ZERO)).collect(),
        managed_by: None,
    };
    let mut nothing = World::default();
    nothing.apply(put(&there)).unwrap();
    assert_eq!(everything(&nothing.state).len(), everything(&theirs.state).len());
    for resource in there {
        let resources = vec![resource];
        let refused = theirs.clone().apply(put(&resources)).unwrap_err();
        assert_eq!(refused, Rejection::Overtaken { resources });
    }
}

#[test]
fn the_keys_of_an_owner_are_the_whole_set() {
    let mut world = World::furnished();
    let owner = KeyOwner::Tenant(world.state.tenant(&slug("acme")).unwrap().id);
    let keys = |key: u64, status| Restored::Key(restored_key(owner, key, status));
    let applied = world.apply(restore(vec![keys(70, KeyStatus::Active), keys(71, KeyStatus::Retiring)])).unwrap();
    assert!(matches!(applied.changes.last(), Some(Change::KeyDeleted { kid: gone, .. }) if *gone == kid(2)));
    assert_eq!(world.state.active_key(owner, KeyFamily::P256).unwrap().kid, kid(70));
    assert_eq!(world.state.keys_of(owner).count(), 2);
    for wrong in [vec![keys(72, KeyStatus::Retiring)], vec![keys(73, KeyStatus::Active), keys(74, KeyStatus::Active)]] {
        assert_eq!(world.apply(restore(wrong)).unwrap_err().code(), ErrorCode::Conflict);
    }
}

#[test]
fn what_would_break_the_configuration_is_refused_whole() {
    let mut world = World::furnished();
    let other_id = restored("acme", 60);
    let mut same_id = restored("other", 2);
    same_id.truncate(1);
    let mut host = restored("b", 61);
    if let Some(Restored::Tenant(tenant)) = host.first_mut() {
        tenant.spec.settings.hosts = vec!["acme.example".to_owned()];
    }
    let keyless: Vec<_> = restored("b", 61).into_iter().filter(|it| !matches!(it, Restored::Key(_))).collect();
    let ownerless: Vec<_> = restored("b", 61).into_iter().skip(2).collect();
    let mut demoted = restored("b", 1).pop();
    if let Some(Restored::Admin(admin)) = &mut demoted {
        admin.spec.role = Role::Auditor;
    }
    for (what, resources, code) in [
        ("the slug is another tenant's", other_id, ErrorCode::Conflict),
        ("the id is another tenant's", same_id, ErrorCode::Conflict),
        ("the host is another tenant's", host, ErrorCode::Conflict),
        ("no key", keyless, ErrorCode::Conflict),
        ("no tenant", ownerless, ErrorCode::NotFound),
        ("the last owner", demoted.into_iter().collect(), ErrorCode::Conflict),
        ("too many", vec![restored("b", 61).remove(0); crate::limits::RESTORED_TOGETHER + 1], ErrorCode::LimitReached),
    ] {
        assert_eq!(world.apply(restore(resources)).unwrap_err().code(), code, "{what}");
    }
}

#[test]
fn every_problem_is_told_with_its_place() {
    let mut resources = restored("b", 61);
    for resource in &mut resources {
        match resource {
            Restored::Tenant(tenant) => tenant.spec.display_name = String::new(),
            Restored::Client(client) => client.secrets.clear(),
            Restored::Admin(admin) => admin.spec.role = Role::TenantAdmin(slug("nobody")),
            _ => {}
        }
    }
    let Err(Rejection::Invalid { violations }) = World::default().apply(restore(resources)) else {
        panic!("it was not refused as invalid")
    };
    let pointers: Vec<_> = violations.iter().map(|violation| violation.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        ["/resources/0/spec/display_name", "/resources/3/secrets", "/resources/4/spec/role/tenant-admin"]
    );
}
