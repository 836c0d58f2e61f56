//! Requests that come twice.

use serde::Serialize;
use vocab::{Revision, SecretDigest};

use crate::mutation::{Mutation, NewSecret};
use crate::rejection::Rejection;
use crate::state::{Applied, Remembered};

/// SHA-256 of what the requester decided: the mutation without what the asking node made for it.
///
/// A retry passes through a node again, which draws a new secret, a new credential and a new nonce for a sealed DSN;
/// those say nothing about whether the request is the same one, so they are left out.
pub(super) fn fingerprint(mutation: &Mutation, expected: Option<Revision>) -> SecretDigest {
    #[derive(Serialize)]
    struct Asked<'a> {
        name: &'a str,
        mutation: &'a Mutation,
        expected: Option<Revision>,
        /// In place of the database taken out, whose DSN is sealed anew each time.
        database_connections: Option<u32>,
    }
    if let Mutation::Batch { items, managed_by, .. } = mutation {
        // What it was planned on says nothing about what is asked.
        let items: Vec<_> = items.iter().map(|item| fingerprint(item, None)).collect();
        let asked = ("batch", items, managed_by, expected);
        return SecretDigest::of(&serde_json::to_vec(&asked).expect("digests and texts serialize"));
    }
    let mut mutation = mutation.clone();
    let database_connections = leave_out_generated(&mut mutation);
    let asked = Asked { name: mutation.name(), mutation: &mutation, expected, database_connections };
    SecretDigest::of(&serde_json::to_vec(&asked).expect("a mutation has string keys only and serializes"))
}

/// Answers what is to be kept of a database that was left out.
fn leave_out_generated(mutation: &mut Mutation) -> Option<u32> {
    const NO_DIGEST: SecretDigest = SecretDigest::from_bytes([0; 32]);
    let blank = |secret: &mut NewSecret| {
        secret.id = vocab::SecretId::from_uuid(uuid::Uuid::nil());
        secret.digest = NO_DIGEST;
        secret.sealed = None;
    };
    match mutation {
        Mutation::TenantCreate { spec, .. } | Mutation::TenantUpdate { spec, .. } => {
            return spec.settings.database.take().map(|database| database.max_connections);
        }
        Mutation::ClientCreate { secret: Some(secret), .. } | Mutation::ClientSecretAdd { secret, .. } => blank(secret),
        Mutation::RegistrationTokenCreate { id, digest, .. } => {
            *id = vocab::RegistrationTokenId::from_uuid(uuid::Uuid::nil());
            *digest = NO_DIGEST;
        }
        Mutation::AdminCreate { id, digest, .. } => {
            *id = vocab::AdminId::from_uuid(uuid::Uuid::nil());
            *digest = NO_DIGEST;
        }
        _ => {}
    }
    None
}

pub(super) fn answer(earlier: &Remembered, fingerprint: &SecretDigest) -> Result<Applied, Rejection> {
    if earlier.fingerprint != *fingerprint {
        return Err(Rejection::IdempotencyMismatch);
    }
    Ok(Applied {
        revision: earlier.revision,
        resource: earlier.resource.clone(),
        changes: Vec::new(),
        replayed: true,
        receipt: earlier.receipt.clone(),
        records: Vec::new(),
    })
}
