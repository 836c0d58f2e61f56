//! Secrets that a program was started with. The kernel shows the environment of a process for as long as it runs
//! (proc(5)), whatever the process forgets of it: so one that was given secrets there begins anew, as the same process,
//! and reads them out of pipes, which hold nothing after that.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_setfd};

/// What a pipe takes while nobody reads (pipe(7)). Secrets are much shorter.
const PIPE_BYTES: usize = 64 << 10;

/// Returns when none of the variables is set. Otherwise this program begins anew: in place of each of them with the one
/// that names a file, `…_FILE`. To be called once the settings are known to be good, so that what is wrong with them is
/// said of the variables that were given, and before there are other threads.
pub fn conceal(variables: impl IntoIterator<Item = String>) -> io::Result<()> {
    let given = variables.into_iter().filter_map(|name| Some((std::env::var_os(&name)?, name)));
    // An empty one says "none", and of a file it would not.
    let given: Vec<(OsString, String)> = given.filter(|(secret, _)| !secret.is_empty()).collect();
    if given.is_empty() {
        return Ok(());
    }
    let mut args = std::env::args_os();
    let mut again = Command::new(std::env::current_exe()?);
    again.arg0(args.next().unwrap_or_default()).args(args);
    let mut pipes = Vec::with_capacity(given.len());
    for (secret, name) in given {
        let secret = secret.as_encoded_bytes();
        if secret.len() > PIPE_BYTES {
            return Err(io::Error::other(format!("{name} is too long")));
        }
        let (reader, mut writer) = io::pipe()?;
        writer.write_all(secret)?;
        // The other end is closed with this scope: the reader finds an end.
        fcntl_setfd(&reader, FdFlags::empty())?;
        again.env_remove(&name).env(format!("{name}_FILE"), format!("/proc/self/fd/{}", reader.as_raw_fd()));
        pipes.push(reader);
    }
    Err(again.exec())
}
