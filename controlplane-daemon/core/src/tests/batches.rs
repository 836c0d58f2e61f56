//! Batches: all or nothing, every refusal with its index, and what an item gets of the stamp.

use vocab::{ErrorCode, Revision};

use super::build::*;
use crate::entry::Command;
use crate::model::{KeyFamily, KeyOwner, ScopeSpec, SigningAlgorithm};
use crate::mutation::{Mutation, Precondition, ResourceRef, RotateStep};
use crate::rejection::Rejection;

fn tenant_create(name: &str) -> Mutation {
    Mutation::TenantCreate { slug: slug(name), spec: tenant_spec(&[]) }
}

fn scope_of(tenant: &str, name: &str) -> Mutation {
    Mutation::ScopeCreate { tenant: slug(tenant), name: name.parse().unwrap(), spec: ScopeSpec::default() }
}

fn refused_indexes(rejection: Rejection) -> Vec<(usize, ErrorCode)> {
    let Rejection::Items { items } = rejection else { panic!("{rejection}") };
    items.into_iter().map(|item| (item.index, item.rejection.code())).collect()
}

#[test]
fn an_item_sees_what_the_earlier_ones_did_and_all_are_of_one_revision() {
    let mut world = World::furnished();
    let applied = world
        .apply(batch(vec![tenant_create("b"), scope_of("b", "x"), Mutation::TenantDelete { slug: slug("acme") }]))
        .unwrap();
    assert_eq!(applied.resource, ResourceRef::Configuration);
    let made = world.state.tenant(&slug("b")).unwrap();
    assert_eq!(made.revision, applied.revision);
    let scope = world.state.scope(made.id, &"x".parse().unwrap()).unwrap();
    assert_eq!(scope.revision, applied.revision);
    assert!(world.state.tenant(&slug("acme")).is_none());
}

#[test]
fn ids_and_keys_differ_by_item_and_follow_from_the_stamp() {
    let mut world = World::furnished();
    world.apply(batch(vec![tenant_create("a"), scope_of("a", "x"), tenant_create("b")])).unwrap();
    let tenants: Vec<_> = ["a", "b"].map(|name| world.state.tenant(&slug(name)).unwrap().clone()).to_vec();
    let stamped = uuid(world.revision);
    assert_eq!(tenants[0].id.to_string(), stamped.to_string());
    assert_eq!(tenants[1].id.to_string(), uuid(world.revision + 2).to_string());
    let keys: Vec<_> = tenants
        .iter()
        .map(|tenant| world.state.active_key(KeyOwner::Tenant(tenant.id), KeyFamily::P256).unwrap().kid.clone())
        .collect();
    // The scope in between takes none.
    assert_eq!(keys, [kid(world.revision), kid(world.revision + 1_000_000)]);
}

#[test]
fn the_leader_is_asked_for_each_items_key_by_what_stands_before_it() {
    let world = World::furnished();
    let mut rsa = tenant_spec(&[]);
    rsa.settings.signing_algorithm = SigningAlgorithm::Rs256;
    let rotate = |name: &str| Mutation::KeyRotate { tenant: Some(slug(name)), step: RotateStep::Now, family: None };
    let asked = batch(vec![
        rotate("acme"),
        Mutation::TenantCreate { slug: slug("b"), spec: rsa.clone() },
        scope_of("b", "x"),
        rotate("b"),
        Mutation::TenantUpdate { slug: slug("acme"), spec: rsa },
        rotate("acme"),
        rotate("nobody"),
        Mutation::KeyRotate { tenant: None, step: RotateStep::Activate, family: None },
    ]);
    let (ec, rsa) = (KeyFamily::P256, KeyFamily::Rsa);
    // The update brings a first key, which the rotation after it replaces.
    assert_eq!(asked.fresh_keys(&world.state), [ec, rsa, rsa, rsa, rsa, ec]);
}

#[test]
fn every_refused_item_is_named_and_nothing_is_done() {
    let mut world = World::furnished();
    let items = vec![tenant_create("acme"), tenant_create("b"), scope_of("nobody", "x"), scope_of("b", "openid")];
    let refused = world.apply(batch(items)).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::AlreadyExists);
    let codes = [(0, ErrorCode::AlreadyExists), (2, ErrorCode::NotFound), (3, ErrorCode::ValidationFailed)];
    assert_eq!(refused_indexes(refused), codes);
    assert!(world.state.tenant(&slug("b")).is_none());
    // What is told to the audit makes records of its own kind.
    let told: Vec<Mutation> = catalogue().into_iter().filter(Mutation::is_of_the_audit).collect();
    assert_eq!(told.len(), 3);
    let conflicts: Vec<_> = (0..3).map(|index| (index, ErrorCode::Conflict)).collect();
    assert_eq!(refused_indexes(world.apply(batch(told)).unwrap_err()), conflicts);
}

#[test]
fn a_batch_is_neither_empty_nor_nested_nor_endless() {
    let mut world = World::furnished();
    assert_eq!(world.apply(batch(vec![])).unwrap_err().code(), ErrorCode::Conflict);
    let nested = world.apply(batch(vec![batch(vec![tenant_create("b")])])).unwrap_err();
    assert_eq!(refused_indexes(nested), [(0, ErrorCode::Conflict)]);
    let endless = vec![scope_of("acme", "x"); crate::limits::BATCH_ITEMS + 1];
    assert_eq!(world.apply(batch(endless)).unwrap_err().code(), ErrorCode::LimitReached);
}

#[test]
fn a_plan_that_was_overtaken_is_refused_naming_by_what() {
    let acme = || ResourceRef::Tenant { slug: slug("acme") };
    let web = || ResourceRef::Client { tenant: slug("acme"), client_id: "web".parse().unwrap() };
    let gone = || ResourceRef::Scope { tenant: slug("acme"), name: "gone".parse().unwrap() };
    let planned = |resource, revision| Precondition::new(resource, Revision(revision));
    let asked = |planned_on| Mutation::Batch { items: vec![tenant_create("b")], planned_on, managed_by: None };
    let mut world = World::furnished();
    world.apply(asked(vec![planned(acme(), 2), planned(web(), 4), planned(gone(), 0)])).unwrap();

    let mut world = World::furnished();
    world.apply(client_update("web", client_spec())).unwrap();
    let refused = world.apply(asked(vec![planned(acme(), 2), planned(web(), 4), planned(gone(), 1)])).unwrap_err();
    assert_eq!(refused, Rejection::Overtaken { resources: vec![web(), gone()] });
    assert_eq!(refused.code(), ErrorCode::PreconditionFailed);
}

/// A tenant is pruned because everything in it is the set's own: no longer so if something came or changed meanwhile.
#[test]
fn a_tenant_does_not_go_with_what_came_into_it_since_the_plan() {
    let acme = || ResourceRef::Tenant { slug: slug("acme") };
    let prune = |world: &World, contents| {
        let revision = world.state.tenant(&slug("acme")).unwrap().revision;
        let planned_on = vec![Precondition { contents: Some(contents), ..Precondition::new(acme(), revision) }];
        Mutation::Batch { items: vec![Mutation::TenantDelete { slug: slug("acme") }], planned_on, managed_by: None }
    };
    let contents = |world: &World| world.state.contents_revision(world.state.tenant(&slug("acme")).unwrap().id);
    let meanwhile: [Mutation; 3] =
        [client_create("late", Some(secret(9))), client_update("web", client_spec()), scope_of("acme", "late")];
    for change in meanwhile {
        let mut world = World::furnished();
        let planned = prune(&world, contents(&world));
        world.apply(change).unwrap();
        let refused = world.apply(planned).unwrap_err();
        assert_eq!(refused, Rejection::Overtaken { resources: vec![acme()] });
        // Planned again, with what came in sight, it goes.
        let again = prune(&world, contents(&world));
        world.apply(again).unwrap();
        assert!(world.state.tenant(&slug("acme")).is_none());
    }
    let mut world = World::furnished();
    world.apply(Mutation::TenantUpdate { slug: slug("acme"), spec: tenant_spec(&["acme.example"]) }).unwrap();
    let planned = prune(&world, contents(&world));
    world.apply(planned).unwrap();
}

#[test]
fn what_a_set_puts_is_its_own_until_another_set_puts_it() {
    let mut world = World::furnished();
    let put = |set: &str, items| Mutation::Batch { items, planned_on: vec![], managed_by: Some(set.to_owned()) };
    let spec = || tenant_spec(&["acme.example"]);
    world
        .apply(put(
            "shop",
            vec![
                Mutation::TenantUpdate { slug: slug("acme"), spec: spec() },
                client_update("web", client_spec()),
                scope_of("acme", "mine"),
            ],
        ))
        .unwrap();
    // Changed by hand they stay the set's.
    world.apply(Mutation::TenantUpdate { slug: slug("acme"), spec: spec() }).unwrap();
    world.apply(secret_add("web", 8, None)).unwrap();
    let shop = Some("shop".to_owned());
    let acme = world.state.tenant(&slug("acme")).unwrap().clone();
    assert_eq!(acme.managed_by, shop);
    assert_eq!(world.state.client(acme.id, &"web".parse().unwrap()).unwrap().managed_by, shop);
    assert_eq!(world.state.scope(acme.id, &"mine".parse().unwrap()).unwrap().managed_by, shop);
    assert_eq!(world.state.scope(acme.id, &"orders".parse().unwrap()).unwrap().managed_by, None);
    world.apply(put("infra", vec![Mutation::TenantUpdate { slug: slug("acme"), spec: spec() }])).unwrap();
    assert_eq!(world.state.tenant(&slug("acme")).unwrap().managed_by, Some("infra".to_owned()));
    for bad in ["", "-a", "A", "a b", &"a".repeat(64)] {
        let refused = world.apply(put(bad, vec![tenant_create("b")])).unwrap_err();
        assert_eq!(refused.code(), ErrorCode::ValidationFailed, "{bad}");
    }
}

#[test]
fn a_retried_batch_is_known_by_what_was_asked() {
    let mut world = World::furnished();
    let ask = |secret_number, planned_on| Command {
        request_id: Some("r-1".parse().unwrap()),
        ..command(Mutation::Batch {
            items: vec![client_create("app", Some(secret(secret_number)))],
            planned_on,
            managed_by: None,
        })
    };
    let first = world.command(ask(5, vec![])).unwrap();
    let later = Precondition::new(ResourceRef::Tenant { slug: slug("acme") }, Revision(99));
    let again = world.command(ask(6, vec![later])).unwrap();
    assert!(again.replayed);
    assert_eq!((again.revision, again.resource), (first.revision, first.resource));
    let other = Command { request_id: Some("r-1".parse().unwrap()), ..command(batch(vec![tenant_create("b")])) };
    assert_eq!(world.command(other).unwrap_err(), Rejection::IdempotencyMismatch);
}
