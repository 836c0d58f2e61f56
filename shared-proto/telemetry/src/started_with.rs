//! Secrets that a program was started with. The kernel shows the environment of a process for as long as it runs
//! (proc(5)), whatever the process forgets of it: so one that was given secrets there begins anew, as the same process,
//! and reads them out of pipes, which hold nothing after that.

use std::ffi::OsString;
use std::io::{self, PipeReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_setfd};

use crate::console::note;

/// What a pipe takes while nobody reads (pipe(7)). Secrets are much shorter.
const PIPE_BYTES: usize = 64 << 10;

/// The variables that may hold one secret, of which the first that is set counts, and the one that names a file in their
/// place.
#[derive(Clone, Debug)]
pub struct Variables {
    pub values: Vec<String>,
    pub file: String,
    /// What would count beside `file`, once none of `values` is set any more.
    pub other_files: Vec<String>,
}

/// Returns when no variable holds a secret. Otherwise this program begins anew: in place of them with those that name
/// files. To be called once the settings are known to be good, so that what is wrong with them is said of the variables
/// that were given, and before there are other threads.
///
/// After an error the program must end: what `exec` did to the process before it failed is not undone (its signals).
/// Where nothing was done yet, it goes on, and `program` says so.
pub fn conceal(program: &str, variables: impl IntoIterator<Item = Variables>) -> io::Result<()> {
    match another(variables) {
        Ok(None) => Ok(()),
        Ok(Some((mut again, _pipes))) => {
            let why = again.exec();
            Err(io::Error::other(format!("it cannot begin anew without secrets in its environment: {why}")))
        }
        Err(why) => {
            note(format_args!("{program}: the environment goes on to show secrets: {why}"));
            Ok(())
        }
    }
}

/// This program without them, and the pipes that it is to read.
fn another(variables: impl IntoIterator<Item = Variables>) -> io::Result<Option<(Command, Vec<PipeReader>)>> {
    let counts = |it: Variables| Some((it.values.iter().find_map(std::env::var_os)?, it));
    // An empty one says "none", and of a file it would not.
    let given = variables.into_iter().filter_map(counts).filter(|(secret, _)| !secret.is_empty());
    let given: Vec<(OsString, Variables)> = given.collect();
    if given.is_empty() {
        return Ok(None);
    }
    let mut args = std::env::args_os();
    let mut again = Command::new(std::env::current_exe()?);
    again.arg0(args.next().unwrap_or_default()).args(args);
    let mut pipes = Vec::with_capacity(given.len());
    for (secret, Variables { values, file, other_files }) in given {
        let secret = secret.as_encoded_bytes();
        if secret.len() > PIPE_BYTES {
            return Err(io::Error::other(format!("{} is too long", values.join(" or "))));
        }
        let (reader, mut writer) = io::pipe()?;
        writer.write_all(secret)?;
        // The other end is closed with this scope: the reader finds an end.
        fcntl_setfd(&reader, FdFlags::empty())?;
        for gone in values.iter().chain(&other_files) {
            again.env_remove(gone);
        }
        again.env(file, format!("/proc/self/fd/{}", reader.as_raw_fd()));
        pipes.push(reader);
    }
    Ok(Some((again, pipes)))
}
