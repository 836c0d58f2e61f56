//! `hellojohn login`: proves that a credential works, or signs in at the issuer that the server trusts, and keeps what
//! comes of it in the user's profile file.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::Context as _;
use clap::Args;
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use vocab::Secret;

use crate::api::Api;
use crate::args::Connection;
use crate::authorization_code::Shown;
use crate::failure::Failure;
use crate::output::{note, say};
use crate::profile::{Profiles, Proof, Target};
use crate::session::Session;

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// Sign in at the OpenID Connect issuer that the server trusts, in a browser
    #[arg(long)]
    oidc: bool,
    /// Only print the address to open
    #[arg(long, requires = "oidc")]
    no_browser: bool,
    /// What to ask the issuer for; with offline_access it may give a refresh token, which makes the sign-in last
    #[arg(long, requires = "oidc", value_name = "SCOPES", default_value = "openid")]
    oidc_scope: String,
}

pub(crate) async fn run(connection: &Connection, args: LoginArgs) -> Result<(), Failure> {
    let path = Profiles::path()?;
    let mut profiles = Profiles::load(&path)?;
    let server = profiles.server(connection);
    let ca_file = profiles.ca_file(connection);
    let proof = if args.oidc {
        let shown = if args.no_browser { Shown::Printed } else { Shown::InBrowser };
        Proof::Session(Box::new(Session::begin(&server, ca_file.as_deref(), &args.oidc_scope, shown).await?))
    } else {
        Proof::Credential(match connection.credential()? {
            Some(credential) => credential,
            None => ask(&server)?,
        })
    };
    let target = Target { server, proof, ca_file };
    Api::login(&target).await?;
    let name = profiles.store(&path, connection.profile.as_deref(), &target)?;
    say(format_args!("Logged in to {}. Profile '{name}' is in {}.", target.server, path.display()))
}

/// From the terminal without echo, or the first line of what is piped in.
fn ask(server: &str) -> Result<Secret<String>, Failure> {
    let stdin = std::io::stdin();
    let terminal = stdin.is_terminal();
    let before = if terminal {
        write!(std::io::stderr(), "Admin credential for {server}: ").context("cannot write to the terminal")?;
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
        note("");
    }
    read.context("cannot read the credential")?;
    match line.trim() {
        "" => Err(Failure::Usage("no credential given: type it, pipe it in, or set HJ_CREDENTIAL".to_owned())),
        credential => Ok(Secret::new(credential.to_owned())),
    }
}
