//! Who is in the control plane: added, promoted, demoted, removed, replaced, moved, refused; found by seeds and by DNS.

#[path = "membership/addresses.rs"]
mod addresses;
#[path = "membership/changes.rs"]
mod changes;
#[path = "membership/founder.rs"]
mod founder;
#[path = "membership/founding.rs"]
mod founding;
#[path = "membership/halfway.rs"]
mod halfway;
#[path = "membership/joining.rs"]
mod joining;
#[path = "membership/leadership.rs"]
mod leadership;
#[path = "membership/preferred.rs"]
mod preferred;
#[path = "membership/promotion.rs"]
mod promotion;
#[path = "membership/signature.rs"]
mod signature;

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::programs;
use tests::wait::{PATIENCE, until};
use tests::web;

fn tenant(slug: &str) -> Value {
    json!({ "slug": slug, "display_name": slug })
}

/// A member as `/cluster/members` shows it.
async fn member(admin: &Admin, id: u64) -> Option<Value> {
    let list = admin.try_get("/cluster/members").await.ok()?.json;
    list["items"].as_array()?.iter().find(|item| item["id"] == id).cloned()
}

/// Waits until the member looks like that to the node that is asked.
async fn member_is(admin: &Admin, id: u64, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    until(&format!("node {id} is {what}"), PATIENCE, async || match member(admin, id).await {
        Some(member) if is(&member) => Ok(member),
        other => Err(format!("{other:?}")),
    })
    .await
}

async fn voters(admin: &Admin) -> Vec<u64> {
    until("the members are listed", PATIENCE, async || try_voters(admin).await).await
}

async fn try_voters(admin: &Admin) -> Result<Vec<u64>, String> {
    let list = admin.try_get("/cluster/members").await.map_err(|error| error.to_string())?;
    let items = list.json["items"].as_array().ok_or_else(|| format!("{list:?}"))?;
    let voters = items.iter().filter(|item| item["role"] == "voter");
    Ok(voters.filter_map(|item| item["id"].as_u64()).collect())
}

async fn voters_are(admin: &Admin, wanted: &[u64]) {
    until(&format!("the voters are {wanted:?}"), PATIENCE, async || {
        let now = try_voters(admin).await?;
        if now == wanted { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
}

async fn is_written(admin: &Admin, slug: &str) {
    until(&format!("{slug} is written"), PATIENCE, async || {
        let answer = web::try_send(admin.request(reqwest::Method::POST, "/tenants").json(&tenant(slug))).await;
        match answer {
            Ok(answer) if answer.status == 201 || answer.code() == "already_exists" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

async fn metric(cluster: &Cluster, place: usize, name: &str) -> f64 {
    let url = format!("{}/metrics", cluster.nodes[place].ops_url());
    let text = web::send(web::client().get(url)).await.expect(200).text;
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

async fn not_ready_because(cluster: &Cluster, place: usize, why: &str) {
    let url = format!("{}/readyz", cluster.nodes[place].ops_url());
    until(&format!("it is not ready: {why}"), PATIENCE, async || {
        let answer = web::try_send(web::client().get(&url)).await.map_err(|error| error.to_string())?;
        if answer.status == 503 && answer.text.contains(why) { Ok(()) } else { Err(answer.text) }
    })
    .await;
}

/// The operator's command line, at one node.
struct Cli {
    home: PathBuf,
    server: String,
    credential: String,
}

impl Cli {
    fn new(cluster: &Cluster, place: usize) -> Self {
        let home = tests::scratch::folder("home");
        Self { home, server: cluster.nodes[place].admin_url(), credential: cluster.secrets.owner.clone() }
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(programs::hellojohn());
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &self.home).env("NO_COLOR", "1");
        command.env("HJ_SERVER", &self.server).env("HJ_CREDENTIAL", &self.credential);
        command.args(args).output().expect("hellojohn runs")
    }

    #[track_caller]
    fn text(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}
