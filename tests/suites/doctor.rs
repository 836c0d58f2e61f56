//! `hellojohn doctor` on real nodes: what is well, and each thing that is not; and the contract that they publish.

use serde_json::{Value, json};
use tests::cluster::Cluster;
use tests::operator::Cli;
use tests::pki::{Authority, Validity, Wanted};
use tests::pod::{Plan, Pod};
use tests::wait::{PATIENCE, until};
use tests::web;

/// As `hellojohn --help` documents it.
const UNHEALTHY: Option<i32> = Some(9);

/// The findings, and whether some of them failed.
fn doctor(cli: &Cli) -> (Vec<Value>, bool) {
    let output = cli.run(&["doctor", "-o", "json"]);
    let failed = output.status.code() == UNHEALTHY;
    assert!(failed || output.status.success(), "{output:?}");
    (serde_json::from_slice(&output.stdout).unwrap_or_else(|why| panic!("{why}: {output:?}")), failed)
}

fn of<'a>(findings: &'a [Value], check: &str, state: &str) -> Vec<&'a Value> {
    findings.iter().filter(|it| it["check"] == check && it["state"] == state).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_a_healthy_cluster_healthy_and_names_what_is_not() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let urls = cluster.watch_urls();
    let _pod = Pod::start(&Plan { name: "pod-a", control_plane: &urls, ..Plan::default() }, &cluster.secrets).await;
    let cli = Cli::at(&cluster.nodes[leader].admin_url(), &cluster.secrets.owner);
    // The nodes tell where they are, and the pod is listed, within moments.
    let findings = until("everything is well", PATIENCE, async || {
        let (findings, failed) = doctor(&cli);
        let well = |check, count| of(&findings, check, "ok").len() == count;
        if !failed && well("reachable", 3) && well("leader", 1) && well("quorum", 1) && well("fleet", 1) {
            return Ok(findings.clone());
        }
        Err(json!(findings).to_string())
    })
    .await;
    assert_eq!(of(&findings, "versions", "ok").len(), 1, "{findings:#?}");
    assert_eq!(of(&findings, "clocks", "failed").len(), 0, "{findings:#?}");

    let dead = (leader + 1) % 3;
    let name = format!("node {}", cluster.nodes[dead].id);
    cluster.nodes[dead].kill();
    until("the dead one is named", PATIENCE, async || {
        let (findings, failed) = doctor(&cli);
        let named = of(&findings, "reachable", "failed").iter().any(|it| it["of"] == name.as_str());
        // Two of three are a majority, and nothing more may happen.
        if failed && named && of(&findings, "quorum", "warning").len() == 1 {
            return Ok(());
        }
        Err(json!(findings).to_string())
    })
    .await;
    let output = cli.run(&["doctor"]);
    assert_eq!(output.status.code(), UNHEALTHY);
    let (shown, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(shown.contains("STATE") && shown.contains(&name) && told.contains("of the checks failed"), "{shown}{told}");

    cluster.nodes[leader].kill();
    let left = (leader + 2) % 3;
    let cli = Cli::at(&cluster.nodes[left].admin_url(), &cluster.secrets.owner);
    until("no leader is what is wrong", PATIENCE, async || {
        let (findings, failed) = doctor(&cli);
        if failed && of(&findings, "leader", "failed").len() == 1 { Ok(()) } else { Err(json!(findings).to_string()) }
    })
    .await;
    // Nobody there at all.
    cluster.nodes[left].kill();
    let output = cli.run(&["doctor"]);
    assert_eq!(output.status.code(), Some(6), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ends_soon_is_named() {
    let authority = Authority::new("doctor");
    let certified = authority.certify_as("node", &Wanted { validity: Validity::Ending, ..Wanted::default() });
    let [cert, key, _] = &certified.files;
    let mut cluster = Cluster::prepare(1, &["--admin-tls-cert-file", cert, "--admin-tls-key-file", key]);
    cluster.start_all().await;
    cluster.ready().await;
    let ca = tests::scratch::folder("ca").join("ca.pem");
    std::fs::write(&ca, authority.pem()).expect("written");
    let cli = Cli::at(&cluster.nodes[0].admin_url().replacen("http:", "https:", 1), &cluster.secrets.owner);
    let args = ["doctor", "-o", "json", "--ca-file", ca.to_str().expect("UTF-8")];
    // The first owner is made within moments.
    let findings: Vec<Value> = until("it signs in", PATIENCE, async || {
        let output = cli.run(&args);
        let findings: Vec<Value> =
            serde_json::from_slice(&output.stdout).map_err(|why| format!("{why}: {output:?}"))?;
        // The node tells its address to the others, and to itself, a moment after its start.
        let known = findings.iter().any(|it| it["check"] == "certificate");
        if known { Ok(findings) } else { Err(format!("{findings:#?}")) }
    })
    .await;
    let found: Vec<&Value> = findings.iter().filter(|it| it["check"] == "certificate").collect();
    assert_eq!(found.len(), 1, "{findings:#?}");
    assert!(found[0]["of"].as_str().is_some_and(|of| of.contains(cert.as_str())), "{findings:#?}");
    assert_eq!(found[0]["state"], "warning", "{findings:#?}");
    assert_eq!(findings.iter().find(|it| it["check"] == "reachable").map(|it| &it["state"]), Some(&"ok".into()));
}

#[tokio::test]
async fn the_contract_is_published_and_can_be_read() {
    let cluster = Cluster::start(1).await;
    let base = format!("{}/api/v1", cluster.nodes[0].admin_url());
    let contract = web::send(web::client().get(format!("{base}/openapi.json"))).await.expect(200);
    assert_eq!(contract.header("content-type"), Some("application/json"));
    assert_eq!(contract.json["openapi"], "3.1.0");
    assert_eq!(
        contract.json["paths"]["/tenants/{slug}"]["patch"]["x-roles"],
        "owner, operator, tenant-admin of the tenant"
    );
    assert!(contract.json["components"]["schemas"]["Problem"]["properties"]["code"]["enum"].is_array());
    // Each member of what the server shows is documented.
    let admin = cluster.admin(0).await;
    let tenant = admin.create_tenant("acme", json!({ "oauth": { "allow_plain_pkce": true } })).await;
    let client = json!({ "client_id": "web", "name": "Web", "redirect_uris": ["https://acme.example/cb"] });
    let client = admin.post("/tenants/acme/clients", &client).await.expect(201);
    let scope = admin.post("/tenants/acme/scopes", &json!({ "name": "orders" })).await.expect(201);
    let settings = admin.get("/settings").await.expect(200);
    let owner = admin.get("/admins").await.expect(200).json["items"][0].clone();
    let shown_once = ["client_secret", "secret_id", "credential"];
    for (schema, path, shown) in [
        ("Tenant", "/tenants/{slug}", &tenant.json),
        ("Client", "/tenants/{slug}/clients/{client_id}", &client.json),
        ("Scope", "/tenants/{slug}/scopes/{name}", &scope.json),
        ("Settings", "/settings", &settings.json),
        ("Admin", "/admins/{id}", &owner),
    ] {
        let content = &contract.json["paths"][path]["put"]["requestBody"]["content"]["application/json"];
        assert_eq!(content["schema"]["$ref"], format!("#/components/schemas/{schema}"));
        let properties = &contract.json["components"]["schemas"][schema]["properties"];
        for name in shown.as_object().expect("an object").keys().filter(|name| !shown_once.contains(&name.as_str())) {
            assert!(!properties[name].is_null(), "{schema}: {name} is not documented");
        }
    }
    let page = web::send(web::client().get(format!("{base}/docs"))).await.expect(200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!page.text.contains("<script") && page.text.contains("PATCH /tenants/{slug}"), "{}", page.text);
}
