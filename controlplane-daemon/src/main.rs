//! `controlplane-daemon`: reads its settings and serves until it is told to stop.

use std::process::ExitCode;

use controlplane_daemon::server;
use controlplane_daemon::settings::{self, EXIT_CONFIG, Invocation};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let settings = match settings::from_process() {
        Ok(Invocation::Serve(settings)) => *settings,
        Ok(Invocation::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("controlplane-daemon: {error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    match server::run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("controlplane-daemon: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
