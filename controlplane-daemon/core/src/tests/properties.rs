//! What holds after any sequence of mutations.

use proptest::prelude::*;
use vocab::{NodeId, Revision};

use super::build::*;
use crate::entry::{Command, Entry, Stamp};
use crate::model::{Presence, Role, ScopeSpec};
use crate::mutation::{Change, Mutation, RotateStep};
use crate::rejection::Rejection;
use crate::snapshot;
use crate::state::State;

fn any_mutation() -> impl Strategy<Value = Mutation> {
    let tenant = || prop::sample::select(vec!["acme", "b", "c"]).prop_map(slug);
    let name = || prop::sample::select(vec!["orders", "x", "y"]);
    let hosts = || prop::sample::subsequence(vec!["h1.example", "h2.example", "h3.example"], 0..=3);
    let step = prop::sample::select(vec![RotateStep::Now, RotateStep::Publish, RotateStep::Activate]);
    let small = || 1..12_u64;
    let role = || {
        prop_oneof![
            Just(Role::Owner),
            Just(Role::Auditor),
            prop::sample::select(vec!["acme", "b"]).prop_map(|text| Role::TenantAdmin(slug(text))),
        ]
    };
    prop_oneof![
        2 => (tenant(), hosts()).prop_map(|(slug, h)| Mutation::TenantCreate { slug, spec: tenant_spec(&h) }),
        2 => (tenant(), hosts()).prop_map(|(slug, h)| Mutation::TenantUpdate { slug, spec: tenant_spec(&h) }),
        1 => tenant().prop_map(|slug| Mutation::TenantDelete { slug }),
        2 => (name(), small()).prop_map(|(id, n)| client_create(id, Some(secret(n)))),
        1 => name().prop_map(|id| client_update(id, client_spec())),
        1 => (name(), small()).prop_map(|(id, n)| secret_add(id, n, None)),
        1 => (name(), small()).prop_map(|(id, n)| Mutation::ClientSecretRemove {
            tenant: slug("acme"), client_id: id.parse().unwrap(), secret_id: secret(n).id,
        }),
        1 => name().prop_map(|id| Mutation::ClientDelete { tenant: slug("acme"), client_id: id.parse().unwrap() }),
        2 => name().prop_map(scope_create),
        1 => (tenant(), name()).prop_map(|(tenant, n)| Mutation::ScopeUpdate {
            tenant, name: n.parse().unwrap(), spec: ScopeSpec::default(),
        }),
        1 => (tenant(), name()).prop_map(|(tenant, n)| Mutation::ScopeDelete { tenant, name: n.parse().unwrap() }),
        2 => (prop::option::of(tenant()), step).prop_map(|(tenant, step)| Mutation::KeyRotate { tenant, step, family: None }),
        2 => (prop::option::of(tenant()), small()).prop_map(|(tenant, n)| Mutation::KeyRevoke { tenant, kid: kid(n) }),
        2 => (small(), role()).prop_map(|(n, role)| admin_create(n, role)),
        1 => (small(), role()).prop_map(|(n, r)| Mutation::AdminUpdate { id: admin_id(n), spec: admin_spec(r) }),
        1 => small().prop_map(|n| Mutation::AdminDelete { id: admin_id(n) }),
        1 => Just(Mutation::SettingsUpdate { spec: settings_spec() }),
        1 => name().prop_map(|n| Mutation::FleetUpdate { sightings: vec![sighting(n, Presence::Gone)], forget: vec![] }),
        1 => name().prop_map(|n| Mutation::FleetUpdate { sightings: vec![], forget: vec![pod(n)] }),
        1 => small().prop_map(|n| Mutation::NodePut { id: NodeId(n), spec: node_spec("a:1") }),
        1 => small().prop_map(|n| Mutation::NodeRemove { id: NodeId(n) }),
        1 => small().prop_map(|n| Mutation::NodeSeen { ids: vec![NodeId(n)] }),
    ]
}

/// Batches of what is asked singly, too.
fn any_request() -> impl Strategy<Value = Mutation> {
    let set = prop::option::of(prop::sample::select(vec!["shop".to_owned(), "infra".to_owned()]));
    let batch = (prop::collection::vec(any_mutation(), 1..5), set).prop_map(|(items, managed_by)| Mutation::Batch {
        items,
        planned_on: vec![],
        managed_by,
    });
    prop_oneof![4 => any_mutation(), 1 => batch]
}

fn any_command() -> impl Strategy<Value = Command> {
    (any_request(), prop::option::of(0..4_u8)).prop_map(|(mutation, request)| Command {
        request_id: request.map(|n| format!("r-{n}").parse().unwrap()),
        ..command(mutation)
    })
}

/// The items as entries of their own, at the same revision and of the same stamp; those that were refused.
fn one_by_one(state: &mut State, revision: u64, stamp: &Stamp, items: Vec<Mutation>) -> Vec<(usize, Rejection)> {
    let mut keys: Vec<_> = stamp.keys().cloned().collect();
    let mut refused = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let stamp = Stamp::new(stamp.at, uuid(revision + index as u64), keys.clone());
        match crate::apply(state, Revision(revision), Entry::new(command(item), stamp)) {
            Ok(applied) => keys.retain(|key| {
                !applied.changes.iter().any(|change| matches!(change, Change::KeyPut(put) if put.kid == key.kid))
            }),
            Err(rejection) => refused.push((index, rejection)),
        }
    }
    refused
}

fn bytes_of(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    snapshot::encode(state, &mut bytes).unwrap();
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// `World` checks the invariants after every entry, and that a refused one changed nothing.
    #[test]
    fn any_sequence_is_deterministic_and_survives_a_snapshot(
        commands in prop::collection::vec(any_command(), 1..60),
        cut in 0..60_usize,
    ) {
        let (mut one, mut two) = (World::furnished(), World::furnished());
        for (index, command) in commands.into_iter().enumerate() {
            if index == cut {
                // The second goes on from its own snapshot.
                two.state = snapshot::decode(bytes_of(&two.state).as_slice()).unwrap();
            }
            prop_assert_eq!(one.command(command.clone()), two.command(command));
        }
        prop_assert_eq!(&one.state, &two.state);
        let bytes = bytes_of(&one.state);
        prop_assert_eq!(&bytes, &bytes_of(&two.state));
        prop_assert_eq!(&bytes, &bytes_of(&snapshot::decode(bytes.as_slice()).unwrap()));
    }

    /// `World` checks that a refused one changed nothing.
    #[test]
    fn a_batch_is_its_items_one_by_one(
        before in prop::collection::vec(any_mutation(), 0..10),
        items in prop::collection::vec(any_mutation(), 1..12),
    ) {
        let mut world = World::furnished();
        for mutation in before {
            let _ = world.apply(mutation);
        }
        let entry = entry(command(batch(items.clone())), world.revision + 1);
        let mut singly = world.state.clone();
        let refused = one_by_one(&mut singly, world.revision + 1, &entry.stamp, items);
        match world.command(entry.command) {
            Ok(_) => {
                prop_assert!(refused.is_empty());
                // A batch is one record per tenant, its items one each.
                singly.audit.clone_from(&world.state.audit);
                prop_assert_eq!(singly, world.state);
            }
            Err(Rejection::Items { items }) => {
                prop_assert_eq!(items.into_iter().map(|item| (item.index, item.rejection)).collect::<Vec<_>>(), refused);
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn a_retry_changes_nothing(mutation in any_request()) {
        let mut world = World::furnished();
        let ask = Command { request_id: Some("again".parse().unwrap()), ..command(mutation) };
        if let Ok(first) = world.command(ask.clone()) {
            let after = world.state.clone();
            let again = world.command(ask).unwrap();
            prop_assert!(again.replayed);
            prop_assert_eq!((again.revision, again.resource), (first.revision, first.resource));
            prop_assert_eq!(after, world.state);
        }
    }
}
