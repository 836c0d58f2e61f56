//! The children, in the order they were started; they are stopped in the opposite order.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use tokio::time::{Instant, sleep};

use super::child::{Process, Running};
use super::progress::Progress;
use crate::api;
use crate::failure::Failure;

const READY_TIMEOUT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Supervisor {
    logs: PathBuf,
    run: PathBuf,
    children: Vec<Running>,
}

impl Supervisor {
    pub(crate) const fn new(logs: PathBuf, run: PathBuf) -> Self {
        Self { logs, run, children: Vec::new() }
    }

    pub(crate) fn spawn(&mut self, process: &Process) -> anyhow::Result<()> {
        let running = Running::spawn(process, &self.logs, &self.run)?;
        self.children.push(running);
        Ok(())
    }

    /// Until `/readyz` on `ops_port` answers 200; a child that dies ends the wait.
    pub(crate) async fn wait_ready(&mut self, name: &str, ops_port: u16) -> Result<(), Failure> {
        let http = api::http_client(None)?;
        let url = format!("http://127.0.0.1:{ops_port}/readyz");
        self.wait_until(name, async || match http.get(&url).timeout(Duration::from_secs(2)).send().await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(response.text().await.unwrap_or_default()),
            Err(_) => Err("no answer".to_owned()),
        })
        .await
    }

    /// Polls `probe`, which says why not yet, within the deadline.
    pub(crate) async fn wait_until<T>(
        &mut self,
        name: &str,
        mut probe: impl AsyncFnMut() -> Result<T, String>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            self.check()?;
            let why = match probe().await {
                Ok(found) => return Ok(found),
                Err(why) => why,
            };
            if Instant::now() > deadline {
                let log = self.logs.join(format!("{name}.log"));
                let secs = READY_TIMEOUT.as_secs();
                return Err(anyhow!("{name} was not ready within {secs} s: {why}; see {}", log.display()).into());
            }
            sleep(POLL).await;
        }
    }

    fn check(&mut self) -> Result<(), Failure> {
        for child in &mut self.children {
            if let Some(status) = child.has_ended() {
                return Err(anyhow!(child.obituary(status)).into());
            }
        }
        Ok(())
    }

    /// Returns when a child ends that nobody stopped.
    pub(crate) async fn first_death(&mut self) -> Result<(), Failure> {
        loop {
            self.check()?;
            sleep(POLL * 4).await;
        }
    }

    pub(crate) async fn stop(&mut self, progress: &Progress) {
        while let Some(child) = self.children.last_mut() {
            progress.step(&format!("Stopping {}", child.name));
            // Popped only afterwards: a second Ctrl-C in between still finds it.
            child.stop().await;
            self.children.pop();
        }
        progress.done();
    }

    pub(crate) async fn kill(&mut self) {
        for child in self.children.iter_mut().rev() {
            child.kill().await;
        }
        self.children.clear();
    }
}
