//! When credentials were last used: noticed at each request, put into the log about once a minute.
//!
//! Every node reports for itself, and leaves out what another node reported less than a minute ago. So the log grows by
//! at most one entry a minute and node, however busy the API is, and a request never waits for it.

use std::collections::HashMap;
use std::time::Duration;

use controlplane_core::mutation::AdminUse;
use controlplane_core::{Actor, Command, Mutation, State};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use vocab::{AdminId, Timestamp};

use crate::control_plane::ControlPlane;

/// From the first use to its report.
const GATHER: Duration = Duration::from_secs(1);
/// Between two reports of a node; and how old a time must be to be worth replacing.
const INTERVAL: Duration = Duration::from_mins(1);

/// At most one entry for each credential there is.
#[derive(Debug, Default)]
pub struct Uses {
    latest: Mutex<HashMap<AdminId, Timestamp>>,
    wake: Notify,
}

impl Uses {
    pub(super) fn saw(&self, id: AdminId, at: Timestamp) {
        let mut latest = self.latest.lock();
        let known = latest.insert(id, at).is_some();
        if !known {
            self.wake.notify_one();
        }
    }

    /// What is news to the state; all is forgotten.
    fn take(&self, state: &State) -> Vec<AdminUse> {
        let latest = std::mem::take(&mut *self.latest.lock());
        let is_news = |used: &AdminUse| {
            state.admin(used.id).is_some_and(|admin| admin.last_used_at.is_none_or(|at| used.at.since(at) >= INTERVAL))
        };
        let mut news: Vec<_> = latest.into_iter().map(|(id, at)| AdminUse { id, at }).filter(is_news).collect();
        news.sort_by_key(|used| used.id);
        news
    }
}

/// Reports until `stop`.
pub async fn report(control: ControlPlane, uses: &Uses, stop: CancellationToken) {
    let work = async {
        loop {
            uses.wake.notified().await;
            tokio::time::sleep(GATHER).await;
            let news = control.read(|state| uses.take(state));
            if news.is_empty() {
                continue;
            }
            let command = Command::new(Actor::System, Mutation::AdminUsed { uses: news.clone() });
            if let Err(why) = control.propose(command).await {
                // The next use is reported again; until then the time is a little older than it could be.
                tracing::debug!(%why, "the last uses of credentials could not be recorded");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}
