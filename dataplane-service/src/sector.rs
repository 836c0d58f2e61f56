//! The document behind a `sector_identifier_uri`: it says which redirect URIs share their users' subjects (OIDC Core §8.1).
//!
//! Whoever registers itself is held against it (Registration §5), or a stranger could join somebody's sector by naming
//! it and learn the subjects there. An operator is believed: who can write clients can read users.

use oauth_core::jose::Jws;
use serde_json::{Map, Value};

use crate::fetch::{FetchError, Fetcher};

#[derive(Debug, thiserror::Error)]
pub enum SectorError {
    #[error("the sector_identifier_uri could not be read: {0}")]
    Fetch(#[from] FetchError),
    #[error("the sector_identifier_uri does not lead to a JSON array of strings")]
    Document,
    #[error("the sector_identifier_uri does not name every redirect URI of the client")]
    Missing,
}

/// Whether every redirect URI that is to be registered stands in the document of the sector that is named; who names none
/// needs none. What is no text or list of texts is left to the control plane, which refuses it.
pub async fn check(fetcher: &Fetcher, metadata: &Map<String, Value>) -> Result<(), SectorError> {
    let vouched = vouched(metadata);
    let said = |name: &str| vouched.get(name).or_else(|| metadata.get(name));
    let Some(uri) = said("sector_identifier_uri").and_then(Value::as_str) else { return Ok(()) };
    let redirect_uris = said("redirect_uris").and_then(Value::as_array).into_iter().flatten();
    let redirect_uris: Vec<String> = redirect_uris.filter_map(Value::as_str).map(str::to_owned).collect();
    judge(&fetcher.get(uri).await?.body, &redirect_uris)
}

/// What a software statement says comes before what the client says (RFC 7591 §2.3). Whether it is believed, the control
/// plane finds out.
fn vouched(metadata: &Map<String, Value>) -> Map<String, Value> {
    let statement = metadata.get("software_statement").and_then(Value::as_str);
    let claims = statement.and_then(|statement| Jws::parse(statement).ok()?.unverified_claims().ok());
    claims.unwrap_or_default()
}

fn judge(document: &[u8], redirect_uris: &[String]) -> Result<(), SectorError> {
    let listed: Vec<String> = serde_json::from_slice(document).map_err(|_| SectorError::Document)?;
    if redirect_uris.iter().all(|uri| listed.contains(uri)) { Ok(()) } else { Err(SectorError::Missing) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_comes_first() {
        // {"alg":"ES256"} . {"sector_identifier_uri":"https://s.example"}
        let statement = "eyJhbGciOiJFUzI1NiJ9.eyJzZWN0b3JfaWRlbnRpZmllcl91cmkiOiJodHRwczovL3MuZXhhbXBsZSJ9.AAAA";
        let metadata = serde_json::json!({"software_statement": statement, "sector_identifier_uri": "https://mine"});
        assert_eq!(vouched(metadata.as_object().unwrap())["sector_identifier_uri"], "https://s.example");
        assert!(vouched(&Map::new()).is_empty());
    }

    #[test]
    fn every_redirect_uri_must_be_listed() {
        let mine = ["https://a.example/cb".to_owned()];
        assert!(judge(br#"["https://b.example/cb","https://a.example/cb"]"#, &mine).is_ok());
        assert!(matches!(judge(br#"["https://a.example/cb/"]"#, &mine), Err(SectorError::Missing)));
        for wrong in ["", "{}", "[1]", "<html>"] {
            assert!(matches!(judge(wrong.as_bytes(), &mine), Err(SectorError::Document)), "{wrong}");
        }
    }
}
