//! `client_credentials` with ES256: tokens per CPU-second of the pod, beside signing alone and a constant answer.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tests::world::World;

use crate::cpu;
use crate::load::{self, Outcome, float};
use crate::table::{self, count, ratio, row};

const CONNECTIONS: usize = 64;
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(8);

pub(crate) async fn run() {
    let (world, token) = stage().await;
    let pod = &world.pods[0];
    let constant = load::request("GET", "/t/bench/.well-known/jwks.json", &[], "");

    let signatures = signatures_per_cpu_second();
    let process = pod.process().id();
    let (constants, _) = measure(pod.address(), process, constant).await;
    let (tokens, outcome) = measure(pod.address(), process, token).await;

    table::print(
        "client_credentials, ES256",
        &format!("Per CPU-second of the pod; {CONNECTIONS} connections; aim: 30,000 tokens."),
        &[
            row(["what", "per CPU-second", "tokens / this", "failures"]),
            row(["token", &count(tokens), "1.00", &outcome.failures.to_string()]),
            row(["constant answer of the same server (JWKS)", &count(constants), &ratio(tokens, constants), ""]),
            row(["raw P-256 signature, one thread", &count(signatures), &ratio(tokens, signatures), ""]),
        ],
    );
    println!(
        "\nWall clock, sharing the cores with the load: {} tokens/s, p50 {} ms, p99 {} ms.",
        count(outcome.per_second()),
        outcome.millis(0.5),
        outcome.millis(0.99)
    );
}

/// One pod, and the request of its only client for a token.
pub(crate) async fn stage() -> (World, Vec<u8>) {
    let world = World::start(1, 1).await;
    let admin = world.admin().await;
    let _ = admin.create_tenant("bench", json!({})).await;
    let client = json!({
        "client_id": "machine", "name": "Machine", "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["client_credentials"], "scopes": ["hj:users.read"],
    });
    let client = admin.create_client("bench", &client).await;
    let secret = client.secret.expect("a confidential client has a secret");
    let revision = admin.get("/tenants/bench/clients/machine").await.json["revision"].as_u64();
    world.pods[0].has_revision(revision.expect("a client has a revision")).await;
    let basic = format!("Basic {}", STANDARD.encode(format!("machine:{secret}")));
    let headers = [("authorization", basic.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let token = load::request("POST", "/t/bench/oauth2/token", &headers, "grant_type=client_credentials");
    (world, token)
}

/// Answers per CPU-second of the process.
pub(crate) async fn measure(address: &str, process: u32, request: Vec<u8>) -> (f64, Outcome) {
    let requests: load::Requests = Arc::new(move |_, _| request.clone());
    let _ = load::run(address, CONNECTIONS, 200, WARM_UP, Arc::clone(&requests)).await;
    let before = cpu::time(process);
    let outcome = load::run(address, CONNECTIONS, 200, MEASURED, requests).await;
    let used = cpu::time(process).saturating_sub(before);
    (float(outcome.answers) / used.as_secs_f64(), outcome)
}

/// The ceiling: aws-lc-rs signs 500 bytes with a kept key, nothing else.
fn signatures_per_cpu_second() -> f64 {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).expect("the key parses");
    let message = [7u8; 500];
    let begin = cpu::this_thread();
    let mut signed = 0;
    while cpu::this_thread().saturating_sub(begin) < Duration::from_secs(2) {
        for _ in 0..100 {
            let _ = std::hint::black_box(key.sign(&random, &message).expect("the key signs"));
        }
        signed += 100;
    }
    float(signed) / cpu::this_thread().saturating_sub(begin).as_secs_f64()
}
