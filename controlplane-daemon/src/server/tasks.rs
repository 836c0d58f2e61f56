//! What runs beside the servers until the node stops: each task is told to end, and joined.

use std::io;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::ServerError;

#[derive(Default)]
pub(super) struct Tasks {
    running: Vec<(&'static str, JoinHandle<()>)>,
    stop: CancellationToken,
}

impl Tasks {
    /// `task` is given what tells it to end.
    pub(super) fn spawn<F>(&mut self, what: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.running.push((what, tokio::spawn(task(self.stop.clone()))));
    }

    pub(super) fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    pub(super) async fn joined(self) -> Result<(), ServerError> {
        for (what, task) in self.running {
            task.await.map_err(|error| ServerError::Io { what, source: io::Error::other(error) })?;
        }
        Ok(())
    }
}
