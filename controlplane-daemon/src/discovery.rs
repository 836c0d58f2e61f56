//! Who is asked to take this node in, and told where it is.
//!
//! ```text
//!   members it knows ── signed peer calls ──┐
//!   seeds, DNS ── signed POST /cluster/join ┴─▶ any node ─▶ the leader: member | learner | refused, with the reason
//! ```
//!
//! It never ends: a node tells again, now and then, so that one that was removed hears of it, and one that came back
//! under another address is found by its id.

mod dns;
mod join;
mod seed;
mod told;

use std::net::SocketAddr;
use std::time::Duration;

use controlplane_core::model::NodeSource;
use tokio_util::sync::CancellationToken;

use crate::control_plane::ControlPlane;
use crate::membership::{Bootstrap, MemberError};
use dns::Resolver;
pub use join::{Answer, Joiner};
pub use seed::{DnsName, Seed};
use told::Told;

/// Between two announcements of a node that is where it is known to be.
const SETTLED: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often in a row nobody is in a cluster, before a node that may make one does.
const ROUNDS_BEFORE_FOUNDING: u32 = 5;

/// From the settings.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    pub seeds: Vec<Seed>,
    pub dns: Option<DnsName>,
    /// `None`: the system's.
    pub resolver: Option<SocketAddr>,
}

impl Discovery {
    pub const fn is_on(&self) -> bool {
        !self.seeds.is_empty() || self.dns.is_some()
    }
}

/// What came of asking everybody once.
enum Round {
    Settled,
    /// Somebody is in a cluster, cannot tell, or is the one to make it.
    NotYet,
    /// Nobody who was asked is in a cluster, nor makes one before this node.
    NobodyIsInOne,
}

pub async fn run(
    control: ControlPlane,
    discovery: Discovery,
    joiner: Joiner,
    bootstrap: Bootstrap,
    stop: CancellationToken,
) {
    let work = async {
        let resolver = discovery.dns.clone().map(|name| Resolver::new(name, discovery.resolver));
        let (mut pause, mut in_vain, mut told) = (FIRST_PAUSE, 0, Told::default());
        loop {
            let round = round(&control, &discovery, resolver.as_ref(), &joiner, &mut told).await;
            // Anew after every word of one: who was heard a moment ago may be slow, and not gone.
            in_vain = if matches!(round, Round::NobodyIsInOne) { in_vain + 1 } else { 0 };
            let may_found = bootstrap == Bootstrap::ThisNodeAfterAsking && in_vain >= ROUNDS_BEFORE_FOUNDING;
            match round {
                Round::NobodyIsInOne if may_found && control.is_blank() => {
                    if let Err(why) = control.found().await {
                        tracing::error!(why, "the cluster cannot be initialised");
                    }
                }
                Round::Settled => {
                    pause = FIRST_PAUSE;
                    tokio::time::sleep(SETTLED).await;
                    continue;
                }
                Round::NotYet | Round::NobodyIsInOne => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

async fn round(
    control: &ControlPlane,
    discovery: &Discovery,
    resolver: Option<&Resolver>,
    joiner: &Joiner,
    told: &mut Told,
) -> Round {
    let mut is_settled = false;
    match control.announce().await {
        // One that is alone may have made its cluster while others, who have one, did not answer.
        Ok(()) if control.status().members.len() == 1 => is_settled = true,
        Ok(()) => return Round::Settled,
        Err(MemberError::NoLeader | MemberError::OutcomeUnknown) => {}
        Err(why) => {
            tracing::warn!(%why, "the cluster does not know this node as it is");
            if !control.is_blank() {
                return Round::NotYet;
            }
        }
    }
    let mut targets: Vec<(Seed, NodeSource)> =
        discovery.seeds.iter().map(|seed| (seed.clone(), NodeSource::Gossip)).collect();
    if let Some(resolver) = resolver {
        targets.extend(resolver.look_up().await.into_iter().map(|seed| (seed, NodeSource::Dns)));
    }
    told.keep_only(targets.iter().map(|(seed, _)| seed));
    let mut must_wait = false;
    for (seed, source) in targets {
        match joiner.ask(control, &seed, source).await {
            // By itself: it is among its seeds.
            Answer::TakenIn if is_settled => {}
            Answer::TakenIn => {
                told.forget(&seed);
                tracing::info!(%seed, "this node is known to the cluster");
                return Round::Settled;
            }
            Answer::NotYet => must_wait = true,
            Answer::Refused(why) => {
                must_wait = true;
                if told.is_news(&seed, &why) {
                    tracing::error!(%seed, why, "this node is not taken in");
                }
            }
            // Of all that would, the lowest id does, as among founders that know each other by `--peers`.
            Answer::WouldFound(node) if node < control.node_id() && control.is_blank() => {
                must_wait = true;
                if told.is_news(&seed, "it makes the cluster") {
                    tracing::info!(%seed, %node, "a node with a lower id makes the cluster; this node waits for it");
                }
            }
            Answer::InNoCluster | Answer::WouldFound(_) => told.forget(&seed),
            Answer::Silent(why) if told.is_news(&seed, &why) => {
                tracing::warn!(%seed, why, "a node to join does not answer; it is asked again");
            }
            Answer::Silent(why) => tracing::debug!(%seed, why, "a node to join does not answer"),
        }
    }
    match must_wait {
        _ if is_settled => Round::Settled,
        true => Round::NotYet,
        false => Round::NobodyIsInOne,
    }
}
