//! `hellojohn cluster status` and `hellojohn fleet`: how the control plane and the pods are.

use clap::Subcommand;
use serde_json::Value;

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

pub(crate) async fn fleet(api: &Api) -> Result<(), Failure> {
    let fleet = api.get(&["fleet"]).await?;
    if api.output.is_table() {
        let pods = fleet.pointer("/pods").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        api.output.list(
            pods,
            &[
                ("POD", "/pod_id"),
                ("NODE", "/node_id"),
                ("VERSION", "/version"),
                ("ADDRESS", "/address"),
                ("ACKNOWLEDGED", "/acknowledged_revision"),
                ("LAG", "/lag"),
                ("CONNECTED AT", "/connected_at"),
                ("REJECTED", "/rejected"),
            ],
        )?;
        if let Some(nodes) = fleet.pointer("/unreachable_nodes").filter(|nodes| **nodes != Value::Array(Vec::new())) {
            eprintln!("Nodes that did not answer, so their pods are not listed: {nodes}");
        }
        return Ok(());
    }
    api.output.document(&fleet)
}
