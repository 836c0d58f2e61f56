//! The manifests run: what kustomize renders for production is started, pod by pod, as Kubernetes would start it (see
//! [`host`]), and does what docs/kubernetes.md says of it.
//!
//! Needs root, as the tests with networks do. What is Kubernetes' own (scheduling, budgets, autoscaling, rolling) is not
//! played here.

#[path = "running/host.rs"]
pub(crate) mod host;
#[path = "running/names.rs"]
mod names;
#[path = "running/policies.rs"]
mod policies;

use std::collections::{BTreeMap, BTreeSet};

use rcgen::ExtendedKeyUsagePurpose;
use serde_json::{Value, json};
use tests::cluster::Secrets;
use tests::pki::{Authority, Wanted};
use tests::postgres;
use tests::wait::{PATIENCE, until};
use tests::web;
use tokio::net::{TcpListener, TcpStream};

use self::host::{Host, Pod, Secret};
use super::rendered::{Object, overlay, the};

const OVERLAY: &str = "overlays/production";

/// What the External Secrets Operator and cert-manager would make.
fn secrets(objects: &[&Object]) -> BTreeMap<String, Secret> {
    let random = Secrets::random();
    let secret =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mut made: BTreeMap<String, Secret> = BTreeMap::from([
        (
            "hellojohn-shared".to_owned(),
            secret(&[("master-key", &random.master_key), ("watch-token", &random.watch_token)]),
        ),
        (
            "hellojohn-controlplane".to_owned(),
            secret(&[("cluster-hmac-secret", &random.cluster_hmac), ("owner-credential", &random.owner)]),
        ),
    ]);
    let authority = Authority::new("the installation's authority");
    for certificate in objects.iter().filter(|object| object.kind() == "Certificate") {
        let spec = &certificate.json["spec"];
        // The one for the public is the ingress controller's.
        let Some(name) = spec["secretName"].as_str().filter(|_| spec["issuerRef"]["kind"] == "Issuer") else {
            continue;
        };
        if spec["isCA"] == true {
            continue;
        }
        let list = |key: &str| spec[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        let purposes = list("usages").filter_map(|usage| match usage {
            "server auth" => Some(ExtendedKeyUsagePurpose::ServerAuth),
            "client auth" => Some(ExtendedKeyUsagePurpose::ClientAuth),
            _ => None,
        });
        let (names, purposes): (Vec<&str>, Vec<_>) = (list("dnsNames").collect(), purposes.collect());
        let wanted = Wanted { names: &names, purposes: &purposes, ..Wanted::default() };
        let certified = authority.certify_as(certificate.name(), &wanted);
        let files = [("tls.crt", &*certified.cert), ("tls.key", &*certified.key), ("ca.crt", &*certified.ca)];
        made.insert(name.to_owned(), secret(&files));
    }
    made
}

/// The tenants' database server, where pods of the cluster can reach it.
async fn database_at(address: &str, port: u16) {
    let listener = TcpListener::bind((address, 5432)).await.expect("nobody else listens on the bridge");
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut to) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
}

/// The document that a command printed, whatever it told people beside it.
fn answered(told: &str) -> Result<Value, String> {
    let mut documents = serde_json::Deserializer::from_str(told).into_iter();
    documents.next().and_then(Result::ok).ok_or_else(|| format!("no JSON: {told}"))
}

struct Installation {
    host: Host,
    nodes: &'static Object,
    pods: &'static Object,
    namespace: Value,
    operators: Value,
    running: Vec<Pod>,
}

impl Installation {
    async fn new() -> Option<Self> {
        let objects = overlay(OVERLAY);
        let secrets = secrets(&objects);
        let database = postgres::server().await.database("acme").await;
        let mut dsn: url::Url = database.dsn().parse().expect("a URL");
        let (nodes, pods) = (the(&objects, "StatefulSet", "controlplane"), the(&objects, "Deployment", "dataplane"));
        let mut namespace = the(&objects, "Namespace", "hellojohn").json["metadata"]["labels"].clone();
        namespace["kubernetes.io/metadata.name"] = json!("hellojohn");
        let mut host = Host::new(objects, secrets).await?;
        database_at(&host.address(), database.port()).await;
        dsn.set_host(Some(&host.address())).expect("an address");
        dsn.set_port(Some(5432)).expect("a port");
        host.add_secret("acme-dsn", Secret::from([("dsn".to_owned(), dsn.to_string())]));
        let operators = json!({ "hellojohn.dev/admin": "true", "kubernetes.io/metadata.name": "operators" });
        Some(Self { host, nodes, pods, namespace, operators, running: Vec::new() })
    }

    fn start_node(&mut self, ordinal: u64) -> Pod {
        self.host.start(self.nodes, &format!("controlplane-{ordinal}"), &self.namespace)
    }

    async fn add_node(&mut self, ordinal: u64) {
        let mut node = self.start_node(ordinal);
        self.host.ready(&mut node).await;
        self.running.push(node);
    }

    async fn add_pod(&mut self, name: &str) {
        let mut pod = self.host.start(self.pods, name, &self.namespace);
        self.host.ready(&mut pod).await;
        self.running.push(pod);
    }

    fn running(&self, name: &str) -> &Pod {
        self.running.iter().find(|pod| pod.name == name).expect("it runs")
    }

    async fn stop(&mut self, name: &str) {
        let place = self.running.iter().position(|pod| pod.name == name).expect("it runs");
        let pod = self.running.remove(place);
        self.host.stop(pod).await;
    }

    /// The command line in a pod of operators, as the policies let them in.
    fn operator(&mut self, name: &str, arguments: &[&str]) -> Pod {
        let secret = |name: &str| json!({ "name": name, "secret": { "secretName": name } });
        let mount = |name: &str, path: &str| json!({ "name": name, "mountPath": path });
        let variable = |name: &str, value: &str| json!({ "name": name, "value": value });
        let volumes = ["hellojohn-controlplane", "controlplane-admin-tls", "acme-dsn"].map(secret);
        let json = json!({
            "apiVersion": "v1",
            "kind": "PodTemplate",
            "metadata": { "name": name },
            "spec": { "template": {
                "metadata": { "labels": { "hellojohn.dev/admin": "true" } },
                "spec": {
                    "securityContext": { "runAsUser": 65532 },
                    "containers": [{
                        "name": "hellojohn",
                        "image": "hellojohn/hellojohn",
                        "args": arguments,
                        "env": [
                            variable("HJ_SERVER", "https://controlplane-admin.hellojohn.svc:7200"),
                            variable("HJ_CREDENTIAL_FILE", "/etc/operator/owner-credential"),
                            variable("HJ_CA_FILE", "/etc/admin-tls/ca.crt"),
                        ],
                        "volumeMounts": [
                            mount("hellojohn-controlplane", "/etc/operator"),
                            mount("controlplane-admin-tls", "/etc/admin-tls"),
                            mount("acme-dsn", "/etc/acme"),
                        ],
                    }],
                    "volumes": volumes,
                },
            } },
        });
        let workload = Object { overlay: OVERLAY.to_owned(), json };
        self.host.start(&workload, name, &self.operators)
    }

    async fn try_hellojohn(&mut self, arguments: &[&str]) -> Result<String, String> {
        let pod = self.operator("operator", arguments);
        let done = self.host.finished(pod).await;
        if done.code == Some(0) {
            Ok(done.output)
        } else {
            Err(format!("{arguments:?}: {:?} {}", done.code, done.output))
        }
    }

    async fn hellojohn(&mut self, arguments: &[&str]) -> String {
        self.try_hellojohn(arguments).await.unwrap_or_else(|why| panic!("{why}"))
    }

    async fn voters(&mut self) -> Result<BTreeSet<u64>, String> {
        let told = self.try_hellojohn(&["cluster", "members", "-o", "json"]).await?;
        let list = answered(&told)?;
        let members = list["items"].as_array().or(list.as_array()).ok_or_else(|| told.clone())?;
        Ok(members.iter().filter(|it| it["role"] == "voter").filter_map(|it| it["id"].as_u64()).collect())
    }

    async fn voters_are(&mut self, wanted: &[u64]) {
        until(&format!("the voters are {wanted:?}"), PATIENCE, async || {
            let voters = self.voters().await?;
            if voters.iter().eq(wanted) { Ok(()) } else { Err(format!("{voters:?}")) }
        })
        .await;
    }

    /// Each pod of the data plane answers a machine's request for a token.
    async fn tokens(&self, secret: &str) {
        for pod in self.running.iter().filter(|pod| pod.name.starts_with("dataplane")) {
            let form = [("grant_type", "client_credentials")];
            let url = format!("{}/t/acme/oauth2/token", pod.url("http"));
            let request = web::client().post(url).basic_auth("backend", Some(secret)).form(&form);
            let answer = web::send(request).await.expect(200);
            assert!(answer.json["access_token"].is_string(), "{}: {answer:?}", pod.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn production_runs_as_it_is_rendered() {
    let Some(mut it) = Installation::new().await else { return };

    // Nodes of a fresh cluster, all at once: each needs the others' names before any is ready.
    let mut nodes: Vec<Pod> = (0..3).rev().map(|ordinal| it.start_node(ordinal)).collect();
    for node in &mut nodes {
        it.host.ready(node).await;
    }
    it.running.extend(nodes);
    it.voters_are(&[0, 1, 2]).await;

    // A tenant, its schema by the Job before any pod is there, then the pods.
    let dsn = ["--database-dsn-file", "/etc/acme/dsn"];
    it.hellojohn(&[&["tenant", "create", "acme"], &dsn[..]].concat()).await;
    let client = ["client", "create", "backend", "--tenant", "acme", "--name", "Backend"];
    let made = it.hellojohn(&[&client[..], &["--grant", "client_credentials", "-o", "json"]].concat()).await;
    let made = answered(&made).unwrap_or_else(|why| panic!("{why}"));
    let secret = made["client_secret"].as_str().expect("it is shown once").to_owned();
    let migrations = overlay("overlays/production/migrate");
    let job = the(&migrations, "Job", "dataplane-migrate");
    let namespace = it.namespace.clone();
    let migration = it.host.start(job, "dataplane-migrate-x7k2p", &namespace);
    let migrated = it.host.finished(migration).await;
    assert_eq!(migrated.code, Some(0), "{}", migrated.output);
    for name in ["dataplane-5d9f-aaaaa", "dataplane-5d9f-bbbbb"] {
        it.add_pod(name).await;
    }
    it.tokens(&secret).await;

    // Everybody reaches what the page says, and nothing else.
    let others = it.operator("somebody", &["dev", "--help"]);
    let doors = [7000, 7100, 7200, 7300];
    let reached = |from: &Pod, to: &str, ports: &[u64]| it.host.reaches(from, it.running(to), ports);
    let (node, pod) = (it.running("controlplane-0"), it.running("dataplane-5d9f-aaaaa"));
    assert_eq!(reached(node, "controlplane-1", &doors), BTreeSet::from([7000, 7200]));
    assert_eq!(reached(pod, "controlplane-1", &doors), BTreeSet::from([7100]));
    assert_eq!(reached(&others, "controlplane-1", &doors), BTreeSet::from([7200]));
    for from in [node, &others] {
        assert_eq!(reached(from, "dataplane-5d9f-bbbbb", &[8080, 8090]), BTreeSet::new());
    }
    it.host.finished(others).await;

    // Up: new ordinals find the cluster by DNS, learn, and vote.
    for ordinal in [3, 4] {
        it.add_node(ordinal).await;
    }
    it.voters_are(&[0, 1, 2, 3, 4]).await;

    // Down, as docs/kubernetes.md says it: the member, the pod, its volume.
    for ordinal in [4, 3] {
        it.hellojohn(&["cluster", "remove", &ordinal.to_string()]).await;
        it.stop(&format!("controlplane-{ordinal}")).await;
        it.host.delete_claim(&format!("data-controlplane-{ordinal}"));
    }
    it.voters_are(&[0, 1, 2]).await;

    // A release: pods with one more than there are, then nodes from the highest ordinal down, each elsewhere than before.
    it.add_pod("dataplane-7c4b-ccccc").await;
    it.stop("dataplane-5d9f-aaaaa").await;
    it.tokens(&secret).await;
    for ordinal in [2, 1, 0] {
        it.stop(&format!("controlplane-{ordinal}")).await;
        it.add_node(ordinal).await;
        it.tokens(&secret).await;
    }
    it.voters_are(&[0, 1, 2]).await;
    it.hellojohn(&["client", "update", "backend", "--tenant", "acme", "--name", "Still here", "--wait", "fleet"]).await;
}
