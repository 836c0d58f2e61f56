//! What a Kubernetes node makes of a pod, as far as a program can tell: an address and a network of its own that the
//! policies guard, names, a root that cannot be written to, volumes, the manifest's user, variables, probes, hooks and
//! grace. The machine's programs stand where the images have theirs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::PoisonError;
use std::time::Duration;

use serde_json::{Value, json};
use tests::network::Network;
use tests::process::{Finished, Launch, Process};
use tests::wait::{PATIENCE, until};
use tests::{programs, scratch, tools, web};

use super::names::{self, Endpoint, Endpoints};
use super::policies::{self, Party};
use crate::containers::Container;
use crate::rendered::Object;

const ENTER: &str = include_str!("enter.sh");
/// How many pods there may be at a time, and a few more, so that whoever comes back is elsewhere.
const ADDRESSES: u64 = 14;

/// The keys of one Secret, with their values.
pub(crate) type Secret = BTreeMap<String, String>;

pub(crate) struct Host {
    network: Network,
    objects: Vec<&'static Object>,
    secrets: BTreeMap<String, Secret>,
    endpoints: Endpoints,
    parties: Vec<Party>,
    free: VecDeque<u64>,
    /// Folders of persistent volumes, by their claims' names.
    claims: BTreeMap<String, PathBuf>,
}

/// A pod with its only container.
pub(crate) struct Pod {
    pub(crate) name: String,
    seat: u64,
    address: Ipv4Addr,
    container: Value,
    grace: Duration,
    env: Vec<(String, String)>,
    user: u32,
    process: Process,
}

impl Host {
    /// `None` when the machine is declared unable, see [`Network::new`].
    pub(crate) async fn new(objects: Vec<&'static Object>, secrets: BTreeMap<String, Secret>) -> Option<Self> {
        let network = Network::new(ADDRESSES)?;
        let endpoints = Endpoints::default();
        let services = objects.iter().copied().filter(|object| object.kind() == "Service").collect();
        names::serve(&network.address(0), services, &endpoints).await;
        let dns = Party {
            pod: Endpoint {
                name: "dns".to_owned(),
                labels: json!({ "k8s-app": "kube-dns" }),
                address: network.address(0).parse().expect("an address"),
                is_ready: true,
            },
            namespace: json!({ "kubernetes.io/metadata.name": "kube-system" }),
            ports: Vec::new(),
        };
        let free = (1..=ADDRESSES).collect();
        Some(Self { network, objects, secrets, endpoints, parties: vec![dns], free, claims: BTreeMap::new() })
    }

    pub(crate) fn add_secret(&mut self, name: &str, secret: Secret) {
        let _ = self.secrets.insert(name.to_owned(), secret);
    }

    /// Where pods find what runs on the machine itself.
    pub(crate) fn address(&self) -> String {
        self.network.address(0)
    }

    /// Starts a pod of that workload. `namespace` are the labels of the namespace that it is in.
    pub(crate) fn start(&mut self, workload: &Object, name: &str, namespace: &Value) -> Pod {
        let template = workload.pod_template().expect("a workload");
        let (labels, pod) = (&template["metadata"]["labels"], &template["spec"]);
        let spec = &pod["containers"][0];
        assert_eq!(pod["containers"].as_array().map(Vec::len), Some(1), "{name}: one container");
        let container = Container { object: workload, pod, spec };
        let seat = self.free.pop_front().expect("there are more addresses than pods");
        let address = self.network.address(seat);
        let root = scratch::folder(name);
        let mut launch = self.launch(&container, name, seat, &root);
        let env = container.environment(name);
        launch.env.clone_from(&env);
        launch.env.push(("HOME".to_owned(), "/home/hellojohn".to_owned()));
        let ports = spec["ports"].as_array().into_iter().flatten();
        let ports = ports.map(|it| (text(&it["name"]).to_owned(), it["containerPort"].as_u64().expect("a number")));
        let endpoint = Endpoint {
            name: name.to_owned(),
            labels: labels.clone(),
            address: address.parse().expect("an address"),
            is_ready: false,
        };
        self.lock().push(endpoint.clone());
        self.parties.push(Party { pod: endpoint, namespace: namespace.clone(), ports: ports.collect() });
        self.guard();
        Pod {
            name: name.to_owned(),
            seat,
            address: address.parse().expect("an address"),
            container: spec.clone(),
            grace: Duration::from_secs(pod["terminationGracePeriodSeconds"].as_u64().unwrap_or(30)),
            env,
            user: user(pod),
            process: launch.start(),
        }
    }

    fn launch(&mut self, container: &Container<'_>, name: &str, seat: u64, root: &Path) -> Launch {
        let (pod, spec, program) = (container.pod, container.spec, container.program());
        let path = format!("/usr/local/bin/{program}");
        let make = |folder: &str| fs::create_dir_all(root.join(folder.trim_start_matches('/'))).expect("a folder");
        for folder in ["lib", "lib64", "usr/lib", "usr/local/bin", "etc/ssl/certs", "home/hellojohn"] {
            make(folder);
        }
        // What the Dockerfile puts beside a program.
        let authorities = "etc/ssl/certs/ca-certificates.crt";
        fs::copy(Path::new("/").join(authorities), root.join(authorities)).expect("ca-certificates is installed");
        fs::write(root.join("etc/passwd"), format!("hellojohn:x:{0}:{0}::/home/hellojohn:/\n", user(pod)))
            .expect("a file");
        let resolver = self.network.address(0);
        let search = "hellojohn.svc.cluster.local svc.cluster.local cluster.local";
        let resolv = format!("nameserver {resolver}\nsearch {search}\noptions ndots:5\n");
        fs::write(root.join("etc/resolv.conf"), resolv).expect("a file");
        fs::write(root.join(path.trim_start_matches('/')), "").expect("a file to mount over");
        let binary = match program {
            "controlplane-daemon" => programs::controlplane_daemon(),
            "dataplane-service" => programs::dataplane_service(),
            _ => programs::hellojohn(),
        };
        let user = user(pod);
        let mut args = vec!["--mount", "--propagation", "private", "sh", "-c", ENTER, "enter.sh"];
        let (place, who) = (root.display().to_string(), format!("{user}:{user}"));
        args.extend([place.as_str(), who.as_str()]);
        let mut mounts = vec![binary.display().to_string(), path.clone()];
        for mount in spec["volumeMounts"].as_array().into_iter().flatten() {
            let at = text(&mount["mountPath"]);
            make(at);
            let volume = self.volume(container, name, text(&mount["name"]), user);
            mounts.extend([volume.display().to_string(), at.to_owned()]);
        }
        args.extend(mounts.iter().map(String::as_str));
        args.extend(["--", path.as_str()]);
        args.extend(spec["args"].as_array().into_iter().flatten().map(text));
        for folder in [root, &root.join("home"), &root.join("home/hellojohn")] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("ours");
        }
        Launch {
            name: name.to_owned(),
            program: tools::program("unshare"),
            args: args.into_iter().map(ToOwned::to_owned).collect(),
            env: Vec::new(),
            user: None,
            namespace: Some(self.network.namespace(seat)),
            log: scratch::folder(&format!("{name}-log")).join("log"),
        }
    }

    /// The folder of a volume, with what belongs into it.
    fn volume(&mut self, container: &Container<'_>, pod: &str, name: &str, group: u32) -> PathBuf {
        let claims = container.object.json["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten();
        let fresh = || {
            let folder = scratch::folder(&format!("{pod}-{name}"));
            // fsGroup: the group's, and writable for it.
            chown(&folder, Some(0), Some(group)).expect("this test runs as root");
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o2775)).expect("ours");
            folder
        };
        if claims.into_iter().any(|claim| claim["metadata"]["name"] == name) {
            return self.claims.entry(format!("{name}-{pod}")).or_insert_with(fresh).clone();
        }
        let volumes = container.pod["volumes"].as_array().expect("volumes");
        let volume = volumes.iter().find(|volume| volume["name"] == name).expect("what is mounted is there");
        if let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() {
            return self.claims.entry(claim.to_owned()).or_insert_with(fresh).clone();
        }
        let folder = fresh();
        let projected = volume["projected"]["sources"].as_array().into_iter().flatten();
        for secret in projected.map(|source| &source["secret"]).chain(volume.get("secret")) {
            let from = secret["secretName"].as_str().or(secret["name"].as_str()).expect("a Secret's name");
            let known = self.secrets.get(from).unwrap_or_else(|| panic!("there is no Secret {from}"));
            let items: BTreeMap<&str, &str> = match secret["items"].as_array() {
                Some(items) => items.iter().map(|item| (text(&item["key"]), text(&item["path"]))).collect(),
                None => known.keys().map(|key| (key.as_str(), key.as_str())).collect(),
            };
            for (key, path) in items {
                let file = folder.join(path);
                fs::write(&file, known.get(key).unwrap_or_else(|| panic!("{from} has no {key}"))).expect("a file");
                chown(&file, Some(0), Some(group)).expect("this test runs as root");
                fs::set_permissions(&file, fs::Permissions::from_mode(0o440)).expect("ours");
            }
        }
        folder
    }

    /// A claim that was deleted, with what was in it.
    pub(crate) fn delete_claim(&mut self, name: &str) {
        let folder = self.claims.remove(name).expect("there is such a claim");
        fs::remove_dir_all(folder).expect("nobody uses it");
    }

    /// Waits until its readiness probe is answered, and lets Services lead to it.
    pub(crate) async fn ready(&mut self, pod: &mut Pod) {
        until(&format!("{} is ready", pod.name), PATIENCE, async || {
            pod.process.assert_running();
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                pod.probe(probe).await?;
            }
            Ok(())
        })
        .await;
        self.lock().iter_mut().filter(|it| it.address == pod.address).for_each(|it| it.is_ready = true);
    }

    /// Asks its readiness probe once; Services lead to it as long as that is answered.
    pub(crate) async fn looks_ready(&self, pod: &mut Pod) -> bool {
        pod.process.assert_running();
        let is_ready = pod.probe("readinessProbe").await.is_ok();
        self.lock().iter_mut().filter(|it| it.address == pod.address).for_each(|it| it.is_ready = is_ready);
        is_ready
    }

    /// As the kubelet stops a pod: no Service leads to it any more, its hook, a signal, and no longer than its grace.
    pub(crate) async fn stop(&mut self, mut pod: Pod) {
        self.lock().iter_mut().filter(|it| it.address == pod.address).for_each(|it| it.is_ready = false);
        if let Some(hook) = pod.container["lifecycle"]["preStop"]["exec"]["command"].as_array() {
            let command: Vec<&str> = hook.iter().map(text).collect();
            let done = pod.exec(&command).await;
            assert_eq!(done.code, Some(0), "{}: {command:?}: {}", pod.name, done.output);
        }
        pod.process.terminate();
        let status = pod.process.ended(pod.grace).await;
        assert_eq!(status.code(), Some(0), "{}: {}", pod.name, pod.process.log());
        self.gone(&pod);
    }

    /// Waits for the end of a pod that ends by itself.
    pub(crate) async fn finished(&mut self, mut pod: Pod) -> Finished {
        let status = pod.process.ended(PATIENCE).await;
        self.gone(&pod);
        Finished { code: status.code(), output: pod.process.log() }
    }

    fn gone(&mut self, pod: &Pod) {
        self.lock().retain(|it| it.address != pod.address);
        self.parties.retain(|it| it.pod.address != pod.address);
        self.free.push_back(pod.seat);
        self.guard();
    }

    /// Which of these ports a process of `from` can connect to.
    pub(crate) fn reaches(&self, from: &Pod, to: &Pod, ports: &[u64]) -> BTreeSet<u64> {
        let open = |port: &&u64| {
            let connect = format!("exec 3<>/dev/tcp/{}/{port}", to.address);
            let mut command = Command::new("ip");
            command.args(["netns", "exec", &self.network.namespace(from.seat), "timeout", "1", "bash", "-c", &connect]);
            command.output().expect("iproute2 and bash are here").status.success()
        };
        ports.iter().filter(open).copied().collect()
    }

    /// Lays the policies anew, since addresses have changed.
    fn guard(&self) {
        let policies: Vec<&Object> =
            self.objects.iter().copied().filter(|object| object.kind() == "NetworkPolicy").collect();
        for (number, me) in self.parties.iter().enumerate().skip(1) {
            let mine = policies.iter().copied().filter(|_| me.namespace["kubernetes.io/metadata.name"] == "hellojohn");
            let mine: Vec<&Object> = mine.collect();
            let file = scratch::folder("policies").join(format!("{number}.nft"));
            fs::write(&file, policies::rules(&mine, me, &self.parties, &self.address())).expect("a file");
            let seat = me.pod.address.octets()[3] - 10;
            let namespace = self.network.namespace(u64::from(seat));
            tools::run(Command::new("ip").args(["netns", "exec", &namespace, "nft", "-f"]).arg(&file));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Endpoint>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pod {
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn container_name(&self) -> &str {
        text(&self.container["name"])
    }

    /// `http://` and where that port is.
    pub(crate) fn url(&self, port: &str) -> String {
        let ports = self.container["ports"].as_array().expect("ports");
        let port = ports.iter().find(|it| it["name"] == port).expect("a port of that name");
        format!("http://{}:{}", self.address, port["containerPort"])
    }

    async fn probe(&self, probe: &str) -> Result<(), String> {
        let get = &self.container[probe]["httpGet"];
        let url = format!("{}{}", self.url(text(&get["port"])), text(&get["path"]));
        let answer = web::try_send(web::client().get(url)).await.map_err(|error| format!("{probe}: {error}"))?;
        if answer.status == 200 { Ok(()) } else { Err(format!("{probe}: {} {}", answer.status, answer.text)) }
    }

    /// In the container, as its user, with its variables.
    async fn exec(&self, command: &[&str]) -> Finished {
        let (id, user) = (self.process.id().to_string(), self.user.to_string());
        let inside =
            ["--target", &id, "--net", "--mount", "--root", "--wd=/", "--setgid", &user, "--setuid", &user, "--"];
        let launch = Launch {
            name: format!("{}: {command:?}", self.name),
            program: tools::program("nsenter"),
            args: inside.iter().chain(command).map(ToString::to_string).collect(),
            env: self.env.clone(),
            user: None,
            namespace: None,
            log: scratch::folder("exec").join("log"),
        };
        launch.run(self.grace).await
    }
}

fn user(pod: &Value) -> u32 {
    let user = pod["securityContext"]["runAsUser"].as_u64().expect("it says as whom it runs");
    u32::try_from(user).expect("a user's number")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}
