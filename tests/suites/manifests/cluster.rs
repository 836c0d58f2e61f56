//! The manifests in a Kubernetes: its own API server, controllers and scheduler, with machines that [`super::running`]'s
//! host plays. `./hj kubernetes` builds the programs and runs this.

#[path = "cluster/kubernetes.rs"]
mod kubernetes;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tests::pages::blocks;
use tests::process::Launch;
use tests::wait::{PATIENCE, until};
use tests::{programs, scratch, tools};

use self::kubernetes::Kubernetes;
use super::containers::keys_of;
use super::rendered::{self, Object};

/// A folder with Kubernetes' programs, and one with the definitions of the custom resources that the overlays use.
fn built() -> PathBuf {
    std::env::var_os("HJ_KUBERNETES_DIR").map(PathBuf::from).expect("HJ_KUBERNETES_DIR: run ./hj kubernetes")
}

/// Admission, defaults, rules between fields (also those of the custom resources): what schemas do not say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kubernetes' programs and root: ./hj kubernetes"]
async fn a_kubernetes_takes_every_overlay() {
    let it = Kubernetes::start(&built()).await;
    it.kubectl(&["apply", "--server-side", "-f", &built().join("crds").display().to_string()]);
    it.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]);
    it.kubectl(&["create", "namespace", "hellojohn"]);
    let mut overlays: Vec<&str> = rendered::ALL.iter().map(|object| object.overlay.as_str()).collect();
    overlays.dedup();
    for overlay in overlays {
        let folder = programs::repository().join("k8s").join(overlay).display().to_string();
        let said = it.kubectl(&["apply", "--server-side", "--dry-run=server", "--validate=strict", "-k", &folder]);
        let objects = rendered::overlay(overlay).len();
        assert_eq!(said.lines().filter(|line| line.contains("serverside-applied")).count(), objects, "{said}");
    }
    // The check itself.
    let mut wrong = rendered::the(&rendered::overlay("overlays/dev"), "StatefulSet", "controlplane").json.clone();
    wrong["spec"]["template"]["spec"]["containers"][0]["volumeMounts"][0]["name"] = json!("nobody");
    let file = scratch::folder("wrong").join("wrong.json");
    fs::write(&file, wrong.to_string()).expect("a file");
    let file = file.display().to_string();
    let refused = it.try_kubectl(&["apply", "--server-side", "--dry-run=server", "-f", &file]).unwrap_err();
    assert!(refused.contains("nobody"), "{refused}");
}

/// A shell that goes through blocks of the page; the cluster goes on meanwhile.
async fn shell(it: &mut Kubernetes, folder: &Path, script: &str) -> String {
    let script = format!("set -euo pipefail\ncd {}\n{script}", folder.display());
    fs::write(folder.join("script.sh"), &script).expect("a file");
    let path = std::env::var("PATH").unwrap_or_default();
    let bin = programs::hellojohn().parent().expect("a folder").display().to_string();
    let tools = programs::target_folder().join("tools").display().to_string();
    let env = [
        ("KUBECONFIG", it.kubeconfig()),
        ("HOME", folder.display().to_string()),
        ("PATH", format!("{bin}:{tools}:{path}")),
    ];
    let launch = Launch {
        name: "the tutorial".to_owned(),
        program: tools::program("bash"),
        args: vec![folder.join("script.sh").display().to_string()],
        env: env.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        user: None,
        namespace: None,
        log: scratch::folder("tutorial").join("log"),
    };
    let mut process = launch.start();
    until("the script ends", 20 * PATIENCE, async || {
        it.go_on().await;
        if process.is_running() { Err(process.log()) } else { Ok(()) }
    })
    .await;
    assert_eq!(process.ended(PATIENCE).await.code(), Some(0), "{script}\n{}", process.log());
    process.log()
}

/// docs/tutorial-kubernetes.md but for what needs Docker: its images are the machine's programs, and ports are not
/// forwarded, but called where they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kubernetes' programs and root: ./hj kubernetes"]
async fn the_tutorial_works_in_a_kubernetes() {
    let mut it = Kubernetes::start(&built()).await;
    for (number, zone) in ["a", "b", "c"].into_iter().enumerate() {
        it.add_machine(&format!("machine-{number}"), zone).await;
    }
    let folder = scratch::folder("tutorial-kubernetes");
    let blocks = blocks("docs/tutorial-kubernetes.md", "sh");
    let [images, install, tenant, token, end] = &blocks[..] else { panic!("{} blocks", blocks.len()) };
    assert!(images.contains("docker build") && end.contains("kind delete"), "what is left out");
    let install = install.replace("k8s/", &format!("{}/k8s/", programs::repository().display()));
    let _ = shell(&mut it, &folder, &format!("{install}\necho \"$owner\" > owner\n")).await;

    let (node, pod) = (it.url("controlplane-0", "admin"), it.url("dataplane-", "http"));
    let tenant: Vec<String> = tenant
        .lines()
        .filter(|line| !line.contains("port-forward"))
        .map(|line| line.replace("http://localhost:7200", &node).replace("http://localhost:8080", &pod))
        .collect();
    assert_eq!(tenant.len(), 4, "two lines forward ports");
    let script = format!("owner=$(cat owner)\nexport HJ_OUTPUT=yaml\n{}", tenant.join("\n"));
    let said = shell(&mut it, &folder, &script).await;
    assert!(said.contains("/t/acme/oauth2/token"), "{said}");
    let shown = |key: &str| {
        let line = said.lines().find_map(|line| line.trim().strip_prefix(key));
        line.unwrap_or_else(|| panic!("no {key} {said}")).trim().to_owned()
    };
    let script = format!(
        "client_id={}\nclient_secret={}\n{}",
        shown("client_id:"),
        shown("client_secret:"),
        token.replace("http://localhost:8080", &pod)
    );
    let said = shell(&mut it, &folder, &script).await;
    assert!(said.contains("access_token"), "{said}");
    it.stop_all().await;
}

/// What docs/kubernetes.md says of scaling and releases, with the base: three nodes, no certificates.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kubernetes' programs and root: ./hj kubernetes"]
async fn nodes_are_scaled_replaced_and_protected_in_a_kubernetes() {
    let mut it = Kubernetes::start(&built()).await;
    for (number, zone) in ["a", "b", "c", "a", "b"].into_iter().enumerate() {
        it.add_machine(&format!("machine-{number}"), zone).await;
    }
    let base = programs::repository().join("k8s/base").display().to_string();
    it.kubectl(&["create", "namespace", "hellojohn"]);
    let owner = it.create_secrets();
    it.kubectl(&["apply", "--server-side", "-k", &base]);
    it.rolled_out("statefulset/controlplane").await;
    it.rolled_out("deployment/dataplane").await;
    let zones = it.machines_of("controlplane-");
    assert_eq!(zones.len(), 3, "no two nodes on one machine: {zones:?}");

    // One may be taken away at a time.
    it.evict("controlplane-1").expect("three bear the loss of one");
    let refused = it.evict("controlplane-2").expect_err("two do not");
    assert!(refused.contains("disruption budget"), "{refused}");
    it.rolled_out("statefulset/controlplane").await;

    it.kubectl(&["-n", "hellojohn", "scale", "statefulset/controlplane", "--replicas=5"]);
    it.rolled_out("statefulset/controlplane").await;
    voters_are(&mut it, &owner, &[0, 1, 2, 3, 4]).await;
    let hellojohn = |it: &Kubernetes, arguments: &[&str]| {
        let mut command = Command::new(programs::hellojohn());
        command.args(arguments).env("HJ_SERVER", it.url("controlplane-0", "admin")).env("HJ_CREDENTIAL", &owner);
        tools::run(&mut command)
    };
    for (left, last) in [(4, "4"), (3, "3")] {
        hellojohn(&it, &["cluster", "remove", last]);
        it.kubectl(&["-n", "hellojohn", "scale", "statefulset/controlplane", &format!("--replicas={left}")]);
        it.gone(&format!("controlplane-{last}")).await;
        it.kubectl(&["-n", "hellojohn", "delete", "pvc", &format!("data-controlplane-{last}"), "--wait=false"]);
    }
    voters_are(&mut it, &owner, &[0, 1, 2]).await;
    for workload in ["deployment/dataplane", "statefulset/controlplane"] {
        it.kubectl(&["-n", "hellojohn", "rollout", "restart", workload]);
        it.rolled_out(workload).await;
    }
    voters_are(&mut it, &owner, &[0, 1, 2]).await;
    it.stop_all().await;
}

async fn voters_are(it: &mut Kubernetes, owner: &str, wanted: &[u64]) {
    until(&format!("the voters are {wanted:?}"), PATIENCE, async || {
        it.go_on().await;
        let mut command = Command::new(programs::hellojohn());
        command.args(["cluster", "members", "-o", "json"]).env("HJ_CREDENTIAL", owner);
        let told = command.env("HJ_SERVER", it.url("controlplane-0", "admin")).output().expect("it runs");
        let list: Value = serde_json::from_slice(&told.stdout).map_err(|error| format!("{error}: {told:?}"))?;
        let members = list["items"].as_array().or(list.as_array()).ok_or_else(|| list.to_string())?;
        let voters: Vec<u64> =
            members.iter().filter(|it| it["role"] == "voter").filter_map(|it| it["id"].as_u64()).collect();
        if voters == wanted { Ok(()) } else { Err(format!("{voters:?}")) }
    })
    .await;
}

/// On every run: what the pages' commands name is rendered, or made by the Dockerfile.
#[test]
fn the_pages_name_what_there_is() {
    let dockerfile = fs::read_to_string(programs::repository().join("Dockerfile")).expect("the Dockerfile");
    let mut seen = 0;
    for (page, overlay) in [("tutorial-kubernetes", "overlays/dev"), ("kubernetes", "overlays/production")] {
        let objects = rendered::overlay(overlay);
        let commands = blocks(&format!("docs/{page}.md"), "sh").join("\n").replace("\\\n", " ");
        for line in commands.lines().map(|line| line.trim_end_matches([' ', '&'])) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let after =
                |flag: &str| words.iter().position(|word| *word == flag).and_then(|at| words.get(at + 1).copied());
            if words.first() == Some(&"docker") {
                let (target, image) = (after("--target").expect("a stage"), after("-t").expect("a name"));
                assert!(dockerfile.contains(&format!("FROM base AS {target}\n")), "{line}");
                let uses = |object: &&&Object| object.json.to_string().contains(&format!("\"image\":\"{image}\""));
                assert!(objects.iter().any(|object| uses(&object)), "{page}: nobody runs {image}");
                seen += 1;
            }
            if let Some(name) = after("generic") {
                let made: BTreeSet<&str> = words
                    .iter()
                    .filter_map(|word| word.strip_prefix("--from-literal=")?.split_once('=').map(|(key, _)| key))
                    .collect();
                assert_eq!(made, keys_of(name).into_iter().collect(), "{line}");
                seen += 1;
            }
            if let Some(folder) = after("-k") {
                assert!(programs::repository().join(folder).join("kustomization.yaml").is_file(), "{line}");
                seen += 1;
            }
            for (kind, name) in words.iter().filter_map(|word| word.split_once('/')) {
                let kind = match kind {
                    "statefulset" => "StatefulSet",
                    "deployment" => "Deployment",
                    "service" => "Service",
                    _ => continue,
                };
                let object = rendered::the(&objects, kind, name);
                let port = words.last().and_then(|ports| ports.split(':').next_back()?.parse::<u64>().ok());
                if let Some(port) = port.filter(|_| words.contains(&"port-forward")) {
                    let ports = object.json["spec"]["ports"].as_array().expect("ports");
                    assert!(ports.iter().any(|it| it["port"] == port), "{line}");
                }
                seen += 1;
            }
        }
    }
    assert!(seen >= 15, "{seen}");
}
