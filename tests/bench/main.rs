//! Figures of the release build: `./hj bench [tokens] [writes] [propagation] [footprint]`, all of them without a name.
//!
//! Every figure stands beside a yardstick measured in the same run on the same machine (raw signatures, a constant
//! answer, a raw fdatasync, an etcd), because only the ratio says something: the machine differs from run to run.
//! Nothing is asserted. CPU is that of the server processes, from `/proc`, so that the load generator on the same cores
//! does not count.

mod cpu;
mod disk;
mod etcd;
mod footprint;
mod load;
mod propagation;
mod stream;
mod table;
mod tokens;
mod writes;

use std::process::ExitCode;

const BENCHES: [&str; 4] = ["tokens", "writes", "propagation", "footprint"];

#[tokio::main]
async fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = asked.iter().find(|name| !BENCHES.contains(&name.as_str())) {
        eprintln!("there is no bench {unknown:?}; there are {}", BENCHES.join(", "));
        return ExitCode::from(2);
    }
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|it| it == name);
    if wanted("tokens") {
        tokens::run().await;
    }
    if wanted("writes") {
        writes::run().await;
    }
    if wanted("propagation") {
        propagation::run().await;
    }
    if wanted("footprint") {
        footprint::run().await;
    }
    ExitCode::SUCCESS
}
