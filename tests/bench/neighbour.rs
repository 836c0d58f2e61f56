//! What one tenant's flood costs another: the latency of a tenant's `client_credentials` tokens while nobody else asks,
//! and while another tenant sends ten times what its limit allows, in turns on one pod. Both send at a pace of their own,
//! below what the machine can do: it is the pod's fairness that is looked at, not how fast it is.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tests::world::World;

use crate::load::{self, Outcome, float, request};
use crate::options::Options;
use crate::table::{self, count, row};

/// Of the tenant that floods.
const LIMIT: u32 = 200;
const FLOOD_PER_SECOND: u32 = 10 * LIMIT;
const QUIET_PER_SECOND: u32 = 200;
const CONNECTIONS: usize = 16;

pub(crate) async fn run(options: &Options) {
    let world = World::start(1, 1).await;
    let limit = json!({ "rate_limit": { "requests_per_second": LIMIT } });
    let (flood, quiet) = (tenant(&world, "flood", limit).await, tenant(&world, "quiet", json!({})).await);
    let (pod, secs) = (&world.pods[0], options.measured);
    let mut rounds = Vec::new();
    for _ in 0..options.rounds.max(3) {
        let alone = paced(pod.address(), QUIET_PER_SECOND, secs, &quiet).await;
        let (beside, flooded) = tokio::join!(
            paced(pod.address(), QUIET_PER_SECOND, secs, &quiet),
            paced(pod.address(), FLOOD_PER_SECOND, secs, &flood)
        );
        rounds.push((alone, beside, flooded));
    }
    print(&rounds);
}

fn print(rounds: &[(Outcome, Outcome, Outcome)]) {
    let micros = |of: &Outcome, quantile: f64| float(of.latency.value_at_quantile(quantile));
    let middle = |of: &dyn Fn(&(Outcome, Outcome, Outcome)) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    let rows = [("p50", 0.5), ("p99", 0.99)].map(|(name, quantile)| {
        let alone = middle(&|(alone, ..)| micros(alone, quantile));
        let beside = middle(&|(_, beside, _)| micros(beside, quantile));
        let ratio = middle(&|(alone, beside, _)| micros(beside, quantile) / micros(alone, quantile));
        row([name, &count(alone), &count(beside), &format!("{ratio:.2}")])
    });
    let head = row(["tokens of the neighbour", "alone, µs", "beside the flood, µs", "beside / alone"]);
    let note = format!(
        "{QUIET_PER_SECOND} a second; the flood: {FLOOD_PER_SECOND} a second at a limit of {LIMIT}, of which {} % were \
         refused. The middle of {} rounds in turns. Failures of the neighbour: {}. Aim: p99 2 ×.",
        count(middle(&|(.., flood)| 100.0 * float(flood.failures) / float(flood.failures + flood.answers).max(1.0))),
        rounds.len(),
        rounds.iter().map(|(alone, beside, _)| alone.failures + beside.failures).sum::<u64>(),
    );
    table::print("one tenant's flood and its neighbour", &note, &std::iter::once(head).chain(rows).collect::<Vec<_>>());
}

/// Its client's request for a token.
async fn tenant(world: &World, slug: &str, settings: serde_json::Value) -> Vec<u8> {
    let admin = world.admin().await;
    let _ = admin.create_tenant(slug, settings).await;
    let client = json!({
        "client_id": "machine", "name": "Machine", "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["client_credentials"], "scopes": ["hj:users.read"],
    });
    let secret = admin.create_client(slug, &client).await.secret.expect("a confidential client has a secret");
    let revision = admin.get(&format!("/tenants/{slug}/clients/machine")).await.json["revision"].as_u64();
    world.pods[0].has_revision(revision.expect("a client has a revision")).await;
    let basic = format!("Basic {}", STANDARD.encode(format!("machine:{secret}")));
    let headers = [("authorization", basic.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    request("POST", &format!("/t/{slug}/oauth2/token"), &headers, "grant_type=client_credentials")
}

async fn paced(address: &str, per_second: u32, duration: Duration, request: &[u8]) -> Outcome {
    let request = request.to_vec();
    load::paced(address, CONNECTIONS, 200, duration, per_second, Arc::new(move |_, _| request.clone())).await
}
