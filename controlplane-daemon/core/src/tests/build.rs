//! Short ways to make what the tests apply.

use uuid::Uuid;
use vocab::registration::RegistrationMode;
use vocab::{
    AdminId, ChainHash, ClientId, ClusterId, KeyId, NodeId, PodId, RegistrationTokenId, Revision, Sealed, SecretDigest,
    SecretId, Slug, TenantId, Timestamp,
};

use crate::apply;
use crate::entry::{Actor, Command, Entry, FreshKey, Origin, Stamp};
use crate::model::{
    Admin, AdminSpec, Client, ClientSecret, ClientSpec, ClusterSettings, ClusterSettingsSpec, FailMode, KeyFamily,
    KeyOwner, KeyRotation, KeyStatus, Longest, NodeSource, NodeSpec, PodSighting, Presence, Promotion,
    RegistrationTokenSpec, Role, Scope, ScopeSpec, SigningKey, Staleness, Tenant, TenantSettings, TenantSpec,
    TenantStatus,
};
use crate::mutation::{
    AdminUse, InitialProof, Mutation, NewSecret, RegistrationProofs, Reseal, Restored, RotateStep, Truncation,
};
use crate::note::{Note, Noted};
use crate::rejection::Rejection;
use crate::seals::SealedPlace;
use crate::state::{Applied, State};

/// A state and the next revision.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) state: State,
    pub(super) revision: u64,
}

impl World {
    /// Applies and checks what must hold after every entry, accepted or not.
    pub(super) fn command(&mut self, command: Command) -> Result<Applied, Rejection> {
        self.revision += 1;
        let before = self.state.clone();
        let outcome = apply(&mut self.state, Revision(self.revision), entry(command, self.revision));
        self.state.check_invariants().unwrap();
        if outcome.is_err() {
            assert_eq!(before, self.state, "a refused entry changed something");
        }
        outcome
    }

    pub(super) fn apply(&mut self, mutation: Mutation) -> Result<Applied, Rejection> {
        self.command(command(mutation))
    }

    /// One tenant with a host, a scope, a confidential client with two scopes and an administrator; two owners.
    pub(super) fn furnished() -> Self {
        let mut world = Self::default();
        for mutation in [
            admin_create(1, Role::Owner),
            Mutation::TenantCreate { slug: slug("acme"), spec: tenant_spec(&["acme.example"]) },
            scope_create("orders"),
            client_create("web", Some(secret(1))),
            admin_create(2, Role::TenantAdmin(slug("acme"))),
            Mutation::FleetUpdate { sightings: vec![sighting("pod-a", Presence::Connected)], forget: vec![] },
        ] {
            world.apply(mutation).unwrap();
        }
        world
    }
}

pub(super) fn command(mutation: Mutation) -> Command {
    Command::new(Actor::System, mutation)
}

/// Stamped at `n` seconds, with the id and the key of the number `n`.
pub(super) fn entry(command: Command, n: u64) -> Entry {
    // One key for every item of a batch, and one for a mutation alone, whether it needs it or not.
    let items = command.mutation.items().len() as u64;
    let keys = (0..items.max(1)).map(|item| fresh_key(n + 1_000_000 * item)).collect();
    Entry::new(command, Stamp::new(Timestamp::from_secs(n.cast_signed()), uuid(n), keys))
}

pub(super) fn uuid(n: u64) -> Uuid {
    Uuid::from_u64_pair(0x0190_0000_0000_7000, 0x8000_0000_0000_0000 | n)
}

pub(super) fn fresh_key(n: u64) -> FreshKey {
    FreshKey { kid: kid(n), family: KeyFamily::P256, public_jwk: r#"{"kty":"EC"}"#.to_owned(), private_key: sealed() }
}

pub(super) fn kid(n: u64) -> KeyId {
    format!("key-{n}").parse().unwrap()
}

pub(super) fn sealed() -> Sealed {
    format!("hjs1.0a1b2c3d.{}", "A".repeat(64)).parse().unwrap()
}

pub(super) fn cluster_id(n: u64) -> ClusterId {
    ClusterId::from_uuid(uuid(n))
}

pub(super) fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

pub(super) fn tenant_spec(hosts: &[&str]) -> TenantSpec {
    let mut spec = TenantSpec {
        display_name: "Acme".to_owned(),
        status: TenantStatus::default(),
        settings: TenantSettings::default(),
    };
    spec.settings.hosts = hosts.iter().map(|&host| host.to_owned()).collect();
    spec
}

pub(super) fn client_spec() -> ClientSpec {
    ClientSpec {
        name: "Web shop".to_owned(),
        redirect_uris: vec!["https://shop.example/cb".to_owned()],
        scopes: vec!["openid".parse().unwrap(), "orders".parse().unwrap()],
        ..ClientSpec::default()
    }
}

pub(super) fn secret(n: u64) -> NewSecret {
    NewSecret {
        id: SecretId::from_uuid(uuid(n)),
        digest: SecretDigest::of(&n.to_be_bytes()),
        expires_at: None,
        sealed: None,
    }
}

pub(super) fn client_create(id: &str, secret: Option<NewSecret>) -> Mutation {
    Mutation::ClientCreate { tenant: slug("acme"), client_id: Some(id.parse().unwrap()), spec: client_spec(), secret }
}

pub(super) fn client_update(id: &str, spec: ClientSpec) -> Mutation {
    Mutation::ClientUpdate { tenant: slug("acme"), client_id: id.parse().unwrap(), spec }
}

pub(super) fn secret_add(id: &str, n: u64, previous_expires_at: Option<Timestamp>) -> Mutation {
    let (tenant, client_id) = (slug("acme"), id.parse().unwrap());
    Mutation::ClientSecretAdd { tenant, client_id, secret: secret(n), previous_expires_at }
}

pub(super) fn registration_token_id() -> RegistrationTokenId {
    RegistrationTokenId::from_uuid(uuid(77))
}

/// A tenant at which clients register themselves with a token.
pub(super) fn registering_tenant_spec() -> TenantSpec {
    let mut spec = tenant_spec(&["new.example"]);
    spec.settings.oauth.registration.mode = RegistrationMode::Token;
    spec
}

pub(super) fn registered_spec() -> ClientSpec {
    ClientSpec { scopes: vec!["openid".parse().unwrap()], ..client_spec() }
}

pub(super) fn registering() -> Mutation {
    let initial = InitialProof { id: registration_token_id(), digest: SecretDigest::of(b"initial") };
    Mutation::ClientRegister {
        tenant: slug("acme"),
        spec: registered_spec(),
        secret: Some(secret(9)),
        proofs: RegistrationProofs {
            management: SecretDigest::of(b"management"),
            initial: Some(initial),
            statement_issuer: None,
        },
    }
}

/// Of the client that registered itself in the entry `n`.
pub(super) fn registered_client(n: u64) -> ClientId {
    uuid(n).to_string().parse().unwrap()
}

pub(super) fn scope_create(name: &str) -> Mutation {
    Mutation::ScopeCreate { tenant: slug("acme"), name: name.parse().unwrap(), spec: ScopeSpec::default() }
}

pub(super) fn rotate(step: RotateStep) -> Mutation {
    Mutation::KeyRotate { tenant: Some(slug("acme")), step, family: None }
}

pub(super) fn revoke(n: u64) -> Mutation {
    Mutation::KeyRevoke { tenant: Some(slug("acme")), kid: kid(n) }
}

pub(super) fn admin_id(n: u64) -> AdminId {
    AdminId::from_uuid(uuid(n))
}

pub(super) fn admin_spec(role: Role) -> AdminSpec {
    AdminSpec { name: "Ada".to_owned(), role, expires_at: None }
}

pub(super) fn admin_create(n: u64, role: Role) -> Mutation {
    Mutation::AdminCreate { id: admin_id(n), spec: admin_spec(role), digest: SecretDigest::of(b"secret") }
}

/// A tenant with a key, a scope, a client and an administrator as an export holds them; `n` makes their ids.
pub(super) fn restored(name: &str, n: u64) -> Vec<Restored> {
    let at = Timestamp::from_secs(n.cast_signed());
    let revision = Revision(n);
    let tenant_id = TenantId::from_uuid(uuid(n));
    let tenant = Tenant {
        id: tenant_id,
        slug: slug(name),
        spec: tenant_spec(&[]),
        created_at: at,
        updated_at: at,
        revision,
        longest: Longest::default(),
        registration_tokens: Vec::new(),
        managed_by: None,
    };
    let NewSecret { id, digest, expires_at, sealed } = secret(n);
    let client = Client {
        tenant_id,
        client_id: "web".parse().unwrap(),
        spec: client_spec(),
        secrets: vec![ClientSecret { id, digest, created_at: at, expires_at, sealed }],
        created_at: at,
        updated_at: at,
        revision,
        managed_by: None,
        registration: None,
    };
    let scope =
        Scope { tenant_id, name: "orders".parse().unwrap(), spec: ScopeSpec::default(), revision, managed_by: None };
    let spec = admin_spec(Role::TenantAdmin(slug(name)));
    let admin = Admin {
        id: admin_id(n),
        spec,
        digest: SecretDigest::of(b"secret"),
        created_at: at,
        last_used_at: None,
        revision,
    };
    vec![
        Restored::Tenant(tenant),
        Restored::Key(restored_key(KeyOwner::Tenant(tenant_id), n, KeyStatus::Active)),
        Restored::Scope(scope),
        Restored::Client(client),
        Restored::Admin(admin),
    ]
}

pub(super) fn restored_key(owner: KeyOwner, n: u64, status: KeyStatus) -> SigningKey {
    let FreshKey { kid, family, public_jwk, private_key } = fresh_key(n);
    let at = Timestamp::from_secs(n.cast_signed());
    let revision = Revision(n);
    SigningKey { owner, kid, family, status, public_jwk, private_key, created_at: at, status_since: at, revision }
}

pub(super) fn truncation() -> Truncation {
    Truncation { through_seq: 1, last_hash: ChainHash::ORIGIN, removed: 1, signature: "a.b.c".to_owned() }
}

/// One of each kind.
pub(super) fn notes() -> Vec<Noted> {
    let node = NodeId(2);
    let origin = || Origin { address: Some("192.0.2.7".to_owned()), ..Origin::default() };
    let notes = [
        Note::RoleTransition {
            node,
            from: "follower".to_owned(),
            to: "leader".to_owned(),
            term: 3,
            leader: Some(node),
        },
        Note::RequestRefused {
            actor: Some(Actor::Admin { id: admin_id(2) }),
            origin: origin(),
            method: "DELETE".to_owned(),
            path: "/tenants/{slug}".to_owned(),
            code: "forbidden".to_owned(),
            count: 1,
        },
        Note::SignInFailed { origin: origin(), count: 3 },
        Note::LockedOut { who: "192.0.2.7".to_owned(), origin: origin() },
        Note::JoinRefused { node_id: Some(NodeId(9)), address: "node-9:7000".to_owned(), why: "unsigned".to_owned() },
        Note::PeerRefused { address: None, why: "replayed".to_owned(), count: 1 },
        Note::MembershipChanged {
            actor: Actor::Admin { id: admin_id(2) },
            origin: origin(),
            action: "remove".to_owned(),
            node: Some(NodeId(3)),
            forced: true,
        },
        Note::Dropped { count: 4 },
        Note::Recovered { from_cluster_id: None, cluster_id: cluster_id(5), last_log: 40, term: 3 },
        Note::Restored { from_cluster_id: Some(cluster_id(5)), cluster_id: cluster_id(6), revision: 40 },
    ];
    notes.into_iter().map(|note| Noted { at: Timestamp::from_secs(9), node, note }).collect()
}

pub(super) fn restored_settings() -> Restored {
    let (updated_at, revision) = (Timestamp::from_secs(41), Revision(41));
    Restored::Settings(ClusterSettings { spec: settings_spec(), updated_at, revision, longest_stale_secs: 9 })
}

pub(super) fn settings_spec() -> ClusterSettingsSpec {
    let policy = KeyRotation { max_age_secs: Some(90 * 24 * 3600), clock_skew_secs: 30 };
    let staleness = Staleness { warn_after_secs: 60, refuse_after_secs: 3600, fail_mode: FailMode::NotReady };
    ClusterSettingsSpec { key_rotation: Some(policy), staleness, ..ClusterSettingsSpec::default() }
}

pub(super) fn pod(name: &str) -> PodId {
    name.parse().unwrap()
}

pub(super) fn sighting(name: &str, presence: Presence) -> PodSighting {
    PodSighting {
        pod_id: pod(name),
        node_id: NodeId(1),
        version: "0.1.0".to_owned(),
        address: "10.0.0.1:8080".to_owned(),
        presence,
        acknowledged_revision: Revision(7),
    }
}

pub(super) fn batch(items: Vec<Mutation>) -> Mutation {
    Mutation::Batch { items, planned_on: vec![], managed_by: None }
}

pub(super) fn node_spec(peer_addr: &str) -> NodeSpec {
    NodeSpec {
        peer_addr: peer_addr.to_owned(),
        admin_url: Some("https://cp.internal:7200".to_owned()),
        source: NodeSource::Gossip,
        version: Some("0.2.0".to_owned()),
        feature_level: 2,
        promotion: Some(Promotion { replaces: Some(NodeId(2)) }),
    }
}

/// Of the key of the tenant that was made at `n`.
pub(super) fn reseal(n: u64) -> Reseal {
    let place = SealedPlace::SigningKey { owner: KeyOwner::Tenant(TenantId::from_uuid(uuid(n))), kid: kid(n) };
    Reseal { place, from: sealed(), to: resealed() }
}

/// With another key.
pub(super) fn resealed() -> Sealed {
    format!("hjs1.99999999.{}", "B".repeat(64)).parse().unwrap()
}

/// One of each, all of which a furnished world accepts. In the order of the catalogue.
pub(super) fn catalogue() -> Vec<Mutation> {
    let (acme, web) = (|| slug("acme"), || "web".parse().unwrap());
    let orders = || "orders".parse().unwrap();
    let mut names = client_spec();
    names.name = "Shop".to_owned();
    vec![
        Mutation::TenantCreate { slug: slug("umbrella"), spec: tenant_spec(&[]) },
        Mutation::TenantUpdate { slug: acme(), spec: registering_tenant_spec() },
        client_create("app", Some(secret(7))),
        client_update("web", names),
        secret_add("web", 8, Some(Timestamp::from_secs(1_000))),
        Mutation::ClientSecretRemove { tenant: acme(), client_id: web(), secret_id: secret(1).id },
        Mutation::RegistrationTokenCreate {
            tenant: acme(),
            id: registration_token_id(),
            spec: RegistrationTokenSpec {
                name: "Partner".to_owned(),
                expires_at: Some(Timestamp::from_secs(9_000)),
                max_uses: Some(2),
            },
            digest: SecretDigest::of(b"initial"),
        },
        registering(),
        Mutation::ClientReregister {
            tenant: acme(),
            client_id: registered_client(14),
            spec: registered_spec(),
            proof: SecretDigest::of(b"management"),
            statement_issuer: None,
            secret: None,
            management: None,
        },
        Mutation::ClientUnregister {
            tenant: acme(),
            client_id: registered_client(14),
            proof: SecretDigest::of(b"management"),
        },
        Mutation::RegistrationTokenRevoke { tenant: acme(), id: registration_token_id() },
        scope_create("invoices"),
        Mutation::ScopeUpdate { tenant: acme(), name: orders(), spec: ScopeSpec::default() },
        Mutation::ScopeDelete { tenant: acme(), name: orders() },
        rotate(RotateStep::Now),
        revoke(2),
        rotate(RotateStep::Publish),
        Mutation::KeyActivate { tenant: Some(acme()), kid: kid(23) },
        admin_create(3, Role::Auditor),
        Mutation::AdminUpdate { id: admin_id(3), spec: admin_spec(Role::Operator) },
        Mutation::AdminDelete { id: admin_id(3) },
        Mutation::ClientDelete { tenant: acme(), client_id: web() },
        Mutation::TenantDelete { slug: acme() },
        Mutation::Restore { resources: [restored("back", 40), vec![restored_settings()]].concat() },
        Mutation::AuditNote { notes: notes() },
        Mutation::SettingsUpdate { spec: settings_spec() },
        Mutation::FleetUpdate { sightings: vec![sighting("pod-b", Presence::Gone)], forget: vec![pod("pod-a")] },
        batch(vec![
            Mutation::TenantCreate { slug: slug("globex"), spec: tenant_spec(&[]) },
            Mutation::TenantCreate { slug: slug("initech"), spec: tenant_spec(&[]) },
            Mutation::ScopeCreate { tenant: slug("globex"), name: orders(), spec: ScopeSpec::default() },
        ]),
        Mutation::NodePut { id: NodeId(4), spec: node_spec("cp-4.internal:7000") },
        Mutation::NodeSeen { ids: vec![NodeId(4), NodeId(9)] },
        Mutation::NodeRemove { id: NodeId(4) },
        Mutation::AuditTruncate { truncation: truncation(), removed_bytes: 10 },
        Mutation::AuditCursor { sink: "http".to_owned(), seq: 2 },
        Mutation::AdminUsed { uses: vec![AdminUse { id: admin_id(1), at: Timestamp::from_secs(17) }] },
        Mutation::KeyReseal { moves: vec![reseal(7)] },
    ]
}
