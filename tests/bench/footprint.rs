//! How soon a pod serves and how little the processes need.

use std::time::Instant;

use serde_json::json;
use tests::world::World;

use crate::cpu;
use crate::load::{float, histogram};
use crate::table::{self, row};

const TENANTS: usize = 100;
const STARTS: usize = 10;

pub(crate) async fn run() {
    let mut world = World::start(1, 1).await;
    let admin = world.admin().await;
    for number in 0..TENANTS {
        let slug = format!("tenant-{number}");
        let _ = admin.create_tenant(&slug, json!({})).await;
        let client = json!({
            "name": "Machine", "token_endpoint_auth_method": "client_secret_basic",
            "grant_types": ["client_credentials"], "scopes": [],
        });
        let _ = admin.create_client(&slug, &client).await;
    }
    let mut starts = histogram();
    for _ in 0..STARTS {
        let pod = &mut world.pods[0];
        pod.kill();
        let begin = Instant::now();
        pod.start_again().await;
        pod.ready().await;
        starts.saturating_record(u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    let millis = |quantile: f64| format!("{:.0}", float(starts.value_at_quantile(quantile)) / 1000.0);
    let pod = cpu::resident_mib(world.pods[0].process().id());
    let node = cpu::resident_mib(world.cluster.nodes[0].process_id());
    table::print(
        "Footprint",
        &format!(
            "With {TENANTS} tenants and clients, idle. The start is measured from outside, by polling every millisecond."
        ),
        &[
            row(["what", "median", "worst", "aim"]),
            row(["pod, exec to ready, ms", &millis(0.5), &millis(1.0), "300"]),
            row(["pod, resident MiB", &format!("{pod:.0}"), "", "40"]),
            row(["control-plane node, resident MiB", &format!("{node:.0}"), "", "60"]),
        ],
    );
}
