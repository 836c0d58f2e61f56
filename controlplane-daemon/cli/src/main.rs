//! `hellojohn`, the operator's command line: the admin API from a shell, and `hellojohn dev`, which runs everything here.
//!
//! ```text
//!   args ──▶ resource/*, cluster, login ──▶ api ──▶ admin REST          dev ──▶ dev/* ──▶ child processes
//!                        │                   │                                     │
//!                     document            profile, failure ◀────────────────────────┘
//! ```
//!
//! Start at [`args`] for what can be typed, at [`api`] for what goes over the wire, at [`dev`] for the local set-up.

mod api;
mod args;
mod cluster;
mod dev;
mod document;
mod failure;
mod login;
mod output;
mod private_file;
mod problem;
mod profile;
mod random;
mod resource;
mod token;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = args::Args::parse();
    // One thread: nothing here is parallel, and children that follow their parent's death follow its main thread's.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure::Failure::Other(error.into()).report(),
    };
    match runtime.block_on(args::run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
