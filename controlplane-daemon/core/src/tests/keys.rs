//! One key per family: when one comes, what replaces it, when it may go.

use KeyFamily::{Ed25519, P256, P384, Rsa};
use vocab::jwe::{ContentEncryption, JweAlgorithm};
use vocab::{ErrorCode, Revision, Timestamp};

use super::build::*;
use crate::entry::{Entry, FreshKey, Stamp};
use crate::model::{ClientSpec, KeyFamily, KeyOwner, KeyStatus, SigningAlgorithm};
use crate::mutation::{Mutation, RotateStep};
use crate::rejection::Rejection;
use crate::state::Applied;

/// Stamped as a leader that looked at `looked_at` would.
fn apply_as_leader(world: &mut World, looked_at: &World, mutation: Mutation) -> Result<Applied, Rejection> {
    world.revision += 1;
    let number = world.revision;
    let families = mutation.fresh_keys(&looked_at.state);
    let keys = families
        .into_iter()
        .zip(0..)
        .map(|(family, index)| FreshKey { family, ..fresh_key(number + 1_000_000 * index) });
    let stamp = Stamp::new(Timestamp::from_secs(number.cast_signed()), uuid(number), keys.collect());
    let applied = crate::apply(&mut world.state, Revision(number), Entry::new(command(mutation), stamp));
    world.state.check_invariants().unwrap();
    applied
}

fn apply(world: &mut World, mutation: Mutation) -> Result<Applied, Rejection> {
    let before = world.clone();
    apply_as_leader(world, &before, mutation)
}

fn owner(world: &World) -> KeyOwner {
    KeyOwner::Tenant(world.state.tenant(&slug("acme")).unwrap().id)
}

fn active(world: &World) -> Vec<KeyFamily> {
    let mut families: Vec<_> = world.state.active_keys(owner(world)).map(|key| key.family).collect();
    families.sort();
    families
}

fn signed_by(algorithm: SigningAlgorithm) -> ClientSpec {
    ClientSpec { id_token_signed_response_alg: Some(algorithm), ..client_spec() }
}

fn with_algorithm(algorithm: SigningAlgorithm) -> Mutation {
    let mut spec = tenant_spec(&["acme.example"]);
    spec.settings.signing_algorithm = algorithm;
    Mutation::TenantUpdate { slug: slug("acme"), spec }
}

fn rotate_of(algorithm: SigningAlgorithm, step: RotateStep) -> Mutation {
    Mutation::KeyRotate { tenant: Some(slug("acme")), step, family: Some(algorithm.family()) }
}

#[test]
fn the_first_key_of_a_family_comes_with_the_client_that_asks_for_it_and_serves_all() {
    let mut world = World::furnished();
    assert_eq!(active(&world), [KeyFamily::P256]);
    apply(&mut world, client_update("web", signed_by(SigningAlgorithm::Rs256))).unwrap();
    assert_eq!(active(&world), [KeyFamily::P256, KeyFamily::Rsa]);
    let made = world.state.active_key(owner(&world), KeyFamily::Rsa).unwrap().clone();
    assert_eq!((made.revision, made.family), (Revision(world.revision), KeyFamily::Rsa));
    // PS256 has the same key.
    let applied = apply(&mut world, client_update("web", signed_by(SigningAlgorithm::Ps256))).unwrap();
    assert_eq!(applied.changes.len(), 1);
    assert_eq!(world.state.active_key(owner(&world), KeyFamily::Rsa).unwrap().kid, made.kid);
}

#[test]
fn so_it_does_with_the_tenants_own_algorithm() {
    let mut world = World::furnished();
    apply(&mut world, with_algorithm(SigningAlgorithm::Es384)).unwrap();
    assert_eq!(active(&world), [KeyFamily::P256, KeyFamily::P384]);
    // And back: what there is does.
    assert_eq!(apply(&mut world, with_algorithm(SigningAlgorithm::Es256)).unwrap().changes.len(), 1);
}

#[test]
fn a_batch_makes_each_first_key_once() {
    let mut world = World::furnished();
    let mut spec = tenant_spec(&[]);
    spec.settings.signing_algorithm = SigningAlgorithm::EdDsa;
    let batch = batch(vec![
        client_update("web", signed_by(SigningAlgorithm::Rs256)),
        Mutation::TenantCreate { slug: slug("b"), spec: spec.clone() },
        rotate(RotateStep::Now),
        Mutation::ClientUpdate {
            tenant: slug("acme"),
            client_id: "web".parse().unwrap(),
            spec: signed_by(SigningAlgorithm::Ps256),
        },
        Mutation::TenantDelete { slug: slug("b") },
        Mutation::TenantCreate { slug: slug("b"), spec },
        rotate_of(SigningAlgorithm::Es384, RotateStep::Now),
        with_algorithm(SigningAlgorithm::Es384),
    ]);
    assert_eq!(batch.fresh_keys(&world.state), [Rsa, Ed25519, P256, Ed25519, P384]);
    apply(&mut world, batch).unwrap();
    assert_eq!(active(&world), [P256, Rsa, P384]);
    let beta = KeyOwner::Tenant(world.state.tenant(&slug("b")).unwrap().id);
    assert_eq!(world.state.keys_of(beta).map(|key| key.family).collect::<Vec<_>>(), [Ed25519]);
}

/// The leader makes keys by what it sees, and others write meanwhile.
#[test]
fn whoever_was_overtaken_leaves_the_key_or_is_told_to_try_again() {
    let mut world = World::furnished();
    let before = world.clone();
    let ask = || client_update("web", signed_by(SigningAlgorithm::Rs256));
    apply(&mut world, ask()).unwrap();
    let first = world.state.active_key(owner(&world), KeyFamily::Rsa).unwrap().kid.clone();
    apply_as_leader(&mut world, &before, ask()).unwrap();
    assert_eq!(world.state.active_key(owner(&world), KeyFamily::Rsa).unwrap().kid, first);

    let with_key = world.clone();
    let mut without = before;
    let refused = apply_as_leader(&mut without, &with_key, ask()).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Conflict);
}

#[test]
fn families_rotate_by_themselves() {
    let mut world = World::furnished();
    apply(&mut world, client_update("web", signed_by(SigningAlgorithm::Rs256))).unwrap();
    let kid = |world: &World, family| world.state.active_key(owner(world), family).unwrap().kid.clone();
    let (ec, rsa) = (kid(&world, KeyFamily::P256), kid(&world, KeyFamily::Rsa));
    apply(&mut world, rotate_of(SigningAlgorithm::Ps256, RotateStep::Publish)).unwrap();
    let next = world.state.next_key(owner(&world), KeyFamily::Rsa).unwrap().kid.clone();
    assert!(world.state.next_key(owner(&world), KeyFamily::P256).is_none());
    apply(&mut world, Mutation::KeyActivate { tenant: Some(slug("acme")), kid: next.clone() }).unwrap();
    assert_eq!((kid(&world, KeyFamily::P256), kid(&world, KeyFamily::Rsa)), (ec.clone(), next));
    assert_eq!(world.state.key(owner(&world), &rsa).unwrap().status, KeyStatus::Retiring);
    // Without a name it is the tenant's own.
    apply(&mut world, rotate(RotateStep::Now)).unwrap();
    assert_eq!(world.state.key(owner(&world), &ec).unwrap().status, KeyStatus::Retiring);
}

#[test]
fn the_active_key_of_a_family_goes_only_when_nobody_signs_with_it() {
    let mut world = World::furnished();
    apply(&mut world, client_update("web", signed_by(SigningAlgorithm::Rs256))).unwrap();
    let rsa = world.state.active_key(owner(&world), KeyFamily::Rsa).unwrap().kid.clone();
    let revoke = |kid| Mutation::KeyRevoke { tenant: Some(slug("acme")), kid };
    assert_eq!(apply(&mut world, revoke(rsa.clone())).unwrap_err().code(), ErrorCode::Conflict);
    apply(&mut world, client_update("web", client_spec())).unwrap();
    apply(&mut world, rotate_of(SigningAlgorithm::Rs256, RotateStep::Publish)).unwrap();
    assert_eq!(apply(&mut world, revoke(rsa.clone())).unwrap_err().code(), ErrorCode::Conflict);
    let next = world.state.next_key(owner(&world), KeyFamily::Rsa).unwrap().kid.clone();
    apply(&mut world, revoke(next)).unwrap();
    apply(&mut world, revoke(rsa)).unwrap();
    assert_eq!(active(&world), [KeyFamily::P256]);
    // Asked for again, another one is made.
    apply(&mut world, client_update("web", signed_by(SigningAlgorithm::Ps256))).unwrap();
    assert_eq!(active(&world), [KeyFamily::P256, KeyFamily::Rsa]);
}

#[test]
fn keys_for_encryption_live_beside_those_that_sign() {
    let mut world = World::furnished();
    let encrypts = |alg| ClientSpec {
        jwks_uri: Some("https://rp.example/jwks".to_owned()),
        request_object_encryption_alg: Some(alg),
        request_object_encryption_enc: Some(ContentEncryption::A256Gcm),
        ..client_spec()
    };
    apply(&mut world, client_update("web", encrypts(JweAlgorithm::RsaOaep256))).unwrap();
    apply(&mut world, client_update("web", encrypts(JweAlgorithm::EcdhEs))).unwrap();
    assert_eq!(active(&world), [P256, KeyFamily::RsaEncryption, KeyFamily::P256Encryption]);
    let kid = |world: &World, family| world.state.active_key(owner(world), family).unwrap().kid.clone();
    let first = kid(&world, KeyFamily::P256Encryption);
    let signs = kid(&world, P256);
    let rotate =
        |step| Mutation::KeyRotate { tenant: Some(slug("acme")), step, family: Some(KeyFamily::P256Encryption) };
    apply(&mut world, rotate(RotateStep::Publish)).unwrap();
    apply(&mut world, rotate(RotateStep::Activate)).unwrap();
    assert_eq!(kid(&world, P256), signs);
    let second = kid(&world, KeyFamily::P256Encryption);
    assert_eq!(world.state.key(owner(&world), &first).unwrap().status, KeyStatus::Retiring);
    let revoke = |kid| Mutation::KeyRevoke { tenant: Some(slug("acme")), kid };
    assert_eq!(apply(&mut world, revoke(second)).unwrap_err().code(), ErrorCode::Conflict, "a client needs it");
    // The other family's key, which no client needs any more, may go; so may the one before.
    let unused = kid(&world, KeyFamily::RsaEncryption);
    for kid in [unused, first] {
        apply(&mut world, revoke(kid)).unwrap();
    }
    assert_eq!(active(&world), [P256, KeyFamily::P256Encryption]);
}
