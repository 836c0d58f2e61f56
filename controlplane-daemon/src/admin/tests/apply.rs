//! Documents applied, again, changed, pruned, refused.

use controlplane_core::level::FEATURE_LEVEL;
use controlplane_core::model::NodeSpec;
use controlplane_core::{Actor, Command, Mutation};
use vocab::ErrorCode;

use super::*;
use crate::backup::{steps::Mode, write};

const SECRET: &str = "a-secret-of-more-than-thirty-two-characters";
const OTHER: &str = "another-secret-of-more-than-32-characters";

fn acme(secret: &str) -> Value {
    json!({
        "kind": "Tenant", "slug": "acme", "display_name": "Acme",
        "settings": {"hosts": ["acme.example"], "database": {"dsn": "postgres://u:hunter2@db/acme"}},
        "scopes": [{"name": "orders", "description": "Your orders"}],
        "clients": [{"client_id": "web", "name": "Web", "redirect_uris": ["https://acme.example/cb"],
                     "scopes": ["openid", "orders"], "secret": secret}],
    })
}

impl Node {
    async fn apply(&self, query: &str, documents: Value) -> Answer {
        let path = format!("/apply?plain_secrets=true&{query}");
        self.call(Method::POST, &path, json!({ "documents": documents })).await
    }
}

impl Node {
    /// As if its build were of that level.
    async fn understands(&self, feature_level: u16) {
        let control = &self.api.control;
        let mut revisions = control.revisions();
        // It tells of itself once it leads.
        let known = loop {
            match control.read(|state| state.node(NodeId(1)).map(|node| node.spec.clone())) {
                Some(known) => break known,
                None => revisions.changed().await.unwrap(),
            }
        };
        let spec = NodeSpec { feature_level, ..known };
        control.propose(Command::new(Actor::System, Mutation::NodePut { id: NodeId(1), spec })).await.unwrap();
    }
}

fn summary(answer: &Answer) -> [u64; 4] {
    ["create", "update", "delete", "unchanged"].map(|name| answer.body["summary"][name].as_u64().unwrap())
}

fn pointers(answer: &Answer) -> Vec<&str> {
    answer.body["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect()
}

#[actix_web::test]
async fn what_is_applied_twice_is_one_entry_of_the_log() {
    let node = Node::start().await;
    let dry = node.apply("dry_run=true", json!([acme(SECRET)])).await.expect(200);
    assert_eq!(summary(&dry), [3, 0, 0, 0]);
    node.get("/tenants/acme").await.expect(404);

    let made = node.apply("", json!([acme(SECRET)])).await.expect(200);
    assert_eq!(summary(&made), [3, 0, 0, 0]);
    for answer in [&dry, &made] {
        let shown = answer.body.to_string();
        assert!(!shown.contains("hunter2") && !shown.contains(SECRET) && shown.contains("(secret)"), "{shown}");
    }
    let revisions = ["/tenants/acme", "/tenants/acme/clients/web", "/tenants/acme/scopes/orders"];
    for path in revisions {
        assert_eq!(node.get(path).await.expect(200).body["revision"], made.body["revision"], "{path}");
    }
    let before = node.api.control.applied_revision();
    let again = node.apply("prune=true", json!([acme(SECRET)])).await.expect(200);
    assert_eq!(summary(&again), [0, 0, 0, 3]);
    assert_eq!(node.api.control.applied_revision(), before, "nothing was proposed");
}

#[actix_web::test]
async fn it_updates_with_a_diff_and_prunes_only_its_own() {
    let node = Node::start().await;
    node.apply("set=shop", json!([acme(SECRET)])).await.expect(200);
    let by_hand = json!({"name": "by hand"});
    node.call(Method::POST, "/tenants/acme/scopes", by_hand.clone()).await.expect(422);
    node.call(Method::POST, "/tenants/acme/scopes", json!({"name": "mine"})).await.expect(201);
    node.apply("set=other", json!([{"kind": "Scope", "tenant": "acme", "name": "theirs"}])).await.expect(200);

    let mut changed = acme(OTHER);
    changed["display_name"] = json!("Acme Inc.");
    changed["clients"][0]["scopes"] = json!(["openid"]);
    changed["scopes"] = json!([]);
    let answer = node.apply("set=shop&prune=true", json!([changed.clone()])).await.expect(200);
    assert_eq!(summary(&answer), [0, 2, 1, 0]);
    let changes = answer.body["changes"].as_array().unwrap();
    let of = |kind: &str| changes.iter().find(|change| change["kind"] == kind).unwrap();
    let renamed = json!([{"pointer": "/display_name", "before": "Acme", "after": "Acme Inc."}]);
    assert_eq!(of("Tenant")["differences"], renamed);
    assert_eq!(of("Scope")["action"], "delete");
    let client = of("Client")["differences"].to_string();
    assert!(client.contains("/scopes") && client.contains("(another secret)") && !client.contains(OTHER), "{client}");
    node.get("/tenants/acme/scopes/orders").await.expect(404);
    node.get("/tenants/acme/scopes/mine").await.expect(200);
    node.get("/tenants/acme/scopes/theirs").await.expect(200);
    // The one before goes on for a day.
    let client = node.get("/tenants/acme/clients/web").await.expect(200);
    let secrets = client.body["secrets"].as_array().unwrap();
    assert_eq!(secrets.len(), 2);
    assert!(secrets[0]["expires_at"].is_string() && secrets[1]["expires_at"].is_null());
    assert_eq!(summary(&node.apply("set=shop&prune=true", json!([changed])).await.expect(200)), [0, 0, 0, 2]);

    // What another set manages is its own, until it is taken over.
    let theirs = json!([{"kind": "Scope", "tenant": "acme", "name": "theirs", "description": "x"}]);
    let refused = node.apply("set=shop", theirs.clone()).await.expect(409);
    assert!(refused.body.to_string().contains("\\\"other\\\""), "{}", refused.body);
    node.apply("set=shop&take_over=true", theirs).await.expect(200);
    // The whole tenant would take along what is not the set's.
    let refused = node.apply("set=shop&prune=true", json!([])).await.expect(409);
    assert!(refused.body.to_string().contains("scope mine"), "{}", refused.body);
    node.call(Method::DELETE, "/tenants/acme/scopes/mine", Value::Null).await.expect(204);
    node.apply("set=shop&prune=true", json!([])).await.expect(200);
    node.get("/tenants/acme").await.expect(404);
}

#[actix_web::test]
async fn everything_wrong_is_said_at_once_and_nothing_is_done() {
    let node = Node::start().await;
    let mut broken = acme("short");
    broken["settings"]["hsts"] = json!([]);
    broken["revision"] = json!(7);
    broken["scopes"][0]["name"] = json!("openid");
    let documents = json!([
        acme(SECRET),
        broken,
        {"kind": "Client", "tenant": "nobody", "client_id": "x", "name": "X", "token_endpoint_auth_method": "none",
         "redirect_uris": ["https://x.example/cb"]},
        {"kind": "Scope", "name": "loose"},
    ]);
    let refused = node.apply("", documents).await;
    let found = pointers(&refused);
    for wanted in
        ["/documents/1/settings/hsts", "/documents/1/revision", "/documents/1/clients/0/secret", "/documents/3/tenant"]
    {
        assert!(found.contains(&wanted), "{wanted} in {found:?}");
    }
    // What only the rest of the configuration tells.
    let documents = json!([
        acme(SECRET),
        {"kind": "Scope", "tenant": "nobody", "name": "x"},
        {"kind": "Tenant", "slug": "b", "display_name": "B", "settings": {"hosts": ["acme.example"]}},
    ]);
    let refused = node.apply("", documents).await;
    assert!(refused.status == 404 || refused.status == 409, "{}", refused.body);
    assert_eq!(pointers(&refused), ["/documents/2", "/documents/1"]);
    node.get("/tenants/acme").await.expect(404);
    let twice = node.apply("", json!([acme(SECRET), acme(SECRET)])).await.expect(409);
    assert!(twice.body.to_string().contains("already"), "{}", twice.body);
    for bad in [
        json!({}),
        json!({"documents": {}}),
        json!({"documents": [], "x": 1}),
        json!({"documents": [{"kind": "Realm"}]}),
    ] {
        node.call(Method::POST, "/apply", bad).await.expect(422);
    }
    for bad in ["dry_run=yes", "set=A", "prune=1", "force=true"] {
        let status = node.apply(bad, json!([])).await.status;
        assert!(status == 400 || status == 422, "{bad}: {status}");
    }
}

#[actix_web::test]
async fn secrets_in_plain_text_and_references_are_refused_unless_allowed() {
    let node = Node::start().await;
    let plain = node.call(Method::POST, "/apply", json!({"documents": [acme(SECRET)]})).await.expect(422);
    assert_eq!(pointers(&plain), ["/documents/0/settings/database/dsn", "/documents/0/clients/0/secret"]);
    assert!(!plain.body.to_string().contains(SECRET));
    let mut reference = acme(SECRET);
    reference["settings"]["database"]["dsn"] = json!({"from_file": "/etc/passwd"});
    let refused = node.apply("", json!([reference])).await.expect(422);
    assert!(refused.body.to_string().contains("where the files are"), "{}", refused.body);
}

#[actix_web::test]
async fn yaml_is_taken_and_its_lines_are_told() {
    let node = Node::start().await;
    let send = async |text: &'static str| {
        let request = TestRequest::post().uri("/api/v1/apply").insert_header(("content-type", "application/yaml"));
        let bearer = ("authorization", format!("Bearer {}", node.owner));
        node.send(request.insert_header(bearer).set_payload(text)).await
    };
    let answer = send("kind: Tenant\nslug: acme\ndisplay_name: Acme\n---\nkind: Scope\ntenant: acme\nname: a\n").await;
    assert_eq!(summary(&answer.expect(200)), [2, 0, 0, 0]);
    let wrong = send("kind: Tenant\nslug: b\ndisplay_name: B\nsettings:\n  issuer_mode: moon\n").await.expect(422);
    assert!(wrong.body["errors"][0]["detail"].as_str().unwrap().starts_with("line 5: "), "{}", wrong.body);
    let anchored = send("kind: Tenant\nslug: &a b\ndisplay_name: *a\n").await.expect(422);
    assert!(anchored.body.to_string().contains("line 2: "), "{}", anchored.body);
}

#[actix_web::test]
async fn host_names_can_be_swapped() {
    let node = Node::start().await;
    let tenants = |a: &str, b: &str| {
        json!([
            {"kind": "Tenant", "slug": "a", "display_name": "A", "settings": {"hosts": [a], "issuer_mode": "host"}},
            {"kind": "Tenant", "slug": "b", "display_name": "B", "settings": {"hosts": [b], "issuer_mode": "host"}},
        ])
    };
    node.apply("", tenants("one.example", "two.example")).await.expect(200);
    node.apply("", tenants("two.example", "one.example")).await.expect(200);
    let host = async |slug: &str| node.get(&format!("/tenants/{slug}")).await.expect(200).body["settings"].clone();
    assert_eq!(host("a").await["hosts"], json!(["two.example"]));
    assert_eq!(host("a").await["issuer_mode"], "host");
    assert_eq!(host("b").await["hosts"], json!(["one.example"]));
}

#[actix_web::test]
async fn a_tenants_administrator_applies_to_its_tenant_only() {
    let node = Node::start().await;
    node.apply("", json!([acme(SECRET)])).await.expect(200);
    node.tenant("other").await;
    let (token, _) = node.hire(json!({"tenant-admin": "acme"})).await;
    let apply = async |query: &'static str, documents: Value| {
        let path = format!("/apply?plain_secrets=true&{query}");
        node.call_as(&token, Method::POST, &path, json!({ "documents": documents })).await
    };
    let scope = |tenant: &str| json!({"kind": "Scope", "tenant": tenant, "name": "x"});
    apply("set=own", json!([scope("acme")])).await.expect(200);
    let mut renamed = acme(SECRET);
    renamed["display_name"] = json!("Mine");
    apply("", json!([renamed.clone()])).await.expect(200);
    renamed["status"] = json!("suspended");
    for documents in [
        json!([scope("acme"), scope("other")]),
        json!([renamed]),
        json!([{"kind": "Tenant", "slug": "new", "display_name": "New"}]),
        json!([{"kind": "Tenant", "slug": "other", "display_name": "Other"}]),
        json!([{"kind": "Settings"}]),
    ] {
        apply("take_over=true", documents).await.expect(403);
    }
    // Its own, but never the tenant.
    let pruned = apply("prune=true", json!([])).await.expect(200);
    assert_eq!(summary(&pruned), [0, 0, 2, 0]);
    node.get("/tenants/acme").await.expect(200);
}

/// A quotation mark has one byte in YAML and two in an entry of the log, and a tenant brings a key along.
#[actix_web::test]
async fn a_dry_run_refuses_what_is_too_large_for_an_entry() {
    let node = Node::start().await;
    let mail = format!("{{subject: Hello, text: '{{{{ link }}}}', html: '{{{{ link }}}}{}'}}", "\"".repeat(32_000));
    let mails = format!("settings: {{branding: {{mails: {{reset_password: {mail}, verify_email: {mail}}}}}}}");
    let tenant = |number, more: &str| format!("kind: Tenant\nslug: t{number}\ndisplay_name: x\n{more}\n---\n");
    let large = (0..120).map(|number| tenant(number, &mails));
    let documents: String = large.chain((120..2_000).map(|number| tenant(number, ""))).collect();
    for query in ["dry_run=true", "dry_run=false"] {
        let request = Node::request(&node.owner, Method::POST, &format!("/apply?{query}"));
        let yaml = request.insert_header(("content-type", "application/yaml")).set_payload(documents.clone());
        let refused = node.send(yaml).await.expect(413);
        assert_eq!(refused.code(), "payload_too_large", "{query}");
        assert!(refused.body["detail"].as_str().is_some_and(|detail| detail.contains("16 MiB")), "{}", refused.body);
    }
    node.get("/tenants/t0").await.expect(404);
}

/// While nodes are replaced one by one: what is tried is told what the write would be told.
#[actix_web::test]
async fn what_an_older_voter_would_not_understand_is_refused_when_it_is_only_tried() {
    let node = Node::start().await;
    let newer = json!({"kind": "Tenant", "slug": "acme", "display_name": "Acme",
                       "settings": {"oauth": {"password_min_length": 10}}});
    node.apply("", json!([newer])).await.expect(200);
    let control = &node.api.control;
    let mut file = control.spool().unwrap();
    let (revision, state) = control.state();
    let mut bytes = Vec::new();
    write::export(&state, None, revision, &mut bytes).unwrap();
    node.call(Method::DELETE, "/tenants/acme", Value::Null).await.expect(204);
    file.push(&bytes).unwrap();
    let import = import::of(&node, Mode::Add);
    let file = file.finish().unwrap();

    node.understands(FEATURE_LEVEL - 1).await;
    for query in ["dry_run=true", ""] {
        assert_eq!(node.apply(query, json!([newer])).await.expect(503).code(), "upgrade_incomplete", "{query:?}");
    }
    assert_eq!(import.plan(&file).await.unwrap_err().code(), ErrorCode::UpgradeIncomplete);
    node.apply("dry_run=true", json!([acme(SECRET)])).await.expect(200);
    node.understands(FEATURE_LEVEL).await;
    node.apply("dry_run=true", json!([newer])).await.expect(200);
    import.plan(&file).await.unwrap();
}
