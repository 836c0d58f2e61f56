//! `hellojohn login`: proves that a credential works, then keeps it in the user's profile file.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::Context as _;
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use vocab::Secret;

use crate::api::Api;
use crate::args::Connection;
use crate::failure::Failure;
use crate::profile::{Profiles, Target};

pub(crate) async fn run(connection: &Connection) -> Result<(), Failure> {
    let path = Profiles::path()?;
    let mut profiles = Profiles::load(&path)?;
    let server = profiles.server(connection);
    let credential = match connection.credential()? {
        Some(credential) => credential,
        None => ask(&server)?,
    };
    let target = Target { server, credential, ca_file: profiles.ca_file(connection) };
    Api::login(&target).await?;
    let name = profiles.store(&path, connection.profile.as_deref(), &target)?;
    println!("Logged in to {}. Profile '{name}' is in {}.", target.server, path.display());
    Ok(())
}

/// From the terminal without echo, or the first line of what is piped in.
fn ask(server: &str) -> Result<Secret<String>, Failure> {
    let stdin = std::io::stdin();
    let terminal = stdin.is_terminal();
    let before = if terminal {
        eprint!("Admin credential for {server}: ");
        std::io::stderr().flush().context("cannot write to the terminal")?;
        let before = tcgetattr(&stdin).context("cannot read the terminal's settings")?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&stdin, SetArg::TCSANOW, &quiet).context("cannot turn the echo off")?;
        Some(before)
    } else {
        None
    };
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    if let Some(before) = before {
        tcsetattr(&stdin, SetArg::TCSANOW, &before).context("cannot turn the echo on again")?;
        eprintln!();
    }
    read.context("cannot read the credential")?;
    match line.trim() {
        "" => Err(Failure::Usage("no credential given: type it, pipe it in, or set HJ_CREDENTIAL".to_owned())),
        credential => Ok(Secret::new(credential.to_owned())),
    }
}
