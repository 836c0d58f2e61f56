//! The task that looks after the outboxes of all tenants: when to look at which, and what is under way.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vocab::{Clock, TenantId, Timestamp};

use super::delivery::{self, Ways};
use super::{CLAIM, LEASE_SECS, MAX_AT_ONCE, MAX_OF_A_TENANT};
use crate::directory::LiveDirectory;
use crate::fetch::Fetcher;
use crate::mail::Mailers;
use crate::recorder::tenant_label;
use crate::store::outbox::{self, Left, Message};
use crate::store::{DbError, TenantDb, sessions};
use crate::tenant::TenantContext;

pub struct Courier {
    pub directory: Arc<LiveDirectory>,
    pub fetcher: Arc<Fetcher>,
    pub mailers: Mailers,
    pub clock: Arc<dyn Clock>,
    pub signals: mpsc::Receiver<TenantId>,
    /// How often all outboxes are looked at, for what other pods left behind.
    pub every: Duration,
}

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Courier").field("every", &self.every).finish_non_exhaustive()
    }
}

/// A tenant that something is to be done for, or is being done.
#[derive(Debug, Default)]
struct Round {
    look_at: Option<Instant>,
    is_looking: bool,
    /// Whether the next look is the one for everything, not for a signal.
    is_thorough: bool,
    /// Whether there was no room the last time, so that a delivery that ends looks again.
    is_starved: bool,
    under_way: usize,
    /// Messages in its outbox at the last look, and how metrics name the tenant.
    pending: u32,
    label: String,
}

impl Round {
    fn look_by(&mut self, at: Instant) {
        self.look_at = Some(self.look_at.map_or(at, |known| known.min(at)));
    }
}

/// What a task of the courier's found out.
enum Done {
    Looked(Arc<TenantContext>, Result<(Vec<Message>, Left), DbError>),
    Delivered(TenantId, Result<Option<Timestamp>, DbError>),
}

impl Courier {
    /// Until it is told to stop; deliveries that are under way then are finished.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut rounds: HashMap<TenantId, Round> = HashMap::new();
        let mut tasks: JoinSet<Done> = JoinSet::new();
        let mut look_at_all = tokio::time::interval(self.every);
        look_at_all.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let next = if room_for_looks(&rounds) == 0 {
                None
            } else {
                rounds.values().filter(|round| !round.is_looking).filter_map(|round| round.look_at).min()
            };
            tokio::select! {
                () = stop.cancelled() => break,
                Some(tenant) = self.signals.recv() => rounds.entry(tenant).or_default().look_by(Instant::now()),
                _ = look_at_all.tick() => self.all(&mut rounds),
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    self.look(&mut rounds, &mut tasks);
                }
                Some(done) = tasks.join_next() => {
                    // A task that panicked has said so; its message comes back when the lease ends.
                    if let Ok(done) = done {
                        self.note(done, &mut rounds, &mut tasks);
                    }
                }
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Has every tenant looked at that may have anybody to tell.
    fn all(&mut self, rounds: &mut HashMap<TenantId, Round>) {
        let directory = self.directory.load();
        let there: HashSet<TenantId> = directory.tenants().map(|tenant| tenant.id).collect();
        self.mailers.keep(|tenant| there.contains(tenant));
        // Who has nothing under way and nothing planned is forgotten, gone tenants among them.
        rounds.retain(|_, round| round.is_looking || round.under_way > 0 || round.look_at.is_some());
        // Mail with links is looked for in databases that are in use here anyhow.
        let may_have_any = |tenant: &&Arc<TenantContext>| {
            let mails = |db: &TenantDb| tenant.has_listeners() || (self.mailers.has(tenant) && db.is_open());
            tenant.db().is_ok_and(mails)
        };
        for tenant in directory.tenants().filter(may_have_any) {
            let round = rounds.entry(tenant.id).or_default();
            round.is_thorough = true;
            round.look_by(Instant::now());
        }
    }

    /// Begins to look at tenants whose time has come, as many as there is room for.
    fn look(&self, rounds: &mut HashMap<TenantId, Round>, tasks: &mut JoinSet<Done>) {
        let (now, directory, mut room) = (Instant::now(), self.directory.load(), room_for_looks(rounds));
        let tenants: HashMap<TenantId, &Arc<TenantContext>> =
            directory.tenants().map(|tenant| (tenant.id, tenant)).collect();
        for (id, round) in rounds.iter_mut() {
            if room == 0 {
                return;
            }
            if round.is_looking || round.look_at.is_none_or(|at| at > now) {
                continue;
            }
            round.look_at = None;
            let most = CLAIM.min(MAX_OF_A_TENANT.saturating_sub(round.under_way));
            round.is_starved = most == 0;
            let Some(tenant) = tenants.get(id).filter(|_| most > 0).copied().cloned() else { continue };
            round.is_looking = true;
            let is_thorough = std::mem::take(&mut round.is_thorough);
            let clock = Arc::clone(&self.clock);
            tasks.spawn(async move {
                let found = look(&tenant, clock.now(), most, is_thorough).await;
                Done::Looked(tenant, found)
            });
            room -= 1;
        }
    }

    fn note(&mut self, done: Done, rounds: &mut HashMap<TenantId, Round>, tasks: &mut JoinSet<Done>) {
        match done {
            Done::Looked(tenant, found) => {
                let round = rounds.entry(tenant.id).or_default();
                round.is_looking = false;
                match found {
                    Ok((messages, left)) => {
                        round.pending = u32::try_from(left.messages).unwrap_or(u32::MAX);
                        let label = tenant_label(&tenant.slug);
                        round.label.clone_from(&label);
                        let next = left.next_due_at.map(|at| self.instant(at));
                        // What is claimed is due when its lease ends, should it not be delivered.
                        if let Some(next) = next {
                            round.look_by(next);
                        }
                        round.under_way += messages.len();
                        for message in messages {
                            self.send_off(Arc::clone(&tenant), message, tasks);
                        }
                        tell_pending(rounds, &label);
                    }
                    // The next look at all tenants tries again.
                    Err(error) => tracing::warn!(tenant = %tenant.slug, %error, "the outbox cannot be read"),
                }
            }
            Done::Delivered(tenant, next) => {
                let round = rounds.entry(tenant).or_default();
                round.under_way = round.under_way.saturating_sub(1);
                match next {
                    Ok(Some(due_at)) => round.look_by(self.instant(due_at)),
                    // There may be more, and what was counted is one less.
                    Ok(None) if round.under_way == 0 || round.is_starved => round.look_by(Instant::now()),
                    Ok(None) => {}
                    // The message comes back when its lease ends.
                    Err(error) => tracing::warn!(%error, "what became of a message was not written down"),
                }
            }
        }
    }

    fn send_off(&mut self, tenant: Arc<TenantContext>, message: Message, tasks: &mut JoinSet<Done>) {
        let (fetcher, clock) = (Arc::clone(&self.fetcher), Arc::clone(&self.clock));
        let mailer = self.mailers.of(&tenant);
        tasks.spawn(async move {
            let delivered = async {
                let ways = Ways { fetcher: &fetcher, mailer: mailer.as_deref() };
                delivery::deliver(&tenant, tenant.db()?, ways, &message, clock.now()).await
            };
            let delivered = delivered.await;
            Done::Delivered(tenant.id, delivered)
        });
    }

    /// When that will be.
    fn instant(&self, at: Timestamp) -> Instant {
        Instant::now() + at.since(self.clock.now())
    }
}

/// `hj_dp_outbox_pending` of those that are named as `label`.
fn tell_pending(rounds: &HashMap<TenantId, Round>, label: &str) {
    let pending: f64 = rounds.values().filter(|round| round.label == label).map(|round| f64::from(round.pending)).sum();
    metrics::gauge!("hj_dp_outbox_pending", "tenant" => label.to_owned()).set(pending);
}

/// How many outboxes may be looked at beside what is under way.
fn room_for_looks(rounds: &HashMap<TenantId, Round>) -> usize {
    let taken = rounds.values().map(|round| round.under_way + if round.is_looking { CLAIM } else { 0 }).sum();
    MAX_AT_ONCE.saturating_sub(taken) / CLAIM
}

/// Claims what is due, and counts what is left. A thorough look also ends what nobody's request ended: the sessions of
/// users who were disabled.
async fn look(
    tenant: &TenantContext,
    now: Timestamp,
    most: usize,
    is_thorough: bool,
) -> Result<(Vec<Message>, Left), DbError> {
    let db = tenant.db()?;
    if is_thorough {
        let ended = sessions::end_of_disabled(db, &tenant.told_of_logout(), now).await?;
        if ended > 0 {
            tracing::info!(tenant = %tenant.slug, ended, "sessions of disabled users were ended");
        }
    }
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let messages = outbox::claim(db, now, now.plus_secs(LEASE_SECS), most).await?;
    Ok((messages, outbox::left(db).await?))
}
