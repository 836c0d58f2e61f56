//! One's own tenant in the path, and in it the ids of another's objects: there is nothing there, and nothing happens to them.

use reqwest::Method;
use serde_json::{Value, json};
use tests::admin::Admin;
use tests::table::Table;
use tests::tenant::Tenant;
use tests::web;
use tests::world;

/// What only that tenant has.
struct Objects {
    client: String,
    secret: String,
    scope: String,
    registration_token: String,
    key: String,
}

async fn objects(tenant: &Tenant) -> Objects {
    let (admin, base) = (&tenant.admin, format!("/tenants/{}", tenant.slug));
    let client = json!({ "client_id": "theirs", "name": "Theirs", "grant_types": ["client_credentials"] });
    let _ = admin.post(&format!("{base}/clients"), &client).await.expect(201);
    let secret = admin.post(&format!("{base}/clients/theirs/secrets"), &json!({})).await.expect(201);
    let _ = admin.post(&format!("{base}/scopes"), &json!({ "name": "theirs" })).await.expect(201);
    let token = admin.post(&format!("{base}/registration-tokens"), &json!({ "name": "theirs" })).await.expect(201);
    let keys = admin.get(&format!("{base}/keys")).await.expect(200).json;
    let key = keys["items"][0]["kid"].as_str().expect("a tenant has a key").to_owned();
    Objects {
        client: "theirs".to_owned(),
        secret: secret.text_of("id"),
        scope: "theirs".to_owned(),
        registration_token: token.text_of("id"),
        key,
    }
}

/// Everything that the tenant has, revisions and all.
async fn everything(tenant: &Tenant) -> Vec<Value> {
    let mut all = Vec::new();
    for path in ["", "/clients", "/scopes", "/registration-tokens", "/keys"] {
        all.push(tenant.admin.get(&format!("/tenants/{}{path}", tenant.slug)).await.expect(200).json);
    }
    all
}

#[tokio::test]
async fn objects_of_another_tenant_are_not_there_under_ones_own() {
    let world = world::shared().await;
    let (own, other) = (world.tenant("mine").await, world.tenant("theirs").await);
    let theirs = objects(&other).await;
    let credential = own.admin.create_admin("keeper", json!({ "tenant-admin": own.slug })).await;
    let keeper = Admin::sign_in(&world.cluster.nodes[0].admin_url(), &credential).await.expect("a fresh credential");
    let global = own.admin.get("/keys").await.expect(200).json["items"][0]["kid"].as_str().expect("a key").to_owned();
    let before = everything(&other).await;
    let client = json!({ "name": "Mine", "grant_types": ["client_credentials"] });
    let (name, none) = (json!({ "name": "Mine" }), json!({}));
    let (get, put, patch, post, delete) = (Method::GET, Method::PUT, Method::PATCH, Method::POST, Method::DELETE);
    let at_client = format!("/clients/{}", theirs.client);
    let secrets = format!("{at_client}/secrets");
    let at_scope = format!("/scopes/{}", theirs.scope);
    let tokens = format!("/registration-tokens/{}", theirs.registration_token);
    let keys = format!("/keys/{}", theirs.key);
    let rows = [
        (&get, at_client.clone(), &none),
        (&put, at_client.clone(), &client),
        (&patch, at_client.clone(), &name),
        (&delete, at_client.clone(), &none),
        (&post, secrets.clone(), &none),
        (&delete, format!("{secrets}/{}", theirs.secret), &none),
        // A client of one's own, and a secret of the other's.
        (&delete, format!("/clients/service/secrets/{}", theirs.secret), &none),
        (&delete, "/clients/service/secrets/1".to_owned(), &none),
        (&get, at_scope.clone(), &none),
        (&put, at_scope.clone(), &none),
        (&delete, at_scope.clone(), &none),
        (&get, tokens.clone(), &none),
        (&delete, tokens.clone(), &none),
        (&get, "/registration-tokens/1".to_owned(), &none),
        (&get, keys.clone(), &none),
        (&post, format!("{keys}/revoke"), &none),
        (&get, format!("/keys/{global}"), &none),
        (&post, format!("/keys/{global}/revoke"), &none),
    ];
    let mut table = Table::new();
    for (who, admin) in [("the tenant's administrator", &keeper), ("an owner", &own.admin)] {
        for (method, path, body) in &rows {
            let what = format!("{who}: {method} {path}");
            let path = format!("/tenants/{}{path}", own.slug);
            let request = match **method {
                Method::PATCH => admin
                    .request(Method::PATCH, &path)
                    .header("content-type", "application/merge-patch+json")
                    .body(body.to_string()),
                Method::GET | Method::DELETE => admin.request((*method).clone(), &path),
                _ => admin.request((*method).clone(), &path).json(body),
            };
            let answer = table.row(&what, request, &[404]).await;
            table.check(&what, !answer.text.contains(&other.slug), || format!("{answer:?}"));
        }
        // In a body: what is the other's is as unknown as what nobody has.
        let borrows = json!({ "name": "B", "grant_types": ["client_credentials"], "scopes": ["theirs"] });
        let clients = format!("/tenants/{}/clients", own.slug);
        table.row(&format!("{who}: a scope"), admin.request(Method::POST, &clients).json(&borrows), &[422]).await;
    }
    // A tenant's keys are not the installation's.
    table.row("a tenant's key", own.admin.request(Method::GET, &keys), &[404]).await;
    table.row("to revoke it", own.admin.request(Method::POST, &format!("{keys}/revoke")).json(&none), &[404]).await;
    assert_eq!(everything(&other).await, before);
    table.finish(&world).await;
}

#[tokio::test]
async fn users_of_another_tenant_are_not_there_under_ones_own() {
    let world = world::shared().await;
    let (own, other) = (world.tenant("our-users").await, world.tenant("their-users").await);
    let alice = other.user("alice").await;
    // Both trust the same provider, and there the other's user has an identity: nothing but the user's id is foreign.
    let issuer = "https://corp.example";
    let provider = json!({ "id": "corp", "issuer": issuer, "client_id": "us", "display_name": "Corp" });
    let trust = json!({ "settings": { "oauth": { "identity_providers": [provider] } } });
    own.patch(&trust).await;
    other.patch(&trust).await;
    let token = own.service.client_credentials("hj:users.read hj:users.write").await;
    let home = other.service.client_credentials("hj:users.read hj:users.write").await;
    let at_home = |method, path: &str| {
        let url = format!("{}/api/v1/users/{}{path}", other.issuer, alice.id);
        other.service.http.request(method, url).bearer_auth(&home)
    };
    let subject = json!({ "subject": "alice" });
    let _ = web::send(at_home(Method::PUT, "/identities/corp").json(&subject)).await.expect(200);
    let shown = async || {
        let mut all = Vec::new();
        for path in ["", "/factors", "/identities"] {
            all.push(web::send(at_home(Method::GET, path)).await.expect(200).json);
        }
        all
    };
    let before = shown().await;
    let (none, disable) = (Value::Null, json!({ "status": "disabled" }));
    let identity = format!("/identities?issuer={issuer}&subject=alice");
    let nobody = "0190f0f0-0000-7000-8000-000000000000";
    let mut table = Table::new();
    for id in [alice.id.as_str(), nobody, "1"] {
        for (method, path, body) in [
            (Method::GET, String::new(), &none),
            (Method::PATCH, String::new(), &disable),
            (Method::GET, "/factors".to_owned(), &none),
            (Method::DELETE, "/factors".to_owned(), &none),
            (Method::GET, format!("/factors/{nobody}"), &none),
            (Method::DELETE, format!("/factors/{nobody}"), &none),
            (Method::GET, "/identities".to_owned(), &none),
            (Method::DELETE, identity.clone(), &none),
            (Method::GET, "/identities/corp".to_owned(), &none),
            (Method::PUT, "/identities/corp".to_owned(), &subject),
            (Method::DELETE, "/identities/corp".to_owned(), &none),
        ] {
            let what = format!("{method} {id}{path}");
            let request = own.service.http.request(method, format!("{}/api/v1/users/{id}{path}", own.issuer));
            let request = request.bearer_auth(&token);
            let request = if body.is_null() { request } else { request.json(body) };
            table.row(&what, request, &[404]).await;
        }
    }
    assert_eq!(shown().await, before);
    table.finish(&world).await;
}
