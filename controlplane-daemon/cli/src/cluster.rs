//! `hellojohn cluster status`: how the control plane is.

use clap::Subcommand;

use crate::api::Api;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Who leads, how far each log has come, who is a member
    Status,
}

pub(crate) async fn run(api: &Api, command: Command) -> Result<(), Failure> {
    match command {
        Command::Status => api.output.document(&api.get(&["cluster", "status"]).await?),
    }
}
