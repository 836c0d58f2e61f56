//! Whether an exported chain may begin where it does: with the first record of all, or after records for whose removal a
//! key of the cluster signs.

use std::io::Read;
use std::path::Path;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use vocab::{ChainHash, Link};

use crate::failure::Failure;

const TYPE: &str = "hj-audit-truncation+jws";

/// A key as the admin API shows it.
#[derive(Deserialize)]
struct Shown {
    kid: String,
    algorithm: Algorithm,
    public_jwk: Jwk,
}

pub(super) struct PublishedKeys(Vec<Shown>);

impl PublishedKeys {
    pub(super) fn read(mut file: impl Read, path: &Path) -> Result<Self, Failure> {
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(anyhow::Error::from)?;
        let keys = serde_json::from_str(&text);
        keys.map(Self).map_err(|error| Failure::Usage(format!("{}: no list of keys: {error}", path.display())))
    }
}

/// What a record of `audit.truncate` says.
#[derive(Deserialize)]
pub(super) struct Truncation {
    #[serde(flatten)]
    claims: Claims,
    signature: String,
}

#[derive(PartialEq, Eq, Deserialize)]
struct Claims {
    through_seq: u64,
    last_hash: ChainHash,
    removed: u64,
}

#[derive(Deserialize)]
struct Record {
    truncation: Option<Truncation>,
}

impl Truncation {
    pub(super) fn of(line: &str) -> Option<Self> {
        if !line.contains("\"truncation\":") {
            return None;
        }
        serde_json::from_str::<Record>(line).ok()?.truncation
    }

    /// JWS (RFC 7515). The algorithm is the key's own, whatever the header says (RFC 8725 §3.1).
    fn check(&self, keys: &PublishedKeys) -> Result<(), &'static str> {
        let header = jsonwebtoken::decode_header(&self.signature).map_err(|_| "the signature cannot be read")?;
        let key = keys.0.iter().find(|key| header.kid.as_ref() == Some(&key.kid)).ok_or("no such key is given")?;
        let verifying_key = DecodingKey::from_jwk(&key.public_jwk).map_err(|_| "the key cannot be used")?;
        let mut rules = Validation::new(key.algorithm);
        rules.validate_exp = false;
        rules.required_spec_claims.clear();
        let signed = jsonwebtoken::decode::<Claims>(&self.signature, &verifying_key, &rules);
        match signed {
            Ok(signed) if signed.claims == self.claims && header.typ.as_deref() == Some(TYPE) => Ok(()),
            _ => Err("the signature does not verify"),
        }
    }
}

/// How the chain begins; `newest` is the last truncation that is on record in it.
pub(super) fn check_beginning(
    first: Link,
    newest: Option<&Truncation>,
    keys: &PublishedKeys,
) -> Result<&'static str, String> {
    if first.seq == 1 && first.previous == ChainHash::ORIGIN {
        return Ok("whole");
    }
    let newest = newest.ok_or("nothing signs for the removal of the records before it")?;
    if newest.claims.through_seq + 1 != first.seq || newest.claims.last_hash != first.previous {
        return Err("it does not follow the last record that was removed".to_owned());
    }
    newest.check(keys).map_err(|why| format!("the removal of the records before it: {why}"))?;
    Ok("signed")
}
