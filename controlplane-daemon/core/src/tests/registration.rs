//! What clients that register themselves may and may not.

use vocab::registration::{RegistrationMode, StatementIssuer};
use vocab::{ClientId, ErrorCode, SecretDigest, Timestamp};

use super::build::*;
use crate::model::{AuthMethod, Client, ClientSpec, RegistrationTokenSpec, TenantSpec};
use crate::mutation::{InitialProof, Mutation, NewSecret, RegistrationProofs};

/// With a token that lets in `max_uses` until second 1000.
fn world(change: impl FnOnce(&mut TenantSpec), max_uses: Option<u32>) -> World {
    let mut world = World::furnished();
    let mut spec = registering_tenant_spec();
    change(&mut spec);
    world.apply(Mutation::TenantUpdate { slug: slug("acme"), spec }).unwrap();
    let spec =
        RegistrationTokenSpec { name: "Partner".to_owned(), expires_at: Some(Timestamp::from_secs(1_000)), max_uses };
    let (tenant, digest) = (slug("acme"), SecretDigest::of(b"initial"));
    world.apply(Mutation::RegistrationTokenCreate { tenant, id: registration_token_id(), spec, digest }).unwrap();
    world
}

fn register(world: &mut World, change: impl FnOnce(&mut ClientSpec, &mut RegistrationProofs)) -> Result<(), ErrorCode> {
    let Mutation::ClientRegister { tenant, mut spec, secret, mut proofs } = registering() else { panic!() };
    change(&mut spec, &mut proofs);
    let secret = secret.filter(|_| spec.token_endpoint_auth_method != AuthMethod::None);
    let outcome = world.apply(Mutation::ClientRegister { tenant, spec, secret, proofs });
    outcome.map(|_| ()).map_err(|refusal| refusal.code())
}

#[test]
fn a_token_lets_in_as_many_as_it_says_until_it_expires() {
    let mut two = world(|_| {}, Some(2));
    let revision = two.state.tenant(&slug("acme")).unwrap().revision;
    assert_eq!(register(&mut two, |_, _| {}), Ok(()));
    assert_eq!(register(&mut two, |_, _| {}), Ok(()));
    assert_eq!(register(&mut two, |_, _| {}), Err(ErrorCode::Unauthenticated));
    let tenant = two.state.tenant(&slug("acme")).unwrap();
    assert_eq!((tenant.registration_tokens[0].uses, tenant.revision), (2, revision));

    let mut late = world(|_| {}, None);
    late.revision = 999;
    assert_eq!(register(&mut late, |_, _| {}), Err(ErrorCode::Unauthenticated));
}

#[test]
fn who_shows_another_token_or_none_stays_outside() {
    let mut world = world(|_| {}, None);
    let wrong = InitialProof { id: registration_token_id(), digest: SecretDigest::of(b"guessed") };
    assert_eq!(register(&mut world, |_, proofs| proofs.initial = Some(wrong)), Err(ErrorCode::Unauthenticated));
    assert_eq!(register(&mut world, |_, proofs| proofs.initial = None), Err(ErrorCode::Unauthenticated));
    world.apply(Mutation::RegistrationTokenRevoke { tenant: slug("acme"), id: registration_token_id() }).unwrap();
    assert_eq!(register(&mut world, |_, _| {}), Err(ErrorCode::Unauthenticated));
}

#[test]
fn an_open_door_needs_no_token_and_a_shut_one_takes_none() {
    let mut open = world(|spec| spec.settings.oauth.registration.mode = RegistrationMode::Open, None);
    assert_eq!(register(&mut open, |_, proofs| proofs.initial = None), Ok(()));
    assert_eq!(open.state.tenant(&slug("acme")).unwrap().registration_tokens[0].uses, 0);
    let mut shut = world(|spec| spec.settings.oauth.registration.mode = RegistrationMode::Off, None);
    assert_eq!(register(&mut shut, |_, _| {}), Err(ErrorCode::Unauthenticated));
}

#[test]
fn the_policy_bounds_what_is_registered() {
    let mut world =
        world(|spec| spec.settings.oauth.registration.token_endpoint_auth_methods = vec![AuthMethod::None], None);
    let public = |spec: &mut ClientSpec| spec.token_endpoint_auth_method = AuthMethod::None;
    assert_eq!(register(&mut world, |_, _| {}), Err(ErrorCode::ValidationFailed));
    assert_eq!(register(&mut world, |spec, _| public(spec)), Ok(()));
    // The tenant's own scopes and the platform's are not given to strangers.
    for scope in ["orders", "hj:users.read"] {
        let beyond = |spec: &mut ClientSpec| spec.scopes = vec![scope.parse().unwrap()];
        let outcome = register(&mut world, |spec, _| (public(spec), beyond(spec)).1);
        assert_eq!(outcome, Err(ErrorCode::ValidationFailed), "{scope}");
    }
}

#[test]
fn who_must_be_vouched_for_is() {
    let issuer = || "https://vouch.example".to_owned();
    let mut world = world(
        |spec| {
            let policy = &mut spec.settings.oauth.registration;
            policy.require_statement = true;
            let jwks = serde_json::json!({"keys": [{"kty": "EC"}]});
            policy.statement_issuers = vec![StatementIssuer { issuer: issuer(), jwks }];
        },
        None,
    );
    assert_eq!(register(&mut world, |_, _| {}), Err(ErrorCode::ValidationFailed));
    let vouched = |name: String| {
        move |_: &mut ClientSpec, proofs: &mut RegistrationProofs| {
            proofs.statement_issuer = Some(name);
        }
    };
    assert_eq!(register(&mut world, vouched("https://other.example".to_owned())), Err(ErrorCode::ValidationFailed));
    assert_eq!(register(&mut world, vouched(issuer())), Ok(()));
}

#[test]
fn only_its_own_token_changes_a_client() {
    let mut world = world(|_| {}, None);
    register(&mut world, |_, _| {}).unwrap();
    let id = registered_client(world.revision);
    let reregister = |client_id: &str, proof: &[u8]| Mutation::ClientReregister {
        tenant: slug("acme"),
        client_id: client_id.parse().unwrap(),
        spec: registered_spec(),
        proof: SecretDigest::of(proof),
        statement_issuer: None,
        secret: None,
        management: None,
    };
    let mut code = |mutation| world.apply(mutation).err().map(|refusal| refusal.code());
    assert_eq!(code(reregister(id.as_str(), b"guessed")), Some(ErrorCode::Unauthenticated));
    // One that an administrator made has no such token, and an unknown one is not told apart.
    assert_eq!(code(reregister("web", b"management")), Some(ErrorCode::Unauthenticated));
    assert_eq!(code(reregister("nobody", b"management")), Some(ErrorCode::Unauthenticated));
    assert_eq!(code(reregister(id.as_str(), b"management")), None);
    let unregister = |proof: &[u8]| Mutation::ClientUnregister {
        tenant: slug("acme"),
        client_id: id.clone(),
        proof: SecretDigest::of(proof),
    };
    assert_eq!(code(unregister(b"guessed")), Some(ErrorCode::Unauthenticated));
    assert_eq!(code(unregister(b"management")), None);
    assert_eq!(code(unregister(b"management")), Some(ErrorCode::Unauthenticated));
}

#[test]
fn what_an_administrator_changes_keeps_the_clients_token() {
    let mut world = world(|_| {}, None);
    register(&mut world, |_, _| {}).unwrap();
    let id = registered_client(world.revision);
    world.apply(client_update(id.as_str(), ClientSpec { enabled: false, ..registered_spec() })).unwrap();
    let tenant = world.state.tenant(&slug("acme")).unwrap().id;
    assert!(world.state.client(tenant, &id).unwrap().registration.is_some());
    let again = Mutation::ClientReregister {
        tenant: slug("acme"),
        client_id: id,
        spec: registered_spec(),
        proof: SecretDigest::of(b"management"),
        statement_issuer: None,
        secret: None,
        management: None,
    };
    assert_eq!(world.apply(again).unwrap_err().code(), ErrorCode::Conflict, "a disabled client does not enable itself");
}

fn client_of(world: &World, id: &ClientId) -> Client {
    let tenant = world.state.tenant(&slug("acme")).unwrap().id;
    Client::clone(world.state.client(tenant, id).unwrap())
}

#[test]
fn each_change_brings_another_token_and_the_one_before_is_good_until_that_is_used() {
    let mut world = world(|spec| spec.settings.oauth.registration.rotate_access_token = true, None);
    register(&mut world, |_, _| {}).unwrap();
    let id = registered_client(world.revision);
    let mut change = |proof: &[u8], offered: &[u8]| {
        let changed = world.apply(Mutation::ClientReregister {
            tenant: slug("acme"),
            client_id: id.clone(),
            spec: registered_spec(),
            proof: SecretDigest::of(proof),
            statement_issuer: None,
            secret: None,
            management: Some(SecretDigest::of(offered)),
        });
        changed.err().map(|refusal| refusal.code())
    };
    assert_eq!(change(b"management", b"lost"), None);
    // The answer did not arrive, so the client shows what it has.
    assert_eq!(change(b"management", b"second"), None);
    assert_eq!(change(b"lost", b"x"), Some(ErrorCode::Unauthenticated));
    assert_eq!(change(b"second", b"third"), None);
    assert_eq!(change(b"management", b"x"), Some(ErrorCode::Unauthenticated));
    assert_eq!(change(b"third", b"fourth"), None);
}

#[test]
fn secrets_end_when_the_tenant_says_and_the_next_one_comes_in_the_second_half() {
    let mut world = world(|spec| spec.settings.oauth.registration.client_secret_lifetime_secs = Some(1000), None);
    register(&mut world, |_, _| {}).unwrap();
    let id = registered_client(world.revision);
    let first = client_of(&world, &id).secrets;
    assert_eq!(first[0].expires_at, Some(first[0].created_at.plus_secs(1000)));
    let mut change = |offered: u64, method| {
        let spec = ClientSpec { token_endpoint_auth_method: method, ..registered_spec() };
        let sealed = Some(sealed());
        world
            .apply(Mutation::ClientReregister {
                tenant: slug("acme"),
                client_id: id.clone(),
                spec,
                proof: SecretDigest::of(b"management"),
                statement_issuer: None,
                secret: Some(NewSecret { sealed, ..secret(offered) }),
                management: Some(SecretDigest::of(b"not wanted")),
            })
            .unwrap();
        let revision = world.revision;
        world.revision += 600;
        (revision, client_of(&world, &id))
    };
    let basic = AuthMethod::ClientSecretBasic;
    assert_eq!(change(70, basic).1.secrets, first, "there is time enough");
    let (at, client) = change(71, basic);
    let [old, new] = &client.secrets[..] else { panic!("{client:?}") };
    assert_eq!((old, new.id), (&first[0], secret(71).id));
    assert_eq!(new.expires_at, Some(Timestamp::from_secs(at.cast_signed()).plus_secs(1000)));
    assert_eq!((new.sealed.clone(), client.registration.unwrap().previous_digest), (None, None));
    // By another method, for which a digest is not enough.
    let (_, client) = change(72, AuthMethod::ClientSecretJwt);
    let [only] = &client.secrets[..] else { panic!("{client:?}") };
    assert_eq!((only.id, only.sealed.is_some()), (secret(72).id, true));
    assert_eq!(change(73, AuthMethod::ClientSecretJwt).1.secrets.len(), 2);
}
