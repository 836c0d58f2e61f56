//! One module for each kind of resource: its commands, its flags, its columns.

pub(crate) mod admin;
pub(crate) mod client;
pub(crate) mod key;
pub(crate) mod scope;
pub(crate) mod settings;
pub(crate) mod tenant;

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use crate::api::{Api, Change};
use crate::failure::Failure;

/// `--if-match`, of every command that changes what is there.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Precondition {
    /// Only if the resource still has this revision
    #[arg(long, value_name = "REVISION")]
    if_match: Option<u64>,
}

async fn create(api: &Api, path: &[&str], body: Value) -> Result<(), Failure> {
    let change = Change { method: Method::POST, path, body: Some(body), if_match: None };
    api.output.answer(&api.change(change).await?, "created")
}

/// A whole document replaces (PUT); flags alone change what they name (PATCH).
async fn update(api: &Api, path: &[&str], body: Value, whole: bool, precondition: Precondition) -> Result<(), Failure> {
    if body.as_object().is_some_and(serde_json::Map::is_empty) {
        return Err(Failure::Usage("nothing to update: give flags or -f FILE".to_owned()));
    }
    let method = if whole { Method::PUT } else { Method::PATCH };
    let change = Change { method, path, body: Some(body), if_match: precondition.if_match };
    api.output.answer(&api.change(change).await?, "updated")
}

async fn delete(api: &Api, path: &[&str], precondition: Precondition) -> Result<(), Failure> {
    let change = Change { method: Method::DELETE, path, body: None, if_match: precondition.if_match };
    api.output.answer(&api.change(change).await?, "deleted")
}
