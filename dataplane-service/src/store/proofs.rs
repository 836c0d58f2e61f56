//! Proofs that count once: of DPoP (RFC 9449 §11.1) and assertions of clients (RFC 7523 §3).

use vocab::Timestamp;

use super::swept::swept;
use crate::store::{DbError, TenantDb};

/// One proof among all that could come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof<'a> {
    /// What it proves: two kinds may have the same `jti`.
    pub kind: &'static str,
    /// Whose it is: a `client_id`, the thumbprint of a key.
    pub owner: &'a str,
    pub jti: &'a str,
}

impl Proof<'_> {
    /// The same for this proof alone: no part can be taken for the end of the one before.
    pub fn name(&self) -> String {
        let Self { kind, owner, jti } = self;
        format!("proof {kind} {} {owner} {jti}", owner.len())
    }
}

/// Notes the proof; whether this was its first use. Of any number of requests at once, one is told so. A few proofs that
/// are too old to be accepted anyhow are swept up on the way: more than come in.
pub async fn first_use(
    db: &TenantDb,
    proof: Proof<'_>,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<bool, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with ",
            swept!(from: "used_proofs", by: "digest", before: "$3"),
            " insert into used_proofs (digest, expires_at) values ($1, $2) on conflict (digest) do nothing",
        ))
        .await?;
    let digest = db.digest(&proof.name());
    let inserted = client.execute(&statement, &[&digest, &expires_at.system_time(), &now.system_time()]).await?;
    Ok(inserted == 1)
}
