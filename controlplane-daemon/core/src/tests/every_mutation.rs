//! What each mutation changes.

use std::collections::BTreeSet;

use vocab::Timestamp;

use super::build::*;
use crate::model::{ClusterSettingsSpec, KeyFamily, KeyOwner, KeyRotation, KeyStatus, Presence, Staleness};
use crate::mutation::{Change, Mutation, RotateStep};

fn names(changes: &[Change]) -> Vec<&'static str> {
    let name = |change: &Change| match change {
        Change::TenantPut(_) => "tenant",
        Change::TenantDeleted { .. } => "-tenant",
        Change::ClientPut(_) => "client",
        Change::ClientDeleted { .. } => "-client",
        Change::ScopePut(_) => "scope",
        Change::ScopeDeleted { .. } => "-scope",
        Change::KeyPut(_) => "key",
        Change::KeyDeleted { .. } => "-key",
        Change::AdminPut(_) => "admin",
        Change::AdminDeleted { .. } => "-admin",
        Change::SettingsPut(_) => "settings",
        Change::PodPut(_) => "pod",
        Change::PodDeleted { .. } => "-pod",
        Change::NodePut(_) => "node",
        Change::NodeDeleted { .. } => "-node",
        Change::ReceiptPut { .. } => "receipt",
    };
    changes.iter().map(name).collect()
}

#[test]
fn each_changes_what_its_row_says() {
    let rows: &[(&str, &[&str])] = &[
        ("tenant.create", &["tenant", "key"]),
        ("tenant.update", &["tenant"]),
        ("client.create", &["client"]),
        ("client.update", &["client"]),
        ("client.secret.add", &["client"]),
        ("client.secret.remove", &["client"]),
        ("registration_token.create", &["tenant"]),
        ("client.register", &["client", "tenant"]),
        ("client.reregister", &["client"]),
        ("client.unregister", &["-client"]),
        ("registration_token.revoke", &["tenant"]),
        ("scope.create", &["scope"]),
        ("scope.update", &["scope"]),
        // Two clients may ask for it.
        ("scope.delete", &["client", "client", "-scope"]),
        ("key.rotate", &["key", "key"]),
        ("key.revoke", &["key"]),
        ("key.rotate", &["key"]),
        ("key.activate", &["key", "key"]),
        ("admin.create", &["admin"]),
        ("admin.update", &["admin"]),
        ("admin.delete", &["-admin"]),
        ("client.delete", &["-client"]),
        ("tenant.delete", &["-client", "-scope", "-key", "-key", "-key", "-admin", "-tenant"]),
        ("restore", &["tenant", "key", "scope", "client", "admin", "settings"]),
        ("audit.note", &[]),
        ("settings.update", &["settings"]),
        ("fleet.update", &["-pod", "pod"]),
        ("batch", &["tenant", "key", "tenant", "key", "scope"]),
        ("node.put", &["node"]),
        ("node.seen", &["node"]),
        ("node.remove", &["node"]),
        ("audit.truncate", &[]),
        ("audit.cursor", &[]),
        ("admin.used", &["admin"]),
        ("key.reseal", &["key"]),
    ];
    let mut world = World::furnished();
    assert_eq!(rows.len(), catalogue().len());
    for (mutation, (name, expected)) in catalogue().into_iter().zip(rows) {
        assert_eq!(mutation.name(), *name);
        let applied = world.apply(mutation).unwrap();
        assert_eq!(names(&applied.changes), *expected, "{name}");
        assert!(!applied.replayed);
    }
    assert_eq!(world.state.tenant_count(), 4);
}

/// The names as the source of [`Mutation::name`] lists them.
#[test]
fn every_mutation_has_a_row() {
    let source = include_str!("../mutation.rs");
    let written: BTreeSet<&str> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Self::")?.split_once("{ .. } => \"")?.1.strip_suffix("\","))
        .collect();
    let tested: BTreeSet<&str> = catalogue().iter().map(Mutation::name).collect();
    assert_eq!(written, tested);
}

#[test]
fn a_key_goes_from_next_to_active_to_retiring_to_revoked() {
    let mut world = World::furnished();
    let owner = KeyOwner::Tenant(world.state.tenant(&slug("acme")).unwrap().id);
    let first = world.state.active_key(owner, KeyFamily::P256).unwrap().kid.clone();
    world.apply(rotate(RotateStep::Publish)).unwrap();
    let next = world.state.next_key(owner, KeyFamily::P256).unwrap().kid.clone();
    assert_eq!(world.state.active_key(owner, KeyFamily::P256).unwrap().kid, first);
    world.apply(rotate(RotateStep::Activate)).unwrap();
    assert_eq!(world.state.active_key(owner, KeyFamily::P256).unwrap().kid, next);
    assert_eq!(world.state.key(owner, &first).unwrap().status, KeyStatus::Retiring);
    world.apply(Mutation::KeyRevoke { tenant: Some(slug("acme")), kid: first.clone() }).unwrap();
    assert_eq!(world.state.key(owner, &first).unwrap().status, KeyStatus::Revoked);
    assert_eq!(world.state.published_keys(owner).count(), 1);
}

#[test]
fn old_revoked_keys_are_dropped_and_their_number_stays_bounded() {
    let mut world = World::furnished();
    let owner = KeyOwner::Tenant(world.state.tenant(&slug("acme")).unwrap().id);
    for _ in 0..40 {
        let active = world.state.active_key(owner, KeyFamily::P256).unwrap().kid.clone();
        world.apply(rotate(RotateStep::Now)).unwrap();
        world.apply(Mutation::KeyRevoke { tenant: Some(slug("acme")), kid: active }).unwrap();
    }
    assert_eq!(world.state.keys_of(owner).count(), crate::limits::REVOKED_KEYS + 1);
    assert!(world.state.key(owner, &kid(2)).is_none(), "the first key is the oldest revoked one");
}

#[test]
fn an_expired_secret_makes_room_for_another() {
    let mut world = World::furnished();
    world.apply(secret_add("web", 8, Some(Timestamp::from_secs(7)))).unwrap();
    world.apply(secret_add("web", 9, None)).unwrap();
    let tenant = world.state.tenant(&slug("acme")).unwrap().id;
    let secrets = &world.state.client(tenant, &"web".parse().unwrap()).unwrap().secrets;
    assert_eq!(secrets.iter().map(|s| s.id).collect::<Vec<_>>(), [secret(8).id, secret(9).id]);
}

#[test]
fn a_replaced_host_is_free_for_another_tenant() {
    let mut world = World::furnished();
    world.apply(Mutation::TenantUpdate { slug: slug("acme"), spec: tenant_spec(&[]) }).unwrap();
    world.apply(Mutation::TenantCreate { slug: slug("b"), spec: tenant_spec(&["acme.example"]) }).unwrap();
    assert_eq!(world.state.tenant_of_host("acme.example").unwrap().slug, slug("b"));
}

/// What a rotation waits for must not shrink with the settings: somebody may still go by the old ones.
#[test]
fn what_was_allowed_once_is_remembered() {
    let mut world = World::furnished();
    let mut spec = tenant_spec(&[]);
    spec.settings.lifetimes.jwks_cache_secs = 3600;
    spec.settings.lifetimes.id_token_secs = 900;
    spec.settings.staleness = Some(Staleness { refuse_after_secs: 700, warn_after_secs: 60, ..Staleness::default() });
    for spec in [spec, tenant_spec(&[])] {
        world.apply(Mutation::TenantUpdate { slug: slug("acme"), spec }).unwrap();
    }
    let longest = world.state.tenant(&slug("acme")).unwrap().longest;
    assert_eq!((longest.jwks_cache_secs, longest.token_secs, longest.stale_secs), (3600, 900, 700));
    assert!(longest.inherited_staleness);
    assert_eq!(world.state.settings().longest_stale_secs, 0);
    world.apply(Mutation::SettingsUpdate { spec: settings_spec() }).unwrap();
    assert_eq!(world.state.settings().longest_stale_secs, Staleness::default().refuse_after_secs);
}

#[test]
fn policies_are_the_tenants_own_or_the_clusters() {
    let mut world = World::furnished();
    let (policy, own) = (KeyRotation { max_age_secs: Some(5), clock_skew_secs: 0 }, KeyRotation::default());
    let spec = ClusterSettingsSpec { tenant_key_rotation: Some(policy), ..settings_spec() };
    world.apply(Mutation::SettingsUpdate { spec: spec.clone() }).unwrap();
    let tenant = |world: &World| world.state.tenant(&slug("acme")).unwrap().clone();
    assert_eq!(world.state.key_rotation_of(&tenant(&world)), Some(policy));
    assert_eq!(world.state.staleness_of(&tenant(&world)), spec.staleness);
    let mut with_own = tenant_spec(&[]);
    (with_own.settings.key_rotation, with_own.settings.staleness) = (Some(own), Some(Staleness::default()));
    world.apply(Mutation::TenantUpdate { slug: slug("acme"), spec: with_own }).unwrap();
    assert_eq!(world.state.key_rotation_of(&tenant(&world)), Some(own));
    assert_eq!(world.state.staleness_of(&tenant(&world)), Staleness::default());
}

#[test]
fn the_roster_keeps_since_when_a_pod_is_what_it_is() {
    let mut world = World::furnished();
    let mut see = |presence| {
        world.apply(Mutation::FleetUpdate { sightings: vec![sighting("pod-a", presence)], forget: vec![] }).unwrap();
        world.state.pod(&pod("pod-a")).unwrap().since
    };
    let gone = see(Presence::Gone);
    assert_eq!(see(Presence::Gone), gone);
    assert!(see(Presence::Connected) > gone);
}
