//! A data-plane pod.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::cluster::Secrets;
use crate::postgres::free_port;
use crate::process::{Finished, Launch, Process};
use crate::programs;
use crate::scratch;
use crate::wait::{PATIENCE, until};
use crate::web;

#[derive(Debug)]
pub struct Pod {
    pub name: String,
    /// It is reached by this.
    host: String,
    launch: Launch,
    folder: PathBuf,
    process: Option<Process>,
    addresses: Addresses,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Addresses {
    http: String,
    #[serde(default)]
    tls: String,
    ops: String,
}

/// How a pod differs from the usual one.
#[derive(Clone, Debug, Default)]
pub struct Plan<'a> {
    pub name: &'a str,
    /// The name that it is reached by; its address when empty.
    pub host: &'a str,
    /// `--control-plane`
    pub control_plane: &'a str,
    /// The issuer's base; its own address when empty.
    pub public_url: &'a str,
    /// Empty: a request that names no tenant has none.
    pub default_tenant: &'a str,
    pub flags: &'a [&'a str],
}

impl Pod {
    /// Starts it and waits until it serves.
    pub async fn start(plan: &Plan<'_>, secrets: &Secrets) -> Self {
        let mut pod = Self::prepare(plan, secrets);
        pod.start_again().await;
        pod.ready().await;
        pod
    }

    pub fn prepare(plan: &Plan<'_>, secrets: &Secrets) -> Self {
        let folder = scratch::folder(plan.name);
        let file = |name: &str| folder.join(name).display().to_string();
        let port = free_port();
        let host = if plan.host.is_empty() { "127.0.0.1" } else { plan.host };
        let own_url = format!("http://{host}:{port}");
        let args = [
            ("--http-addr", format!("127.0.0.1:{port}")),
            ("--ops-addr", "127.0.0.1:0".to_owned()),
            ("--addresses-file", file("addresses.json")),
            ("--state-dir", file("state")),
            ("--control-plane", plan.control_plane.to_owned()),
            ("--pod-name", plan.name.to_owned()),
            ("--default-tenant", plan.default_tenant.to_owned()),
            ("--public-url", if plan.public_url.is_empty() { own_url } else { plan.public_url.to_owned() }),
        ];
        let env = [("SECRETBOX_MASTER_KEY", &secrets.master_key), ("HJ_WATCH_TOKEN", &secrets.watch_token)];
        let mut args: Vec<String> = args.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect();
        args.extend(plan.flags.iter().map(ToString::to_string));
        let launch = Launch {
            name: plan.name.to_owned(),
            program: programs::dataplane_service(),
            args,
            env: env.into_iter().map(|(name, value)| (name.to_owned(), value.clone())).collect(),
            user: None,
            namespace: None,
            log: folder.join("log"),
        };
        let (name, host) = (plan.name.to_owned(), host.to_owned());
        Self { name, host, launch, folder, process: None, addresses: Addresses::default() }
    }

    /// To start it differently the next time.
    pub fn launch_mut(&mut self) -> &mut Launch {
        &mut self.launch
    }

    /// Starts the process and waits for its listeners, not for its readiness.
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "{} runs already", self.name);
        let file = self.folder.join("addresses.json");
        let _ = std::fs::remove_file(&file);
        let mut process = self.launch.start();
        self.addresses = process.addresses(&file).await;
        self.process = Some(process);
    }

    pub async fn ready(&mut self) {
        let (http, url) = (web::client(), format!("{}/readyz", self.ops_url()));
        let process = self.process_mut();
        until("the pod is ready", PATIENCE, async || {
            process.assert_running();
            let answer = web::try_send(http.get(&url)).await.map_err(|error| error.to_string())?;
            if answer.status == 200 { Ok(()) } else { Err(format!("{} {}", answer.status, answer.text)) }
        })
        .await;
    }

    /// `/debug/config`
    pub async fn debug_config(&self) -> Value {
        web::send(web::client().get(format!("{}/debug/config", self.ops_url()))).await.expect(200).json
    }

    /// Waits until it has applied that revision.
    pub async fn has_revision(&self, revision: u64) {
        until(&format!("{} has revision {revision}", self.name), PATIENCE, async || {
            let config = self.debug_config().await;
            if config["revision"].as_u64() >= Some(revision) { Ok(()) } else { Err(config.to_string()) }
        })
        .await;
    }

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

    /// Starts it once with other environment variables, for settings that it must refuse.
    pub async fn run_with_env(&self, env: &[(&str, &str)]) -> Finished {
        assert!(self.process.is_none(), "{} runs", self.name);
        let mut launch = self.launch.clone();
        launch.log = self.folder.join("log-refused");
        launch.env.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        launch.run(PATIENCE).await
    }

    pub fn process_mut(&mut self) -> &mut Process {
        let name = &self.name;
        self.process.as_mut().unwrap_or_else(|| panic!("{name} is not running"))
    }

    pub fn process(&self) -> &Process {
        self.process.as_ref().unwrap_or_else(|| panic!("{} is not running", self.name))
    }

    pub fn state_dir(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// `host:port` of the public listener.
    pub fn address(&self) -> &str {
        &self.addresses.http
    }

    /// `host:port` of the public listener over TLS; empty when there is none.
    pub fn tls_address(&self) -> &str {
        &self.addresses.tls
    }

    pub fn url(&self) -> String {
        if self.host == "127.0.0.1" {
            return format!("http://{}", self.addresses.http);
        }
        let port = self.addresses.http.rsplit(':').next().unwrap_or_default();
        format!("http://{}:{port}", self.host)
    }

    pub fn ops_url(&self) -> String {
        format!("http://{}", self.addresses.ops)
    }
}
