use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rstest::rstest;
use serde_json::{Value, json};
use uuid::Uuid;
use vocab::{MasterKey, Timestamp};
use watch::resource::Kind;

use super::*;
use crate::store::migrate::Mode;
use crate::store::pool::Limits;

fn ring(byte: u8) -> Keyring {
    Keyring::new(MasterKey::new([byte; 32]), vec![])
}

fn mirror() -> Mirror {
    let keyring = ring(1);
    let limits = Limits { per_tenant: 2, total: 4, idle: Duration::from_secs(1) };
    let pools = PodPools::new(limits, keyring.clone(), Mode::Off);
    Mirror::new(Surroundings { keyring, public_url: "https://id.example/".parse().unwrap(), pools })
}

fn cluster() -> ClusterId {
    ClusterId::from_uuid(Uuid::from_u128(1))
}

fn uuid(n: u128) -> String {
    Uuid::from_u128(n).to_string()
}

fn resource(kind: Kind) -> watch::Resource {
    watch::Resource { kind: Some(kind) }
}

fn tenant(n: u128, slug: &str, revision: u64) -> watch::Tenant {
    watch::Tenant {
        id: uuid(n),
        slug: slug.into(),
        display_name: slug.to_uppercase(),
        status: watch::TenantStatus::Active.into(),
        issuer_mode: watch::IssuerMode::Path.into(),
        database: Some(watch::Database {
            sealed_dsn: ring(1).seal(b"postgres://localhost/x", [1; 24]).to_string(),
            max_connections: 3,
        }),
        lifetimes: Some(watch::Lifetimes { access_token_secs: 600, ..Default::default() }),
        revision,
        ..Default::default()
    }
}

fn client(n: u128, id: &str) -> watch::Client {
    watch::Client {
        tenant_id: uuid(n),
        client_id: id.into(),
        enabled: true,
        token_endpoint_auth_method: "client_secret_basic".into(),
        grant_types: vec!["client_credentials".into()],
        ..Default::default()
    }
}

fn key(n: u128, kid: &str, sealed_by: u8) -> watch::SigningKey {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..])});
    let pkcs8 = pair.to_pkcs8v1().unwrap();
    watch::SigningKey {
        tenant_id: Some(uuid(n)),
        kid: kid.into(),
        algorithm: "ES256".into(),
        status: watch::KeyStatus::Active.into(),
        public_jwk: jwk.to_string(),
        sealed_private_key: ring(sealed_by).seal(pkcs8.as_ref(), [2; 24]).to_string(),
        revision: 1,
    }
}

fn two_tenants() -> Mirror {
    let mut mirror = mirror();
    mirror.replace(
        cluster(),
        Revision(10),
        vec![
            resource(Kind::Tenant(tenant(1, "acme", 1))),
            resource(Kind::Client(client(1, "web"))),
            resource(Kind::SigningKey(key(1, "k1", 1))),
            resource(Kind::Tenant(tenant(2, "beta", 2))),
            resource(Kind::SigningKey(key(2, "k2", 1))),
        ],
    );
    mirror
}

fn put(kind: Kind) -> watch::Change {
    watch::Change { kind: Some(watch::change::Kind::Put(resource(kind))) }
}

fn delete(kind: watch::deleted::Kind) -> watch::Change {
    watch::Change { kind: Some(watch::change::Kind::Deleted(watch::Deleted { kind: Some(kind) })) }
}

#[test]
fn a_snapshot_becomes_a_directory() {
    let mirror = two_tenants();
    let directory = mirror.directory();
    assert!(directory.is_ready());
    assert_eq!((directory.revision, directory.tenant_count()), (Revision(10), 2));
    let acme = directory.by_slug("acme").unwrap();
    assert_eq!(acme.issuer, "https://id.example/t/acme");
    assert_eq!(acme.base_path(), "/t/acme");
    assert!(acme.client("web").is_some() && acme.db().is_ok());
    let token = acme.keys.sign("JWT", &json!({"iss": acme.issuer, "exp": 9})).unwrap();
    assert!(acme.keys.verify::<Value>(&token, "JWT", &acme.issuer, Timestamp::from_secs(1)).is_ok());
    let beta = directory.by_slug("beta").unwrap();
    assert!(beta.client("web").is_none());
    assert!(beta.keys.verify::<Value>(&token, "JWT", &acme.issuer, Timestamp::from_secs(1)).is_err());
}

#[test]
fn a_change_rebuilds_only_its_tenant_and_keeps_its_pool() {
    let mut mirror = two_tenants();
    let before = mirror.directory().clone();
    mirror.apply(Revision(11), vec![put(Kind::Client(client(1, "mobile")))]);
    let after = mirror.directory();
    assert!(Arc::ptr_eq(before.by_slug("beta").unwrap(), after.by_slug("beta").unwrap()));
    let (old, new) = (before.by_slug("acme").unwrap(), after.by_slug("acme").unwrap());
    assert_eq!((old.clients.len(), new.clients.len(), new.revision), (1, 2, Revision(11)));
    assert_eq!((before.revision, after.revision), (Revision(10), Revision(11)));
    let wanted = decode::tenant(tenant(1, "acme", 1)).unwrap().database.unwrap();
    assert!(new.db().unwrap().is_for(&wanted));
    mirror.apply(Revision(12), vec![]);
    assert_eq!(mirror.directory().revision, Revision(12));
}

#[test]
fn deletions_take_away_what_they_name() {
    let mut mirror = two_tenants();
    let client_ref = watch::ClientRef { tenant_id: uuid(1), client_id: "web".into() };
    mirror.apply(Revision(11), vec![delete(watch::deleted::Kind::Client(client_ref))]);
    assert!(mirror.directory().by_slug("acme").unwrap().client("web").is_none());
    let tenant_ref = watch::TenantRef { tenant_id: uuid(1) };
    mirror.apply(Revision(12), vec![delete(watch::deleted::Kind::Tenant(tenant_ref))]);
    assert!(mirror.directory().by_slug("acme").is_none());
    assert_eq!(mirror.saved().unwrap().resources.len(), 2);
    // Another tenant under the same slug inherits nothing.
    mirror.apply(Revision(13), vec![put(Kind::Tenant(tenant(3, "acme", 13)))]);
    let acme = mirror.directory().by_slug("acme").unwrap();
    assert!(acme.clients.is_empty() && acme.keys.signing_algorithm().is_none());
}

#[test]
fn a_slug_passes_from_one_tenant_to_another_within_one_change() {
    let mut mirror = two_tenants();
    mirror.apply(
        Revision(11),
        vec![put(Kind::Tenant(tenant(1, "old-acme", 11))), put(Kind::Tenant(tenant(2, "acme", 11)))],
    );
    let directory = mirror.directory();
    assert_eq!(directory.by_slug("acme").unwrap().id.to_string(), uuid(2));
    assert_eq!(directory.by_slug("old-acme").unwrap().id.to_string(), uuid(1));
    assert!(directory.by_slug("beta").is_none());
}

#[test]
fn hosts_lead_to_their_tenant() {
    let mut mirror = two_tenants();
    let hosted = watch::Tenant {
        issuer_mode: watch::IssuerMode::Host.into(),
        hosts: vec!["Login.Acme.example".into()],
        ..tenant(1, "acme", 11)
    };
    mirror.apply(Revision(11), vec![put(Kind::Tenant(hosted))]);
    let acme = mirror.directory().by_host("login.acme.example").unwrap();
    assert_eq!((acme.issuer.as_str(), acme.base_path()), ("https://login.acme.example", ""));
    mirror.apply(Revision(12), vec![put(Kind::Tenant(tenant(1, "acme", 12)))]);
    assert!(mirror.directory().by_host("login.acme.example").is_none());
}

#[rstest]
#[case::status(watch::Tenant { status: 9, ..tenant(1, "acme", 11) })]
#[case::host(watch::Tenant { issuer_mode: watch::IssuerMode::Host.into(), ..tenant(1, "acme", 11) })]
#[case::slug(tenant(1, "No Slug", 11))]
#[case::lifetimes(watch::Tenant { lifetimes: None, ..tenant(1, "acme", 11) })]
fn what_cannot_be_used_stays_at_its_last_good_state(#[case] bad: watch::Tenant) {
    let mut mirror = two_tenants();
    let mut everything: Vec<_> =
        mirror.saved().unwrap().resources.values().map(|r| watch::Resource::decode(r.clone()).unwrap()).collect();
    mirror.apply(Revision(11), vec![put(Kind::Tenant(bad.clone()))]);
    assert_eq!(mirror.directory().by_slug("acme").unwrap().display_name, "ACME");
    assert_eq!(mirror.rejected()[0].resource, "tenants/acme");
    // The same when it comes in a snapshot.
    everything.retain(|r| !matches!(&r.kind, Some(Kind::Tenant(t)) if t.id == uuid(1)));
    everything.push(resource(Kind::Tenant(bad)));
    mirror.replace(cluster(), Revision(12), everything);
    assert!(mirror.directory().by_slug("acme").unwrap().client("web").is_some());
    assert_eq!(mirror.rejected_count(), 1);
    // A good one heals it.
    mirror.apply(Revision(13), vec![put(Kind::Tenant(tenant(1, "acme", 13)))]);
    assert!(mirror.rejected().is_empty());
}

#[test]
fn keys_of_an_unknown_master_key_are_named() {
    let mut mirror = two_tenants();
    mirror.apply(Revision(11), vec![put(Kind::SigningKey(key(1, "k9", 5)))]);
    let key_id = ring(5).first_id().to_owned();
    assert!(mirror.unopened().unwrap().contains(&key_id));
    let rejected = mirror.rejected();
    assert_eq!(rejected[0].resource, "tenants/acme/keys/k9");
    assert!(mirror.directory().by_slug("acme").unwrap().keys.signing_algorithm().is_some());
}

#[test]
fn of_very_many_that_are_rejected_the_keys_are_named_first() {
    let mut mirror = two_tenants();
    let unusable =
        |n: u32| watch::Client { token_endpoint_auth_method: "x".repeat(1000), ..client(1, &format!("client-{n}")) };
    let mut changes: Vec<_> = (0..2000).map(|n| put(Kind::Client(unusable(n)))).collect();
    changes.push(put(Kind::SigningKey(key(1, "k9", 5))));
    mirror.apply(Revision(11), changes);
    let listed = mirror.rejected();
    assert_eq!((listed.len(), mirror.rejected_count()), (MOST_LISTED, 2001));
    assert_eq!(listed[0].resource, "tenants/acme/keys/k9");
    assert!(listed[1].resource.starts_with("tenants/acme/clients/"));
    let bytes: usize = listed.iter().map(prost::Message::encoded_len).sum();
    assert!(bytes < 64 << 10, "{bytes}");
}

#[test]
fn a_dsn_of_an_unknown_master_key_is_named_and_the_last_good_one_kept() {
    let mut mirror = two_tenants();
    let sealed = |byte: u8| watch::Database {
        sealed_dsn: ring(byte).seal(b"postgres://localhost/x", [9; 24]).to_string(),
        ..tenant(1, "acme", 11).database.unwrap()
    };
    let before = mirror.directory().by_slug("acme").unwrap().clone();
    let with = |byte: u8| watch::Tenant { database: Some(sealed(byte)), ..tenant(1, "acme", 11) };
    mirror.apply(Revision(11), vec![put(Kind::Tenant(with(5)))]);
    assert_eq!(mirror.rejected()[0].resource, "tenants/acme");
    assert!(mirror.rejected()[0].reason.contains(ring(5).first_id()), "{}", mirror.rejected()[0].reason);
    assert_eq!(mirror.unopened(), None, "the pod serves with the last good one");
    // Sealed anew with a key that there is, it is the same database: its connections stay.
    mirror.apply(Revision(12), vec![put(Kind::Tenant(with(1)))]);
    assert!(mirror.rejected().is_empty());
    let after = mirror.directory().by_slug("acme").unwrap();
    let (before, after) = (before.database.as_ref().unwrap(), after.database.as_ref().unwrap());
    assert!(before.is_same_pool(after));
}

#[test]
fn a_tenant_without_a_database_says_so() {
    let mut mirror = mirror();
    let bare = watch::Tenant { database: None, ..tenant(1, "acme", 1) };
    mirror.replace(cluster(), Revision(1), vec![resource(Kind::Tenant(bare))]);
    assert!(matches!(mirror.directory().by_slug("acme").unwrap().db(), Err(crate::store::DbError::NoDatabase)));
}

/// A database that cannot be opened does not take the tenant along, and holds up nothing else of the change.
#[rstest]
#[case::sealed_with_another_key(ring(5).seal(b"postgres://localhost/new", [1; 24]).to_string())]
#[case::no_dsn(ring(1).seal(b"postgres://[", [1; 24]).to_string())]
fn an_unusable_database_stays_at_the_last_good_one(#[case] sealed_dsn: String) {
    let mut mirror = two_tenants();
    let good = decode::tenant(tenant(1, "acme", 1)).unwrap().database.unwrap();
    let bad = watch::Tenant {
        database: Some(watch::Database { sealed_dsn, max_connections: 3 }),
        status: watch::TenantStatus::Suspended.into(),
        ..tenant(1, "acme", 11)
    };
    mirror.apply(Revision(11), vec![put(Kind::Tenant(bad.clone()))]);
    let acme = Arc::clone(mirror.directory().by_slug("acme").unwrap());
    assert!(acme.db().unwrap().is_for(&good));
    assert_eq!(acme.status, crate::tenant::TenantStatus::Suspended);
    let rejected = mirror.rejected();
    assert_eq!(rejected[0].resource, "tenants/acme");
    assert!(rejected[0].reason.starts_with("its database: "), "{}", rejected[0].reason);
    assert!(!rejected[0].reason.contains("localhost"));
    assert_eq!(mirror.unopened(), None, "the pod is of use all the same");
    let mut everything: Vec<_> =
        mirror.saved().unwrap().resources.values().map(|r| watch::Resource::decode(r.clone()).unwrap()).collect();
    everything.push(resource(Kind::Tenant(bad)));
    mirror.replace(cluster(), Revision(12), everything);
    assert!(mirror.directory().by_slug("acme").unwrap().db().unwrap().is_for(&good));
    mirror.apply(Revision(13), vec![put(Kind::Tenant(tenant(1, "acme", 13)))]);
    assert!(mirror.rejected().is_empty());
}

fn status(key: watch::SigningKey, status: watch::KeyStatus) -> watch::SigningKey {
    watch::SigningKey { status: status.into(), ..key }
}

/// Whatever is wrong with a new active key: the one before signs on, unless it is taken back.
#[rstest]
#[case::sealed_with_another_key(key(1, "k9", 5))]
#[case::algorithm(watch::SigningKey { algorithm: "PS512".into(), ..key(1, "k9", 1) })]
#[case::jwk(watch::SigningKey { public_jwk: "{\"kty\":\"EC\"".into(), ..key(1, "k9", 1) })]
fn an_unusable_active_key_leaves_the_one_before_signing(#[case] bad: watch::SigningKey) {
    let mut mirror = mirror();
    let first = key(1, "k1", 1);
    let tenant = resource(Kind::Tenant(tenant(1, "acme", 1)));
    mirror.replace(cluster(), Revision(10), vec![tenant.clone(), resource(Kind::SigningKey(first.clone()))]);
    let retiring = status(first.clone(), watch::KeyStatus::Retiring);
    let signs = |mirror: &Mirror| {
        let acme = Arc::clone(mirror.directory().by_slug("acme").unwrap());
        let token = acme.keys.sign("JWT", &json!({"iss": acme.issuer, "exp": 9}));
        token.is_ok_and(|token| acme.keys.verify::<Value>(&token, "JWT", &acme.issuer, Timestamp::from_secs(1)).is_ok())
    };
    let rotated = [retiring.clone(), bad.clone()].map(Kind::SigningKey);
    mirror.apply(Revision(11), rotated.clone().map(put).to_vec());
    assert_eq!(mirror.rejected()[0].resource, "tenants/acme/keys/k9");
    assert!(signs(&mirror));
    // The same in a snapshot.
    mirror.replace(cluster(), Revision(12), [vec![tenant], rotated.map(resource).to_vec()].concat());
    assert!(signs(&mirror));
    // A later key that can be used signs instead.
    mirror.apply(Revision(13), vec![put(Kind::SigningKey(key(1, "k9", 1)))]);
    assert!(signs(&mirror) && mirror.rejected().is_empty());
    // What is revoked signs never again.
    let mut mirror = two_tenants();
    mirror.apply(Revision(11), vec![put(Kind::SigningKey(status(key(1, "k1", 1), watch::KeyStatus::Revoked)))]);
    assert!(!signs(&mirror));
}

#[test]
fn the_clusters_staleness_holds_for_tenants_without_their_own() {
    let policy = |refuse_after_secs| {
        Some(watch::Staleness { warn_after_secs: 1, refuse_after_secs, fail_mode: watch::FailMode::Serve.into() })
    };
    let mut mirror = two_tenants();
    let own = watch::Tenant { staleness: policy(7), ..tenant(1, "acme", 11) };
    let settings = |staleness| put(Kind::ClusterSettings(watch::ClusterSettings { staleness, revision: 11 }));
    mirror.apply(Revision(11), vec![put(Kind::Tenant(own)), settings(policy(9))]);
    let after = |mirror: &Mirror, slug| {
        let directory = mirror.directory();
        directory.staleness_of(directory.by_slug(slug).unwrap()).refuse_after.as_secs()
    };
    assert_eq!((after(&mirror, "acme"), after(&mirror, "beta")), (7, 9));
    mirror.apply(Revision(12), vec![settings(None)]);
    assert_eq!((after(&mirror, "beta"), mirror.rejected()[0].resource.as_str()), (9, "settings"));
    let all: Vec<_> =
        mirror.saved().unwrap().resources.values().map(|r| watch::Resource::decode(r.clone()).unwrap()).collect();
    mirror.replace(cluster(), Revision(13), all);
    assert_eq!(after(&mirror, "beta"), 9);
}
