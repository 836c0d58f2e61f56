use std::sync::Arc;

use controlplane_core::model::{
    ClusterSettingsSpec, KeyFamily, KeyRotation, Lifetimes, PodSighting, Presence, SigningAlgorithm, Staleness,
    TenantSettings, TenantSpec, TenantStatus,
};
use controlplane_core::{Actor, Command, Entry, FreshKey, Stamp, Tenant, limits};
use uuid::Uuid;
use vocab::NodeId;

use super::*;
use crate::credential::TOKEN_LIFETIME;
use crate::fleet::{Census, NodePods, Pod, RejectedResource};

const MAX_AGE: u64 = 100;
const CACHE: u64 = 10;
const TOKENS: u64 = 20;
const STALE: u64 = 50;

/// A configuration with one tenant, a look at one pod, and a clock that this test moves.
struct World {
    state: State,
    rotation: Rotation,
    pods: Vec<Pod>,
    departed: Vec<Pod>,
    unreachable: Vec<NodeId>,
    /// Revisions that the slowest node has not applied.
    behind: u64,
    revision: u64,
    begin: Instant,
    secs: u64,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            state: State::default(),
            rotation: Rotation::default(),
            pods: vec![Pod::sample("one")],
            departed: vec![],
            unreachable: vec![],
            behind: 0,
            revision: 0,
            begin: Instant::now(),
            secs: 0,
        };
        let (cache, tokens) = (u32::try_from(CACHE).unwrap(), u32::try_from(TOKENS).unwrap());
        let lifetimes = Lifetimes {
            jwks_cache_secs: cache,
            access_token_secs: tokens,
            id_token_secs: tokens,
            ..Lifetimes::default()
        };
        let staleness = Staleness { refuse_after_secs: 50, warn_after_secs: 50, ..Staleness::default() };
        let policy = KeyRotation { max_age_secs: Some(100), clock_skew_secs: 0 };
        let settings = TenantSettings {
            lifetimes,
            staleness: Some(staleness),
            key_rotation: Some(policy),
            ..TenantSettings::default()
        };
        let spec = TenantSpec { display_name: "Acme".to_owned(), status: TenantStatus::Active, settings };
        world.apply(Mutation::TenantCreate { slug: slug(), spec });
        world.acknowledge();
        world
    }

    /// Only the global keys rotate. The pods have never heard of any.
    fn of_global_keys() -> Self {
        let mut world = Self::new();
        let mut spec = world.tenant().spec.clone();
        spec.settings.key_rotation = Some(KeyRotation::default());
        world.apply(Mutation::TenantUpdate { slug: slug(), spec });
        world.apply(Mutation::KeyRotate { tenant: None, step: RotateStep::Now, family: None });
        let policy = KeyRotation { max_age_secs: Some(100), clock_skew_secs: 0 };
        let spec = ClusterSettingsSpec { key_rotation: Some(policy), ..ClusterSettingsSpec::default() };
        world.apply(Mutation::SettingsUpdate { spec });
        world.pods[0].acknowledged_revision = Revision::ZERO;
        world
    }

    fn apply(&mut self, mutation: Mutation) {
        self.revision += 1;
        let n = self.revision;
        let key = |(family, index): (KeyFamily, u64)| FreshKey {
            kid: format!("key-{}", n + 1000 * index).parse().unwrap(),
            family,
            public_jwk: "{}".to_owned(),
            private_key: format!("hjs1.0a1b2c3d.{}", "A".repeat(64)).parse().unwrap(),
        };
        let at = Timestamp::from_secs(self.secs.cast_signed());
        let keys = mutation.fresh_keys(&self.state).into_iter().zip(0..).map(key).collect();
        let stamp = Stamp::new(at, Uuid::from_u128(n.into()), keys);
        let entry = Entry::new(Command::new(Actor::System, mutation), stamp);
        controlplane_core::apply(&mut self.state, Revision(n), entry).unwrap();
    }

    /// The pods have everything.
    fn acknowledge(&mut self) {
        for pod in &mut self.pods {
            pod.acknowledged_revision = Revision(self.revision);
        }
    }

    /// What is due now, carried out.
    fn look(&mut self) -> Vec<&'static str> {
        let (connected, departed) = (self.pods.clone(), self.departed.clone());
        let node = NodePods { connected, departed, applied: Revision(self.revision - self.behind) };
        let census = Census { nodes: vec![node], unreachable_nodes: self.unreachable.clone() };
        let evidence = Evidence::of(&census, &self.state);
        let (now, wall) = (self.begin + Duration::from_secs(self.secs), Timestamp::from_secs(self.secs.cast_signed()));
        let steps = self.rotation.due(&self.state, &evidence, now, wall);
        let names = steps.iter().map(|step| step.name).collect();
        for step in steps {
            self.apply(step.mutation);
        }
        names
    }

    /// Looks every second until something is due, and says what and after how long.
    fn until_due(&mut self, most: u64) -> Option<(Vec<&'static str>, u64)> {
        for waited in 0..=most {
            let due = self.look();
            if !due.is_empty() {
                return Some((due, waited));
            }
            self.secs += 1;
        }
        None
    }

    fn published(mut self) -> Self {
        self.secs = MAX_AGE;
        assert_eq!(self.look(), ["publish"]);
        self
    }

    fn tenant(&self) -> Arc<Tenant> {
        Arc::clone(self.state.tenant(&slug()).unwrap())
    }
}

fn slug() -> Slug {
    "acme".parse().unwrap()
}

fn rejected(resource: &str) -> RejectedResource {
    RejectedResource { resource: resource.to_owned(), reason: "sealed".to_owned() }
}

fn on_roster(name: &str, presence: Presence, acknowledged: u64) -> Mutation {
    let sighting = PodSighting {
        pod_id: name.parse().unwrap(),
        node_id: NodeId(1),
        version: String::new(),
        address: String::new(),
        presence,
        acknowledged_revision: Revision(acknowledged),
    };
    Mutation::FleetUpdate { sightings: vec![sighting], forget: vec![] }
}

#[test]
fn a_whole_rotation_takes_what_its_phases_take() {
    let mut world = World::new();
    assert_eq!(awaited(&world.state), Revision::ZERO);
    assert_eq!(world.until_due(200), Some((vec!["publish"], MAX_AGE)));
    assert_eq!(awaited(&world.state), Revision(world.revision));
    world.acknowledge();
    assert_eq!(world.until_due(200), Some((vec!["activate"], CACHE + 1)));
    assert_eq!(awaited(&world.state), Revision(world.revision));
    world.acknowledge();
    assert_eq!(world.until_due(200), Some((vec!["revoke"], TOKENS + 1)));
    assert_eq!(awaited(&world.state), Revision::ZERO);
    let owner = KeyOwner::Tenant(world.tenant().id);
    let states: Vec<_> = world.state.keys_of(owner).map(|key| key.status).collect();
    assert_eq!(states, [KeyStatus::Revoked, KeyStatus::Active]);
    // And again, counted from the activation.
    assert!(world.until_due(MAX_AGE - TOKENS - 3).is_none());
    assert_eq!(world.until_due(10).unwrap().0, ["publish"]);
}

/// Only nodes use them: a step waits for every node, and for no pod.
#[test]
fn the_global_keys_rotate_until_the_oldest_are_dropped() {
    let tokens = TOKEN_LIFETIME.as_secs() + 1;
    let mut world = World::of_global_keys();
    assert_eq!(world.until_due(200), Some((vec!["publish"], MAX_AGE)));
    assert_eq!(world.until_due(200), Some((vec!["activate"], 1)));
    assert_eq!(world.until_due(2 * tokens), Some((vec!["revoke"], tokens)));
    let keys = |world: &World| -> Vec<_> {
        world.state.keys_of(KeyOwner::Global).map(|key| (key.kid.clone(), key.status)).collect()
    };
    let after_one = keys(&world);
    assert_eq!(
        after_one.iter().map(|(_, status)| *status).collect::<Vec<_>>(),
        [KeyStatus::Revoked, KeyStatus::Active]
    );
    // By then the active one is old again.
    for _ in 0..limits::REVOKED_KEYS {
        for step in ["publish", "activate", "revoke"] {
            assert_eq!(world.until_due(2 * tokens).map(|(due, _)| due), Some(vec![step]));
        }
    }
    let kept = keys(&world);
    assert_eq!(kept.len(), limits::REVOKED_KEYS + 1);
    assert!(kept.iter().all(|(kid, _)| *kid != after_one[0].0), "{kept:?}");
}

#[test]
fn a_node_that_lacks_a_global_key_or_does_not_answer_holds_it_up_for_as_long_as_it_takes() {
    let tokens = TOKEN_LIFETIME.as_secs() + 1;
    let mut world = World::of_global_keys();
    assert_eq!(world.until_due(200), Some((vec!["publish"], MAX_AGE)));
    for (step, takes) in [("activate", 1), ("revoke", tokens)] {
        world.behind = 1;
        assert_eq!(world.until_due(10 * tokens), None, "{step}");
        (world.behind, world.unreachable) = (0, vec![NodeId(2)]);
        assert_eq!(world.until_due(10 * tokens), None, "{step}");
        world.unreachable.clear();
        assert_eq!(world.until_due(takes - 1), None, "{step}");
        // A new leader waits anew.
        world.rotation = Rotation::default();
        assert_eq!(world.until_due(2 * tokens), Some((vec![step], takes)));
    }
}

#[test]
fn each_family_of_keys_rotates() {
    let mut world = World::new();
    let mut spec = world.tenant().spec.clone();
    spec.settings.signing_algorithm = SigningAlgorithm::Ps256;
    world.apply(Mutation::TenantUpdate { slug: slug(), spec });
    world.acknowledge();
    assert_eq!(world.until_due(200), Some((vec!["publish", "publish"], MAX_AGE)));
    world.acknowledge();
    assert_eq!(world.until_due(200), Some((vec!["activate", "activate"], CACHE + 1)));
    world.acknowledge();
    assert_eq!(world.until_due(200), Some((vec!["revoke", "revoke"], TOKENS + 1)));
    let owner = KeyOwner::Tenant(world.tenant().id);
    let active: Vec<_> = world.state.active_keys(owner).map(|key| key.family).collect();
    assert_eq!(active.len(), 2);
    assert!(active.contains(&KeyFamily::P256) && active.contains(&KeyFamily::Rsa));
}

#[test]
fn a_connected_pod_without_the_key_holds_it_up_for_as_long_as_it_takes() {
    let mut world = World::new().published();
    assert_eq!(world.until_due(10 * STALE), None);
    world.acknowledge();
    assert_eq!(world.until_due(200), Some((vec!["activate"], CACHE + 1)));
    // It had all but this one.
    assert_eq!(world.until_due(10 * STALE), None);
}

#[test]
fn a_pod_that_rejects_the_key_holds_it_up_by_either_name() {
    for tenant in [None, Some("acme")] {
        let mut world = World::new().published();
        world.acknowledge();
        let owner = KeyOwner::Tenant(world.tenant().id);
        let kid = world.state.next_key(owner, KeyFamily::P256).unwrap().kid.clone();
        let tenant = tenant.map_or_else(|| world.tenant().id.to_string(), ToOwned::to_owned);
        let resource = format!("tenants/{tenant}/keys/{kid}");
        world.pods[0].rejected = vec![rejected(&resource)];
        assert_eq!(world.until_due(10 * STALE), None);
        world.pods[0].rejected.clear();
        assert_eq!(world.until_due(200), Some((vec!["activate"], CACHE + 1)));
    }
}

#[test]
fn a_pod_that_rejects_more_keys_than_it_lists_may_reject_any() {
    let mut world = World::new().published();
    world.acknowledge();
    world.pods[0].rejected_count = 2;
    world.pods[0].rejected = vec![rejected("tenants/other/keys/k1")];
    assert_eq!(world.until_due(10 * STALE), None);
    // Keys are listed first: what is not listed is something else.
    world.pods[0].rejected.push(rejected("tenants/other/clients/keys"));
    world.pods[0].rejected_count = 1000;
    assert_eq!(world.until_due(200), Some((vec!["activate"], CACHE + 1)));
}

#[test]
fn a_pod_that_is_cut_off_holds_it_up_until_its_service_has_ended() {
    // (what it is on the roster, whether it has the key) → how long it takes
    let cut_off = STALE + CUT_OFF_MARGIN.as_secs() + CACHE + 1;
    for (presence, has_it, expected) in [
        (Presence::Gone, false, cut_off),
        (Presence::Connected, false, cut_off),
        (Presence::Gone, true, CACHE + 1),
        (Presence::Stopped, false, CACHE + 1),
    ] {
        let mut world = World::new().published();
        let had = if has_it { world.revision } else { 1 };
        world.apply(on_roster("two", presence, had));
        world.acknowledge();
        assert_eq!(world.until_due(200), Some((vec!["activate"], expected)), "{presence:?} {has_it}");
    }
}

/// However long it was connected, and told everything: it goes on without the key for as long as the policy lets it.
#[test]
fn a_pod_that_rejects_the_key_holds_it_up_also_once_it_is_cut_off() {
    let mut world = World::new().published();
    let all = world.revision;
    world.apply(on_roster("one", Presence::Connected, all));
    world.acknowledge();
    let owner = KeyOwner::Tenant(world.tenant().id);
    let kid = world.state.next_key(owner, KeyFamily::P256).unwrap().kid.clone();
    world.pods[0].rejected = vec![rejected(&format!("tenants/acme/keys/{kid}"))];
    assert_eq!(world.until_due(10 * STALE), None);
    world.departed = std::mem::take(&mut world.pods);
    world.apply(on_roster("one", Presence::Gone, all));
    let cut_off = STALE + CUT_OFF_MARGIN.as_secs() + CACHE;
    assert_eq!(world.until_due(200), Some((vec!["activate"], cut_off)));
}

#[test]
fn a_node_that_does_not_answer_may_have_pods_of_which_nobody_knows() {
    let mut world = World::new().published();
    world.acknowledge();
    world.unreachable = vec![NodeId(2)];
    assert_eq!(world.until_due(200), Some((vec!["activate"], STALE + CUT_OFF_MARGIN.as_secs() + CACHE + 1)));
}

#[test]
fn a_new_leader_waits_anew_and_a_clock_that_jumps_hastens_nothing() {
    let mut world = World::new().published();
    world.acknowledge();
    assert_eq!(world.until_due(CACHE), None);
    world.rotation = Rotation::default();
    assert_eq!(world.until_due(200), Some((vec!["activate"], CACHE + 1)));
    world.acknowledge();
    // The wall clock jumps by a year; by the monotonic one nothing has happened.
    let node = NodePods { connected: world.pods.clone(), departed: vec![], applied: Revision(world.revision) };
    let census = Census { nodes: vec![node], unreachable_nodes: vec![] };
    let evidence = Evidence::of(&census, &world.state);
    let now = world.begin + Duration::from_secs(world.secs);
    for wall in [Timestamp::from_secs(0), Timestamp::from_secs(40_000_000)] {
        assert_eq!(world.rotation.due(&world.state, &evidence, now, wall), []);
    }
}

#[test]
fn what_was_allowed_once_is_waited_for() {
    let mut world = World::new();
    let mut spec = world.tenant().spec.clone();
    spec.settings.lifetimes.jwks_cache_secs = 2;
    spec.settings.lifetimes.access_token_secs = 1;
    spec.settings.lifetimes.id_token_secs = 1;
    world.apply(Mutation::TenantUpdate { slug: slug(), spec });
    let mut world = world.published();
    world.acknowledge();
    assert_eq!(world.until_due(200), Some((vec!["activate"], CACHE + 1)));
    world.acknowledge();
    assert_eq!(world.until_due(200), Some((vec!["revoke"], TOKENS + 1)));
}

#[test]
fn clocks_that_were_set_back_do_not_keep_a_key_for_ever() {
    let mut world = World::new();
    world.secs = 10_000;
    world.apply(Mutation::KeyRotate { tenant: Some(slug()), step: RotateStep::Now, family: None });
    world.acknowledge();
    world.secs = 0;
    assert_eq!(world.until_due(200).unwrap().0, ["revoke"]);
    let (due, _) = world.until_due(200).unwrap();
    assert_eq!((due, world.secs), (vec!["publish"], MAX_AGE));
}

#[test]
fn without_a_policy_nothing_moves() {
    let mut world = World::new();
    let mut spec = world.tenant().spec.clone();
    spec.settings.key_rotation = Some(KeyRotation::default());
    world.apply(Mutation::TenantUpdate { slug: slug(), spec });
    world.apply(Mutation::KeyRotate { tenant: Some(slug()), step: RotateStep::Publish, family: None });
    world.acknowledge();
    assert_eq!(world.until_due(300), None);
}
