//! The running system that the tests of a suite share: one control-plane node, two pods, one PostgreSQL.
//!
//! Tests make their own tenants in it and break nothing that others use; who wants to stop or kill something starts a
//! [`World`] of his own.

use std::ops::Deref;

use tokio::sync::OnceCell;

use crate::admin::Admin;
use crate::cluster::Cluster;
use crate::pod::{Plan, Pod};
use crate::tenant::Tenant;

#[derive(Debug)]
pub struct World {
    pub cluster: Cluster,
    /// All of them have the first one's address as public URL, as if it were the load balancer's.
    pub pods: Vec<Pod>,
}

/// The shared world; shows its logs when the test that holds it fails.
#[derive(Debug)]
pub struct Shared(&'static World);

/// Started by the first test that asks. Its first pod takes requests that name no tenant for those of `local`, which
/// nobody has created yet; the second has no default tenant.
pub async fn shared() -> Shared {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    Shared(WORLD.get_or_init(|| World::start(1, 2)).await)
}

/// The same, of a suite whose issuer must have a name: `localhost`, where browsers know authenticators that sign, and two pods.
pub async fn shared_on_localhost() -> Shared {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    Shared(WORLD.get_or_init(World::on_localhost).await)
}

impl World {
    async fn on_localhost() -> Self {
        let mut world = Self::start(1, 0).await;
        let control_plane = world.cluster.watch_urls();
        for name in ["pod-0", "pod-1"] {
            let public_url = world.pods.first().map(Pod::url).unwrap_or_default();
            let plan = Plan {
                name,
                host: "localhost",
                control_plane: &control_plane,
                public_url: &public_url,
                ..Plan::default()
            };
            world.pods.push(Pod::start(&plan, &world.cluster.secrets).await);
        }
        world
    }

    /// One whose pods reach listeners of this machine, and look after each other's messages all the time.
    pub async fn with_outbound(pods: usize) -> Self {
        let mut world = Self::start(1, 0).await;
        for place in 0..pods {
            let flags = ["--outbound-allowed-networks", "127.0.0.0/8", "--outbox-every-secs", "1"];
            world.add_pod_with(&format!("pod-{place}"), "", &flags).await;
        }
        world
    }

    pub async fn start(nodes: u64, pods: usize) -> Self {
        let cluster = Cluster::start(nodes).await;
        let mut world = Self { cluster, pods: Vec::new() };
        for place in 0..pods {
            let name = format!("pod-{place}");
            let default_tenant = if place == 0 { "local" } else { "" };
            world.add_pod(&name, default_tenant).await;
        }
        world
    }

    pub async fn add_pod(&mut self, name: &str, default_tenant: &str) {
        self.add_pod_with(name, default_tenant, &[]).await;
    }

    /// One with these flags beside the usual ones.
    pub async fn add_pod_with(&mut self, name: &str, default_tenant: &str, flags: &[&str]) {
        let public_url = self.pods.first().map(Pod::url).unwrap_or_default();
        let control_plane = self.cluster.watch_urls();
        let plan = Plan {
            name,
            control_plane: &control_plane,
            public_url: &public_url,
            default_tenant,
            flags,
            ..Plan::default()
        };
        self.pods.push(Pod::start(&plan, &self.cluster.secrets).await);
    }

    /// The owner, signed in at the first node.
    pub async fn admin(&self) -> Admin {
        self.cluster.admin(0).await
    }

    /// A tenant of one's own: see [`Tenant::create`].
    pub async fn tenant(&self, name: &str) -> Tenant {
        Tenant::create(self, name).await
    }

    /// Of every node and pod.
    pub fn ops_urls(&self) -> Vec<String> {
        let nodes = self.cluster.nodes.iter().map(crate::cluster::Node::ops_url);
        nodes.chain(self.pods.iter().map(Pod::ops_url)).collect()
    }

    pub fn show_logs(&self) {
        self.cluster.show_logs();
        for pod in &self.pods {
            pod.process().show_log();
        }
    }
}

impl Deref for Shared {
    type Target = World;

    fn deref(&self) -> &World {
        self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.show_logs();
        }
    }
}
