//! `hellojohn`, the operator's command line: the admin API from a shell, and `hellojohn dev`, which runs everything here.
//!
//! ```text
//!   args ──▶ resource/*, cluster, login ──▶ api ──▶ admin REST          dev ──▶ dev/* ──▶ child processes
//!                        │                   │                                     │
//!                     document            profile, failure ◀────────────────────────┘
//! ```
//!
//! Law: the admin API is the only way in: no file, socket or crate of the daemons is used, and `dev` starts them as the
//! processes they are. Every failure has its exit code, listed in `--help`.
//!
//! To add a command: its variant in [`args`], a file beside its like (`resource/` for what has list, get, create, update
//! and delete), its output through [`output`], so that `-o json` and `-o yaml` come by themselves.
//!
//! Start at [`args`] for what can be typed, at [`api`] for what goes over the wire, at [`dev`] for the local set-up.

mod api;
mod apply;
mod args;
mod audit;
mod authorization_code;
mod backup;
mod cluster;
mod dev;
mod doctor;
mod document;
mod events;
mod failure;
mod fleet;
mod import;
mod login;
mod output;
mod private_file;
mod problem;
mod profile;
mod random;
mod resource;
mod session;
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
