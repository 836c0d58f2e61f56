//! The pods connected to this node. Each watch stream holds a [`Connection`]; dropping it takes the pod off the list, and
//! for a while puts it among the departed: until the leader has written down that it left, and how.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use shared_proto::peer;
use tokio::sync::watch;
use vocab::{Clock, NodeId, PodId, Revision, Timestamp};

use super::{Pod, RejectedResource, Report};

/// A handle to the list; clones share it.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    node_id: NodeId,
    clock: Arc<dyn Clock>,
    pods: Mutex<Pods>,
    /// Changes with every acknowledgement and every departure.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Pods {
    /// A pod that connects anew takes the place of its old connection, which may not have been missed yet.
    by_id: BTreeMap<PodId, Arc<Mutex<Pod>>>,
    departed: BTreeMap<PodId, (Instant, Pod)>,
}

/// The leader looks every second; another one may take a while to be elected.
const REMEMBERED: Duration = Duration::from_mins(10);

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("pods", &self.inner.pods.lock().by_id.len()).finish_non_exhaustive()
    }
}

impl Registry {
    pub fn new(node_id: NodeId, clock: Arc<dyn Clock>) -> Self {
        let inner = Inner { node_id, clock, pods: Mutex::default(), changed: watch::Sender::new(()) };
        Self { inner: Arc::new(inner) }
    }

    pub fn connect(&self, pod_id: PodId, version: String, address: String, has: Revision) -> Connection {
        let pod = Pod {
            pod_id: pod_id.clone(),
            node_id: self.inner.node_id,
            version,
            address,
            acknowledged_revision: has,
            connected_at: self.inner.clock.now(),
            acknowledged_at: None,
            rejected: Vec::new(),
            rejected_count: 0,
            staleness: None,
            draining: false,
        };
        let pod = Arc::new(Mutex::new(pod));
        let mut pods = self.inner.pods.lock();
        pods.departed.remove(&pod_id);
        pods.by_id.insert(pod_id.clone(), Arc::clone(&pod));
        Connection { registry: self.clone(), pod_id, pod }
    }

    /// In the order of their ids.
    pub fn list(&self) -> Vec<Pod> {
        self.inner.pods.lock().by_id.values().map(|pod| pod.lock().clone()).collect()
    }

    /// What the slowest of them has acknowledged; `None` when there is none.
    pub fn slowest(&self) -> Option<Revision> {
        self.inner.pods.lock().by_id.values().map(|pod| pod.lock().acknowledged_revision).min()
    }

    /// Pods that were connected here and are no longer, as they were last.
    pub fn departed(&self) -> Vec<Pod> {
        let mut pods = self.inner.pods.lock();
        pods.departed.retain(|_, (left_at, _)| left_at.elapsed() < REMEMBERED);
        pods.departed.values().map(|(_, pod)| pod.clone()).collect()
    }

    /// Returns once every pod that is connected here has acknowledged `revision`, or time has run out.
    pub async fn wait_until_acknowledged(&self, revision: Revision, timeout: Duration) {
        let mut changed = self.inner.changed.subscribe();
        let has_it = |pod: &Arc<Mutex<Pod>>| pod.lock().acknowledged_revision >= revision;
        let everyone = changed.wait_for(|()| self.inner.pods.lock().by_id.values().all(has_it));
        let _ = tokio::time::timeout(timeout, everyone).await;
    }
}

/// One pod's stream. It has its pod at hand: what a thousand of them report of one change asks nobody else.
#[derive(Debug)]
pub struct Connection {
    registry: Registry,
    pod_id: PodId,
    /// On the list, unless the pod has connected anew.
    pod: Arc<Mutex<Pod>>,
}

impl Connection {
    pub const fn pod_id(&self) -> &PodId {
        &self.pod_id
    }

    pub fn report(&self, report: Report) {
        let now = self.registry.inner.clock.now();
        {
            let mut pod = self.pod.lock();
            let Report { acknowledged_revision, rejected, rejected_count, staleness, draining } = report;
            if pod.acknowledged_at.is_none() || pod.acknowledged_revision != acknowledged_revision {
                pod.acknowledged_at = Some(now);
            }
            (pod.acknowledged_revision, pod.staleness, pod.draining) = (acknowledged_revision, staleness, draining);
            (pod.rejected, pod.rejected_count) = (rejected, rejected_count);
        }
        // Whoever waits has begun to before he looks at the pods, and the lock has told us: mostly nobody does.
        if self.registry.inner.changed.receiver_count() > 0 {
            self.registry.inner.changed.send_replace(());
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        {
            let mut pods = self.registry.inner.pods.lock();
            if pods.by_id.get(&self.pod_id).is_some_and(|listed| Arc::ptr_eq(listed, &self.pod)) {
                pods.by_id.remove(&self.pod_id);
                pods.departed.insert(self.pod_id.clone(), (Instant::now(), self.pod.lock().clone()));
            }
        }
        self.registry.inner.changed.send_replace(());
    }
}

impl From<&Pod> for peer::Pod {
    fn from(pod: &Pod) -> Self {
        Self {
            pod_id: pod.pod_id.to_string(),
            version: pod.version.clone(),
            address: pod.address.clone(),
            acknowledged_revision: pod.acknowledged_revision.0,
            connected_at_ms: pod.connected_at.millis(),
            acknowledged_at_ms: pod.acknowledged_at.map(Timestamp::millis),
            rejected: pod
                .rejected
                .iter()
                .map(|it| peer::RejectedResource { resource: it.resource.clone(), reason: it.reason.clone() })
                .collect(),
            staleness_ms: pod.staleness.map(|staleness| u64::try_from(staleness.as_millis()).unwrap_or(u64::MAX)),
            draining: pod.draining,
            rejected_count: Some(pod.rejected_count),
        }
    }
}

impl Pod {
    /// A pod as the node it is connected to told of it; `None` when its id is none.
    pub fn from_wire(node_id: NodeId, pod: peer::Pod) -> Option<Self> {
        Some(Self {
            pod_id: pod.pod_id.parse().ok()?,
            node_id,
            version: pod.version,
            address: pod.address,
            acknowledged_revision: Revision(pod.acknowledged_revision),
            connected_at: Timestamp::from_millis(pod.connected_at_ms),
            acknowledged_at: pod.acknowledged_at_ms.map(Timestamp::from_millis),
            rejected_count: pod.rejected_count.unwrap_or_default().max(pod.rejected.len() as u64),
            rejected: pod
                .rejected
                .into_iter()
                .map(|it| RejectedResource { resource: it.resource, reason: it.reason })
                .collect(),
            staleness: pod.staleness_ms.map(Duration::from_millis),
            draining: pod.draining,
        })
    }
}

#[cfg(test)]
mod tests {
    use vocab::ManualClock;

    use super::*;

    fn registry() -> Registry {
        Registry::new(NodeId(1), Arc::new(ManualClock::default()))
    }

    fn connect(registry: &Registry, id: &str) -> Connection {
        registry.connect(id.parse().unwrap(), "1".to_owned(), "a:1".to_owned(), Revision::ZERO)
    }

    fn acknowledged(revision: u64) -> Report {
        let staleness = Some(Duration::from_millis(12));
        Report { acknowledged_revision: Revision(revision), staleness, ..Report::default() }
    }

    #[test]
    fn a_pod_is_listed_while_its_newest_connection_lives() {
        let registry = registry();
        let old = connect(&registry, "pod");
        let new = connect(&registry, "pod");
        new.report(acknowledged(7));
        old.report(acknowledged(3));
        drop(old);
        let pods = registry.list();
        assert_eq!(pods.len(), 1);
        assert_eq!(pods[0].acknowledged_revision, Revision(7));
        assert_eq!(Pod::from_wire(NodeId(1), peer::Pod::from(&pods[0])).unwrap(), pods[0]);
        assert!(registry.departed().is_empty());
        drop(new);
        assert!(registry.list().is_empty());
        assert_eq!(registry.departed(), pods);
        let _again = connect(&registry, "pod");
        assert!(registry.departed().is_empty());
    }

    #[tokio::test]
    async fn a_wait_ends_with_the_last_acknowledgement_or_departure() {
        let registry = registry();
        let (one, two) = (connect(&registry, "one"), connect(&registry, "two"));
        let waiting = registry.clone();
        let wait = tokio::spawn(async move {
            waiting.wait_until_acknowledged(Revision(5), Duration::from_mins(1)).await;
        });
        one.report(acknowledged(5));
        drop(two);
        wait.await.unwrap();
        registry.wait_until_acknowledged(Revision(6), Duration::from_millis(1)).await;
        assert_eq!(registry.list()[0].acknowledged_revision, Revision(5));
    }
}
