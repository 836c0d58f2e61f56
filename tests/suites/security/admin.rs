//! The admin API and the cluster's own ports: who may do what.

use std::time::Duration;

use controlplane_daemon::admin::routes::{Access, ROUTES};
use reqwest::Method;
use serde_json::json;
use shared_proto::{peer, watch};
use tests::admin::Admin;
use tests::table::Table;
use tests::tenant::unique;
use tests::web;
use tests::world;

/// Every route that wants a token, from the API's own table, with something in the place of each parameter.
pub(super) fn routes(slug: &str) -> Vec<(Method, String)> {
    rows(slug).into_iter().map(|(method, path, _)| (method, path)).collect()
}

/// The same, each with whom it is for. What only nodes call is signed, not opened by a token: `peers` tries those.
fn rows(slug: &str) -> Vec<(Method, String, Access)> {
    const NOBODY: &str = "0190f0f0-0000-7000-8000-000000000000";
    let parameters = [
        ("{slug}", slug),
        ("{client_id}", "app"),
        ("{secret_id}", NOBODY),
        ("{name}", "x"),
        ("{kid}", "x"),
        ("{id}", NOBODY),
    ];
    let fill = |path: &str| parameters.iter().fold(path.to_owned(), |path, (name, value)| path.replace(name, value));
    let routes = ROUTES.iter().filter(|row| ![Access::Anyone, Access::Nodes].contains(&row.access));
    routes.map(|row| (row.method.as_str().parse().expect("a method"), fill(row.path), row.access)).collect()
}

async fn signed_in(world: &tests::world::World, credential: &str) -> Admin {
    Admin::sign_in(&world.cluster.nodes[0].admin_url(), credential).await.expect("the credential is good")
}

#[tokio::test]
async fn an_auditor_reads_and_writes_nothing() {
    let world = world::shared().await;
    let tenant = world.tenant("audited").await;
    let auditor = signed_in(&world, &tenant.admin.create_admin("auditor", json!("auditor")).await).await;
    let mut table = Table::new();
    for (method, path, access) in rows(&tenant.slug) {
        // A stream without an end: the suite on events tries who sees what.
        if path == "/events" {
            continue;
        }
        if method == Method::GET {
            let expected: &[u16] = if access.is_for_auditors() { &[200, 400, 404] } else { &[403] };
            table.row(&path, auditor.request(method, &path), expected).await;
        } else {
            let what = format!("{method} {path}");
            table.row(&what, auditor.request(method, &path).json(&json!({})), &[403]).await;
        }
    }
    table
        .row(
            "the tenant is still there",
            tenant.admin.request(Method::GET, &format!("/tenants/{}", tenant.slug)),
            &[200],
        )
        .await;
    table.finish(&world).await;
}

#[tokio::test]
async fn an_operator_makes_no_administrators() {
    let world = world::shared().await;
    let admin = world.admin().await;
    let operator = signed_in(&world, &admin.create_admin("operator", json!("operator")).await).await;
    let body = json!({ "name": "me", "role": "owner" });
    let _ = operator.post("/admins", &body).await.expect(403);
    let slug = unique("by-operator");
    let _ = operator.post("/tenants", &json!({ "slug": slug, "display_name": "X" })).await.expect(201);
}

#[tokio::test]
async fn a_tenant_administrator_has_one_tenant_and_nothing_beside_it() {
    let world = world::shared().await;
    let (own, other) = (world.tenant("own").await, world.tenant("foreign").await);
    let credential = own.admin.create_admin("keeper", json!({ "tenant-admin": own.slug })).await;
    let keeper = signed_in(&world, &credential).await;
    let mut table = Table::new();
    for (method, path) in routes(&other.slug) {
        if path == "/events" {
            continue;
        }
        // A list may be empty instead of refused; it must not name the other tenant. Documents are read before it is
        // known whose they are.
        let expected: &[u16] = if path == "/apply" { &[422] } else { &[200, 403, 404] };
        let request = keeper.request(method.clone(), &path).json(&json!({}));
        let answer = table.row(&format!("{method} {path}"), request, expected).await;
        let harmless = answer.status != 200 || !answer.text.contains(&other.slug);
        table.check(&path, harmless, || format!("{answer:?}"));
    }
    for path in ["/admins", "/keys", "/cluster/status"] {
        table.row(path, keeper.request(Method::GET, path), &[403, 404]).await;
    }
    let clients = format!("/tenants/{}/clients", own.slug);
    table.row("its own", keeper.request(Method::GET, &clients), &[200]).await;
    let client = json!({ "name": "Mine", "grant_types": ["client_credentials"] });
    table.row("its own, written", keeper.request(Method::POST, &clients).json(&client), &[201]).await;
    table
        .row("the other's", other.admin.request(Method::GET, &format!("/tenants/{}/clients/app", other.slug)), &[200])
        .await;
    table.finish(&world).await;
}

#[tokio::test]
async fn a_deleted_administrator_is_locked_out() {
    let world = world::shared().await;
    let admin = world.admin().await;
    let created = admin.post("/admins", &json!({ "name": "gone", "role": "operator" })).await.expect(201);
    let credential = created.text_of("credential");
    let gone = signed_in(&world, &credential).await;
    let _ = gone.get("/tenants").await.expect(200);
    let _ = admin.delete(&format!("/admins/{}", created.text_of("id"))).await.expect(204);
    assert!(Admin::sign_in(&world.cluster.nodes[0].admin_url(), &credential).await.is_err());
    let _ = gone.get("/tenants").await.expect(401);
    // The last owner cannot go.
    let owners = admin.get("/admins?limit=500").await.expect(200).json;
    let owners: Vec<&str> = owners["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter(|item| item["role"] == "owner")
        .filter_map(|item| item["id"].as_str())
        .collect();
    if let [last] = owners.as_slice() {
        let _ = admin.delete(&format!("/admins/{last}")).await.expect(409);
    }
}

#[tokio::test]
async fn two_writers_with_one_etag_do_not_overwrite_each_other() {
    let world = world::shared().await;
    let (admin, slug) = (world.admin().await, unique("etag"));
    let created = admin.create_tenant(&slug, json!({})).await;
    let etag = created.header("etag").expect("an ETag").to_owned();
    let writers = (0..8).map(|number| {
        let request = admin.request(Method::PUT, &format!("/tenants/{slug}")).header("if-match", &etag);
        web::send(request.json(&json!({ "display_name": format!("writer {number}") })))
    });
    let mut statuses: Vec<u16> = futures::future::join_all(writers).await.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412]);
}

#[tokio::test]
async fn lists_page_through_everything_once() {
    let world = world::shared().await;
    let tenant = world.tenant("pages").await;
    let scopes = format!("/tenants/{}/scopes", tenant.slug);
    for number in 0..25 {
        let _ = tenant.admin.post(&scopes, &json!({ "name": format!("scope-{number:02}") })).await.expect(201);
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = tenant.admin.get(&format!("{scopes}?limit=7{cursor}")).await.expect(200).json;
        let items = page["items"].as_array().expect("items");
        assert!(items.len() <= 7);
        seen.extend(items.iter().filter_map(|item| item["name"].as_str()).map(ToOwned::to_owned));
        let Some(next) = page["next_cursor"].as_str() else { break };
        let encoded: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        cursor = format!("&cursor={encoded}");
    }
    let own: Vec<&String> = seen.iter().filter(|name| name.starts_with("scope-")).collect();
    assert_eq!(own.len(), 25, "{seen:?}");
    assert!(own.is_sorted(), "{seen:?}");
}

#[tokio::test]
async fn the_admin_api_is_not_on_the_public_listener_and_knows_no_foreign_origin() {
    let world = world::shared().await;
    let tenant = world.tenant("inside").await;
    let admin = &tenant.admin;
    let mut table = Table::new();
    let signed_join = [(Method::POST, "/cluster/join".to_owned())];
    for (method, path) in routes(&tenant.slug).into_iter().chain(signed_join) {
        // At the root, and as if it were the tenant's.
        let tried = world.pods.iter().map(tests::pod::Pod::url).chain([tenant.issuer.clone()]);
        for base in tried {
            let what = format!("{method} {base}/api/v1{path}");
            let request = tenant.app.http.request(method.clone(), format!("{base}/api/v1{path}"));
            table.row(&what, request.bearer_auth(admin.token()).json(&json!({})), &[404]).await;
        }
        let outside = tenant.app.http.request(Method::OPTIONS, format!("{}/api/v1{path}", world.pods[0].url()));
        let inside = admin.anonymous_request(Method::OPTIONS, &path);
        for (what, request, statuses) in [("a pod", outside, [404]), ("the admin API", inside, [405])] {
            let what = format!("{what} is asked before {method} {path}");
            let request = request.header("origin", "https://evil.example");
            let request = request.header("access-control-request-method", method.as_str());
            let answer = table.row(&what, request, &statuses).await;
            table.check(&what, answer.header("access-control-allow-origin").is_none(), || format!("{answer:?}"));
        }
    }
    let from_elsewhere = admin.request(Method::GET, "/tenants").header("origin", "https://evil.example");
    let answer = table.row("a token from elsewhere", from_elsewhere, &[200]).await;
    let named = answer.header("access-control-allow-origin");
    table.check("a token from elsewhere", named.is_none(), || format!("{answer:?}"));
    table.finish(&world).await;
}

#[tokio::test]
async fn a_peer_call_without_a_signature_changes_nothing() {
    let world = world::shared().await;
    let admin = world.admin().await;
    let before = admin.get("/cluster/status").await.expect(200).json;
    let address = format!("http://{}", world.cluster.nodes[0].addresses().raft);
    let mut client = peer::peer_client::PeerClient::connect(address).await.expect("the port accepts");
    let refused = client.list_pods(peer::ListPodsRequest::default()).await.expect_err("an unsigned call is refused");
    let refusals = [tonic::Code::Unauthenticated, tonic::Code::PermissionDenied];
    assert!(refusals.contains(&refused.code()), "{refused:?}");
    let command = peer::ForwardRequest { command: b"{}".to_vec().into() };
    let refused = client.forward(command).await.expect_err("an unsigned call is refused");
    assert!(refusals.contains(&refused.code()), "{refused:?}");
    let after = admin.get("/cluster/status").await.expect(200).json;
    for field in ["term", "leader_id", "members"] {
        assert_eq!(after[field], before[field], "{field}");
    }
}

#[tokio::test]
async fn the_watch_is_for_those_who_have_its_token() {
    let world = world::shared().await;
    let address = format!("http://{}", world.cluster.nodes[0].addresses().watch);
    let mut client = watch::watch_client::WatchClient::connect(address).await.expect("the port accepts");
    let admin = world.admin().await;
    for authorization in ["", "Bearer", "Bearer wrong", &format!("Bearer {}", admin.token())] {
        let hello = watch::Hello { pod_id: "spy".to_owned(), ..watch::Hello::default() };
        let hello = watch::PodMessage { kind: Some(watch::pod_message::Kind::Hello(hello)) };
        let mut request = tonic::Request::new(tokio_stream::iter([hello]));
        if !authorization.is_empty() {
            let value = authorization.parse().expect("a header value");
            request.metadata_mut().insert("authorization", value);
        }
        let call = tokio::time::timeout(Duration::from_secs(10), client.subscribe(request)).await.expect("an answer");
        let refused = call.expect_err("a stranger gets no stream");
        assert!([tonic::Code::Unauthenticated, tonic::Code::PermissionDenied].contains(&refused.code()), "{refused:?}");
    }
    let fleet = admin.get("/fleet").await.expect(200);
    assert!(!fleet.text.contains("spy"), "{}", fleet.text);
}
