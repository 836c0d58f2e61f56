//! One of our programs with a folder of its own, which a test starts, asks, and stops as often as it likes.

use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::process::{Finished, Launch, Process};
use crate::wait::{PATIENCE, START, until};
use crate::web;

/// `Addresses`: what the program writes into its `--addresses-file`.
#[derive(Debug)]
pub struct Instance<Addresses> {
    launch: Launch,
    folder: PathBuf,
    process: Option<Process>,
    addresses: Addresses,
}

impl<Addresses: Default + DeserializeOwned> Instance<Addresses> {
    /// Not started. Its log and its `addresses.json` are in one folder.
    pub fn new(launch: Launch) -> Self {
        let folder = launch.log.parent().expect("the log is in the program's folder").to_owned();
        Self { launch, folder, process: None, addresses: Addresses::default() }
    }

    /// Starts the process and waits for its listeners, not for its readiness.
    pub async fn start(&mut self) {
        self.spawn();
        self.bound().await;
    }

    /// Starts it; how it ended, when it did so before it listened.
    pub async fn try_start(&mut self) -> Result<(), Finished> {
        self.spawn();
        let file = self.folder.join("addresses.json");
        let process = self.process_mut();
        let ended = until("it listens or ends", START, async || match process.is_running() {
            false => Ok(true),
            true if file.exists() => Ok(false),
            true => Err("neither".to_owned()),
        })
        .await;
        if !ended {
            self.bound().await;
            return Ok(());
        }
        let code = self.process_mut().ended(PATIENCE).await.code();
        let output = self.process_mut().log();
        self.process = None;
        Err(Finished { code, output })
    }

    pub(crate) fn spawn(&mut self) {
        assert!(self.process.is_none(), "{} runs already", self.launch.name);
        let _ = std::fs::remove_file(self.folder.join("addresses.json"));
        self.process = Some(self.launch.start());
    }

    pub(crate) async fn bound(&mut self) {
        let file = self.folder.join("addresses.json");
        self.addresses = self.process_mut().addresses(&file).await;
    }

    /// Waits until `/readyz` says 200 there. That is a part of its start: it finds its cluster or hears its configuration,
    /// which on a busy machine may take more than one election.
    pub(crate) async fn ready_at(&mut self, ops_url: &str) {
        let (http, url) = (web::client(), format!("{ops_url}/readyz"));
        let what = format!("{} is ready", self.launch.name);
        let process = self.process_mut();
        until(&what, START, async || {
            process.assert_running();
            let answer = web::try_send(http.get(&url)).await.map_err(|error| error.to_string())?;
            if answer.status == 200 { Ok(()) } else { Err(format!("{} {}", answer.status, answer.text)) }
        })
        .await;
    }

    /// Starts it once with other environment variables, for settings that it must refuse.
    pub async fn run_with_env(&self, env: &[(&str, &str)]) -> Finished {
        assert!(self.process.is_none(), "{} runs", self.launch.name);
        let mut launch = self.launch.clone();
        launch.log = self.folder.join("log-refused");
        launch.env.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        launch.run(PATIENCE).await
    }

    /// What its program answers to a subcommand, with its own settings.
    pub async fn run_subcommand(&self, args: &[&str]) -> Finished {
        let mut launch = self.launch.clone();
        launch.log = self.folder.join(format!("log-{}", args.first().unwrap_or(&"")));
        let _ = std::fs::remove_file(&launch.log);
        launch.args.splice(0..0, args.iter().map(ToString::to_string));
        launch.run(PATIENCE).await
    }
}

impl<Addresses> Instance<Addresses> {
    /// SIGKILL: no goodbye.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// SIGTERM; the exit code.
    pub async fn stop(&mut self, within: Duration) -> Option<i32> {
        let process = self.process_mut();
        process.terminate();
        let status = process.ended(within).await;
        self.process = None;
        status.code()
    }

    /// A test has started it and not stopped it; it may have ended by itself.
    pub const fn is_started(&self) -> bool {
        self.process.is_some()
    }

    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    pub fn process(&self) -> &Process {
        self.process.as_ref().unwrap_or_else(|| panic!("{} is not running", self.launch.name))
    }

    pub fn process_mut(&mut self) -> &mut Process {
        self.process.as_mut().unwrap_or_else(|| panic!("{} is not running", self.launch.name))
    }

    pub fn process_id(&self) -> u32 {
        self.process().id()
    }

    /// The value of a flag, if it has that.
    pub fn flag(&self, name: &str) -> Option<&str> {
        let args = &self.launch.args;
        let place = args.iter().position(|arg| arg == name)?;
        args.get(place + 1).map(String::as_str)
    }

    /// To start it differently the next time.
    pub const fn launch_mut(&mut self) -> &mut Launch {
        &mut self.launch
    }

    /// What it keeps.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where it listens, or did last.
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }
}
