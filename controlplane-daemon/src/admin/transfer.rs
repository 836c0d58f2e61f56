//! `/export` and `/import`: the configuration as JSON lines, secrets sealed.

use std::io::{self, Write};

use actix_web::web::{self, Bytes};
use actix_web::{HttpResponse, http::header};
use controlplane_core::Rejection;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use tokio::sync::mpsc;
use vocab::ErrorCode;

use super::Api;
use super::answer::{self, X_REVISION};
use super::auth::Principal;
use super::problem::Problem;
use super::query::{Import as Asked, Read};
use crate::backup::import::{Import, ImportError};
use crate::backup::write::export as write_export;
use crate::control_plane::ProposeError;

const PIECE_BYTES: usize = 64 << 10;
/// Pieces that may wait for a slow reader; then the writing waits.
const PIECES: usize = 4;
/// Far above any configuration; the disk must have room for it while it is imported.
const IMPORT_BYTES: u64 = 2 << 30;

pub(super) async fn export(api: web::Data<Api>, read: Read) -> Result<HttpResponse, Problem> {
    api.read(&read, |_| ()).await?;
    let (revision, state) = api.control.state();
    let cluster_id = api.control.status().cluster_id;
    let (pieces, taken) = mpsc::channel(PIECES);
    // A file that lacks its last line is known to be cut short: a failure needs no other word.
    let writing = move || write_export(&state, cluster_id, revision, Pieces { gathered: Vec::new(), pieces });
    drop(tokio::task::spawn_blocking(writing));
    let body = stream::unfold(taken, |mut taken| async move { taken.recv().await.map(|piece| (piece, taken)) });
    let name = format!("attachment; filename=\"hellojohn-{revision}.jsonl\"");
    Ok(HttpResponse::Ok()
        .insert_header((X_REVISION, revision.to_string()))
        .insert_header((header::CONTENT_DISPOSITION, name))
        .content_type("application/jsonl")
        .streaming(body.map(Ok::<Bytes, actix_web::Error>)))
}

/// From the thread that writes to the response that is read.
struct Pieces {
    gathered: Vec<u8>,
    pieces: mpsc::Sender<Bytes>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = Bytes::from(std::mem::take(&mut self.gathered));
        self.pieces.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

pub(super) async fn import(
    api: web::Data<Api>,
    who: Principal,
    asked: Asked,
    mut body: web::Payload,
) -> Result<HttpResponse, Problem> {
    let mut gathered = api.control.spool().map_err(Problem::internal)?;
    while let Some(piece) = body.try_next().await.map_err(|why| Problem::bad_request(format!("the body: {why}")))? {
        if gathered.offset() + piece.len() as u64 > IMPORT_BYTES {
            return Err(Problem::new(
                ErrorCode::PayloadTooLarge,
                format!("an import has at most {IMPORT_BYTES} bytes"),
            ));
        }
        gathered.push(&piece).map_err(Problem::internal)?;
    }
    let file = web::block(move || gathered.finish()).await.map_err(Problem::internal)?.map_err(Problem::internal)?;
    let (control, keyring) = (api.control.clone(), api.keyring.clone());
    let (importer, origin, now) = (who.actor(), who.origin.clone(), api.clock.now());
    let import = Import { control, keyring, importer, origin, mode: asked.mode, now };
    let plan = import.plan(&file).await?;
    if asked.dry_run {
        let document = json!({ "dry_run": true, "summary": plan.tally });
        return Ok(answer::show(api.control.applied_revision(), None, &document));
    }
    // On its own: it goes on when the one who asked does not wait for the answer.
    let carried_out = tokio::spawn(async move { Box::pin(import.carry_out(plan, file)).await });
    let report = carried_out.await.map_err(Problem::internal)??;
    tracing::info!(actor = who.name(), revision = %report.revision, "an import was carried out");
    let document = json!({ "dry_run": false, "summary": report.tally, "revision": report.revision });
    let fleet = match asked.wait_for_fleet {
        Some(timeout) => Some(api.control.wait_for_fleet(report.revision, timeout).await),
        None => None,
    };
    Ok(answer::applied(report.revision, fleet.as_ref(), &document))
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Broken => Self::internal(error),
            ImportError::Refused { line, why: ProposeError::Rejected(Rejection::Invalid { violations }) } => {
                Self::invalid(violations).at(format!("up to line {line} of the file"))
            }
            other => Self::new(other.code(), other.to_string()),
        }
    }
}
