//! Figures of the release build: `./hj bench [NAME…]`, all of them without a name; `tests/bench/options.rs` has what can
//! be chosen besides.
//!
//! Every figure stands beside a yardstick measured in the same run on the same machine (raw signatures, a constant
//! answer, a raw fdatasync, an etcd), because only the ratio says something: the machine differs from run to run.
//! Nothing is asserted. CPU is that of the server processes, from `/proc`, so that the load generator on the same cores
//! does not count.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is what it is for")]

mod cpu;
mod dialect;
mod disk;
mod etcd;
mod exchanges;
mod failover;
mod footprint;
mod load;
mod neighbour;
mod options;
mod peer;
mod propagation;
mod scale;
mod stream;
mod table;
mod telemetry;
mod tokens;
mod watch;
mod writes;

use std::process::ExitCode;

use crate::options::Options;

/// As the programs have it: the load must not cost more than what it asks for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BENCHES: [&str; 11] = [
    "tokens",
    "peer",
    "telemetry",
    "neighbour",
    "exchanges",
    "writes",
    "propagation",
    "footprint",
    "scale",
    "watch",
    "failover",
];

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("subscribe", rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        watch::subscribe(rest).await;
        return ExitCode::SUCCESS;
    }
    let options = match Options::parse(arguments.into_iter(), &BENCHES) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    for bench in &options.benches {
        match bench.as_str() {
            "tokens" => tokens::run().await,
            "peer" => peer::run().await,
            "telemetry" => telemetry::run(&options).await,
            "neighbour" => neighbour::run(&options).await,
            "exchanges" => exchanges::run(&options).await,
            "writes" => writes::run(&options).await,
            "propagation" => propagation::run().await,
            "scale" => scale::run(&options).await,
            "watch" => watch::run(&options).await,
            "failover" => failover::run(&options).await,
            _ => footprint::run().await,
        }
    }
    ExitCode::SUCCESS
}
