//! `/keys/seals` and `/keys/reseal`: which master keys the configuration's secrets are sealed with, and how they come under
//! the first.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use controlplane_core::{Command, Mutation};
use serde::Serialize;
use vocab::{ErrorCode, NodeId};

use super::auth::Principal;
use super::fields::{Fields, Problems};
use super::json::OptionalDocument;
use super::problem::Problem;
use super::query::{Create, Read};
use super::{Api, Done, answer};
use crate::seals::{self, Absent, Progress, ResealError};

/// What is sealed with which key, and which node holds which.
#[derive(Serialize)]
struct SealsView {
    /// The key that the answering node seals with.
    first_key: String,
    total: usize,
    keys: Vec<SealedWith>,
    nodes: Vec<NodeKeys>,
}

#[derive(Serialize)]
struct SealedWith {
    key_id: String,
    sealed: usize,
    /// Whether the answering node can open them.
    held: bool,
}

#[derive(Serialize)]
struct NodeKeys {
    node_id: NodeId,
    /// The one it seals with first. Null: the node does not answer.
    key_ids: Option<Vec<String>>,
}

#[derive(Serialize)]
struct ProgressView {
    to: String,
    total: usize,
    moved: usize,
    left: BTreeMap<String, usize>,
}

impl ProgressView {
    fn of(Progress { to, total, moved, left, revision: _ }: Progress) -> Self {
        Self { to, total, moved, left }
    }
}

pub(super) async fn show(api: web::Data<Api>, read: Read) -> Result<HttpResponse, Problem> {
    let held: Vec<&str> = api.keyring.keys().map(vocab::MasterKey::id).collect();
    let (revision, mut counts) = api
        .read(&read, |state| -> BTreeMap<String, usize> {
            state.sealed_with().iter().map(|(id, count)| (id.clone(), *count)).collect()
        })
        .await?;
    for id in &held {
        counts.entry((*id).to_owned()).or_default();
    }
    let nodes = api.control.master_keys().await;
    let view = SealsView {
        first_key: api.keyring.first_id().to_owned(),
        total: counts.values().sum(),
        keys: counts
            .into_iter()
            .map(|(key_id, sealed)| SealedWith { held: held.contains(&key_id.as_str()), key_id, sealed })
            .collect(),
        nodes: nodes.into_iter().map(|(node_id, key_ids)| NodeKeys { node_id, key_ids }).collect(),
    };
    Ok(answer::show(revision, None, &view))
}

pub(super) async fn reseal(
    api: web::Data<Api>,
    who: Principal,
    write: Create,
    body: OptionalDocument,
) -> Result<HttpResponse, Problem> {
    let problems = Problems::default();
    let absent = Fields::of(&body.0, "", &problems).map(|fields| {
        let force = fields.flag("force").unwrap_or_default();
        fields.finish();
        if force { Absent::Accept } else { Absent::Refuse }
    });
    let absent = problems.settle(absent)?;
    // Done twice it does nothing the second time, so it needs no memory of the request.
    let command =
        Command { origin: who.origin.clone(), ..Command::new(who.actor(), Mutation::KeyReseal { moves: Vec::new() }) };
    // Boxed, since it holds whole batches across its waits.
    let resealed = Box::pin(seals::reseal(&api.control, &api.keyring, &command, absent)).await;
    let progress = resealed.map_err(|why| match why {
        ResealError::NotEverywhere { .. } => Problem::new(ErrorCode::Conflict, why.to_string()),
        ResealError::Propose(why) => why.into(),
    })?;
    tracing::info!(actor = who.name(), action = "key.reseal", revision = %progress.revision, "changed");
    let revision = progress.revision;
    let fleet = match write.0.wait_for_fleet {
        Some(timeout) => Some(api.control.wait_for_fleet(revision, timeout).await),
        None => None,
    };
    Ok(answer::done(&Done::at(revision, fleet), &ProgressView::of(progress)))
}
