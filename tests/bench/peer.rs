//! `client_credentials` with ES256 beside npm's `oidc-provider`, which keeps what it must in memory: JWT access tokens per
//! CPU-second of either server's process, in the same run and under the same load.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tests::process::{Launch, Process};
use tests::wait::until;
use tests::{scratch, tools};

use crate::load;
use crate::table::{self, count, ratio, row};
use crate::tokens::{self, measure};

const SECRET: &str = "a-secret-of-the-peers-only-client";

pub(crate) async fn run() {
    let (world, request) = tokens::stage().await;
    let pod = &world.pods[0];
    let (ours, our_outcome) = measure(pod.address(), pod.process().id(), request).await;

    let (peer, address) = start().await;
    let basic = format!("Basic {}", STANDARD.encode(format!("machine:{SECRET}")));
    let headers = [("authorization", basic.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let request = load::request("POST", "/token", &headers, "grant_type=client_credentials");
    let (theirs, their_outcome) = measure(&address, peer.id(), request).await;

    table::print(
        "client_credentials, ES256, beside oidc-provider",
        "Per CPU-second of the server's process; the same load; aim: 5 times the peer's.",
        &[
            row(["server", "tokens per CPU-second", "ours / this", "p99, ms", "failures"]),
            row(["ours", &count(ours), "1.00", &our_outcome.millis(0.99), &our_outcome.failures.to_string()]),
            row([
                "npm's oidc-provider, in-memory adapter",
                &count(theirs),
                &ratio(ours, theirs),
                &their_outcome.millis(0.99),
                &their_outcome.failures.to_string(),
            ]),
        ],
    );
}

/// Starts it; its process, and the address that it listens on.
async fn start() -> (Process, String) {
    let folder = tools::npm("tests/bench/peer");
    let launch = Launch {
        name: "oidc-provider".to_owned(),
        program: tools::program("node"),
        args: vec![folder.join("server.mjs").display().to_string(), SECRET.to_owned()],
        env: vec![("NODE_ENV".to_owned(), "production".to_owned())],
        user: None,
        namespace: None,
        log: scratch::folder("oidc-provider").join("log"),
    };
    let mut process = launch.start();
    let port = until("the peer listens", Duration::from_secs(30), async || {
        process.assert_running();
        let log = process.log();
        let port = log.lines().find_map(|line| line.trim().parse::<u16>().ok());
        port.ok_or(log)
    })
    .await;
    (process, format!("127.0.0.1:{port}"))
}
