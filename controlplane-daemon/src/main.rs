//! `controlplane-daemon`: reads its settings and serves until it is told to stop.

use std::process::ExitCode;

use controlplane_daemon::settings::{self, EXIT_CONFIG, Invocation};
use controlplane_daemon::{hand_over, offline, server};
use telemetry::console::{note, say};
use telemetry::started_with::conceal;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done = match settings::from_process() {
        Ok(Invocation::Serve(settings)) => match conceal("controlplane-daemon", settings::variables_of_secrets()) {
            Ok(()) => server::run(*settings).map_err(|error| (error.to_string(), error.exit_code())),
            Err(why) => Err((why.to_string(), 1)),
        },
        Ok(Invocation::Offline(task, settings)) => {
            offline::run(&task, &settings).map_err(|error| (error.to_string(), error.exit_code()))
        }
        Ok(Invocation::HandOver(settings, linger)) => {
            hand_over::run(settings.ops_addr, linger).map_err(|error| (error.to_string(), 1))
        }
        Ok(Invocation::Print(text)) => say(text.trim_end()).map_err(|error| (error.to_string(), 1)),
        Err(error) => Err((error.to_string(), EXIT_CONFIG)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err((error, code)) => {
            note(format_args!("controlplane-daemon: {error}"));
            ExitCode::from(code)
        }
    }
}
