//! Every way to write, once by who may and once by who may not: each leaves one record, under the id of its request.

use std::collections::BTreeSet;

use controlplane_daemon::admin::routes::{Access, ROUTES};
use reqwest::Method;
use serde_json::{Value, json};
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::wait::{PATIENCE, until};
use tests::web::{self, Answer};

use super::{FLAGS, TOKEN, export};

/// What is no document of the configuration. The modules on nodes and on restored clusters try what is on record of it, and
/// the suites of what it does.
const OF_THE_MACHINES: [&str; 8] = [
    "/keys/reseal",
    "/import",
    "/cluster/snapshot",
    "/cluster/members",
    "/cluster/members/{id}",
    "/cluster/transfer-leader",
    "/fleet/{pod_id}",
    "/cluster/join",
];

/// Method and path as the API's own table has them.
type Route = (String, &'static str);

fn writing() -> impl Iterator<Item = Route> {
    let routes = ROUTES.iter().filter(|row| !matches!(row.access, Access::Anyone | Access::Nodes));
    let routes = routes.filter(|row| row.method.as_str() != "GET");
    routes.map(|row| (row.method.to_string(), row.path))
}

/// The request's id, its method and its path.
type Sent = (String, Method, String);

fn begin(admin: &Admin, (id, method, path): &Sent, body: &Value) -> reqwest::RequestBuilder {
    let request = admin.request(method.clone(), path).header("x-request-id", id);
    match *method {
        Method::DELETE => request,
        Method::PATCH => request.header("content-type", "application/merge-patch+json").body(body.to_string()),
        _ => request.json(body),
    }
}

/// Someone who writes, and what was written.
struct Writer {
    admin: Admin,
    sent: Vec<Sent>,
    tried: BTreeSet<Route>,
}

impl Writer {
    /// `route` with `values` in the place of its parameters.
    async fn write(&mut self, method: Method, route: &'static str, values: &[&str], body: Value) -> Answer {
        let mut path = String::new();
        let mut values = values.iter();
        for part in route.split('/').skip(1) {
            let part = if part.starts_with('{') { values.next().expect("a value for each parameter") } else { part };
            path.extend(["/", part]);
        }
        let sent = (format!("written-{}", self.sent.len()), method.clone(), path);
        let answer = web::send(begin(&self.admin, &sent, &body)).await;
        assert!((200..300).contains(&answer.status), "{method} {route}: {answer:?}");
        self.tried.insert((method.to_string(), route));
        self.sent.push(sent);
        answer
    }
}

async fn write_everything(writer: &mut Writer) {
    let (post, put, patch, delete) = (Method::POST, Method::PUT, Method::PATCH, Method::DELETE);
    let (name, none) = (json!({ "display_name": "Acme" }), json!({}));
    let applied = json!({ "documents": [{ "kind": "Tenant", "slug": "applied", "display_name": "Applied" }] });
    writer.write(post.clone(), "/apply", &[], applied).await;
    writer.write(post.clone(), "/tenants", &[], json!({ "slug": "acme", "display_name": "A" })).await;
    writer.write(put.clone(), "/tenants/{slug}", &["acme"], name).await;
    writer.write(patch.clone(), "/tenants/{slug}", &["acme"], json!({ "display_name": "Acme Inc." })).await;

    let client = json!({ "client_id": "app", "name": "App", "grant_types": ["client_credentials"] });
    writer.write(post.clone(), "/tenants/{slug}/clients", &["acme"], client).await;
    let client = json!({ "name": "Application", "grant_types": ["client_credentials"] });
    writer.write(put.clone(), "/tenants/{slug}/clients/{client_id}", &["acme", "app"], client).await;
    writer.write(patch.clone(), "/tenants/{slug}/clients/{client_id}", &["acme", "app"], json!({ "name": "An" })).await;
    let secret =
        writer.write(post.clone(), "/tenants/{slug}/clients/{client_id}/secrets", &["acme", "app"], none.clone());
    let secret = secret.await.text_of("id");
    let route = "/tenants/{slug}/clients/{client_id}/secrets/{secret_id}";
    writer.write(delete.clone(), route, &["acme", "app", &secret], none.clone()).await;
    writer.write(delete.clone(), "/tenants/{slug}/clients/{client_id}", &["acme", "app"], none.clone()).await;

    let token =
        writer.write(post.clone(), "/tenants/{slug}/registration-tokens", &["acme"], json!({ "name": "t" })).await;
    let route = "/tenants/{slug}/registration-tokens/{id}";
    writer.write(delete.clone(), route, &["acme", &token.text_of("id")], none.clone()).await;

    writer.write(post.clone(), "/tenants/{slug}/scopes", &["acme"], json!({ "name": "read" })).await;
    let described = json!({ "description": "Reads" });
    writer.write(put.clone(), "/tenants/{slug}/scopes/{name}", &["acme", "read"], described).await;
    writer.write(delete.clone(), "/tenants/{slug}/scopes/{name}", &["acme", "read"], none.clone()).await;

    let active = async |admin: &Admin, keys: &str| {
        let keys = admin.get(keys).await.expect(200).json;
        keys["items"][0]["kid"].as_str().expect("a key").to_owned()
    };
    let (now, old) = (json!({ "step": "now" }), active(&writer.admin, "/tenants/acme/keys").await);
    writer.write(post.clone(), "/tenants/{slug}/keys/rotate", &["acme"], now.clone()).await;
    writer.write(post.clone(), "/tenants/{slug}/keys/{kid}/revoke", &["acme", &old], none.clone()).await;
    writer.write(delete.clone(), "/tenants/{slug}", &["acme"], none.clone()).await;
    let made =
        writer.write(post.clone(), "/admins", &[], json!({ "name": "Eve", "role": "auditor" })).await.text_of("id");
    let role = json!({ "name": "Eve", "role": "operator" });
    writer.write(put.clone(), "/admins/{id}", &[&made], role).await;
    writer.write(patch.clone(), "/admins/{id}", &[&made], json!({ "name": "Eva" })).await;
    writer.write(delete, "/admins/{id}", &[&made], none.clone()).await;

    writer.write(put, "/settings", &[], none.clone()).await;
    writer.write(patch, "/settings", &[], json!({ "audit": { "max_age_secs": 86_400 } })).await;
    // Last: it is what signed the writer's own token.
    let old = active(&writer.admin, "/keys").await;
    writer.write(post.clone(), "/keys/rotate", &[], now).await;
    writer.write(post, "/keys/{kid}/revoke", &[&old], none).await;
}

/// One under each id, and everybody else's under none of them.
fn check(records: &[Value], sent: &[Sent], credential: &str, is_as_expected: impl Fn(&Value, &Sent) -> bool) {
    for request in sent {
        let (id, method, path) = request;
        let found: Vec<&Value> = records.iter().filter(|record| record["request_id"] == **id).collect();
        let [record] = found.as_slice() else { panic!("{method} {path}: {found:#?}") };
        assert_eq!(record["credential"], credential, "{method} {path}: {record:#}");
        assert_eq!((&record["actor"]["kind"], &record["source_address"]), (&json!("admin"), &json!("127.0.0.1")));
        assert!(record["time"].is_string() && is_as_expected(record, request), "{method} {path}: {record:#}");
    }
}

#[tokio::test]
async fn every_write_leaves_one_record_whether_it_was_done_or_refused() {
    let cluster = Cluster::start_with(1, FLAGS).await;
    let owner = cluster.admin(0).await;
    let auditor = owner.create_admin("auditor", json!("auditor")).await;
    let auditor = Admin::sign_in(&cluster.nodes[0].admin_url(), &auditor).await.expect("a fresh credential");
    let administrators = owner.get("/admins").await.expect(200).json;
    let id_of = |role: &str| {
        let mut items = administrators["items"].as_array().expect("items").iter();
        items.find(|item| item["role"] == role).and_then(|item| item["id"].as_str()).expect("an administrator")
    };

    let mut refused = Vec::new();
    for (place, (method, route)) in writing().enumerate() {
        let path = route.replace(['{', '}'], "");
        refused.push((format!("refused-{place}"), method.parse().expect("a method"), path));
        let sent = refused.last().expect("it was put there");
        let _ = web::send(begin(&auditor, sent, &json!({}))).await.expect(403);
    }
    let mut writer = Writer { admin: owner.clone(), sent: Vec::new(), tried: BTreeSet::new() };
    write_everything(&mut writer).await;
    let expected: BTreeSet<Route> = writing().filter(|(_, path)| !OF_THE_MACHINES.contains(path)).collect();
    assert_eq!(writer.tried, expected);

    // Refusals are put on record together, a moment later.
    let text = until("all of them are on record", PATIENCE, async || {
        let text = export(&owner, TOKEN).await?;
        let missing = refused.iter().chain(&writer.sent).find(|(id, ..)| !text.contains(&format!("\"{id}\"")));
        missing.map_or(Ok(text), |missing| Err(format!("{missing:?}")))
    })
    .await;
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a record is JSON")).collect();
    check(&records, &refused, id_of("auditor"), |record, (_, method, path)| {
        let note = &record["note"];
        (&record["action"], &record["code"]) == (&json!("request.refused"), &json!("forbidden"))
            && note["method"] == method.as_str()
            && note["path"] == format!("/api/v1{path}")
            && note["count"] == 1
    });
    check(&records, &writer.sent, id_of("owner"), |record, (_, _, path)| {
        let tenant = if path.starts_with("/tenants") { json!("acme") } else { record["tenant"].clone() };
        record["action"].is_string() && record["resource"].is_string() && record["tenant"] == tenant
    });
}
