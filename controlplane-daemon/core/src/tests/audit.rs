//! What goes on record.

use serde_json::Value;
use vocab::ChainWalk;

use super::build::*;
use crate::entry::{Actor, Command, Entry, Origin};
use crate::model::{Database, TenantSpec};
use crate::mutation::{Mutation, RotateStep};
use crate::snapshot;

fn read(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

/// Every mutation there is, from somebody somewhere.
fn recorded() -> (World, Vec<String>) {
    let mut world = World::furnished();
    let mut lines = Vec::new();
    for mutation in catalogue() {
        let origin = Origin {
            address: Some("192.0.2.7".to_owned()),
            request_id: Some("r-9".to_owned()),
            credential: Some("cred".to_owned()),
            ..Origin::default()
        };
        let command = Command { origin, actor: Actor::Admin { id: admin_id(1) }, ..command(mutation) };
        lines.extend(world.command(command).unwrap().records.into_iter().map(|record| record.text().to_owned()));
    }
    (world, lines)
}

#[test]
fn every_mutation_but_the_cursor_is_on_record_and_the_chain_holds() {
    let (world, lines) = recorded();
    let mut walk = ChainWalk::default();
    for line in &lines {
        walk.step(line).unwrap();
    }
    assert_eq!(
        walk.last().map(|link| (link.seq, link.hash)),
        Some((world.state.audit().seq, world.state.audit().hash))
    );
    let actions: Vec<String> = lines.iter().map(|line| read(line)["action"].as_str().unwrap().to_owned()).collect();
    for mutation in catalogue() {
        let expected = !matches!(
            mutation,
            Mutation::AuditCursor { .. }
                | Mutation::AuditNote { .. }
                | Mutation::FleetUpdate { .. }
                | Mutation::AdminUsed { .. }
                | Mutation::NodeSeen { .. }
        );
        assert_eq!(actions.iter().any(|action| action == mutation.name()), expected, "{}", mutation.name());
    }
    for noted in notes() {
        assert!(actions.iter().any(|action| action == noted.note.action()), "{}", noted.note.action());
    }
    assert_eq!(world.state.audit().removed_through, 1);
    assert_eq!(world.state.audit().cursors.get("http"), Some(&2));
}

#[test]
fn a_record_says_who_what_when_and_from_where() {
    let (_, lines) = recorded();
    let update = lines.iter().map(|line| read(line)).find(|line| line["action"] == "tenant.update").unwrap();
    assert_eq!(update["actor"]["id"], admin_id(1).to_string());
    assert_eq!(update["credential"], "cred");
    assert_eq!(update["source_address"], "192.0.2.7");
    assert_eq!(update["request_id"], "r-9");
    assert_eq!(update["tenant"], "acme");
    assert_eq!(update["resource"], "tenants/acme");
    let revision = update["revision"].as_i64().unwrap();
    assert_eq!(update["time"], format!("1970-01-01T00:00:{revision:02}.000Z"));
    let changed = serde_json::json!([{"resource": "tenants/acme", "change": "updated", "fields": [
        {"field": "/settings/hosts", "before": ["acme.example"], "after": ["new.example"]},
        {"field": "/settings/oauth/registration/mode", "after": "token"},
    ]}]);
    assert_eq!(update["changes"], changed);
    let refused = lines.iter().map(|line| read(line)).find(|line| line["action"] == "request.refused").unwrap();
    assert_eq!((&refused["code"], &refused["node"]), (&"forbidden".into(), &2.into()));
    assert_eq!(refused["actor"]["id"], admin_id(2).to_string());
}

#[test]
fn what_touches_several_tenants_is_one_record_for_each() {
    let mut world = World::furnished();
    world.apply(Mutation::Restore { resources: restored("back", 40) }).unwrap();
    let gone = world.apply(Mutation::TenantDelete { slug: slug("back") }).unwrap();
    let tenants: Vec<Value> = gone.records.iter().map(|record| read(record.text())["tenant"].clone()).collect();
    assert_eq!(tenants, [Value::Null, "back".into()], "its administrator belongs to nobody");
}

/// Whatever is secret is marked, and the marks are looked for.
#[test]
fn no_secret_is_on_record() {
    const MARK: &str = "Hunter2";
    let dsn = |n: u8| format!("hjs1.0a1b2c3d.{MARK}{n}{}", "A".repeat(60)).parse().unwrap();
    let with_database = |n: u8| {
        let mut spec: TenantSpec = tenant_spec(&[]);
        spec.settings.database = Some(Database { dsn: dsn(n), max_connections: n.into() });
        spec
    };
    let mut world = World::furnished();
    let mut mutations = catalogue();
    mutations.splice(0..0, [1, 2].map(|n| Mutation::TenantUpdate { slug: slug("acme"), spec: with_database(n) }));
    mutations.insert(2, rotate(RotateStep::Now));
    let digests = [secret(1), secret(7), secret(8)].map(|secret| serde_json::to_value(secret.digest).unwrap());
    let mut text = String::new();
    for mutation in mutations {
        world.revision += 1;
        let mut entry: Entry = entry(Command { receipt: Some(dsn(9)), ..command(mutation) }, world.revision);
        entry.command.request_id = Some(format!("r-{}", world.revision).parse().unwrap());
        if let Some(key) = &mut entry.stamp.key {
            key.private_key = dsn(3);
        }
        let applied = crate::apply(&mut world.state, vocab::Revision(world.revision), entry);
        // Rows that build on each other were disturbed by what was put before them; the others go on.
        text.extend(applied.into_iter().flat_map(|applied| applied.records).map(|record| record.text().to_owned()));
    }
    assert!(text.contains("/settings/database/dsn") && text.contains("(hidden)"), "{text}");
    assert!(text.contains("/private_key") && text.contains("digest"), "{text}");
    assert!(!text.contains(MARK) && !text.contains("hjs1."), "{text}");
    for digest in digests {
        assert!(!text.contains(digest.as_str().unwrap()), "{digest}");
    }
}

#[test]
fn the_chain_goes_on_after_a_snapshot_and_old_entries_are_no_part_of_it() {
    let (mut world, _) = recorded();
    let mut bytes = Vec::new();
    snapshot::encode(&world.state, &mut bytes).unwrap();
    let mut other = World { state: snapshot::decode(bytes.as_slice()).unwrap(), revision: world.revision };
    let mutation = || admin_create(77, crate::model::Role::Auditor);
    assert_eq!(world.apply(mutation()).unwrap().records, other.apply(mutation()).unwrap().records);
    let old = Entry { format: 1, ..entry(command(admin_create(78, crate::model::Role::Auditor)), 99) };
    assert_eq!(crate::apply(&mut world.state, vocab::Revision(99), old).unwrap().records, []);
}

#[test]
fn truncations_follow_each_other_and_leave_the_newest() {
    let mut world = World::furnished();
    let truncate = |through_seq, removed| Mutation::AuditTruncate {
        truncation: crate::mutation::Truncation { through_seq, removed, ..truncation() },
        removed_bytes: 1,
    };
    let newest = world.state.audit().seq;
    assert!(world.apply(truncate(newest, newest)).is_err(), "the newest stays");
    assert!(world.apply(truncate(0, 0)).is_err());
    assert!(world.apply(truncate(2, 1)).is_err(), "another was faster");
    world.apply(truncate(2, 2)).unwrap();
    assert!(world.apply(truncate(1, 0)).is_err());
    world.apply(truncate(2, 0)).unwrap();
    assert_eq!(world.state.audit().truncation.as_ref().map(|it| it.through_seq), Some(2), "signed anew");
    world.apply(truncate(3, 1)).unwrap();
    assert_eq!(world.state.audit().first_seq(), 4);
    let far = Mutation::AuditCursor { sink: "http".to_owned(), seq: world.state.audit().seq + 1 };
    assert!(world.apply(far).is_err());
}
