//! A world as talkative as it can be made, and all that it tells and keeps.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::json;
use tests::cluster::Cluster;
use tests::pod::{Plan, Pod};
use tests::scratch;
use tests::tenant::Tenant;
use tests::traces::Collector;
use tests::wait::{PATIENCE, until};
use tests::web;
use tests::world::World;

use super::packed::{configuration, files_below, snapshot, text_below};

/// What stands in those places that do not name the tenant; in all others its slug does.
const NAMELESS: &[(&str, &str)] = &[
    ("the traces", "apply configuration"),
    ("metrics", "# TYPE"),
    ("what the pod says of itself", "revision"),
    ("the pod's files", "HJDP1"),
];

pub(super) struct Watched {
    pub(super) world: World,
    collector: Collector,
    projection: PathBuf,
}

impl Watched {
    /// One node, one pod: every trace, every line, every file.
    pub(super) async fn start() -> Self {
        let collector = Collector::start().await;
        let projection = scratch::folder("leaks-projection");
        let (endpoint, shown) = (collector.endpoint(), projection.display().to_string());
        let flags = ["--otlp-endpoint", &endpoint, "--fs-projection", &shown, "--audit-stdout"];
        let cluster = Cluster::start_with(1, &flags).await;
        let control_plane = cluster.watch_urls();
        let flags = ["--otlp-endpoint", endpoint.as_str()];
        let plan = Plan {
            name: "pod-leaks",
            host: "localhost",
            control_plane: &control_plane,
            flags: &flags,
            ..Plan::default()
        };
        let pod = Pod::start(&plan, &cluster.secrets).await;
        let world = World { cluster, pods: vec![pod] };
        for url in world.ops_urls() {
            let _ =
                web::send(web::client().put(format!("{url}/debug/log")).body("trace,access=trace")).await.expect(200);
        }
        Self { world, collector, projection }
    }

    /// Everything that was told and kept up to now, by where.
    pub(super) async fn places(&self, tenant: &Tenant) -> Vec<(&'static str, String)> {
        self.last_word(tenant).await;
        let (http, admin) = (web::client(), &tenant.admin);
        let mut places = vec![("the node's log", self.world.cluster.logs())];
        places.push(("the pod's log", self.world.pods[0].process().log()));
        places.push(("the traces", self.collector.text()));
        places.push(("the audit", self.audit(tenant).await));
        for url in self.world.ops_urls() {
            places.push(("metrics", web::send(http.get(format!("{url}/metrics"))).await.expect(200).text));
        }
        places.push(("what the pod says of itself", self.world.pods[0].debug_config().await.to_string()));
        places.push(("the database", tenant.database.dump().await));
        for path in ["/cluster/snapshot", "/export"] {
            let answer = admin.request(Method::GET, path).send().await.expect("a backup").error_for_status();
            let bytes = answer.expect("200").bytes().await.expect("all of it");
            let text = snapshot(&bytes).unwrap_or_else(|| String::from_utf8_lossy(&bytes).into_owned());
            places.push((path, text));
        }
        let mut shown = String::new();
        for path in ["", "/clients", "/keys", "/scopes"] {
            shown += &admin.get(&format!("/tenants/{}{path}", tenant.slug)).await.expect(200).text;
        }
        places.push(("the admin API", shown));
        let folders = [self.world.cluster.nodes[0].data_dir(), self.world.pods[0].state_dir(), self.projection.clone()];
        for (what, folder) in ["the node's files", "the pod's files", "the projection"].into_iter().zip(folders) {
            places.push((what, text_below(folder)));
        }
        places.push(("the node's snapshots", self.snapshots()));
        places.push(("the pod's configuration", self.configuration()));
        // The search looks where there is something to find.
        for (place, text) in &places {
            let named = NAMELESS.iter().find(|(nameless, _)| nameless == place);
            let word = named.map_or(tenant.slug.as_str(), |(_, word)| *word);
            assert!(text.contains(word), "{place}: nothing of {word} in {} bytes", text.len());
        }
        places
    }

    /// What is in those that the node keeps.
    fn snapshots(&self) -> String {
        let files = files_below(self.world.cluster.nodes[0].data_dir());
        files.iter().filter_map(|file| snapshot(file)).collect()
    }

    /// What the pod would start with.
    fn configuration(&self) -> String {
        let files = files_below(self.world.pods[0].state_dir());
        files.iter().filter_map(|file| configuration(file, &self.world.cluster.secrets)).collect()
    }

    /// By the signals of a crash: none leaves its memory anywhere.
    pub(super) async fn crash(&mut self) {
        let World { cluster, pods } = &mut self.world;
        for (process, signal) in
            [(pods[0].process_mut(), Signal::SIGSEGV), (cluster.nodes[0].process_mut(), Signal::SIGABRT)]
        {
            until("it crashes", PATIENCE, async || {
                // Of a first SIGSEGV Rust's runtime makes nothing but that the next is deadly: it looks whether a stack
                // has overflowed, and would come by the same fault again.
                process.signal(signal);
                if process.is_running() { Err("it runs".to_owned()) } else { Ok(()) }
            })
            .await;
            let status = process.ended(PATIENCE).await;
            assert_eq!((status.signal(), status.core_dumped()), (Some(signal as i32), false));
        }
    }

    async fn audit(&self, tenant: &Tenant) -> String {
        let request = tenant.admin.request(Method::GET, "/audit/logs?order=oldest");
        web::send(request.header("accept", "application/x-ndjson")).await.expect(200).text
    }

    /// What is told late (traces and notes for the audit go in batches, files are written a moment after) is there when
    /// something that was told after all else is.
    async fn last_word(&self, tenant: &Tenant) {
        let trace_id = uuid::Uuid::new_v4().simple().to_string();
        let traceparent = format!("00-{trace_id}-00f067aa0ba902b7-01");
        let sign_in = format!("{}/api/v1/auth/token", self.world.cluster.nodes[0].admin_url());
        let sign_in = web::client().post(sign_in).json(&json!({ "credential": "none" }));
        let _ = web::send(sign_in.header("x-request-id", &trace_id)).await.expect(401);
        let name = json!({ "display_name": trace_id });
        let change = tenant.admin.request(Method::PATCH, &format!("/tenants/{}", tenant.slug)).json(&name);
        let _ = web::send(change.header("traceparent", &traceparent)).await.expect(200);
        let _ = tenant.admin.post("/cluster/snapshot", &json!({})).await.expect(200);
        until("all is told", PATIENCE, async || {
            let told = [
                (
                    "traces",
                    self.collector.names(&trace_id).iter().any(|it| it == "dataplane-service: apply configuration"),
                ),
                ("the audit", self.audit(tenant).await.contains(&trace_id)),
                ("the projection", text_below(self.projection.clone()).contains(&trace_id)),
                ("the pod's configuration", self.configuration().contains(&trace_id)),
            ];
            match told.iter().find(|(_, told)| !told) {
                None => Ok(()),
                Some((what, _)) => Err((*what).to_owned()),
            }
        })
        .await;
    }
}
