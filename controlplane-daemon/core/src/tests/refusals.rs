//! What is refused, and how.

use vocab::{ErrorCode, NodeId, Revision, Timestamp};

use super::build::*;
use crate::entry::Command;
use crate::model::{AuthMethod, Presence, Role, ScopeSpec};
use crate::mutation::{Mutation, RotateStep};

#[test]
fn each_row_is_refused_with_its_code() {
    use ErrorCode as E;
    let mut public = client_spec();
    public.token_endpoint_auth_method = AuthMethod::None;
    let mut unknown_scope = client_spec();
    unknown_scope.scopes = vec!["nothing".parse().unwrap()];
    let mut brief = admin_spec(Role::Owner);
    brief.expires_at = Some(Timestamp::from_secs(9_999));
    let mut wrong_settings = settings_spec();
    wrong_settings.staleness.warn_after_secs = 3601;
    let mut talkative = sighting("pod-c", Presence::Connected);
    talkative.address = "x".repeat(257);
    let (acme, nobody) = (|| slug("acme"), || slug("nobody"));
    let create = |name: &str, hosts: &[&str]| Mutation::TenantCreate { slug: slug(name), spec: tenant_spec(hosts) };
    let rows = vec![
        (create("acme", &[]), E::AlreadyExists),
        (create("admin", &[]), E::ValidationFailed),
        (create("xn--cme", &[]), E::ValidationFailed),
        (create("b", &["acme.example"]), E::Conflict),
        (create("b", &["ACME.example"]), E::ValidationFailed),
        (Mutation::TenantUpdate { slug: nobody(), spec: tenant_spec(&[]) }, E::NotFound),
        (Mutation::TenantDelete { slug: nobody() }, E::NotFound),
        (client_create("web", Some(secret(9))), E::AlreadyExists),
        (client_create("app", None), E::Conflict),
        (client_update("web", public), E::ValidationFailed),
        (client_update("web", unknown_scope), E::ValidationFailed),
        (client_update("app", client_spec()), E::NotFound),
        (secret_add("web", 1, None), E::AlreadyExists),
        (
            Mutation::ClientSecretRemove { tenant: acme(), client_id: "web".parse().unwrap(), secret_id: secret(1).id },
            E::Conflict,
        ),
        (registering(), E::Unauthenticated),
        (Mutation::RegistrationTokenRevoke { tenant: acme(), id: registration_token_id() }, E::NotFound),
        (scope_create("orders"), E::AlreadyExists),
        (scope_create("openid"), E::ValidationFailed),
        (scope_create("hj:mine"), E::ValidationFailed),
        (
            Mutation::ScopeUpdate { tenant: acme(), name: "none".parse().unwrap(), spec: ScopeSpec::default() },
            E::NotFound,
        ),
        (rotate(RotateStep::Activate), E::Conflict),
        (Mutation::KeyRotate { tenant: None, step: RotateStep::Publish, family: None }, E::Conflict),
        (revoke(2), E::Conflict),
        (revoke(77), E::NotFound),
        (Mutation::KeyActivate { tenant: Some(acme()), kid: kid(2) }, E::Conflict),
        (admin_create(1, Role::Owner), E::AlreadyExists),
        (admin_create(3, Role::TenantAdmin(nobody())), E::ValidationFailed),
        (Mutation::AdminUpdate { id: admin_id(1), spec: admin_spec(Role::Operator) }, E::Conflict),
        (Mutation::AdminUpdate { id: admin_id(1), spec: brief }, E::Conflict),
        (Mutation::AdminDelete { id: admin_id(1) }, E::Conflict),
        (Mutation::AdminDelete { id: admin_id(9) }, E::NotFound),
        (Mutation::SettingsUpdate { spec: wrong_settings }, E::ValidationFailed),
        (Mutation::FleetUpdate { sightings: vec![], forget: vec![pod("nobody")] }, E::NotFound),
        (
            Mutation::FleetUpdate { sightings: vec![sighting("pod-a", Presence::Gone)], forget: vec![pod("pod-a")] },
            E::Conflict,
        ),
        (Mutation::FleetUpdate { sightings: vec![talkative], forget: vec![] }, E::Conflict),
        (Mutation::NodePut { id: NodeId(4), spec: node_spec("nowhere") }, E::ValidationFailed),
        (Mutation::NodeRemove { id: NodeId(4) }, E::NotFound),
    ];
    for (mutation, code) in rows {
        let shown = format!("{mutation:?}");
        let refused = World::furnished().apply(mutation).expect_err(&shown);
        assert_eq!(refused.code(), code, "{shown}: {refused}");
    }
}

#[test]
fn a_third_secret_and_a_ninth_retiring_key_are_over_the_limit() {
    let mut world = World::furnished();
    world.apply(secret_add("web", 8, None)).unwrap();
    assert_eq!(world.apply(secret_add("web", 9, None)).unwrap_err().code(), ErrorCode::LimitReached);
    for _ in 0..crate::limits::RETIRING_KEYS {
        world.apply(rotate(RotateStep::Now)).unwrap();
    }
    assert_eq!(world.apply(rotate(RotateStep::Now)).unwrap_err().code(), ErrorCode::LimitReached);
}

#[test]
fn if_match_is_held_against_every_mutation() {
    // An import is of the whole configuration, which has no revision to be at.
    for mutation in catalogue().into_iter().filter(|mutation| mutation.name() != "restore") {
        let mut world = World::furnished();
        // What a row of the catalogue needs from the rows before it.
        world.apply(secret_add("web", 8, None)).unwrap();
        world.apply(rotate(RotateStep::Now)).unwrap();
        if mutation.name() == "node.remove" {
            world.apply(Mutation::NodePut { id: NodeId(4), spec: node_spec("a:1") }).unwrap();
        }
        if mutation.name() == "admin.update" || mutation.name() == "admin.delete" {
            world.apply(admin_create(3, Role::Auditor)).unwrap();
        }
        if matches!(mutation.name(), "client.reregister" | "client.unregister") {
            world.apply(Mutation::TenantUpdate { slug: slug("acme"), spec: registering_tenant_spec() }).unwrap();
            let token = catalogue().into_iter().find(|it| it.name() == "registration_token.create").unwrap();
            world.apply(token).unwrap();
            // The entry makes the id of the client.
            world.revision = 13;
            world.apply(registering()).unwrap();
        }
        let stale = Command { expected_revision: Some(Revision(999)), ..command(mutation.clone()) };
        assert_eq!(world.command(stale).unwrap_err().code(), ErrorCode::PreconditionFailed, "{}", mutation.name());
    }
}

#[test]
fn a_request_id_answers_its_own_request_again_and_no_other() {
    let mut world = World::furnished();
    let ask =
        |mutation| Command { request_id: Some("r-1".parse().unwrap()), receipt: Some(sealed()), ..command(mutation) };
    let first = world.command(ask(client_create("app", Some(secret(5))))).unwrap();
    // The retry drew another secret; it is still the same request.
    let again = world.command(ask(client_create("app", Some(secret(6))))).unwrap();
    assert!(again.replayed && again.changes.is_empty());
    assert_eq!((again.revision, again.resource, again.receipt), (first.revision, first.resource, Some(sealed())));
    let other = world.command(ask(client_create("other", Some(secret(5))))).unwrap_err();
    assert_eq!(other.code(), ErrorCode::IdempotencyMismatch);
}

#[test]
fn the_memory_of_requests_is_bounded_by_count_and_age() {
    let mut world = World::furnished();
    let ask = |n: usize| Command {
        request_id: Some(format!("r-{n}").parse().unwrap()),
        ..command(Mutation::TenantUpdate { slug: slug("acme"), spec: tenant_spec(&[]) })
    };
    for n in 0..3 {
        world.command(ask(n)).unwrap();
    }
    assert_eq!(world.state.counts().requests, 3);
    world.revision += 2 * 24 * 3600;
    world.command(ask(3)).unwrap();
    assert_eq!(world.state.counts().requests, 1);
    for n in 4..crate::limits::REQUESTS + 10 {
        let revision = Revision(world.revision + n as u64);
        crate::apply(&mut world.state, revision, entry(ask(n), world.revision)).unwrap();
    }
    assert_eq!(world.state.counts().requests, crate::limits::REQUESTS);
    world.state.check_invariants().unwrap();
}
