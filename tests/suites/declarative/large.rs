//! `hellojohn import DIR` of more than one request, one entry of the log, or one tenant can hold.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::pod::{Plan, Pod};

use super::Shell;

/// With a scope and a client each, more than go in one piece.
const TENANTS: usize = 700;
/// One more than a tenant may have, and far more than go in one piece.
const MANY_CLIENTS: usize = 10_001;
/// All clients have more than the 8 MiB of one request.
const URI_CHARS: usize = 800;
const MANY: &str = "tenant-with-many";

/// The clients of each tenant, with their only redirect URIs.
type Clients = BTreeMap<String, BTreeMap<String, String>>;

fn id(number: usize) -> String {
    format!("client-{number:05}")
}

fn clients() -> Clients {
    let uri = |client: &str| format!("https://{client}.example/{}", "u".repeat(URI_CHARS));
    let of = |count: usize| (0..count).map(id).map(|id| (id.clone(), uri(&id))).collect();
    let mut all: Clients = (0..TENANTS).map(|n| (format!("tenant-{n:05}"), of(1))).collect();
    all.insert(MANY.to_owned(), of(MANY_CLIENTS));
    all
}

/// Of the many clients the first and the last two have secrets.
fn write(root: &Path, slug: &str, clients: &BTreeMap<String, String>) {
    let folder = root.join("tenants").join(slug);
    fs::create_dir_all(&folder).expect("made");
    let proven = [0, MANY_CLIENTS - 2, MANY_CLIENTS - 1].map(id);
    let client = |(id, uri): (&String, &String)| {
        let kind = if slug == MANY && proven.contains(id) { "confidential" } else { "public" };
        json!({"clientId": id, "name": "C", "type": kind, "redirectUris": [uri], "scopes": ["openid", "orders"]})
    };
    let clients: Vec<Value> = clients.iter().map(client).collect();
    for (name, content) in [
        ("tenant", json!({"name": slug, "slug": slug})),
        ("scopes", json!([{"name": "orders"}])),
        ("clients", clients.into()),
    ] {
        fs::write(folder.join(name).with_extension("json"), content.to_string()).expect("written");
    }
}

/// As an export tells it.
async fn there(admin: &Admin) -> Clients {
    let export = admin.get("/export").await.expect(200).text;
    let records: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |kind: &'static str| records.iter().filter(move |record| record["kind"] == kind).map(|it| &it["value"]);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let slugs: BTreeMap<String, String> = of("tenant").map(|it| (text(&it["id"]), text(&it["slug"]))).collect();
    assert_eq!(of("scope").count(), slugs.len());
    let mut clients: Clients = slugs.values().map(|slug| (slug.clone(), BTreeMap::new())).collect();
    for client in of("client") {
        let of_tenant = clients.get_mut(&slugs[&text(&client["tenant_id"])]).expect("its tenant");
        of_tenant.insert(text(&client["client_id"]), text(&client["spec"]["redirect_uris"][0]));
    }
    clients
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_any_size_is_brought_over() {
    let cluster = Cluster::start(1).await;
    let admin = cluster.admin(0).await;
    let shell = Shell::new(&cluster, &cluster.secrets.owner);
    let (root, mut wanted) = (shell.folder.join("v1"), clients());
    for (slug, clients) in &wanted {
        write(&root, slug, clients);
    }

    // The very last of all refers to what is nowhere: nothing at all is done.
    let last = root.join("tenants").join(MANY).join("clients.json");
    let whole = fs::read_to_string(&last).expect("readable");
    let (head, tail) = whole.rsplit_once("\"orders\"").expect("it has scopes");
    fs::write(&last, format!("{head}\"unheard\"{tail}")).expect("spoilt");
    let told = shell.ends(&["import", "v1"], 2);
    assert!(told.contains(&format!("{MANY}/clients.json")) && told.contains("unheard"), "{told}");
    assert_eq!(there(&admin).await, Clients::new());
    // Nor where one stands twice in it, far apart.
    fs::write(&last, whole.replacen(&id(MANY_CLIENTS - 2), &id(1), 1)).expect("spoilt");
    let told = shell.ends(&["import", "v1"], 2);
    assert!(told.contains(&format!("/client_id: is stated in v1/tenants/{MANY}/clients.json already")), "{told}");

    // Only together they are too many: what was made before the last ones is told, with its secrets.
    fs::write(&last, whole).expect("mended");
    let pod = Plan { name: "pod", control_plane: &cluster.watch_urls(), ..Plan::default() };
    let pod = Pod::start(&pod, &cluster.secrets).await;
    let output = shell.run(&["import", "v1", "-o", "json", "--wait", "fleet", "--wait-timeout", "60"]);
    let said = String::from_utf8_lossy(&output.stderr);
    let documents = (TENANTS + 1) * 2 + TENANTS + MANY_CLIENTS;
    assert!(output.status.code() == Some(4) && said.contains("limit_reached"), "{said}");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let made = answer["summary"]["create"].as_u64().expect("a number");
    let revision = answer["revision"].as_u64().expect("a number");
    let part = format!("This was {made} of {documents} documents, up to revision {revision};");
    assert!(said.contains(&part), "{part}: {said}");
    assert!(said.contains(&format!("Every connected pod has revision {revision}.\n")), "{said}");
    assert!(!said.contains("is not known"), "{said}");
    pod.has_revision(revision).await;
    drop(pod);
    assert_eq!(answer["changes"].as_array().map(Vec::len), usize::try_from(made).ok());
    let secrets = answer["secrets"].as_array().expect("a list");
    assert_eq!((secrets.len(), &secrets[0]["client_id"]), (1, &json!(id(0))), "{secrets:?}");
    // It was told before it was sent as well, or it would be lost with this command.
    let secret = secrets[0]["client_secret"].as_str().expect("a text");
    let before = said.find(&format!("If {MANY}/{} is made, its secret is {secret}", id(0)));
    assert!(before.is_some_and(|before| said[before..].contains("limit_reached")), "{said}");
    let many = wanted.get_mut(MANY).expect("it");
    many.remove(&id(MANY_CLIENTS - 1));
    assert!(there(&admin).await[MANY].len() < many.len());

    // Again, with one less: it goes on.
    write(&root, MANY, many);
    let again = shell.ends(&["import", "v1"], 0);
    let rest = documents - 1 - usize::try_from(made).expect("few");
    let summary = format!("{rest} created, 0 updated, 0 deleted, {made} unchanged\n");
    assert!(again.contains(&summary) && again.contains(&format!("  {MANY}/{}  ", id(MANY_CLIENTS - 2))), "{again}");
    assert!(!again.contains(&id(0)), "{again}");
    assert_eq!(there(&admin).await, wanted);
}
