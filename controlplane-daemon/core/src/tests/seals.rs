//! Where secrets are sealed, and how they come under another key.

use std::collections::BTreeMap;

use vocab::identity_provider::{IdentityProvider, ProviderAuthMethod};
use vocab::{Revision, Sealed};

use super::build::*;
use crate::entry::Command;
use crate::model::{AuthMethod, ClientSpec, Database, Smtp, SmtpAccount, SmtpSecurity};
use crate::mutation::{AdminUse, Mutation, NewSecret, Reseal};
use crate::seals::SealedPlace;
use crate::snapshot;

/// A tenant with a database, a mail server, two identity providers and a client whose secret is kept, and a remembered request with a receipt.
fn sealed_world() -> World {
    let mut world = World::furnished();
    let mut spec = tenant_spec(&[]);
    spec.settings.database = Some(Database { dsn: sealed(), max_connections: 5 });
    spec.settings.smtp = Some(smtp());
    spec.settings.oauth.identity_providers = ["corp", "other"].map(provider).to_vec();
    world.apply(Mutation::TenantUpdate { slug: slug("acme"), spec }).unwrap();
    let client = ClientSpec { token_endpoint_auth_method: AuthMethod::ClientSecretJwt, ..client_spec() };
    let secret = Some(NewSecret { sealed: Some(sealed()), ..secret(7) });
    let client_id = Some("hmac".parse().unwrap());
    world.apply(Mutation::ClientCreate { tenant: slug("acme"), client_id, spec: client, secret }).unwrap();
    let request_id = Some("r-1".parse().unwrap());
    world.command(Command { request_id, receipt: Some(sealed()), ..command(scope_create("invoices")) }).unwrap();
    world
}

fn smtp() -> Smtp {
    let account = SmtpAccount { username: "acme".to_owned(), password: sealed() };
    Smtp {
        host: "mx.example".to_owned(),
        port: None,
        security: SmtpSecurity::Starttls,
        from: "no-reply@acme.example".to_owned(),
        account: Some(account),
    }
}

fn provider(id: &str) -> IdentityProvider {
    IdentityProvider {
        id: id.to_owned(),
        display_name: id.to_owned(),
        issuer: "https://id.example".to_owned(),
        client_id: "us".to_owned(),
        token_endpoint_auth_method: ProviderAuthMethod::ClientSecretBasic,
        client_secret: Some(sealed()),
        ..IdentityProvider::default()
    }
}

fn counts(world: &World) -> BTreeMap<String, usize> {
    world.state.sealed_with().iter().map(|(key, count)| (key.clone(), *count)).collect()
}

/// Whatever is stored as an envelope is in the list, or a reseal would leave it behind.
#[test]
fn the_list_names_every_envelope_of_a_snapshot() {
    let world = sealed_world();
    let mut bytes = Vec::new();
    snapshot::encode(&world.state, &mut bytes).unwrap();
    let written = String::from_utf8(bytes).unwrap().matches("\"hjs1.").count();
    assert_eq!((written, world.state.seals().count()), (7, 7));
    for (place, envelope) in world.state.seals() {
        assert_eq!(world.state.sealed_at(&place), Some(envelope));
    }
}

#[test]
fn resealing_moves_each_kind_and_keeps_revisions() {
    let mut world = sealed_world();
    assert_eq!(counts(&world), [("0a1b2c3d".to_owned(), 7)].into());
    let before = world.state.tenant(&slug("acme")).unwrap().clone();
    let moves: Vec<Reseal> =
        world.state.seals().map(|(place, from)| Reseal { place, from: from.clone(), to: resealed() }).collect();
    let applied = world.apply(Mutation::KeyReseal { moves: moves.clone() }).unwrap();
    assert_eq!(applied.changes.len(), 7);
    assert_eq!(counts(&world), [("99999999".to_owned(), 7)].into());
    let after = world.state.tenant(&slug("acme")).unwrap();
    assert_eq!((after.revision, after.updated_at), (before.revision, before.updated_at));
    // Once more: nothing is as it was, so nothing is done.
    let again = world.apply(Mutation::KeyReseal { moves }).unwrap();
    assert_eq!(again.changes.len(), 0);
    // The memory of the request goes on working, with the new envelope.
    let ask = Command { request_id: Some("r-1".parse().unwrap()), ..command(scope_create("invoices")) };
    assert_eq!(world.command(ask).unwrap().receipt, Some(resealed()));
}

#[test]
fn a_secret_that_was_written_meanwhile_is_left_alone() {
    let mut world = sealed_world();
    let newer: Sealed = format!("hjs1.77777777.{}", "C".repeat(64)).parse().unwrap();
    let moves: Vec<Reseal> =
        world.state.seals().map(|(place, from)| Reseal { place, from: from.clone(), to: resealed() }).collect();
    let mut spec = tenant_spec(&[]);
    spec.settings.database = Some(Database { dsn: newer.clone(), max_connections: 5 });
    world.apply(Mutation::TenantUpdate { slug: slug("acme"), spec }).unwrap();
    world.apply(Mutation::TenantCreate { slug: slug("b"), spec: tenant_spec(&[]) }).unwrap();
    assert_eq!(world.apply(Mutation::KeyReseal { moves }).unwrap().changes.len(), 3);
    let tenant = world.state.tenant(&slug("acme")).unwrap().id;
    assert_eq!(world.state.sealed_at(&SealedPlace::Database { tenant }), Some(&newer));
}

/// The index must follow replaced and deleted holders, too; `World` compares it after every entry.
#[test]
fn the_count_follows_deletions() {
    let mut world = sealed_world();
    world.apply(Mutation::TenantUpdate { slug: slug("acme"), spec: tenant_spec(&[]) }).unwrap();
    assert_eq!(counts(&world)["0a1b2c3d"], 3);
    world.apply(Mutation::ClientDelete { tenant: slug("acme"), client_id: "hmac".parse().unwrap() }).unwrap();
    assert_eq!(counts(&world)["0a1b2c3d"], 2);
    world.apply(Mutation::TenantDelete { slug: slug("acme") }).unwrap();
    assert_eq!(counts(&world)["0a1b2c3d"], 1);
    world.revision += 2 * 24 * 3600;
    world.apply(admin_create(3, crate::model::Role::Auditor)).unwrap();
    assert!(counts(&world).is_empty(), "the receipt is forgotten with its request");
}

#[test]
fn the_latest_use_of_a_credential_counts_and_leaves_its_revision() {
    let mut world = World::furnished();
    let before = world.state.admin(admin_id(1)).unwrap().revision;
    let used = |secs| Mutation::AdminUsed {
        uses: [1, 99].map(|n| AdminUse { id: admin_id(n), at: vocab::Timestamp::from_secs(secs) }).to_vec(),
    };
    assert_eq!(world.apply(used(20)).unwrap().changes.len(), 1, "of those that there are");
    assert_eq!(world.apply(used(10)).unwrap().changes.len(), 0, "an older one says nothing new");
    let admin = world.state.admin(admin_id(1)).unwrap();
    assert_eq!((admin.last_used_at, admin.revision), (Some(vocab::Timestamp::from_secs(20)), before));
}

/// Somebody judged the request by a revision that nobody named: it must hold, and a retry is still the same request.
#[test]
fn a_basis_is_checked_but_no_part_of_the_request() {
    let mut world = World::furnished();
    let ask = |based_on: u64| Command {
        request_id: Some("r-1".parse().unwrap()),
        based_on: Some(Revision(based_on)),
        ..command(Mutation::TenantUpdate { slug: slug("acme"), spec: tenant_spec(&[]) })
    };
    let basis = world.state.tenant(&slug("acme")).unwrap().revision.get();
    assert_eq!(world.command(ask(basis + 100)).unwrap_err().code(), vocab::ErrorCode::PreconditionFailed);
    let first = world.command(ask(basis)).unwrap();
    let again = world.command(ask(first.revision.get())).unwrap();
    assert!(again.replayed);
    assert_eq!(again.revision, first.revision);
}

#[test]
fn a_secret_is_kept_for_whoever_needs_it_and_for_nobody_else() {
    let mut world = sealed_world();
    let tenant = world.state.tenant(&slug("acme")).unwrap().id;
    let spec = |method| ClientSpec { token_endpoint_auth_method: method, ..client_spec() };
    let add = |id: &str, n, sealed| Mutation::ClientSecretAdd {
        tenant: slug("acme"),
        client_id: id.parse().unwrap(),
        secret: NewSecret { sealed, ..secret(n) },
        previous_expires_at: None,
    };
    let kept = |world: &World, id: &str| {
        let client = world.state.client(tenant, &id.parse().unwrap()).unwrap();
        client.secrets.iter().filter(|secret| secret.sealed.is_some()).count()
    };
    // Whoever made the secret did not know what the client is by now.
    assert_eq!(world.apply(add("hmac", 8, None)).unwrap_err().code(), vocab::ErrorCode::Conflict);
    world.apply(add("hmac", 8, Some(sealed()))).unwrap();
    world.apply(add("web", 9, Some(sealed()))).unwrap();
    assert_eq!((kept(&world, "hmac"), kept(&world, "web")), (2, 0));
    // What is known by its digest alone is no key.
    let to_hmac = client_update("web", spec(AuthMethod::ClientSecretJwt));
    assert_eq!(world.apply(to_hmac).unwrap_err().code(), vocab::ErrorCode::ValidationFailed);
    world.apply(client_update("hmac", spec(AuthMethod::ClientSecretBasic))).unwrap();
    assert_eq!((kept(&world, "hmac"), counts(&world)["0a1b2c3d"]), (0, 6));
}
