//! `hellojohn dev`: everything on this machine, as the processes it consists of in production.
//!
//! ```text
//!   folder (lock, secrets) ▶ ports free? ▶ PostgreSQL ▶ control plane ▶ demo tenant ▶ pods ▶ demo user ▶ summary
//!   Ctrl-C, or a child that dies:            pods ▶ control plane ▶ PostgreSQL, each bounded, nothing left
//! ```
//!
//! The demo tenant is made before the pods start, so that their first snapshot has it already.

mod binaries;
mod child;
mod demo;
mod environment;
mod folder;
mod layout;
mod ports;
mod postgres;
mod progress;
mod summary;
mod supervisor;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;
use crate::output::note;
use binaries::Binaries;
use folder::Folder;
use layout::Layout;
use postgres::Postgres;
use progress::Progress;
use supervisor::Supervisor;

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Control-plane nodes
    #[arg(long, default_value_t = 1, value_parser = nodes)]
    pub(crate) nodes: u16,
    /// Data-plane pods
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10))]
    pub(crate) pods: u16,
    /// Where databases, logs and secrets are kept
    #[arg(long, env = "HJ_DEV_DATA", value_name = "DIR", default_value = "data/dev")]
    data: PathBuf,
    /// Delete what DIR holds and start afresh
    #[arg(long)]
    reset: bool,
    /// The directory of PostgreSQL's programs, initdb and postgres
    #[arg(long, env = "HJ_POSTGRES_BIN", value_name = "DIR")]
    postgres_bin: Option<PathBuf>,
    /// The first port: node 1 takes it and +100, +200, +300, node 2 the same +10; pods take +1080 and +1090
    #[arg(long, value_name = "PORT", default_value_t = 7000, value_parser = clap::value_parser!(u16).range(1024..=64000))]
    pub(crate) port_base: u16,
    /// The first pod's port [default: port base + 1080]; the next pod takes the next
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1024..=65000))]
    pub(crate) http_port: Option<u16>,
    /// The first pod's ops port [default: port base + 1090]; the next pod takes the next
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1024..=65000))]
    pub(crate) pod_ops_port: Option<u16>,
    /// Any free ports; kept in DIR for the next start
    #[arg(long, conflicts_with_all = ["port_base", "http_port", "pod_ops_port"])]
    pub(crate) ephemeral: bool,
}

fn nodes(text: &str) -> Result<u16, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("a cluster here has 1 or 3 nodes".to_owned()),
    }
}

pub(crate) async fn run(args: DevArgs) -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let mut stop = async || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    let progress = Progress::new();
    let binaries = Binaries::find(args.postgres_bin.as_deref())?;
    let mut folder = Folder::open(&args.data, args.reset, &progress).await?;
    let mut supervisor = Supervisor::new(folder.logs(), folder.run());

    let outcome = tokio::select! {
        outcome = async {
            bring_up(&args, &binaries, &mut folder, &mut supervisor, &progress).await?;
            supervisor.first_death().await
        } => outcome,
        () = stop() => Ok(()),
    };
    progress.done();
    if let Err(failure) = &outcome {
        note(format_args!("hellojohn: {failure}"));
    }
    note("Stopping (Ctrl-C again to kill) …");
    tokio::select! {
        () = supervisor.stop(&progress) => {}
        () = stop() => supervisor.kill().await,
    }
    note("Stopped.");
    outcome.map_err(|failure| Failure::Reported(Box::new(failure)))
}

async fn bring_up(
    args: &DevArgs,
    binaries: &Binaries,
    folder: &mut Folder,
    supervisor: &mut Supervisor,
    progress: &Progress,
) -> Result<(), Failure> {
    let layout = Layout::of(args, folder)?;
    ports::check(&layout)?;
    folder.keep_layout(&layout)?;

    progress.step("Starting PostgreSQL");
    let postgres = Postgres::start(binaries, folder, supervisor, progress).await?;

    progress.step(&format!("Starting the control plane ({} node{})", args.nodes, plural(args.nodes)));
    for node in &layout.nodes {
        supervisor.spawn(&node.process(&layout, binaries, folder)?)?;
    }
    for node in &layout.nodes {
        supervisor.wait_ready(&node.name(), node.ops).await?;
    }

    progress.step("Configuring the demo tenant");
    let demo = demo::configure(&layout, folder, &postgres, supervisor).await?;

    progress.step(&format!("Starting the data plane ({} pod{})", args.pods, plural(args.pods)));
    for pod in &layout.pods {
        supervisor.spawn(&pod.process(&layout, binaries, folder)?)?;
    }
    for pod in &layout.pods {
        supervisor.wait_ready(&pod.name(), pod.ops).await?;
    }

    progress.step("Creating the demo user");
    demo::create_user(&layout, folder, &demo).await?;
    progress.done();
    environment::write(&layout, folder, &postgres)?;
    summary::print(&layout, folder, &postgres)
}

const fn plural(count: u16) -> &'static str {
    if count == 1 { "" } else { "s" }
}
