//! Kubernetes' own API server, controllers and scheduler over an etcd, and what stands for its machines: volumes that are
//! asked for are there, and pods that are scheduled are started, probed and stopped by the host.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tests::postgres::free_port;
use tests::process::{Launch, Process};
use tests::wait::{PATIENCE, until};
use tests::{cluster, scratch, tools, web};

use crate::rendered::{self, Object};
use crate::running::host::{Host, Pod};

const TOKEN: &str = "of-the-tests";
const NAMESPACED: &str = "/api/v1/namespaces/hellojohn";
/// Pods of this one's settings are started: of those that are rendered with the base's own ConfigMap.
const OVERLAYS: [&str; 2] = ["overlays/dev", "base"];

pub(super) struct Kubernetes {
    url: String,
    http: reqwest::Client,
    folder: PathBuf,
    host: Option<Host>,
    running: BTreeMap<String, Running>,
    _programs: Vec<Process>,
}

struct Running {
    pod: Pod,
    is_ready: bool,
}

impl Kubernetes {
    /// The programs are in that folder, but for etcd.
    pub(super) async fn start(programs: &Path) -> Self {
        let folder = scratch::folder("kubernetes");
        let file = |name: &str| folder.join(name).display().to_string();
        let (etcd, peers, port) = (free_port(), free_port(), free_port());
        let (etcd, peers) = (format!("http://127.0.0.1:{etcd}"), format!("http://127.0.0.1:{peers}"));
        let url = format!("https://127.0.0.1:{port}");
        fs::write(file("tokens.csv"), format!("{TOKEN},tests,tests,\"system:masters\"\n")).expect("a file");
        tools::run(Command::new("openssl").args(["genrsa", "-out", &file("accounts.key"), "2048"]));
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{ "name": "it", "cluster": { "server": url, "insecure-skip-tls-verify": true } }],
            "users": [{ "name": "it", "user": { "token": TOKEN } }],
            "contexts": [{ "name": "it", "context": { "cluster": "it", "user": "it" } }],
        });
        fs::write(file("config"), config.to_string()).expect("a file");
        let launch = |name: &str, program: PathBuf, args: &[String]| {
            let log = folder.join(format!("{name}.log"));
            let (name, args) = (name.to_owned(), args.to_vec());
            Launch { name, program, args, env: Vec::new(), user: None, namespace: None, log }.start()
        };
        let mut started = vec![launch(
            "etcd",
            tools::program("etcd"),
            &[
                format!("--data-dir={}", file("etcd")),
                format!("--listen-client-urls={etcd}"),
                format!("--advertise-client-urls={etcd}"),
                format!("--listen-peer-urls={peers}"),
                format!("--initial-advertise-peer-urls={peers}"),
                format!("--initial-cluster=default={peers}"),
            ],
        )];
        started.push(launch(
            "kube-apiserver",
            programs.join("kube-apiserver"),
            &[
                format!("--etcd-servers={etcd}"),
                format!("--cert-dir={}", file("certificates")),
                format!("--secure-port={port}"),
                "--bind-address=127.0.0.1".to_owned(),
                format!("--service-account-key-file={}", file("accounts.key")),
                format!("--service-account-signing-key-file={}", file("accounts.key")),
                "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
                "--authorization-mode=RBAC".to_owned(),
                format!("--token-auth-file={}", file("tokens.csv")),
            ],
        ));
        let http = reqwest::Client::builder().danger_accept_invalid_certs(true).build().expect("a client");
        let it = Self { url, http, folder, host: None, running: BTreeMap::new(), _programs: Vec::new() };
        until("the API server is ready", 4 * PATIENCE, async || {
            started.iter_mut().for_each(Process::assert_running);
            it.request(reqwest::Method::GET, "/readyz", None).await.map(drop)
        })
        .await;
        for name in ["kube-controller-manager", "kube-scheduler"] {
            let mut args = vec![
                format!("--kubeconfig={}", it.kubeconfig()),
                "--leader-elect=false".to_owned(),
                format!("--secure-port={}", free_port()),
                format!("--cert-dir={}/{name}", it.folder.display()),
            ];
            if name == "kube-controller-manager" {
                // Nobody renews the machines' leases.
                args.push("--node-monitor-grace-period=1h".to_owned());
                args.push(format!("--service-account-private-key-file={}/accounts.key", it.folder.display()));
            }
            let log = it.folder.join(format!("{name}.log"));
            let (name, program) = (name.to_owned(), programs.join(name));
            started.push(Launch { name, program, args, env: Vec::new(), user: None, namespace: None, log }.start());
        }
        Self { _programs: started, ..it }
    }

    pub(super) fn kubeconfig(&self) -> String {
        self.folder.join("config").display().to_string()
    }

    pub(super) fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(tools::program("kubectl"));
        let done = command.args(arguments).env("KUBECONFIG", self.kubeconfig()).output().expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
    }

    #[track_caller]
    pub(super) fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments).unwrap_or_else(|why| panic!("{arguments:?}: {why}"))
    }

    async fn request(&self, method: reqwest::Method, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.url)).bearer_auth(TOKEN);
        if let Some(body) = body {
            let kind =
                if method == reqwest::Method::PATCH { "application/merge-patch+json" } else { "application/json" };
            request = request.header("content-type", kind).body(body.to_string());
        }
        let answer = web::try_send(request).await.map_err(|error| error.to_string())?;
        if (200..300).contains(&answer.status) { Ok(answer.json) } else { Err(answer.text) }
    }

    #[track_caller]
    fn now() -> String {
        let date = tools::run(Command::new("date").args(["-u", "+%FT%TZ"]));
        String::from_utf8_lossy(&date.stdout).trim().to_owned()
    }

    /// A machine that pods are scheduled to.
    pub(super) async fn add_machine(&mut self, name: &str, zone: &str) {
        if self.host.is_none() {
            let objects = rendered::overlay("overlays/dev");
            self.host = Host::new(objects, BTreeMap::new()).await;
        }
        let labels = json!({ "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone });
        let machine = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name, "labels": labels } });
        self.request(reqwest::Method::POST, "/api/v1/nodes", Some(&machine)).await.expect("it is created");
        let has = json!({ "cpu": "16", "memory": "64Gi", "pods": "110" });
        let now = Self::now();
        let condition = json!({
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "played",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        });
        let status = json!({ "status": { "capacity": has, "allocatable": has, "conditions": [condition] } });
        let path = format!("/api/v1/nodes/{name}/status");
        self.request(reqwest::Method::PATCH, &path, Some(&status)).await.expect("it is told");
    }

    /// The two Secrets that the manifests refer to; the owner's credential.
    pub(super) fn create_secrets(&self) -> String {
        let random = cluster::Secrets::random();
        let create = |name: &str, pairs: [(&str, &str); 2]| {
            let literals = pairs.map(|(key, value)| format!("--from-literal={key}={value}"));
            let [one, two] = &literals;
            self.kubectl(&["-n", "hellojohn", "create", "secret", "generic", name, one, two]);
        };
        create("hellojohn-shared", [("master-key", &random.master_key), ("watch-token", &random.watch_token)]);
        let owner = [("cluster-hmac-secret", &*random.cluster_hmac), ("owner-credential", &*random.owner)];
        create("hellojohn-controlplane", owner);
        random.owner
    }

    async fn list(&self, path: &str) -> Vec<Value> {
        let list = self.request(reqwest::Method::GET, path, None).await;
        list.map(|list| list["items"].as_array().cloned().unwrap_or_default()).unwrap_or_default()
    }

    /// What the machines do when they look the next time.
    pub(super) async fn go_on(&mut self) {
        self.bind_claims().await;
        let pods = self.list(&format!("{NAMESPACED}/pods")).await;
        for pod in &pods {
            let name = text(&pod["metadata"]["name"]);
            let uid = text(&pod["metadata"]["uid"]);
            let is_scheduled = pod["spec"]["nodeName"].is_string();
            let is_leaving = pod["metadata"]["deletionTimestamp"].is_string();
            let is_over = ["Succeeded", "Failed"].contains(&pod["status"]["phase"].as_str().unwrap_or_default());
            match (self.running.contains_key(uid), is_leaving) {
                (false, true) => self.forget(name).await,
                (false, false) if is_scheduled && !is_over => self.start_pod(pod).await,
                (true, true) => {
                    let running = self.running.remove(uid).expect("it is known");
                    self.host.as_mut().expect("machines").stop(running.pod).await;
                    self.forget(name).await;
                }
                (true, false) => self.look_after(name, uid).await,
                _ => {}
            }
        }
    }

    async fn forget(&self, name: &str) {
        let now = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0 });
        let _ = self.request(reqwest::Method::DELETE, &format!("{NAMESPACED}/pods/{name}"), Some(&now)).await;
    }

    /// A volume for each claim.
    async fn bind_claims(&self) {
        for claim in self.list(&format!("{NAMESPACED}/persistentvolumeclaims")).await {
            if claim["status"]["phase"] != "Pending" {
                continue;
            }
            let volume = json!({
                "apiVersion": "v1", "kind": "PersistentVolume",
                "metadata": { "name": claim["metadata"]["uid"] },
                "spec": {
                    "capacity": claim["spec"]["resources"]["requests"],
                    "accessModes": claim["spec"]["accessModes"],
                    "persistentVolumeReclaimPolicy": "Retain",
                    "hostPath": { "path": "/played" },
                    "claimRef": {
                        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "hellojohn",
                        "name": claim["metadata"]["name"], "uid": claim["metadata"]["uid"],
                    },
                },
            });
            // It may be there already.
            let _ = self.request(reqwest::Method::POST, "/api/v1/persistentvolumes", Some(&volume)).await;
        }
    }

    async fn start_pod(&mut self, pod: &Value) {
        let mut namespace = self.request(reqwest::Method::GET, NAMESPACED, None).await.expect("it is there");
        let secrets = self.list(&format!("{NAMESPACED}/secrets")).await;
        let settings = text(&pod["spec"]["containers"][0]["image"]).ends_with(":dev");
        let overlay = OVERLAYS[usize::from(!settings)];
        let (name, uid) = (text(&pod["metadata"]["name"]), text(&pod["metadata"]["uid"]));
        let template = json!({ "metadata": pod["metadata"], "spec": pod["spec"] });
        let json = json!({ "kind": "Pod", "metadata": { "name": name }, "spec": { "template": template } });
        let host = self.host.as_mut().expect("pods are scheduled to machines");
        for secret in secrets {
            let data = secret["data"].as_object().into_iter().flatten().map(|(key, value)| {
                let bytes = STANDARD.decode(text(value)).expect("base64");
                (key.clone(), String::from_utf8(bytes).expect("UTF-8"))
            });
            host.add_secret(text(&secret["metadata"]["name"]), data.collect());
        }
        let started =
            host.start(&Object { overlay: overlay.to_owned(), json }, name, &namespace["metadata"]["labels"].take());
        let _ = self.running.insert(uid.to_owned(), Running { pod: started, is_ready: false });
        self.tell(name, uid).await;
    }

    async fn look_after(&mut self, name: &str, uid: &str) {
        let running = self.running.get_mut(uid).expect("it is known");
        let is_ready = self.host.as_ref().expect("machines").looks_ready(&mut running.pod).await;
        if is_ready != running.is_ready {
            running.is_ready = is_ready;
            self.tell(name, uid).await;
        }
    }

    /// The status of a pod that runs.
    async fn tell(&self, name: &str, uid: &str) {
        let running = &self.running[uid];
        let (now, is_ready) = (Self::now(), running.is_ready);
        let condition = |kind: &str, holds: bool| json!({ "type": kind, "status": if holds { "True" } else { "False" }, "lastTransitionTime": now });
        let container = running.pod.container_name();
        let status = json!({ "status": {
            "phase": "Running",
            "podIP": running.pod.address(),
            "podIPs": [{ "ip": running.pod.address() }],
            "conditions": [
                condition("PodScheduled", true),
                condition("Initialized", true),
                condition("ContainersReady", is_ready),
                condition("Ready", is_ready),
            ],
            "containerStatuses": [{
                "name": container, "ready": is_ready, "started": is_ready, "restartCount": 0,
                "image": "", "imageID": "", "state": { "running": { "startedAt": now } },
            }],
        } });
        let path = format!("{NAMESPACED}/pods/{name}/status");
        // It may be gone by now.
        let _ = self.request(reqwest::Method::PATCH, &path, Some(&status)).await;
    }

    /// Waits for what `kubectl rollout status` waits for.
    pub(super) async fn rolled_out(&mut self, workload: &str) {
        until(&format!("{workload} is rolled out"), 8 * PATIENCE, async || {
            self.go_on().await;
            let said = self.try_kubectl(&["-n", "hellojohn", "rollout", "status", workload, "--watch=false"])?;
            let done = ["successfully rolled out", "rolling update complete"].iter().any(|word| said.contains(word));
            if done { Ok(()) } else { Err(said) }
        })
        .await;
    }

    pub(super) async fn gone(&mut self, name: &str) {
        until(&format!("{name} is gone"), 4 * PATIENCE, async || {
            self.go_on().await;
            if self.running.values().any(|it| it.pod.name == name) { Err("it runs".to_owned()) } else { Ok(()) }
        })
        .await;
    }

    /// Where a port of the first pod of that name is that is ready.
    pub(super) fn url(&self, name: &str, port: &str) -> String {
        let found = self.running.values().find(|it| it.is_ready && it.pod.name.starts_with(name));
        found.unwrap_or_else(|| panic!("no {name} is ready")).pod.url(port)
    }

    /// The machines that pods of that name are on.
    pub(super) fn machines_of(&self, name: &str) -> BTreeSet<String> {
        let lines = self.kubectl(&["-n", "hellojohn", "get", "pods", "-o", "wide", "--no-headers"]);
        let of_it = lines.lines().filter(|line| line.starts_with(name));
        of_it
            .filter_map(|line| line.split_whitespace().find(|word| word.starts_with("machine-")))
            .map(ToOwned::to_owned)
            .collect()
    }

    /// What `kubectl drain` asks for.
    pub(super) fn evict(&self, pod: &str) -> Result<String, String> {
        let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": pod, "namespace": "hellojohn" } });
        let file = scratch::folder("eviction").join("eviction.json");
        fs::write(&file, eviction.to_string()).expect("a file");
        let path = format!("{NAMESPACED}/pods/{pod}/eviction");
        self.try_kubectl(&["create", "--raw", &path, "-f", &file.display().to_string()])
    }

    pub(super) async fn stop_all(&mut self) {
        for (_, running) in std::mem::take(&mut self.running) {
            self.host.as_mut().expect("machines").stop(running.pod).await;
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}
