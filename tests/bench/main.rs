//! Figures of the release build: `./hj bench [NAME…]`, all of them without a name; `tests/bench/options.rs` has what can
//! be chosen besides.
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
mod options;
mod propagation;
mod stream;
mod table;
mod tokens;
mod writes;

use std::process::ExitCode;

use crate::options::Options;

const BENCHES: [&str; 4] = ["tokens", "writes", "propagation", "footprint"];

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1), &BENCHES) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    for bench in &options.benches {
        match bench.as_str() {
            "tokens" => tokens::run().await,
            "writes" => writes::run(&options).await,
            "propagation" => propagation::run().await,
            _ => footprint::run().await,
        }
    }
    ExitCode::SUCCESS
}
