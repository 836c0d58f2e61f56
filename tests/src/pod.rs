//! A data-plane pod.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use crate::cluster::Secrets;
use crate::instance::Instance;
use crate::postgres::free_port;
use crate::process::Launch;
use crate::programs;
use crate::scratch;
use crate::wait::{PATIENCE, until};
use crate::web;

#[derive(Debug)]
pub struct Pod {
    pub name: String,
    /// It is reached by this.
    host: String,
    instance: Instance<Addresses>,
}

impl Deref for Pod {
    type Target = Instance<Addresses>;

    fn deref(&self) -> &Self::Target {
        &self.instance
    }
}

impl DerefMut for Pod {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.instance
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Addresses {
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
        Self { name, host, instance: Instance::new(launch) }
    }

    /// Starts the process and waits for its listeners, not for its readiness.
    pub async fn start_again(&mut self) {
        self.instance.start().await;
    }

    pub async fn ready(&mut self) {
        let ops_url = self.ops_url();
        self.instance.ready_at(&ops_url).await;
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

    pub fn state_dir(&self) -> PathBuf {
        self.file("state")
    }

    /// `host:port` of the public listener.
    pub fn address(&self) -> &str {
        &self.addresses().http
    }

    /// `host:port` of the public listener over TLS; empty when there is none.
    pub fn tls_address(&self) -> &str {
        &self.addresses().tls
    }

    pub fn url(&self) -> String {
        if self.host == "127.0.0.1" {
            return format!("http://{}", self.addresses().http);
        }
        let port = self.addresses().http.rsplit(':').next().unwrap_or_default();
        format!("http://{}:{port}", self.host)
    }

    pub fn ops_url(&self) -> String {
        format!("http://{}", self.addresses().ops)
    }
}
