//! Marked secrets, wherever a request of either plane can carry one, to every route that there is: by the programs' own
//! lists, so that a new route is fed, too. No mark is told, kept in the clear, or said back in an error.

use std::collections::BTreeMap;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use controlplane_daemon::admin::routes::{PREFIX, ROUTES};
use reqwest::{Method, RequestBuilder};
use serde_json::{Map, Value, json};
use tests::routes::tenant_routes;
use tests::tenant::Tenant;
use tests::web;

use super::needles::forms;
use super::watched::Watched;

/// Names under which requests carry secrets: OAuth's, OpenID Connect's, the pages', the admin API's.
const NAMES: &[&str] = &[
    "access_token",
    "assertion",
    "auth_req_id",
    "client_assertion",
    "client_notification_token",
    "client_secret",
    "code",
    "code_verifier",
    "confirm_password",
    "credential",
    "csrf",
    "device_code",
    "dsn",
    "id_token",
    "id_token_hint",
    "interaction",
    "login_hint_token",
    "logout_token",
    "new_password",
    "password",
    "private_key",
    "refresh_token",
    "registration_access_token",
    "request",
    "secret",
    "software_statement",
    "subject_token",
    "actor_token",
    "token",
    "user_code",
];
const GRANTS: &[&str] = &[
    "authorization_code",
    "client_credentials",
    "refresh_token",
    "password",
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
    "urn:ietf:params:oauth:grant-type:token-exchange",
    "urn:openid:params:grant-type:ciba",
];

/// Every mark begins alike; each is used once, so that what is found says where it came from.
struct Marks {
    prefix: String,
    given: Mutex<Vec<String>>,
    /// What all marks show of themselves where bytes are written as text.
    written: Vec<String>,
    /// Marks that went out in Base64, as they went.
    encoded: Mutex<BTreeMap<String, String>>,
}

impl Marks {
    fn new() -> Self {
        let prefix = format!("marked{:016x}", rand::random::<u64>());
        let written = forms(&prefix).into_iter().filter(|form| *form != prefix).collect();
        Self { prefix, given: Mutex::default(), written, encoded: Mutex::default() }
    }

    fn mark(&self, what: &str) -> String {
        let mut given = self.given.lock().expect("no panic");
        given.push(what.to_owned());
        format!("{}n{:05}", self.prefix, given.len() - 1)
    }

    fn basic(&self, what: &str) -> String {
        let mark = self.mark(what);
        let encoded = STANDARD.encode(format!("backend:{mark}"));
        self.encoded.lock().expect("no panic").insert(encoded.clone(), what.to_owned());
        format!("Basic {encoded}")
    }

    /// What of the marks stands in `text`.
    fn found(&self, text: &str) -> Vec<String> {
        let given = self.given.lock().expect("no panic");
        let marks = text.match_indices(&self.prefix).map(|(at, _)| {
            let number = text.get(at + self.prefix.len() + 1..at + self.prefix.len() + 6);
            let place = number.and_then(|number| number.parse::<usize>().ok());
            place.and_then(|place| given.get(place)).cloned().unwrap_or_default()
        });
        let encoded = self.encoded.lock().expect("no panic");
        let basic = encoded.iter().filter(|(encoded, _)| text.contains(encoded.as_str())).map(|(_, what)| what.clone());
        let written = self.written.iter().filter(|form| text.contains(form.as_str()));
        let written = written.map(|form| format!("a mark as {form}"));
        let mut found: Vec<String> = marks.chain(basic).chain(written).collect();
        found.sort();
        found.dedup();
        found
    }

    fn pairs(&self, what: &str) -> Vec<(String, String)> {
        NAMES.iter().map(|name| ((*name).to_owned(), self.mark(&format!("{what}: {name}")))).collect()
    }

    fn document(&self, what: &str) -> Value {
        let mut object: Map<String, Value> =
            self.pairs(what).into_iter().map(|(name, mark)| (name, Value::String(mark))).collect();
        let dsn = format!("postgres://marked:{}@127.0.0.1:1/none", self.mark(&format!("{what}: a nested dsn")));
        object.insert("settings".to_owned(), json!({ "database": { "dsn": dsn } }));
        Value::Object(object)
    }

    /// Sends it; an error says nothing back.
    async fn send(&self, what: &str, request: RequestBuilder) {
        let answer = web::send(request).await;
        // 501: no mail server is set up.
        assert!(answer.status < 500 || [501, 503].contains(&answer.status), "{what}: {answer:#?}");
        if answer.status >= 300 {
            let said = format!("{:?}\n{}", answer.headers, answer.text);
            let mut found = self.found(&said);
            // RFC 8628 §3.3.1: a person sees the code that they compare, or typed wrongly.
            found.retain(|mark| !(what.ends_with("/oauth2/device") && mark.ends_with(": user_code")));
            assert_eq!(found, Vec::<String>::new(), "{what} says back: {answer:#?}");
        }
    }
}

async fn feed_data_plane(marks: &Marks, tenant: &Tenant) {
    let http = web::client();
    for (method, path) in tenant_routes() {
        let what = format!("{method} {path}");
        let place = path.replace("{client_id}", "backend").replace("{id}", &uuid::Uuid::nil().to_string());
        let url = format!("{}{}", tenant.issuer, place.replace("{resource:.+}", "api"));
        let begin = || {
            let cookies = ["hj_session", "hj_browser", "hj_csrf"]
                .map(|name| format!("{name}={}", marks.mark(&format!("{what}: cookie {name}"))));
            http.request(method.clone(), &url)
                .header("cookie", cookies.join("; "))
                .header("dpop", marks.mark(&format!("{what}: DPoP")))
                .header("client-cert", format!(":{}:", marks.mark(&format!("{what}: Client-Cert"))))
        };
        let bearer = |request: RequestBuilder, scheme: &str| {
            request.header("authorization", format!("{scheme} {}", marks.mark(&format!("{what}: {scheme}"))))
        };
        for scheme in ["Bearer", "DPoP", "Basic", "Unheard"] {
            marks.send(&what, bearer(begin(), scheme).query(&marks.pairs(&what))).await;
        }
        marks.send(&what, begin().header("authorization", marks.basic(&what))).await;
        if method == Method::GET || method == Method::OPTIONS {
            continue;
        }
        for grant in GRANTS {
            let mut form = marks.pairs(&format!("{what} {grant}"));
            form.extend([("grant_type", *grant), ("client_id", "backend")].map(|(k, v)| (k.to_owned(), v.to_owned())));
            marks.send(&what, begin().form(&form)).await;
            // By a client that is who it says: what it sends is looked at.
            let known = begin().basic_auth("backend", tenant.backend.secret.as_ref());
            let form: Vec<_> = form
                .into_iter()
                .filter(|(name, _)| !["client_id", "client_secret", "client_assertion"].contains(&name.as_str()))
                .collect();
            marks.send(&what, known.form(&form)).await;
        }
        marks.send(&what, bearer(begin(), "Bearer").json(&marks.document(&what))).await;
        let token = tenant.service.client_credentials("hj:users.read hj:users.write").await;
        marks.send(&what, begin().bearer_auth(&token).json(&marks.document(&what))).await;
        let broken = format!("{{\"password\": \"{}\", ", marks.mark(&format!("{what}: broken JSON")));
        marks.send(&what, begin().header("content-type", "application/json").bearer_auth(token).body(broken)).await;
    }
}

async fn feed_admin_api(marks: &Marks, tenant: &Tenant, node: &str) {
    let http = web::client();
    for row in ROUTES {
        let what = format!("{} {PREFIX}{}", row.method, row.path);
        let method = Method::from_bytes(row.method.as_str().as_bytes()).expect("a method");
        // What is deleted must not be there.
        let slug = if method == Method::DELETE { "nobody" } else { tenant.slug.as_str() };
        let mut place = String::new();
        for part in row.path.split_inclusive(['{', '}']) {
            match part.strip_suffix('}') {
                Some("slug") => place += slug,
                Some("client_id" | "name" | "scope" | "pod_id") => place += "nobody",
                Some(_) if row.path.starts_with("/cluster") => place += "99",
                Some(_) => place += &uuid::Uuid::nil().to_string(),
                None => place += part.trim_end_matches('{'),
            }
        }
        let begin = || http.request(method.clone(), format!("{node}{PREFIX}{place}"));
        let query = |request: RequestBuilder| request.query(&marks.pairs(&format!("{what}: query")));
        let strange = begin().bearer_auth(marks.mark(&format!("{what}: Bearer")));
        marks.send(&what, query(strange)).await;
        let strange = begin().header("authorization", marks.basic(&what));
        let signature = marks.mark(&format!("{what}: signature"));
        marks.send(&what, strange.header("x-cluster-signature", signature).json(&marks.document(&what))).await;
        let owner = || begin().bearer_auth(tenant.admin.token());
        marks.send(&what, query(owner()).query(&[("since", marks.mark(&format!("{what}: since")))])).await;
        if method != Method::GET && method != Method::DELETE {
            marks.send(&what, owner().json(&marks.document(&what))).await;
            let broken = format!("{{\"credential\": \"{}\", ", marks.mark(&format!("{what}: broken JSON")));
            marks.send(&what, owner().header("content-type", "application/json").body(broken)).await;
        }
    }
}

/// What is taken: it is kept, sealed or as a hash.
async fn feed_what_is_taken(marks: &Marks, tenant: &Tenant) {
    let dsn = |what: &str| format!("postgres://marked:{}@127.0.0.1:1/none", marks.mark(what));
    let settings = json!({ "database": { "dsn": dsn("the DSN of a tenant") } });
    let _ = tenant.admin.create_tenant("marked", settings).await;
    let patch = json!({ "settings": { "database": { "dsn": dsn("the DSN of a patch") } } });
    let _ = tenant.admin.patch("/tenants/marked", &patch).await.expect(200);
    let token = tenant.service.client_credentials("hj:users.write").await;
    let email = format!("marked@{}.example", tenant.slug);
    let user = json!({ "email": email, "password": marks.mark("the password of a user") });
    let made = web::client().post(format!("{}/api/v1/users", tenant.issuer)).bearer_auth(token).json(&user);
    let _ = web::send(made).await.expect(201);
}

#[tokio::test]
async fn marked_secrets_are_nowhere_after_every_endpoint_was_fed_them() {
    let watched = Watched::start().await;
    let tenant = watched.world.tenant("marks").await;
    let marks = Marks::new();
    feed_what_is_taken(&marks, &tenant).await;
    feed_data_plane(&marks, &tenant).await;
    feed_admin_api(&marks, &tenant, &watched.world.cluster.nodes[0].admin_url()).await;
    let mut found = Vec::new();
    for (place, text) in watched.places(&tenant).await {
        found.extend(marks.found(&text).into_iter().map(|what| format!("{what} is in {place}")));
    }
    assert!(found.is_empty(), "{found:#?}");
    assert!(marks.given.lock().expect("no panic").len() > 5_000, "they were fed");
}

/// The search itself finds what there is.
#[test]
fn a_mark_is_found() {
    let marks = Marks::new();
    let (mark, basic) = (marks.mark("a cookie"), marks.basic("a header"));
    let found = marks.found(&format!("x={mark}; {basic}"));
    assert!(["a cookie", "a header"].iter().all(|what| found.iter().any(|it| it == what)), "{found:?}");
    assert_ne!(marks.found(&tests::traces::hex(mark.as_bytes())), Vec::<String>::new());
    assert_eq!(marks.found("nothing"), Vec::<String>::new());
}
