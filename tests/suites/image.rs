//! What is in the images: static programs that run in an otherwise empty root, as an ordinary user, on a file system that
//! they cannot write to.
//!
//! `./hj image` builds them and runs this; it takes minutes, needs root, and is left out of `./hj test`. What the Dockerfile
//! says is compared here, too, on every run.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::cluster::Secrets;
use tests::name_server::{NameServer, nobody, one_node};
use tests::pki::{Authority, Wanted};
use tests::postgres::free_port;
use tests::process::{Launch, Process};
use tests::wait::{PATIENCE, until};
use tests::{programs, scratch, tools, web};

const PROGRAMS: [&str; 3] = ["controlplane-daemon", "dataplane-service", "hellojohn"];
const USER: u32 = 65532;
const MAX_BYTES: u64 = 40 << 20;
/// Of its own, so that nobody else's server is in the way.
const NAME_SERVER: &str = "127.77.53.1:53";

#[test]
fn the_dockerfile_makes_an_image_of_each_program() {
    let text = fs::read_to_string(programs::repository().join("Dockerfile")).expect("the Dockerfile");
    for program in PROGRAMS {
        let stage = text.split(&format!("FROM base AS {program}\n")).nth(1).expect("a stage of that name");
        let stage = stage.split("\nFROM ").next().expect("its lines");
        assert!(stage.contains(&format!("COPY --from=build /out/{program} /usr/local/bin/{program}\n")), "{stage}");
        assert!(stage.contains(&format!("ENTRYPOINT [\"/usr/local/bin/{program}\"]")), "{stage}");
        assert!(stage.contains("org.opencontainers.image.title="), "{stage}");
    }
    assert!(text.contains("FROM scratch AS base") && text.contains(&format!("USER {USER}:{USER}\n")));
    let builds: Vec<_> = text.lines().filter(|line| line.contains("auditable build")).collect();
    assert!(matches!(builds[..], [build] if build.contains("--locked") && build.contains("--profile dist")));
    let labels: BTreeSet<&str> =
        text.split("org.opencontainers.image.").skip(1).filter_map(|it| it.split('=').next()).collect();
    let wanted = ["created", "description", "licenses", "revision", "title", "version"];
    assert!(wanted.iter().all(|label| labels.contains(label)), "{labels:?}");
    // What is built is what is copied in: every member of the workspace, and the migrations that a program includes.
    let ignored = fs::read_to_string(programs::repository().join(".dockerignore")).expect("the list");
    for needed in
        ["Cargo.toml", "Cargo.lock", "controlplane-daemon", "dataplane-service", "migrations", "shared-proto", "tests"]
    {
        assert!(ignored.contains(&format!("!{needed}\n")), "{needed} is left out");
    }
}

/// A shell's command that begins like this, with its continued lines and without the ways in which variables are named.
fn command(file: &str, begins: &str) -> String {
    let text = fs::read_to_string(programs::repository().join(file)).expect("a readable file");
    let text = text.replace("\\\n", " ");
    let from = text.lines().find_map(|line| line.split_once(begins)).unwrap_or_else(|| panic!("{file}: no {begins}")).1;
    let words: Vec<&str> = from.split_whitespace().take_while(|word| !["&&", "||"].contains(word)).collect();
    words.join(" ").replace("\"$static\"", "\"$target\"")
}

/// `./hj image` builds what `docker build` builds, with the same tool of the same version.
#[test]
fn what_is_tried_is_what_the_dockerfile_builds() {
    let of = |begins: &str| ["Dockerfile", "hj"].map(|file| command(file, begins));
    let [image, tried] = of("cargo auditable build");
    assert_eq!(image, tried);
    let [image, tried] = of("cargo install cargo-auditable");
    let version = |text: &str| text.split_whitespace().next().map(ToOwned::to_owned);
    assert_eq!(version(&image), version(&tried));
    assert!(image.starts_with('@') && [&image, &tried].iter().all(|it| it.contains("--locked")), "{image} {tried}");
    let manifest = fs::read_to_string(programs::repository().join("Cargo.toml")).expect("the workspace");
    let dockerfile = fs::read_to_string(programs::repository().join("Dockerfile")).expect("the Dockerfile");
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).expect("it says with what");
    assert!(dockerfile.contains(&format!("ARG RUST_VERSION={}\n", version.trim_matches('"'))), "{version}");
}

/// The list of crates that cargo-auditable puts into a program: name and version.
fn bill_of(program: &Path) -> BTreeSet<(String, String)> {
    // Without a place for its copy, objcopy would write the program itself anew.
    let section = scratch::folder("bill").join("section");
    tools::run(
        Command::new("objcopy")
            .args(["--dump-section", &format!(".dep-v0={}", section.display())])
            .arg(program)
            .arg("/dev/null"),
    );
    let unpack = "import sys, zlib; sys.stdout.buffer.write(zlib.decompress(open(sys.argv[1], 'rb').read()))";
    let unpacked = tools::run(Command::new("python3").args(["-c", unpack]).arg(&section));
    let list: serde_json::Value = serde_json::from_slice(&unpacked.stdout).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let packages = list["packages"].as_array().expect("packages");
    packages.iter().map(|package| (text(&package["name"]), text(&package["version"]))).collect()
}

/// What scanners read from a program is what Cargo.lock says it was built from.
#[test]
#[ignore = "needs the static programs: ./hj image"]
fn the_programs_say_what_they_consist_of() {
    let built = PathBuf::from(std::env::var_os("HJ_STATIC_BIN_DIR").expect("HJ_STATIC_BIN_DIR: run ./hj image"));
    let lock = fs::read_to_string(programs::repository().join("Cargo.lock")).expect("the lock");
    for (program, needs) in PROGRAMS.into_iter().zip(["openraft", "tokio-postgres", "clap"]) {
        let bill = bill_of(&built.join(program));
        assert!(bill.len() > 50 && bill.iter().any(|(name, _)| name == needs), "{program}: {bill:?}");
        for (name, version) in &bill {
            assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n")), "{name} {version}");
        }
    }
}

/// An empty root with one program, as the final stage of the Dockerfile makes it.
fn root_of(program: &str, authorities: &str) -> PathBuf {
    let built = std::env::var_os("HJ_STATIC_BIN_DIR").expect("HJ_STATIC_BIN_DIR: run ./hj image");
    let root = scratch::folder(&format!("root-{program}"));
    for folder in ["usr/local/bin", "etc/ssl/certs", "var/lib/hellojohn", "home/hellojohn"] {
        fs::create_dir_all(root.join(folder)).expect("a folder");
    }
    let mut above = root.clone();
    while above.starts_with(std::env::temp_dir()) && above != std::env::temp_dir() {
        fs::set_permissions(&above, fs::Permissions::from_mode(0o755)).expect("ours");
        above = above.parent().expect("a folder above").to_owned();
    }
    let there = root.join("usr/local/bin").join(program);
    let bytes = fs::copy(Path::new(&built).join(program), &there).expect("the static program");
    assert!(bytes < MAX_BYTES, "{program} has {bytes} bytes");
    fs::write(root.join("etc/ssl/certs/ca-certificates.crt"), authorities).expect("a file");
    // What a container runtime brings.
    let resolver = NAME_SERVER.split(':').next().expect("an address");
    fs::write(root.join("etc/resolv.conf"), format!("nameserver {resolver}\noptions ndots:0\n")).expect("a file");
    for folder in ["var/lib/hellojohn", "home/hellojohn"] {
        chown(root.join(folder), Some(USER), Some(USER)).expect("this test runs as root");
    }
    root
}

/// The kernel needs no other file to start it.
fn assert_static(program: &Path) {
    let headers = tools::run(Command::new("readelf").args(["--program-headers", "--dynamic", "--wide"]).arg(program));
    let text = String::from_utf8_lossy(&headers.stdout);
    assert!(!text.contains("INTERP") && !text.contains("NEEDED"), "{}: {text}", program.display());
}

/// Runs as the user of the image, in that root, with these variables and no others.
fn launch(root: &Path, program: &str, args: &[&str], env: &[(&str, &str)]) -> Launch {
    let user = format!("--userspec={USER}:{USER}");
    let place = root.display().to_string();
    let path = format!("/usr/local/bin/{program}");
    let words = [user.as_str(), place.as_str(), path.as_str()].into_iter().chain(args.iter().copied());
    Launch {
        name: program.to_owned(),
        program: tools::program("chroot"),
        args: words.map(ToOwned::to_owned).collect(),
        env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        user: None,
        namespace: None,
        log: scratch::folder(program).join("log"),
    }
}

async fn ready(process: &mut Process, url: &str) {
    until("it is ready", PATIENCE, async || {
        process.assert_running();
        let answer = web::try_send(web::client().get(url)).await.map_err(|error| error.to_string())?;
        if answer.status == 200 { Ok(()) } else { Err(format!("{} {}", answer.status, answer.text)) }
    })
    .await;
}

/// A node whose admin API has a certificate, a pod that finds it by DNS, and the command line that trusts the authorities
/// of its root and finds it by DNS, too. A time zone is asked for that nothing in the root knows; there is no `/tmp`.
#[tokio::test]
#[ignore = "needs the static programs and root: ./hj image"]
async fn the_programs_run_where_there_is_nothing_else() {
    let authority = Authority::new("an authority of browsers");
    let roots = PROGRAMS.map(|program| root_of(program, &authority.pem()));
    let [control_root, data_root, cli_root] = &roots;
    for (root, program) in roots.iter().zip(PROGRAMS) {
        assert_static(&root.join("usr/local/bin").join(program));
    }
    let names = NameServer::start(NAME_SERVER, nobody()).await;
    assert_eq!(names.address().to_string(), NAME_SERVER);
    names.set(one_node("127.0.0.1:1".parse().expect("an address")));
    let secrets = Secrets::random();
    let [raft, watch, admin, ops, http, pod_ops] = std::array::from_fn(|_| free_port().to_string());
    let at = |port: &str| format!("127.0.0.1:{port}");

    let wanted = Wanted { names: &["cp.test"], ..Wanted::default() };
    let certified = authority.certify_as("admin", &wanted);
    fs::write(control_root.join("etc/admin.crt"), &certified.cert).expect("a file");
    fs::write(control_root.join("etc/admin.key"), &certified.key).expect("a file");
    let zone = ("TZ", "Europe/Madrid");
    let home = ("HOME", "/home/hellojohn");
    let node_env = [
        zone,
        home,
        ("HJ_RAFT_ADDR", &at(&raft)),
        ("HJ_WATCH_ADDR", &at(&watch)),
        ("HJ_ADMIN_ADDR", &at(&admin)),
        ("HJ_OPS_ADDR", &at(&ops)),
        ("HJ_DATA_DIR", "/var/lib/hellojohn/controlplane"),
        ("HJ_ADMIN_TLS_CERT_FILE", "/etc/admin.crt"),
        ("HJ_ADMIN_TLS_KEY_FILE", "/etc/admin.key"),
        ("SECRETBOX_MASTER_KEY", &secrets.master_key),
        ("HJ_WATCH_TOKEN", &secrets.watch_token),
        ("HJ_BOOTSTRAP_ADMIN_CREDENTIAL", &secrets.owner),
    ];
    let mut node = launch(control_root, "controlplane-daemon", &[], &node_env).start();
    ready(&mut node, &format!("http://{}/readyz", at(&ops))).await;

    let pod = [
        zone,
        home,
        ("HJ_HTTP_ADDR", &at(&http)),
        ("HJ_OPS_ADDR", &at(&pod_ops)),
        ("HJ_CONTROL_PLANE", &format!("http://cp.test:{watch}")),
        ("HJ_STATE_DIR", "/var/lib/hellojohn/dataplane"),
        ("SECRETBOX_MASTER_KEY", &secrets.master_key),
        ("HJ_WATCH_TOKEN", &secrets.watch_token),
    ];
    let mut pod = launch(data_root, "dataplane-service", &[], &pod).start();
    ready(&mut pod, &format!("http://{}/readyz", at(&pod_ops))).await;
    assert!(names.questions() > 0, "the pod asked DNS");

    let server = format!("https://cp.test:{admin}");
    let env = [zone, home, ("HJ_SERVER", server.as_str()), ("HJ_CREDENTIAL", &secrets.owner)];
    let asked =
        launch(cli_root, "hellojohn", &["tenant", "create", "acme", "--wait", "fleet"], &env).run(PATIENCE).await;
    assert_eq!(asked.code, Some(0), "{}", asked.output);
    let pods = launch(cli_root, "hellojohn", &["fleet", "-o", "json"], &env).run(PATIENCE).await;
    assert!(pods.output.contains("connected"), "{}", pods.output);
    // Without its authorities it trusts nobody.
    fs::write(cli_root.join("etc/ssl/certs/ca-certificates.crt"), Authority::new("another").pem()).expect("a file");
    let refused = launch(cli_root, "hellojohn", &["fleet"], &env).run(PATIENCE).await;
    assert_ne!(refused.code, Some(0), "{}", refused.output);

    // Plain HTTP to the node beside it: it needs no authorities.
    fs::remove_file(control_root.join("etc/ssl/certs/ca-certificates.crt")).expect("it is there");
    let handed = launch(control_root, "controlplane-daemon", &["hand-over", "--linger-secs", "0"], &node_env);
    let handed = handed.run(PATIENCE).await;
    assert_eq!(handed.code, Some(0), "{}", handed.output);

    for process in [&mut pod, &mut node] {
        process.terminate();
        assert_eq!(process.ended(PATIENCE).await.code(), Some(0), "{}", process.log());
    }
}
