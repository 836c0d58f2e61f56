//! The one thread that Raft runs on: its core, the log's and the peers' tasks, and the state machine.
//!
//! A write passes through a dozen tasks. On one thread that is a dozen polls; on several it is a dozen wake-ups of sleeping
//! threads, each of which costs more than the work it wakes for. And what shares no thread with Raft cannot delay a
//! heartbeat: a thousand pods to serve are the other runtime's. Whatever may take long on this one is moved off it:
//! fsync (the log's writer), snapshots, large entries.

use std::io;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// What the thread may take to end: its tasks were told before.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// A runtime of its own on a thread of its own; it ends when this is dropped.
#[derive(Debug)]
pub struct RaftThread {
    handle: Handle,
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl RaftThread {
    pub fn start() -> io::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().thread_name("raft-blocking").build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let (tell_ended, ended) = oneshot::channel();
        std::thread::Builder::new().name("raft".to_owned()).spawn(move || {
            // An error, too, says that nobody holds the other end any more.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
            let _ = tell_ended.send(());
        })?;
        Ok(Self { handle, stop, ended })
    }

    /// Runs `future` there; everything that it spawns stays there. `None` when it panicked.
    pub async fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> Option<T> {
        self.handle.spawn(future).await.ok()
    }

    /// Drops what is left of the tasks.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        if tokio::time::timeout(STOP_TIMEOUT, self.ended).await.is_err() {
            tracing::warn!("the thread of Raft did not end in time");
        }
    }
}
