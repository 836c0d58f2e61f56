//! Compressed bodies: nothing of what strangers send is inflated, so that a kilobyte never becomes a mebibyte.

use std::io::Write as _;
use std::process::{Command, Stdio};

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tests::routes::tenant_routes;
use tests::table::Table;
use tests::world;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// As `gzip` packs it.
fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = Command::new("gzip").arg("-9c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip");
    // What comes out is less than a pipe takes, so it may all be written first.
    gzip.stdin.take().expect("piped").write_all(bytes).expect("gzip reads");
    let output = gzip.wait_with_output().expect("gzip ends");
    assert!(output.status.success() && output.stdout.len() < 4_096, "{output:?}");
    output.stdout
}

/// What would be right if it were read: so a server that inflates it takes it.
fn coded(request: RequestBuilder, kind: &str, coding: &str, body: &str) -> RequestBuilder {
    request.header("content-type", kind).header("content-encoding", coding).body(packed(body.as_bytes()))
}

#[tokio::test]
async fn no_endpoint_of_a_pod_inflates_a_body() {
    let world = world::shared().await;
    let tenant = world.tenant("packed").await;
    let (service, http) = (&tenant.service, &tenant.service.http);
    let mut table = Table::new();
    let right = "grant_type=client_credentials";
    let ask = || http.post(service.endpoint("token")).basic_auth("service", service.secret.as_ref());
    for coding in ["gzip", "GZIP", "x-gzip", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip"] {
        table.oauth(coding, coded(ask(), FORM, coding, right), &[400], &["invalid_request"]).await;
        // Whatever the body really is: what it says of itself is not what is read.
        let plain = ask().header("content-type", FORM).header("content-encoding", coding).body(right);
        table.oauth(coding, plain, &[400], &["invalid_request"]).await;
    }
    let identity = ask().header("content-type", FORM).header("content-encoding", "identity").body(right);
    table.row("identity", identity, &[200]).await;
    let unsaid = ask().header("content-type", FORM).body(packed(right.as_bytes()));
    table.oauth("not said to be packed", unsaid, &[400], &["invalid_request"]).await;

    let token = service.client_credentials("hj:users.read hj:users.write").await;
    let users = || http.post(format!("{}/api/v1/users", tenant.issuer)).bearer_auth(&token);
    let user = json!({ "email": "packed@x.example", "password": "a horse with a staple" }).to_string();
    table.problem("a user", coded(users(), JSON, "gzip", &user), &[415], "").await;
    let login = http.post(format!("{}/login", tenant.issuer));
    table.row("a page", coded(login, FORM, "gzip", "email=a%40x.example&password=x"), &[415]).await;

    // A mebibyte that comes as a kilobyte, everywhere.
    let bomb = "\0".repeat(1 << 20);
    for (method, path) in tenant_routes() {
        if [Method::GET, Method::DELETE, Method::OPTIONS].contains(&method) {
            continue;
        }
        let place = path.replace("{id}", &uuid::Uuid::nil().to_string());
        let begin = || http.request(method.clone(), format!("{}{place}", tenant.issuer));
        for (kind, body) in [(FORM, right), (FORM, &bomb), (JSON, &user), (JSON, &bomb)] {
            let what = format!("{method} {path}, {kind}, {} bytes", body.len());
            let refused = [400, 401, 403, 404, 413, 415];
            table.row(&what, coded(begin().bearer_auth(&token), kind, "gzip", body), &refused).await;
            let known = begin().basic_auth("service", service.secret.as_ref());
            table.row(&what, coded(known, kind, "gzip", body), &refused).await;
        }
    }
    table.finish(&world).await;
}

#[tokio::test]
async fn no_route_of_the_admin_api_inflates_a_body() {
    let world = world::shared().await;
    let tenant = world.tenant("packed-admin").await;
    let admin = &tenant.admin;
    let of_tenant = format!("/tenants/{}", tenant.slug);
    let (clients, keys) = (format!("{of_tenant}/clients"), format!("{of_tenant}/keys/rotate"));
    let mut table = Table::new();
    let bomb = "\0".repeat(1 << 20);
    for (method, path, right) in [
        (Method::POST, "/tenants", json!({ "slug": "packed-made", "display_name": "Packed" })),
        (Method::PUT, &of_tenant, json!({ "display_name": "Packed" })),
        (Method::PATCH, &of_tenant, json!({ "display_name": "Packed" })),
        (Method::POST, &clients, json!({ "client_id": "packed", "name": "P", "grant_types": ["client_credentials"] })),
        (Method::POST, &keys, json!({ "algorithm": "ES256" })),
        (Method::POST, "/apply", json!({ "documents": [] })),
        (Method::POST, "/auth/token", json!({ "credential": world.cluster.secrets.owner })),
        (Method::PATCH, "/settings", json!({})),
    ] {
        for body in [right.to_string(), bomb.clone()] {
            let what = format!("{method} {path}, {} bytes", body.len());
            let packed = coded(admin.request(method.clone(), path), JSON, "gzip", &body);
            table.problem(&what, packed, &[415], "content encoding").await;
        }
    }
    let answer = table.row("nothing was made", admin.request(Method::GET, &of_tenant), &[200]).await;
    table.check("nothing was made", answer.json["display_name"] != "Packed", || answer.text.clone());
    table.finish(&world).await;
}
