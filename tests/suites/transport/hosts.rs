//! A certificate that does not have the host that callers are told to look for: the log says so, once for each.

use tests::cluster::Cluster;
use tests::pki::{Authority, Certified, Mount, Wanted};
use tests::pod::{Plan, Pod};
use tests::tls;
use tests::wait::{PATIENCE, until};
use tests::world;

const WARNING: &str = "the certificate does not have the host of this setting";

fn named(authority: &Authority, file: &str, names: &[&str]) -> Certified {
    let names: Vec<&str> = names.iter().copied().chain(["127.0.0.1"]).collect();
    authority.certify_as(file, &Wanted { names: &names, ..Wanted::default() })
}

fn warnings(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains(WARNING)).collect()
}

/// So many warnings, of which the last names all of that.
#[track_caller]
fn warned(log: &str, times: usize, words: &[&str]) {
    let found = warnings(log);
    assert_eq!(found.len(), times, "{found:#?}");
    let last = found.last().copied().unwrap_or_default();
    assert!(words.iter().all(|word| last.contains(word)) && last.contains("WARN"), "{words:?} in {last}");
}

async fn pod(name: &str, control_plane: &str, public_url: &str, certificate: &Mount, flags: &[&str]) -> Pod {
    let [cert, key] = ["tls.crt", "tls.key"].map(|file| certificate.file(file));
    let given = ["--tls-addr", "127.0.0.1:0", "--public-tls-cert-file", &cert, "--public-tls-key-file", &key];
    let flags = [&given[..], flags].concat();
    let plan = Plan { name, control_plane, public_url, flags: &flags, ..Plan::default() };
    let world = world::shared().await;
    Pod::start(&plan, &world.cluster.secrets).await
}

#[tokio::test]
async fn a_pod_warns_of_a_certificate_without_its_public_host() {
    let control_plane = world::shared().await.cluster.watch_urls();
    let authority = Authority::new("authority");
    let ca = authority.pem();
    let wrong = named(&authority, "wrong", &["elsewhere.example", "*.deeper.acme.example"]);
    let mount = Mount::new("public", &wrong, &ca);
    let one = pod("warned", &control_plane, "https://id.acme.example:8443/base", &mount, &[]).await;
    let shown = [
        "setting=--public-url",
        "host=id.acme.example",
        "elsewhere.example",
        "*.deeper.acme.example",
        &mount.file("tls.crt"),
    ];
    warned(&one.process().log(), 1, &shown);
    // It is as the line says.
    tls::connect_to("id.acme.example", one.tls_address(), &ca, None).await.expect_err("nobody finds it by that name");

    let right = named(&authority, "right", &["*.acme.example"]);
    mount.put(&right, &ca);
    until("the right one is shown", PATIENCE, async || tls::is_shown(one.tls_address(), &right).await).await;
    tls::connect_to("id.acme.example", one.tls_address(), &ca, None).await.expect("it is found by that name");
    warned(&one.process().log(), 1, &shown);

    mount.put(&named(&authority, "again", &["again.example.org"]), &ca);
    until("it warns again", PATIENCE, async || match warnings(&one.process().log()).len() {
        2 => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
    warned(&one.process().log(), 2, &["setting=--public-url", "host=id.acme.example", "again.example.org"]);
}

#[tokio::test]
async fn a_pod_does_not_warn_where_nobody_is_told_to_look_for_another_host() {
    let control_plane = world::shared().await.cluster.watch_urls();
    let authority = Authority::new("authority");
    let mount = Mount::new("public", &named(&authority, "right", &["id.example", "mtls.example"]), &authority.pem());
    let start = async |name, public_url, flags| pod(name, &control_plane, public_url, &mount, flags).await;
    let own = ["--mtls-public-url", "https://mtls.example"];
    let asks = [&own[..], &["--tls-client-certificates", "request"]].concat();
    let elsewhere = ["--mtls-public-url", "https://other.example", "--tls-client-certificates", "request"];
    for (name, public_url, flags) in [
        ("the-host", "https://id.example", &[][..]),
        ("the-address", "https://127.0.0.1:8443", &[]),
        // A proxy speaks TLS there, or nobody does.
        ("no-tls", "http://other.example", &[]),
        // Others serve the one or the other.
        ("asks-for-none", "https://id.example", &["--mtls-public-url", "https://other.example"]),
        ("asks", "https://other.example", &asks),
    ] {
        let pod = start(name, public_url, flags).await;
        let log = pod.process().log();
        assert!(log.contains("listening"), "{log}");
        assert_eq!(warnings(&log), Vec::<&str>::new(), "{name}");
    }
    let pod = start("asks-elsewhere", "https://id.example", &elsewhere).await;
    warned(&pod.process().log(), 1, &["setting=--mtls-public-url", "host=other.example", "\"id.example\""]);
}

#[tokio::test]
async fn a_node_warns_of_a_certificate_without_the_host_of_its_admin_url() {
    let authority = Authority::new("authority");
    let (wrong, right) = (named(&authority, "wrong", &["localhost"]), named(&authority, "right", &["cp-1.example"]));
    let mount = Mount::new("admin", &wrong, &authority.pem());
    let [cert, key] = ["tls.crt", "tls.key"].map(|file| mount.file(file));
    let files = ["--admin-tls-cert-file", &cert, "--admin-tls-key-file", &key];
    let flags = [&files[..], &["--advertise-admin-url", "https://cp-1.example:7200"]].concat();
    let mut cluster = Cluster::prepare(1, &flags);
    cluster.start_all().await;
    cluster.ready().await;
    let words = ["setting=--advertise-admin-url", "host=cp-1.example", "localhost", &mount.file("tls.crt")];
    warned(&cluster.logs(), 1, &words);
    mount.put(&right, &authority.pem());
    let admin = cluster.nodes[0].addresses().admin.clone();
    until("the right one is shown", PATIENCE, async || tls::is_shown(&admin, &right).await).await;
    warned(&cluster.logs(), 1, &words);
}
