//! Containers: what they are started with is what the programs take. Settings are read by the programs themselves, with the
//! files that the volumes would bring.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tests::cluster::Cluster;
use tests::pod::{Plan, Pod};
use tests::{programs, web};

use super::rendered::{ALL, Object};

/// A container with the pod that it is in.
pub(super) struct Container<'a> {
    pub(super) object: &'a Object,
    pub(super) pod: &'a Value,
    pub(super) spec: &'a Value,
}

pub(super) fn all() -> Vec<Container<'static>> {
    let with_pods = ALL.iter().filter_map(|object| Some((object, &object.pod_template()?["spec"])));
    let containers: Vec<_> = with_pods
        .flat_map(|(object, pod)| {
            let none = Vec::new();
            let first = pod["initContainers"].as_array().unwrap_or(&none).clone();
            assert!(first.is_empty(), "{}: this suite looks at no init containers", object.title());
            let specs = pod["containers"].as_array().expect("a list");
            specs.iter().map(move |spec| Container { object, pod, spec })
        })
        .collect();
    assert!(containers.len() >= 8, "two planes in each overlay, and the migrations");
    containers
}

impl Container<'_> {
    /// The program, by the image's name.
    pub(super) fn program(&self) -> &str {
        let image = self.spec["image"].as_str().expect("an image");
        let name = image.rsplit('/').next().expect("a last part");
        name.split(':').next().expect("a first part")
    }

    fn path(&self) -> std::path::PathBuf {
        match self.program() {
            "controlplane-daemon" => programs::controlplane_daemon(),
            "dataplane-service" => programs::dataplane_service(),
            other => panic!("{}: nobody knows the image {other}", self.object.title()),
        }
    }

    /// Name and value as the kubelet gives them: `$(NAME)` is what stands before it, and only that.
    pub(super) fn environment(&self, pod_name: &str) -> Vec<(String, String)> {
        let mut known: Vec<(String, String)> = Vec::new();
        for source in self.spec["envFrom"].as_array().into_iter().flatten() {
            let name = source["configMapRef"]["name"].as_str().expect("settings come from a ConfigMap");
            let same = |object: &&Object| object.overlay == self.object.overlay && object.name() == name;
            let map = ALL.iter().find(|object| object.kind() == "ConfigMap" && same(object)).expect("it is rendered");
            let data = map.json["data"].as_object().expect("data");
            known.extend(data.iter().map(|(name, value)| (name.clone(), value.as_str().expect("text").to_owned())));
        }
        for entry in self.spec["env"].as_array().into_iter().flatten() {
            let name = entry["name"].as_str().expect("a name").to_owned();
            assert!(known.iter().all(|(before, _)| *before != name), "{}: {name} twice", self.object.title());
            let value = match entry["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
                Some("metadata.name") => pod_name.to_owned(),
                Some("metadata.namespace") => "hellojohn".to_owned(),
                Some(other) => panic!("nobody here knows {other}"),
                None => entry["value"].as_str().expect("secrets come as files, not as variables").to_owned(),
            };
            let value = known.iter().fold(value, |text, (name, value)| text.replace(&format!("$({name})"), value));
            assert!(!value.contains("$("), "{}: {name} refers to what stands after it: {value}", self.object.title());
            known.push((name, value));
        }
        known
    }

    /// Makes the files that the pod's Secrets bring, below `root`; the keys must be those that somebody makes.
    fn mount(&self, root: &Path) {
        let volumes = self.pod["volumes"].as_array().expect("volumes");
        for mount in self.spec["volumeMounts"].as_array().expect("mounts") {
            let path = mount["mountPath"].as_str().expect("a path");
            let folder = root.join(path.trim_start_matches('/'));
            std::fs::create_dir_all(&folder).expect("a folder");
            let Some(volume) = volumes.iter().find(|volume| volume["name"] == mount["name"]) else {
                let claims = self.object.json["spec"]["volumeClaimTemplates"].as_array().expect("no such volume");
                assert!(claims.iter().any(|claim| claim["metadata"]["name"] == mount["name"]));
                continue;
            };
            let projected = volume["projected"]["sources"].as_array().into_iter().flatten();
            for secret in projected.map(|source| &source["secret"]).chain([&volume["secret"]]) {
                let Some(name) = secret["name"].as_str().or(secret["secretName"].as_str()) else { continue };
                let keys = keys_of(name);
                let items: Vec<(&str, &str)> = match secret["items"].as_array() {
                    Some(items) => items.iter().map(|it| (text(&it["key"]), text(&it["path"]))).collect(),
                    None => keys.iter().map(|key| (*key, *key)).collect(),
                };
                for (key, file) in items {
                    assert!(keys.contains(&key), "{}: {name} has no {key}", self.object.title());
                    std::fs::write(folder.join(file), secret_value(key)).expect("a file");
                }
            }
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// The two Secrets that an installation brings, and those that cert-manager makes.
pub(super) fn keys_of(secret: &str) -> Vec<&'static str> {
    match secret {
        "hellojohn-shared" => vec!["master-key", "watch-token"],
        "hellojohn-controlplane" => vec!["cluster-hmac-secret", "owner-credential"],
        tls if tls.ends_with("-tls") => vec!["tls.crt", "tls.key", "ca.crt"],
        other => panic!("nobody makes the Secret {other}"),
    }
}

pub(super) fn secret_value(key: &str) -> String {
    match key {
        "master-key" => STANDARD.encode([7; 32]),
        "watch-token" => "w".repeat(32),
        "cluster-hmac-secret" => "h".repeat(32),
        "owner-credential" => format!("hja_{}_{}", "0".repeat(32), "s".repeat(32)),
        "tls.crt" | "ca.crt" | "tls.key" => "-----BEGIN CERTIFICATE-----\n".to_owned(),
        other => panic!("nobody knows {other}"),
    }
}

/// What `config --print` shows of a container's settings: key and value.
fn settings(container: &Container<'_>, pod_name: &str) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    container.mount(folder.path());
    let root = folder.path().to_str().expect("UTF-8");
    let environment = container.environment(pod_name).into_iter().map(|(name, value)| {
        let value = if value.starts_with('/') { format!("{root}{value}") } else { value };
        (name, value)
    });
    let output = Command::new(container.path())
        .args(["config", "--print"])
        .env_clear()
        .envs(environment)
        .current_dir(folder.path())
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {pod_name}: {errors}", container.object.title());
    let pairs = said.lines().filter_map(|line| line.split_once(" = "));
    let value = |text: &str| text.split("  #").next().unwrap_or(text).trim().trim_matches('"').to_owned();
    pairs.map(|(key, text)| (key.trim_start_matches("# ").to_owned(), value(text))).collect()
}

#[test]
fn the_programs_take_the_settings_of_every_container() {
    for container in all() {
        let ordinals = if container.object.kind() == "StatefulSet" { 0..4 } else { 0..1 };
        for ordinal in ordinals {
            let settings = settings(&container, &format!("{}-{ordinal}", container.object.name()));
            if container.program() == "controlplane-daemon" {
                // A node is found at its own name, and a founder stands in PEERS with it.
                let host = format!("controlplane-{ordinal}.controlplane-peers.hellojohn.svc.cluster.local");
                assert_eq!(settings["advertise_addr"], format!("{host}:7000"));
                assert!(settings["advertise_admin_url"].ends_with(&format!("//{host}:7200")), "{settings:#?}");
                let replicas = container.object.json["spec"]["replicas"].as_u64().expect("a number");
                let is_founder = settings["peers"].contains(&format!("{ordinal}={host}:7000"));
                assert_eq!(is_founder, ordinal < replicas, "{}", settings["peers"]);
            }
        }
    }
}

/// The environment variables that a program reads.
pub(super) fn variables(program: &str) -> BTreeSet<String> {
    let reference = match program {
        "controlplane-daemon" => controlplane_daemon::settings::reference(),
        _ => dataplane_service::settings::reference(),
    };
    let words = reference.split('`').skip(1).step_by(2);
    words.filter(|word| word.chars().all(|c| c.is_ascii_uppercase() || c == '_')).map(ToOwned::to_owned).collect()
}

/// A variable that no setting has would be passed over in silence.
#[test]
fn every_variable_is_a_setting() {
    for container in all() {
        let known = variables(container.program());
        for (name, _) in container.environment("pod-0") {
            // Only to be put into others.
            let is_ours = name == "POD_NAMESPACE" || known.contains(&name);
            assert!(is_ours, "{}: {} has no setting {name}", container.object.title(), container.program());
        }
    }
}

#[test]
fn ports_are_those_that_the_programs_listen_on() {
    for container in all() {
        let settings = settings(&container, "controlplane-0");
        for port in container.spec["ports"].as_array().into_iter().flatten() {
            let setting = match text(&port["name"]) {
                "peer" => "raft_addr",
                other => &format!("{other}_addr"),
            };
            let listens = settings[setting].rsplit(':').next().and_then(|port| port.parse::<u64>().ok());
            assert_eq!(listens, port["containerPort"].as_u64(), "{} {setting}", container.object.title());
        }
    }
}

/// Arguments and the commands of hooks: the program itself reads them, up to `--help`.
#[test]
fn commands_are_known_to_the_programs() {
    let mut hooks = 0;
    for container in all() {
        let mut commands = vec![container.spec["args"].clone()];
        for hook in container.spec["lifecycle"].as_object().into_iter().flatten().map(|(_, hook)| hook) {
            let Some(command) = hook["exec"]["command"].as_array() else { continue };
            let (program, arguments) = command.split_first().expect("a program");
            assert_eq!(text(program), format!("/usr/local/bin/{}", container.program()));
            commands.push(Value::Array(arguments.to_vec()));
            hooks += 1;
        }
        for arguments in commands {
            let arguments: Vec<&str> = arguments.as_array().into_iter().flatten().map(text).collect();
            let output = Command::new(container.path()).args(&arguments).arg("--help").output().expect("it runs");
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: {arguments:?}: {errors}", container.object.title());
        }
    }
    assert!(hooks > 0);
}

/// Probes and scrapes, asked of a node and a pod that run.
#[tokio::test]
async fn probes_are_answered() {
    let cluster = Cluster::start(1).await;
    let control_plane = cluster.watch_urls();
    let plan = Plan { name: "probed", control_plane: &control_plane, ..Plan::default() };
    let pod = Pod::start(&plan, &cluster.secrets).await;
    let ops = |program: &str| match program {
        "controlplane-daemon" | "controlplane" => cluster.nodes[0].ops_url(),
        _ => pod.ops_url(),
    };
    let mut asked = BTreeSet::new();
    for container in all() {
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let is_job = container.object.kind() == "Job";
            let probe = &container.spec[probe];
            assert_eq!(probe.is_null(), is_job, "{}", container.object.title());
            if !is_job {
                assert_eq!(probe["httpGet"]["port"], "ops");
                asked.insert((container.program().to_owned(), text(&probe["httpGet"]["path"]).to_owned()));
            }
        }
    }
    for monitor in ALL.iter().filter(|object| object.kind() == "ServiceMonitor") {
        for endpoint in monitor.json["spec"]["endpoints"].as_array().expect("endpoints") {
            asked.insert((monitor.name().to_owned(), text(&endpoint["path"]).to_owned()));
        }
    }
    for (program, path) in &asked {
        let answer = web::send(web::client().get(format!("{}{path}", ops(program)))).await;
        assert_eq!(answer.status, 200, "{program} {path}");
    }
    assert_eq!(asked.len(), 6, "{asked:?}");
}
