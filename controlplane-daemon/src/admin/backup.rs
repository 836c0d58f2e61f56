//! `/cluster/snapshot`: everything there is, as one file to take away.

use std::future::Ready;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::web::{self, Bytes};
use actix_web::{FromRequest, HttpRequest, HttpResponse, http::header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::stream;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::Api;
use super::answer::{self, X_REVISION};
use super::problem::Problem;
use super::query::{self, Read};
use crate::control_plane::{SnapshotFile, StorageError};

/// What is read from the disk at a time.
const PIECE_BYTES: usize = 256 << 10;
const COMPACT_TIMEOUT: Duration = Duration::from_secs(30);

/// A request of which nothing more can be said.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoParameters;

impl FromRequest for NoParameters {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        query::extract(request, |_| Ok(Self))
    }
}

/// Has this node keep a snapshot and cut its log.
pub(super) async fn compact(api: web::Data<Api>, _: NoParameters) -> Result<HttpResponse, Problem> {
    let revision = api.control.compact(COMPACT_TIMEOUT).await?;
    Ok(answer::show(api.control.applied_revision(), None, &json!({ "snapshot_revision": revision })))
}

/// A snapshot of this moment, as it can be restored from. `consistency=linearizable` includes all that was acknowledged
/// anywhere. `Repr-Digest` (RFC 9530 §3) says whether it arrived whole.
pub(super) async fn snapshot(api: web::Data<Api>, read: Read) -> Result<HttpResponse, Problem> {
    api.read(&read, |_| ()).await?;
    let (revision, file) = api.control.take_snapshot().await.map_err(Problem::internal)?;
    let summed = file.clone();
    let digest = web::block(move || digest(&summed)).await.map_err(Problem::internal)?.map_err(Problem::internal)?;
    let name = format!("attachment; filename=\"hellojohn-{revision}.snap\"");
    Ok(HttpResponse::Ok()
        .insert_header((X_REVISION, revision.to_string()))
        .insert_header((header::CONTENT_DISPOSITION, name))
        .insert_header(("repr-digest", format!("sha-256=:{}:", STANDARD.encode(digest))))
        .content_type("application/octet-stream")
        .no_chunking(file.len())
        .streaming(pieces(file)))
}

fn digest(file: &SnapshotFile) -> Result<[u8; 32], StorageError> {
    let mut hasher = Sha256::new();
    let mut offset = 0;
    loop {
        let piece = file.chunk(offset, PIECE_BYTES)?;
        if piece.is_empty() {
            return Ok(hasher.finalize().into());
        }
        hasher.update(&piece);
        offset += piece.len() as u64;
    }
}

fn pieces(file: SnapshotFile) -> impl futures::Stream<Item = Result<Bytes, actix_web::Error>> {
    stream::try_unfold((file, 0), |(file, offset)| async move {
        let read = web::block(move || file.chunk(offset, PIECE_BYTES).map(|piece| (piece, file)));
        // It has begun already: the connection breaks off, and what arrived is shorter than was announced.
        let (piece, file) = read.await?.map_err(Problem::internal)?;
        let next = offset + piece.len() as u64;
        Ok((!piece.is_empty()).then(|| (Bytes::from(piece), (file, next))))
    })
}
