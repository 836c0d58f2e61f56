//! Files that are looked at while somebody writes them: nothing is deleted for what is not there yet.

use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::time::Instant;

use super::*;

/// Between two pieces of a file. Shorter than what gitops takes for the end.
const PIECE: Duration = Duration::from_millis(50);
/// What gitops takes for the end.
const SETTLE: Duration = Duration::from_millis(200);
/// By then gitops has looked, and said what it saw, however long files kept changing.
const LOOKED: Duration = Duration::from_secs(5);

fn tenant(slug: &str) -> String {
    format!("---\nkind: Tenant\nslug: {slug}\ndisplay_name: {slug}\n")
}

/// A tenant that was deleted and made again has another one.
async fn id_of(admin: &Admin, slug: &str) -> String {
    admin.get(&format!("/tenants/{slug}")).await.expect(200).text_of("id")
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_written_in_place_lose_nothing() {
    let dir = scratch::folder("in-place");
    let slugs: Vec<String> = (0..20).map(|number| format!("t{number}")).collect();
    let all = dir.join("all.yaml");
    fs::write(&all, slugs.iter().map(|slug| tenant(slug)).collect::<String>()).expect("written");
    fs::write(dir.join("other.yaml"), tenant("first")).expect("written");
    let cluster = Cluster::start_with(1, &["--gitops-dir", dir.to_str().expect("UTF-8")]).await;
    let admin = cluster.admin(0).await;
    shows(&admin, "/tenants/t19", "/slug", "t19").await;
    let mut ids = Vec::new();
    for slug in &slugs {
        ids.push(id_of(&admin, slug).await);
    }

    // A writer that is slow, and one that stops where nothing is written yet.
    for begins_late in [false, true] {
        let mut file = fs::File::create(&all).expect("truncated");
        if begins_late {
            status(&admin, "the empty file is reported", |status| status.to_string().contains("is empty")).await;
        }
        for slug in &slugs {
            file.write_all(tenant(slug).as_bytes()).expect("written");
            tokio::time::sleep(PIECE).await;
        }
        drop(file);
        // What is stated after it is there once all of it has been looked at.
        let marker = if begins_late { "third" } else { "second" };
        fs::write(dir.join("other.yaml"), [tenant("first"), tenant(marker)].concat()).expect("written");
        shows(&admin, &format!("/tenants/{marker}"), "/slug", marker).await;
        status(&admin, "all is well", |status| status["result"] == "ok").await;
        for (slug, id) in slugs.iter().zip(&ids) {
            assert_eq!(&id_of(&admin, slug).await, id, "{slug} is what it was");
        }
    }
    is_gone(&admin, "/tenants/second").await;
}

/// Longer than gitops waits for files to hold still, twice over.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_for_long_is_waited_for_and_nothing_is_pruned_meanwhile() {
    const PIECES: usize = 120;
    let dir = scratch::folder("slow");
    let all = dir.join("all.yaml");
    fs::write(&all, tenant("acme")).expect("written");
    fs::write(dir.join("other.yaml"), tenant("first")).expect("written");
    let cluster = Cluster::start_with(1, &["--gitops-dir", dir.to_str().expect("UTF-8")]).await;
    let admin = cluster.admin(0).await;
    shows(&admin, "/tenants/acme", "/slug", "acme").await;
    let id = id_of(&admin, "acme").await;

    let writer = tokio::spawn(async move {
        let mut file = fs::File::create(&all).expect("truncated");
        for number in 0..PIECES {
            writeln!(file, "# line {number} of many").expect("written");
            tokio::time::sleep(PIECE).await;
        }
        file.write_all([tenant("acme"), tenant("second")].concat().as_bytes()).expect("written");
    });
    status(&admin, "it is reported", |status| status.to_string().contains("keep changing")).await;
    writer.await.expect("it ends");
    shows(&admin, "/tenants/second", "/slug", "second").await;
    assert_eq!(id_of(&admin, "acme").await, id);
}

/// A checkout writes much that is no document: to two looks within it, the documents that are missing yet are gone.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_looked_once_nothing_is_noticed_any_more_and_not_at_every_notice() {
    const NOTICES: Duration = Duration::from_secs(3);
    let dir = scratch::folder("noticed");
    fs::write(dir.join("all.yaml"), tenant("acme")).expect("written");
    let flags = ["--gitops-dir", dir.to_str().expect("UTF-8"), "--gitops-resync-secs", "86400"];
    let cluster = Cluster::start_with(1, &flags).await;
    let admin = cluster.admin(0).await;
    shows(&admin, "/tenants/acme", "/slug", "acme").await;
    rests(&cluster).await;

    let ops = cluster.nodes[0].ops_url();
    let began = Instant::now();
    let before = count(&ops, "hj_cp_gitops_runs_total", &[]).await;
    while began.elapsed() < NOTICES {
        fs::write(dir.join("notes.txt"), format!("{:?}", began.elapsed())).expect("written");
        tokio::time::sleep(SETTLE / 20).await;
    }
    let looks = count(&ops, "hj_cp_gitops_runs_total", &[]).await - before;
    // Before each it was quiet for so long, or for long it was not.
    let most = began.elapsed().as_millis() / SETTLE.as_millis() + 1;
    assert!(u128::from(looks) <= most, "{looks} looks, where {most} had time");
    until("it looks in the end", PATIENCE, async || {
        let looks = count(&ops, "hj_cp_gitops_runs_total", &[]).await;
        if looks > before { Ok(()) } else { Err(looks.to_string()) }
    })
    .await;
}

/// Each file is a link of its own through `..data`: a swap that comes between two of them shows some of both versions.
#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_is_swapped_while_it_is_read_loses_nothing() {
    let volume = scratch::folder("volume");
    let swap = |target: &str| {
        symlink(target, volume.join("..data_tmp")).expect("linked");
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).expect("swapped");
    };
    // The tenant is in another file each time, so that between the two it can seem to be in neither.
    for (version, files) in
        [("..1", ["# nothing\n".to_owned(), tenant("acme")]), ("..2", [tenant("acme"), "# nothing\n".to_owned()])]
    {
        fs::create_dir(volume.join(version)).expect("made");
        for (name, text) in ["a.yaml", "b.yaml"].iter().zip(files) {
            fs::write(volume.join(version).join(name), text).expect("written");
        }
        fs::write(volume.join(version).join("c.yaml"), tenant(&format!("version-{}", &version[2..]))).expect("written");
    }
    swap("..1");
    for name in ["a.yaml", "b.yaml", "c.yaml"] {
        symlink(format!("..data/{name}"), volume.join(name)).expect("linked");
    }
    let flags = ["--gitops-dir", volume.to_str().expect("UTF-8"), "--gitops-resync-secs", "86400"];
    let cluster = Cluster::start_with(1, &flags).await;
    let admin = cluster.admin(0).await;
    shows(&admin, "/tenants/acme", "/slug", "acme").await;
    let id = id_of(&admin, "acme").await;
    for number in 0..60 {
        swap(if number % 2 == 0 { "..2" } else { "..1" });
        tokio::time::sleep(PIECE).await;
    }
    swap("..2");
    shows(&admin, "/tenants/version-2", "/slug", "version-2").await;
    is_gone(&admin, "/tenants/version-1").await;
    assert_eq!(id_of(&admin, "acme").await, id);
}

/// What a document refers to is not watched: that it changed is found by looking again, as long as it keeps changing.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_keeps_changing_elsewhere_is_taken_once_it_holds_still() {
    let (dir, elsewhere) = (scratch::folder("documents"), scratch::folder("secrets"));
    let secret = elsewhere.join("web");
    // Too short for a secret, so that nothing is made of it.
    fs::write(&secret, "short").expect("written");
    let client = "kind: Client\ntenant: acme\nclient_id: web\nname: Web\ngrant_types: [client_credentials]\n";
    let client = format!("{client}secret: {{from_file: {}}}\n", secret.display());
    fs::write(dir.join("all.yaml"), [&tenant("acme"), "---\n", &client].concat()).expect("written");
    fs::write(dir.join("other.yaml"), tenant("first")).expect("written");
    let flags = ["--gitops-dir", dir.to_str().expect("UTF-8"), "--gitops-resync-secs", "86400"];
    let cluster = Cluster::start_with(1, &flags).await;
    let admin = cluster.admin(0).await;
    status(&admin, "the secret is refused", |status| status["result"] == "partial").await;
    // What the first minute of a cluster writes makes it look, too.
    rests(&cluster).await;

    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let writer = tokio::spawn(async move {
        for number in 0_u64.. {
            fs::write(&secret, format!("short {number}")).expect("written");
            if tokio::time::timeout(PIECE, &mut stopped).await.is_ok() {
                break;
            }
        }
        fs::write(&secret, "a-secret-of-more-than-thirty-two-characters").expect("written");
    });
    // It looks, and finds nothing to do that would have it look again.
    let mut looked: Option<Instant> = None;
    until("it is reported", PATIENCE, async || {
        // Again, since on a busy machine the writer may have paused for long enough.
        if looked.is_none_or(|looked| looked.elapsed() > LOOKED) {
            looked = Some(Instant::now());
            write(&dir.join("other.yaml"), &format!("{}# the same {looked:?}\n", tenant("first")));
        }
        let told = admin.get("/cluster/status").await.expect(200).json["gitops"].to_string();
        if told.contains("keep changing") { Ok(()) } else { Err(told) }
    })
    .await;
    stop.send(()).expect("it writes");
    writer.await.expect("it ends");
    shows(&admin, "/tenants/acme/clients/web", "/client_id", "web").await;
    status(&admin, "all is well", |status| status["result"] == "ok").await;
}
