//! The hashing threads: each takes a job from the bounded queue, computes in its own memory block, replies.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq as _;
use tokio::sync::oneshot;

use super::{HashError, Password, PasswordHash};

/// OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const OUTPUT_BYTES: usize = 32;

/// What an imported hash may ask for at most; a greater one counts as unreadable, or it could be used to exhaust us.
const MAX_MEMORY_KIB: u32 = 128 * 1024;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 8;

pub(super) enum Job {
    Hash { password: Password, reply: oneshot::Sender<Result<PasswordHash, HashError>> },
    Verify { password: Password, stored: Option<PasswordHash>, reply: oneshot::Sender<Result<bool, HashError>> },
}

/// The queue and the threads that drain it.
pub(super) struct Pool {
    /// `None` only while dropping.
    queue: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
    load: Arc<Load>,
}

/// What the threads have to do at the moment.
#[derive(Debug, Default)]
pub(super) struct Load {
    queued: AtomicUsize,
    pub(super) busy: AtomicUsize,
    pub(super) most_queued: usize,
    pub(super) threads: usize,
}

impl Load {
    pub(super) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }
}

impl Pool {
    pub(super) fn start(threads: usize, queued: usize) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(queued);
        let jobs = Arc::new(Mutex::new(jobs));
        let load = Arc::new(Load { most_queued: queued, threads, ..Load::default() });
        let threads = (0..threads)
            .map(|n| {
                let mut worker = Worker::new();
                let (jobs, load) = (Arc::clone(&jobs), Arc::clone(&load));
                Builder::new().name(format!("argon2-{n}")).spawn(move || worker.run(&jobs, &load))
            })
            .collect::<std::io::Result<_>>()?;
        Ok(Self { queue: Some(queue), threads, load })
    }

    pub(super) fn submit(&self, job: Job) -> Result<(), HashError> {
        let queue = self.queue.as_ref().ok_or(HashError::Unavailable)?;
        // Before it is sent: whoever takes it counts it down.
        self.load.queued.fetch_add(1, Ordering::Relaxed);
        queue.try_send(job).map_err(|refused| {
            self.load.queued.fetch_sub(1, Ordering::Relaxed);
            match refused {
                TrySendError::Full(_) => {
                    metrics::counter!("hj_dp_queue_refused_total", "queue" => "passwords").increment(1);
                    HashError::Busy
                }
                TrySendError::Disconnected(_) => HashError::Unavailable,
            }
        })
    }

    pub(super) fn load(&self) -> &Load {
        &self.load
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has already answered its caller by dropping the reply channel.
            let _ = thread.join();
        }
    }
}

struct Worker {
    memory: Vec<Block>,
    /// What is verified against when there is no such user: our costs, a random output that no password has.
    decoy: PasswordHash,
}

impl Worker {
    fn new() -> Self {
        Self { memory: Vec::new(), decoy: decoy() }
    }

    fn run(&mut self, jobs: &Mutex<Receiver<Job>>, load: &Load) {
        loop {
            let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            if next.is_ok() {
                load.queued.fetch_sub(1, Ordering::Relaxed);
                load.busy.fetch_add(1, Ordering::Relaxed);
            }
            match next {
                Ok(Job::Hash { password, reply }) if !reply.is_closed() => {
                    let _ = reply.send(self.hash(&password));
                }
                Ok(Job::Verify { password, stored, reply }) if !reply.is_closed() => {
                    let _ = reply.send(self.verify(&password, stored.as_ref()));
                }
                // The caller has gone away: not worth 12 ms.
                Ok(_) => {}
                Err(_) => return,
            }
            load.busy.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn hash(&mut self, password: &Password) -> Result<PasswordHash, HashError> {
        let mut salt = [0; 16];
        rand::fill(&mut salt);
        let mut output = [0; OUTPUT_BYTES];
        self.compute(Algorithm::Argon2id, Version::V0x13, our_params(), password.bytes(), &salt, &mut output)?;
        Ok(phc_string(&salt, &output))
    }

    fn verify(&mut self, password: &Password, stored: Option<&PasswordHash>) -> Result<bool, HashError> {
        let decoy = self.decoy.clone();
        match stored.and_then(Expected::parse).map_or_else(|| Expected::parse(&decoy), Some) {
            Some(expected) => {
                let mut output = vec![0; expected.output.len()];
                let Expected { algorithm, version, params, salt, output: wanted } = expected;
                self.compute(algorithm, version, params, password.bytes(), &salt, &mut output)?;
                Ok(output.ct_eq(&wanted).into())
            }
            None => Ok(false),
        }
    }

    fn compute(
        &mut self,
        algorithm: Algorithm,
        version: Version,
        params: Params,
        password: &[u8],
        salt: &[u8],
        output: &mut [u8],
    ) -> Result<(), HashError> {
        let blocks = params.block_count();
        if self.memory.len() < blocks {
            self.memory.resize(blocks, Block::new());
        }
        Argon2::new(algorithm, version, params)
            .hash_password_into_with_memory(password, salt, output, self.memory.as_mut_slice())
            .map_err(|_| HashError::Unavailable)
    }
}

/// A stored hash, read.
struct Expected {
    algorithm: Algorithm,
    version: Version,
    params: Params,
    salt: Vec<u8>,
    output: Vec<u8>,
}

impl Expected {
    fn parse(stored: &PasswordHash) -> Option<Self> {
        let hash = phc::PasswordHash::new(stored.as_str()).ok()?;
        let params = Params::try_from(&hash).ok()?;
        if params.m_cost() > MAX_MEMORY_KIB || params.t_cost() > MAX_PASSES || params.p_cost() > MAX_LANES {
            return None;
        }
        Some(Self {
            algorithm: Algorithm::try_from(hash.algorithm.as_str()).ok()?,
            version: hash.version.map_or(Some(Version::V0x13), |v| Version::try_from(v).ok())?,
            params,
            salt: hash.salt?.as_ref().to_vec(),
            output: hash.hash?.as_bytes().to_vec(),
        })
    }
}

fn our_params() -> Params {
    Params::new(MEMORY_KIB, PASSES, LANES, Some(OUTPUT_BYTES)).expect("the constants are within argon2's bounds")
}

fn phc_string(salt: &[u8], output: &[u8]) -> PasswordHash {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD as B64;
    PasswordHash::stored(format!(
        "$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${}${}",
        B64.encode(salt),
        B64.encode(output)
    ))
}

fn decoy() -> PasswordHash {
    let (mut salt, mut output) = ([0; 16], [0; OUTPUT_BYTES]);
    rand::fill(&mut salt);
    rand::fill(&mut output);
    phc_string(&salt, &output)
}
