//! Every way to write by the admin API: each of its routes once, in an order in which each finds what it needs.

use std::collections::BTreeSet;

use controlplane_daemon::admin::routes::{Access, ROUTES};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::web::Answer;

/// What is no document of the configuration: [`each`] leaves it out, and who wants it writes it himself.
pub const OF_THE_MACHINES: [&str; 8] = [
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
pub type Route = (String, &'static str);

/// The administrators' routes that are not there to read.
pub fn routes() -> impl Iterator<Item = Route> {
    let routes = ROUTES.iter().filter(|row| !matches!(row.access, Access::Anyone | Access::Nodes));
    routes.filter(|row| row.method != "GET").map(|row| (row.method.to_string(), row.path))
}

/// One of them, used.
#[derive(Clone, Debug)]
pub struct Write {
    pub method: Method,
    /// Below the API's prefix.
    pub path: String,
    pub body: Value,
}

impl Write {
    /// `query` as it stands in the address: empty, or from its question mark on.
    pub fn request(&self, admin: &Admin, query: &str) -> RequestBuilder {
        let request = admin.request(self.method.clone(), &format!("{}{query}", self.path));
        match self.method {
            Method::DELETE => request,
            Method::PATCH => request.header("content-type", "application/merge-patch+json").body(self.body.to_string()),
            _ => request.json(&self.body),
        }
    }
}

/// Has `send` make each write, most of them to the tenant `slug`, which there is neither before nor after. The last one
/// ends the tokens that were issued before. Fails when the API has a route that is not among them.
pub async fn each(admin: &Admin, slug: &str, send: impl AsyncFnMut(&Write) -> Answer) {
    let mut writer = Writer { slug, send, tried: BTreeSet::new() };
    writer.of_a_tenant(admin).await;
    writer.of_the_installation(admin).await;
    let expected: BTreeSet<Route> = routes().filter(|(_, path)| !OF_THE_MACHINES.contains(path)).collect();
    assert_eq!(writer.tried, expected);
}

struct Writer<'a, F> {
    slug: &'a str,
    send: F,
    tried: BTreeSet<Route>,
}

impl<F: AsyncFnMut(&Write) -> Answer> Writer<'_, F> {
    /// `route` with the tenant, and then `values`, in the place of its parameters.
    async fn write(&mut self, method: Method, route: &'static str, values: &[&str], body: Value) -> Answer {
        let mut path = String::new();
        let mut values = values.iter().copied();
        for part in route.split('/').skip(1) {
            let part = match part {
                "{slug}" => self.slug,
                _ if part.starts_with('{') => values.next().expect("a value for each parameter"),
                _ => part,
            };
            path.extend(["/", part]);
        }
        let write = Write { method, path, body };
        let answer = (self.send)(&write).await;
        assert!((200..300).contains(&answer.status), "{} {route}: {answer:?}", write.method);
        self.tried.insert((write.method.to_string(), route));
        answer
    }

    async fn of_a_tenant(&mut self, admin: &Admin) {
        let (post, put, patch, delete) = (Method::POST, Method::PUT, Method::PATCH, Method::DELETE);
        let none = json!({});
        self.write(post.clone(), "/tenants", &[], json!({ "slug": self.slug, "display_name": "A" })).await;
        self.write(put.clone(), "/tenants/{slug}", &[], json!({ "display_name": "Acme" })).await;
        self.write(patch.clone(), "/tenants/{slug}", &[], json!({ "display_name": "Acme Inc." })).await;

        let client = json!({ "client_id": "app", "name": "App", "grant_types": ["client_credentials"] });
        self.write(post.clone(), "/tenants/{slug}/clients", &[], client).await;
        let client = json!({ "name": "Application", "grant_types": ["client_credentials"] });
        self.write(put.clone(), "/tenants/{slug}/clients/{client_id}", &["app"], client).await;
        self.write(patch, "/tenants/{slug}/clients/{client_id}", &["app"], json!({ "name": "An" })).await;
        let secrets = "/tenants/{slug}/clients/{client_id}/secrets";
        let secret = self.write(post.clone(), secrets, &["app"], none.clone()).await.text_of("id");
        let route = "/tenants/{slug}/clients/{client_id}/secrets/{secret_id}";
        self.write(delete.clone(), route, &["app", &secret], none.clone()).await;
        self.write(delete.clone(), "/tenants/{slug}/clients/{client_id}", &["app"], none.clone()).await;

        let token = self.write(post.clone(), "/tenants/{slug}/registration-tokens", &[], json!({ "name": "t" })).await;
        let route = "/tenants/{slug}/registration-tokens/{id}";
        self.write(delete.clone(), route, &[&token.text_of("id")], none.clone()).await;

        self.write(post.clone(), "/tenants/{slug}/scopes", &[], json!({ "name": "read" })).await;
        self.write(put, "/tenants/{slug}/scopes/{name}", &["read"], json!({ "description": "Reads" })).await;
        self.write(delete.clone(), "/tenants/{slug}/scopes/{name}", &["read"], none.clone()).await;

        let old = active(admin, &format!("/tenants/{}/keys", self.slug)).await;
        self.write(post.clone(), "/tenants/{slug}/keys/rotate", &[], json!({ "step": "now" })).await;
        self.write(post, "/tenants/{slug}/keys/{kid}/revoke", &[&old], none.clone()).await;
        self.write(delete, "/tenants/{slug}", &[], none).await;
    }

    async fn of_the_installation(&mut self, admin: &Admin) {
        let (post, put, patch) = (Method::POST, Method::PUT, Method::PATCH);
        let none = json!({});
        let applied = json!({ "kind": "Tenant", "slug": format!("{}-applied", self.slug), "display_name": "Applied" });
        self.write(post.clone(), "/apply", &[], json!({ "documents": [applied] })).await;

        let made = self.write(post.clone(), "/admins", &[], json!({ "name": "Eve", "role": "auditor" })).await;
        let made = made.text_of("id");
        self.write(put.clone(), "/admins/{id}", &[&made], json!({ "name": "Eve", "role": "operator" })).await;
        self.write(patch.clone(), "/admins/{id}", &[&made], json!({ "name": "Eva" })).await;
        self.write(Method::DELETE, "/admins/{id}", &[&made], none.clone()).await;

        self.write(put, "/settings", &[], none.clone()).await;
        self.write(patch, "/settings", &[], json!({ "audit": { "max_age_secs": 86_400 } })).await;
        // Last: it is what signed the token of whoever writes.
        let old = active(admin, "/keys").await;
        self.write(post.clone(), "/keys/rotate", &[], json!({ "step": "now" })).await;
        self.write(post, "/keys/{kid}/revoke", &[&old], none).await;
    }
}

/// The key that a set signs with, when it has one only.
async fn active(admin: &Admin, keys: &str) -> String {
    let keys = admin.get(keys).await.expect(200).json;
    let mut items = keys["items"].as_array().expect("a list of keys").iter();
    let active = items.find(|key| key["status"] == "active").expect("an active key");
    active["kid"].as_str().expect("a key has an id").to_owned()
}
