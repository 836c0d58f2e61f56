//! The document behind a `sector_identifier_uri`: it says which redirect URIs share their users' subjects (OIDC Core §8.1).
//!
//! Whoever registers itself is held against it (Registration §5), or a stranger could join somebody's sector by naming
//! it and learn the subjects there. An operator is believed: who can write clients can read users.

use oauth_core::client::ClientSpec;

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

/// Whether every redirect URI stands in the document; a client without a `sector_identifier_uri` needs none.
pub async fn check(fetcher: &Fetcher, spec: &ClientSpec) -> Result<(), SectorError> {
    let Some(uri) = &spec.sector_identifier_uri else { return Ok(()) };
    judge(&fetcher.get(uri).await?.body, &spec.redirect_uris)
}

fn judge(document: &[u8], redirect_uris: &[String]) -> Result<(), SectorError> {
    let listed: Vec<String> = serde_json::from_slice(document).map_err(|_| SectorError::Document)?;
    if redirect_uris.iter().all(|uri| listed.contains(uri)) { Ok(()) } else { Err(SectorError::Missing) }
}

#[cfg(test)]
mod tests {
    use super::*;

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
