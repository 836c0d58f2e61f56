//! What documents may not refer to.

use std::os::unix::fs::symlink;

use super::*;

/// The error of the file of that name, once there is one.
async fn error_of(admin: &Admin, file: &str) -> String {
    let shown = |status: &Value| {
        let files = status["files"].as_array()?;
        let found = files.iter().find(|shown| shown["path"] == file)?;
        found["errors"][0].as_str().map(ToOwned::to_owned)
    };
    let seen = status(admin, &format!("{file} has an error"), |status| shown(status).is_some()).await;
    shown(&seen).expect("it has one")
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_do_not_get_the_daemons_own_and_nothing_without_an_end() {
    let dir = scratch::folder("references");
    let own = scratch::folder("own");
    let mut cluster = Cluster::prepare(1, &["--gitops-dir", dir.to_str().expect("UTF-8")]);
    fs::write(own.join("master-key"), &cluster.secrets.master_key).expect("written");
    let launch = cluster.nodes[0].launch_mut();
    launch.env.retain(|(name, _)| name != "SECRETBOX_MASTER_KEY");
    let key = own.join("master-key").display().to_string();
    launch.env.push(("SECRETBOX_MASTER_KEY_FILE".to_owned(), key.clone()));
    symlink(&key, dir.join("innocent")).expect("linked");
    let pipe = dir.join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("made");

    let references = [
        ("key", key.as_str(), "is not for documents"),
        ("link", "innocent", "is not for documents"),
        ("system", "/proc/self/environ", "is not for documents"),
        ("endless", "/dev/zero", "is not for documents"),
        ("pipe", "pipe", "is not a regular file"),
    ];
    for (name, path, _) in references {
        let text = format!("kind: Client\ntenant: acme\nclient_id: {name}\nname: x\nsecret: {{from_file: {path}}}\n");
        write(&dir.join(format!("{name}.yaml")), &text);
    }
    // Neither do these keep the rest from being applied.
    symlink("/dev/zero", dir.join("zero.yaml")).expect("linked");
    symlink("nowhere", dir.join("dangling.yaml")).expect("linked");
    symlink("pipe", dir.join("waiting.yaml")).expect("linked");
    write(&dir.join("tenant.yaml"), TENANT);
    cluster.start_all().await;
    cluster.ready().await;
    let admin = cluster.admin(0).await;
    shows(&admin, "/tenants/acme", "/slug", "acme").await;
    for (name, path, why) in references {
        let said = error_of(&admin, &format!("{name}.yaml")).await;
        assert!(said.contains("/secret: ") && said.contains(&format!("{path}: ")) && said.contains(why), "{said}");
    }
    for name in ["zero", "dangling", "waiting"] {
        let said = error_of(&admin, &format!("{name}.yaml")).await;
        assert!(said.contains(&format!("{name}.yaml: ")), "{said}");
    }
}
