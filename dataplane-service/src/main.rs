//! The data-plane pod's program: everything it does is in the library.

use std::process::ExitCode;

/// Signing allocates a little and often, from every worker.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    dataplane_service::server::main()
}
