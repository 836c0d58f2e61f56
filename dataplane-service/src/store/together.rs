//! Questions to a tenant's database that come while another of their kind is on its way wait for that, and then go together,
//! as one statement: one round trip, one commit, and one plan to set up, which costs more than the rows it is about. A
//! question that comes alone goes at once, by itself.
//!
//! Each worker has a lane of its own, so that nobody is woken across threads, and two statements under way on it: while
//! one waits for the disk, or for a row that somebody else has locked, the next goes.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tracing::{Instrument as _, Span};

use crate::store::{Connection, DbError, TenantDb};

/// At most so many go as one statement.
const MOST: usize = 64;
/// At most so many statements of a lane are under way.
const DRIVERS: usize = 2;

/// What can be asked alone, or with others of its kind.
pub(super) trait Question: Sized + Send + Sync + 'static {
    type Found: Send + 'static;

    fn lanes(db: &TenantDb) -> &Lanes<Self>;

    /// What it locks, in this order: so no two statements wait for each other.
    fn key(&self) -> &[u8];

    fn alone(&self, client: &Connection) -> impl Future<Output = Result<Self::Found, DbError>> + Send;

    /// All or none; what was found for each, in their order.
    fn together(
        all: &[Arc<Self>],
        client: &Connection,
    ) -> impl Future<Output = Result<Vec<Self::Found>, DbError>> + Send;
}

pub(super) enum Answer<T> {
    Known(Result<T, DbError>),
    /// The connection broke, or one of several questions was at fault: nobody knows whether it was carried out.
    Unknown,
}

impl<T> Answer<T> {
    fn of(answer: Result<T, DbError>) -> Self {
        match answer {
            Err(DbError::Unavailable(_)) => Self::Unknown,
            known => Self::Known(known),
        }
    }
}

pub(super) struct Lanes<Q: Question>(OnceLock<Box<[Mutex<Lane<Q>>]>>);

struct Lane<Q: Question> {
    drivers: usize,
    waiting: Vec<Waiting<Q>>,
}

struct Waiting<Q: Question> {
    question: Arc<Q>,
    answer: oneshot::Sender<Answer<Q::Found>>,
    /// Of the request that asks.
    span: Span,
}

impl<Q: Question> Default for Lanes<Q> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<Q: Question> Lanes<Q> {
    fn of_worker(&self, worker: usize) -> &Mutex<Lane<Q>> {
        let lanes = self.0.get_or_init(|| {
            let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
            (0..workers).map(|_| Mutex::new(Lane { drivers: 0, waiting: Vec::new() })).collect()
        });
        lanes.get(worker % lanes.len()).expect("there is at least one worker")
    }
}

/// The number of this thread.
fn worker() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! { static THIS: Cell<Option<usize>> = const { Cell::new(None) } }
    THIS.with(|this| {
        let number = this.get().unwrap_or_else(|| NEXT.fetch_add(1, Ordering::Relaxed));
        this.set(Some(number));
        number
    })
}

/// Asks by itself, beside those that go together.
pub(super) async fn ask_alone<Q: Question>(db: &TenantDb, question: &Q) -> Answer<Q::Found> {
    match db.get().await {
        Ok(client) => Answer::of(question.alone(&client).await),
        Err(error) => Answer::Known(Err(error)),
    }
}

/// Asks, with others if there are any. Whoever does not wait for the answer has asked all the same.
pub(super) async fn ask<Q: Question>(db: &TenantDb, question: Arc<Q>) -> Answer<Q::Found> {
    let (answer, answered) = oneshot::channel();
    let worker = worker();
    let is_carried = {
        let mut lane = Q::lanes(db).of_worker(worker).lock();
        lane.waiting.push(Waiting { question, answer, span: Span::current() });
        let is_carried = lane.drivers == DRIVERS;
        lane.drivers += usize::from(!is_carried);
        is_carried
    };
    if !is_carried {
        tokio::spawn(Driver::<Q> { db: db.clone(), worker, is_done: false, kind: PhantomData }.drive());
    }
    answered.await.unwrap_or(Answer::Unknown)
}

/// Carries the questions of a lane, until there are none.
struct Driver<Q: Question> {
    db: TenantDb,
    worker: usize,
    is_done: bool,
    kind: PhantomData<fn() -> Q>,
}

impl<Q: Question> Driver<Q> {
    async fn drive(mut self) {
        while let Some((span, batch)) = self.next() {
            carry(&self.db, batch).instrument(span).await;
        }
        self.is_done = true;
    }

    fn lane(&self) -> &Mutex<Lane<Q>> {
        Q::lanes(&self.db).of_worker(self.worker)
    }

    /// Those that go now, as a step of the first of them. `None`: this driver is done.
    fn next(&self) -> Option<(Span, Vec<Waiting<Q>>)> {
        let mut lane = self.lane().lock();
        let many = lane.waiting.len().min(MOST);
        let batch: Vec<_> = lane.waiting.drain(..many).collect();
        let Some(first) = batch.first() else {
            lane.drivers -= 1;
            return None;
        };
        Some((first.span.clone(), batch))
    }
}

impl<Q: Question> Drop for Driver<Q> {
    /// In the middle, when the worker ends or a question panics: whoever waits is told that nothing is known.
    fn drop(&mut self) {
        if !self.is_done {
            let mut lane = self.lane().lock();
            lane.drivers -= 1;
            if lane.drivers == 0 {
                lane.waiting.clear();
            }
        }
    }
}

async fn carry<Q: Question>(db: &TenantDb, mut batch: Vec<Waiting<Q>>) {
    let client = match db.get().await {
        Ok(client) => client,
        Err(error) => {
            for Waiting { answer, .. } in batch {
                let _ = answer.send(Answer::Known(Err(error.for_another())));
            }
            return;
        }
    };
    if batch.len() == 1 {
        for Waiting { question, answer, .. } in batch {
            let _ = answer.send(Answer::of(question.alone(&client).await));
        }
        return;
    }
    batch.sort_by(|one, other| one.question.key().cmp(other.question.key()));
    let questions: Vec<_> = batch.iter().map(|one| Arc::clone(&one.question)).collect();
    let mut answers = Q::together(&questions, &client).await.map(Vec::into_iter);
    for one in batch {
        let found = answers.as_mut().ok().and_then(Iterator::next);
        let _ = one.answer.send(found.map_or(Answer::Unknown, |found| Answer::Known(Ok(found))));
    }
}
