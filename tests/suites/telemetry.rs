//! What the daemons tell of themselves: one trace across all of them, lines that can be collected, levels that change
//! while they run, metrics that are as their tables say.

#[path = "telemetry/continued.rs"]
mod continued;
#[path = "telemetry/metrics.rs"]
mod metrics;
#[path = "telemetry/propagation.rs"]
mod propagation;

use serde_json::{Value, json};
use tests::browser::Browser;
use tests::cluster::Cluster;
use tests::pod::{Plan, Pod};
use tests::process::Process;
use tests::relying_party::parameters;
use tests::tenant::Tenant;
use tests::traces::{Collector, hex};
use tests::wait::{PATIENCE, until};
use tests::web;
use tests::world::World;

/// Nodes and a pod that send every trace to `collector` and write JSON.
async fn traced(collector: &Collector, nodes: u64) -> World {
    let endpoint = collector.endpoint();
    let flags = ["--otlp-endpoint", endpoint.as_str(), "--log-format", "json"];
    let cluster = Cluster::start_with(nodes, &flags).await;
    let control_plane = cluster.watch_urls();
    let plan = Plan { name: "pod-traced", control_plane: &control_plane, flags: &flags, ..Plan::default() };
    let mut pod = Pod::start(&plan, &cluster.secrets).await;
    pod.ready().await;
    World { cluster, pods: vec![pod] }
}

/// A fresh W3C `traceparent` that asks for sampling, and its trace id.
fn traceparent() -> (String, String) {
    let trace_id = uuid::Uuid::new_v4().simple().to_string();
    (format!("00-{trace_id}-00f067aa0ba902b7-01"), trace_id)
}

/// Each span has its cause in the same trace, the first ones the caller's own, or they begin it.
async fn is_connected(collector: &Collector, trace_id: &str) {
    until("every span's parent has come", PATIENCE, async || {
        let spans = collector.spans(trace_id);
        let callers: &[u8] = &[0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7];
        let known = |id: &[u8]| id.is_empty() || id == callers || spans.iter().any(|span| span.span_id == id);
        let orphans: Vec<_> = spans.iter().filter(|span| !known(&span.parent_span_id)).map(|span| &span.name).collect();
        if orphans.is_empty() { Ok(()) } else { Err(format!("{orphans:?}")) }
    })
    .await;
}

async fn has_spans(collector: &Collector, trace_id: &str, expected: &[(&str, usize)]) {
    until("the spans have come", PATIENCE, async || {
        let names = collector.names(trace_id);
        let count = |name: &str| names.iter().filter(|known| *known == name).count();
        if expected.iter().all(|(name, at_least)| count(name) >= *at_least) {
            Ok(())
        } else {
            Err(format!("{names:#?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn one_trace_goes_from_an_administrators_request_to_every_node_and_pod() {
    let collector = Collector::start().await;
    let world = traced(&collector, 3).await;
    let leader = world.cluster.leader().await;
    let follower = &world.cluster.nodes[(leader + 1) % 3];
    let admin = world.admin().await;
    let (traceparent, trace_id) = traceparent();
    let request = web::client()
        .post(format!("{}/api/v1/tenants", follower.admin_url()))
        .bearer_auth(admin.token())
        .header("traceparent", traceparent)
        .json(&json!({"slug": "traced", "display_name": "Traced"}));
    let _ = web::send(request).await.expect(201);
    let expected = [
        ("controlplane-daemon: admin request", 1),
        ("controlplane-daemon: propose", 1),
        ("controlplane-daemon: forwarded", 1),
        ("controlplane-daemon: apply", 3),
        ("controlplane-daemon: watch", 1),
        ("dataplane-service: apply configuration", 1),
    ];
    has_spans(&collector, &trace_id, &expected).await;
    is_connected(&collector, &trace_id).await;
}

#[tokio::test]
async fn one_trace_goes_from_a_request_of_the_data_plane_to_its_statements() {
    let collector = Collector::start().await;
    let world = traced(&collector, 1).await;
    let tenant = Tenant::create(&world, "spans").await;
    let (traceparent, trace_id) = traceparent();
    let token = tenant.service.client_credentials("hj:users.read").await;
    let request = web::client().get(format!("{}/api/v1/users", tenant.issuer)).bearer_auth(token);
    let _ = web::send(request.header("traceparent", traceparent)).await.expect(200);
    let expected = [("dataplane-service: GET /t/{slug}/api/v1/users", 1), ("dataplane-service: SQL", 1)];
    has_spans(&collector, &trace_id, &expected).await;
}

/// A client and a browser that trace: whoever follows a sign-in sees each step, and what each asks the database.
#[tokio::test]
async fn one_trace_goes_from_an_authorization_request_over_the_sign_in_to_the_tokens() {
    let collector = Collector::start().await;
    let world = traced(&collector, 1).await;
    let tenant = Tenant::create(&world, "signin").await;
    let alice = tenant.user("alice").await;
    let (traceparent, trace_id) = traceparent();
    let browser = Browser::with_header("traceparent", &traceparent);
    let attempt = tenant.backend.attempt();
    let callback = browser.authorize(&attempt.url, &alice).await;
    let redirect_uri = tenant.backend.redirect_uri.as_str();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &parameters(&callback)["code"]),
        ("redirect_uri", redirect_uri),
        ("code_verifier", &attempt.verifier),
    ];
    let secret = tenant.backend.secret.clone();
    let redeem =
        web::client().post(format!("{}/oauth2/token", tenant.issuer)).basic_auth("backend", secret).form(&form);
    let _ = web::send(redeem.header("traceparent", traceparent)).await.expect(200);
    let steps = ["GET /t/{slug}/oauth2/authorize", "POST /t/{slug}/login", "POST /t/{slug}/oauth2/token"];
    let expected = steps.map(|step| format!("dataplane-service: {step}"));
    let expected: Vec<_> = expected.iter().map(|step| (step.as_str(), 1)).collect();
    has_spans(&collector, &trace_id, &expected).await;
    is_connected(&collector, &trace_id).await;
    let spans = collector.spans(&trace_id);
    for step in steps {
        let asked = spans
            .iter()
            .filter(|span| span.name == step)
            .any(|request| spans.iter().any(|span| span.name == "SQL" && span.parent_span_id == request.span_id));
        assert!(asked, "{step} asks the database");
    }
}

/// Neither the browser nor the client knows of traces: each step goes on with what the one before it stored.
#[tokio::test]
async fn a_sign_in_is_one_trace_when_nobody_brings_one_along() {
    const AUTHORIZE: &str = "GET /t/{slug}/oauth2/authorize";
    const TOKEN: &str = "POST /t/{slug}/oauth2/token";
    let collector = Collector::start().await;
    let world = traced(&collector, 1).await;
    let tenant = Tenant::create(&world, "untold").await;
    let alice = tenant.user("alice").await;
    let attempt = tenant.app.attempt();
    let callback = Browser::new().authorize(&attempt.url, &alice).await;
    let _ = tenant.app.redeem(&parameters(&callback)["code"], &attempt.verifier).await.expect(200);

    let trace_id = until("the authorization request was told of", PATIENCE, async || {
        collector.traces_with(AUTHORIZE).pop().ok_or("not yet".to_owned())
    })
    .await;
    assert_eq!(collector.traces_with(AUTHORIZE).len(), 1);
    let steps = ["sign in", "consent", "redeem the code"];
    let names = [AUTHORIZE].into_iter().chain(steps).map(|step| format!("dataplane-service: {step}"));
    let names: Vec<_> = names.collect();
    has_spans(&collector, &trace_id, &names.iter().map(|name| (name.as_str(), 1)).collect::<Vec<_>>()).await;
    is_connected(&collector, &trace_id).await;
    let spans = collector.spans(&trace_id);
    let began: Vec<_> = spans.iter().filter(|span| span.parent_span_id.is_empty()).map(|span| &span.name).collect();
    assert_eq!(began, [AUTHORIZE]);
    for step in steps {
        let spans_of_it: Vec<_> = spans.iter().filter(|span| span.name == step).collect();
        let [span] = spans_of_it[..] else { panic!("{step}: {spans_of_it:#?}") };
        let [link] = &span.links[..] else { panic!("{step} names its request: {span:#?}") };
        let request_trace = hex(&link.trace_id);
        assert_ne!(request_trace, trace_id, "a request that brings no trace begins one");
        let back = until("the request's own span has come", PATIENCE, async || {
            let requests = collector.spans(&request_trace);
            requests.into_iter().find(|request| request.span_id == link.span_id).ok_or("not yet".to_owned())
        })
        .await;
        assert!(back.links.iter().any(|link| link.trace_id == span.trace_id), "{step}: {back:#?}");
        assert_eq!(back.name == TOKEN, step == "redeem the code", "{}", back.name);
        // A code is redeemed by the very statement that tells whose trace goes on: that one is the request's own.
        let (asking, asked_in) =
            if back.name == TOKEN { (&back.span_id, &request_trace) } else { (&span.span_id, &trace_id) };
        until(&format!("{step} asks the database"), PATIENCE, async || {
            let spans = collector.spans(asked_in);
            let asks = spans.iter().any(|sql| sql.name == "SQL" && sql.parent_span_id == *asking);
            if asks { Ok(()) } else { Err(format!("{spans:#?}")) }
        })
        .await;
    }
}

/// Where nobody traces, nothing of it is stored.
#[tokio::test]
async fn without_traces_no_step_is_stored_with_one() {
    let world = World::start(1, 1).await;
    let tenant = Tenant::create(&world, "unseen").await;
    let alice = tenant.user("alice").await;
    let attempt = tenant.backend.attempt();
    let (traceparent, _) = traceparent();
    // One interaction that is left open, and a code.
    let _ = Browser::with_header("traceparent", &traceparent).open(&attempt.url).await;
    let _ = Browser::with_header("traceparent", &traceparent).authorize(&attempt.url, &alice).await;
    let rows = "select (select count(*) from interactions), (select count(*) from authorization_codes), \
                (select count(traceparent) from interactions) + (select count(traceparent) from authorization_codes)";
    let row = tenant.database.connect().await.query_one(rows, &[]).await.expect("the tables are there");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(2)), (1, 1, 0));
}

/// The JSON lines of a process, whatever else it wrote.
fn lines(process: &Process) -> Vec<Value> {
    process.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

async fn has_line(process: &Process, request_id: &str) -> Value {
    until("the line is written", PATIENCE, async || {
        let found = lines(process).into_iter().find(|line| line["request_id"] == request_id);
        found.ok_or_else(|| "not yet".to_owned())
    })
    .await
}

#[tokio::test]
async fn lines_of_requests_are_asked_for_while_the_process_runs() {
    let collector = Collector::start().await;
    let world = traced(&collector, 1).await;
    let tenant = Tenant::create(&world, "lines").await;
    let (http, admin) = (web::client(), world.admin().await);
    let ask = async |request_id: &str| {
        let discovery = format!("{}/.well-known/openid-configuration", tenant.issuer);
        let _ = web::send(http.get(discovery).header("x-request-id", request_id)).await.expect(200);
        let tenants = format!("{}/api/v1/tenants", world.cluster.nodes[0].admin_url());
        let request = http.get(tenants).bearer_auth(admin.token()).header("x-request-id", request_id);
        let _ = web::send(request).await.expect(200);
    };
    ask("before").await;
    for ops in [world.cluster.nodes[0].ops_url(), world.pods[0].ops_url()] {
        let url = format!("{ops}/debug/log");
        assert_eq!(web::send(http.get(&url)).await.expect(200).json["level"], "info");
        let refused = web::send(http.put(&url).body("everything")).await.expect(400);
        assert!(refused.text.contains("names no level"), "{}", refused.text);
        let changed = web::send(http.put(&url).body("info,access=info")).await.expect(200);
        assert_eq!(changed.json["level"], "info,access=info");
    }
    ask("after").await;

    let (node, pod) = (world.cluster.nodes[0].process(), world.pods[0].process());
    let of_node = has_line(node, "after").await;
    assert_eq!(
        (of_node["route"].as_str(), of_node["status"].as_u64()),
        (Some("/api/v1/tenants"), Some(200)),
        "{of_node}"
    );
    let of_pod = has_line(pod, "after").await;
    assert_eq!(of_pod["tenant"], tenant.slug.as_str(), "{of_pod}");
    assert_eq!(of_pod["route"], "/t/{slug}/.well-known/openid-configuration");
    for line in [&of_node, &of_pod] {
        assert_eq!((line["target"].as_str(), line["method"].as_str()), (Some("access"), Some("GET")), "{line}");
        assert!(
            line["duration_ms"].is_number() && !line["revision"].is_null() && line["timestamp"].is_string(),
            "{line}"
        );
    }
    for process in [node, pod] {
        assert!(!lines(process).iter().any(|line| line["request_id"] == "before"), "nobody had asked for it");
    }
}
