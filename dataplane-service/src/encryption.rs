//! Answers that only the client can read: JWE in compact form (RFC 7516 §7.1), to a key of the client's. The cryptography
//! is `picky`'s; nothing is ever decrypted here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth_core::client::Client;
use oauth_core::error::OAuthError;
use oauth_core::jose::{ClientKeys, PublicKey};
use picky::jose::jwe::{Jwe, JweAlg, JweEnc, JweError};
use picky::jose::jwk::{Jwk, JwkError};
use serde_json::json;
use vocab::jwe::{ContentEncryption, Encryption, JweAlgorithm};

use crate::caller::Verifier;
use crate::client_keys::Keys;

/// Who we are, where keys are agreed on: no client has such a name, and the two must differ.
const PRODUCER: &str = "OpenID Provider";

/// What is encrypted.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// A JWT that was signed (RFC 7519 §5.2: the header says so).
    Jwt(&'a str),
    /// Claims alone, as JSON.
    Claims(&'a [u8]),
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the key is unusable: {0}")]
    Key(#[from] JwkError),
    #[error(transparent)]
    Encryption(#[from] JweError),
}

/// Encrypts to the key of the client that fits: of its `jwks`, or of what it publishes.
pub async fn encrypt(
    verifier: &Verifier,
    client: &Client,
    asked: Encryption,
    content: Content<'_>,
) -> Result<String, OAuthError> {
    let unreachable =
        |_| OAuthError::temporarily_unavailable("The keys at the client's jwks_uri could not be fetched; try again.");
    let keys = Keys::of(verifier, client).await.map_err(unreachable)?;
    let sealed = match (key(&keys, asked.alg), keys.renewed(verifier)) {
        (Some(key), _) => seal(client, key, asked, content),
        (None, renewed) => {
            // It may have been published since.
            let renewed = renewed.await.transpose().map_err(unreachable)?;
            let key = renewed.as_ref().and_then(|keys| key(keys, asked.alg));
            let missing = "The client has no key that answers could be encrypted to as it asks.";
            seal(client, key.ok_or(OAuthError::invalid_request(missing))?, asked, content)
        }
    };
    sealed.map_err(|error| {
        tracing::warn!(client = %client.client_id, %error, "an answer could not be encrypted");
        OAuthError::server_error("The answer could not be encrypted to the client's key.")
    })
}

/// One that is for encryption alone, rather than one that says nothing.
fn key(keys: &ClientKeys, alg: JweAlgorithm) -> Option<&PublicKey> {
    let fits = || keys.iter().filter(|key| alg.fits(key.jwk()));
    fits().find(|key| key.jwk().usage.is_some()).or_else(|| fits().next())
}

fn seal(recipient: &Client, key: &PublicKey, asked: Encryption, content: Content<'_>) -> Result<String, Fault> {
    let alg = match asked.alg {
        JweAlgorithm::RsaOaep256 => JweAlg::RsaOaep256,
        JweAlgorithm::EcdhEs => JweAlg::EcdhEs,
        JweAlgorithm::EcdhEsA256Kw => JweAlg::EcdhEsAesKeyWrap256,
    };
    let enc = match asked.enc {
        ContentEncryption::A256Gcm => JweEnc::Aes256Gcm,
    };
    let payload = match content {
        Content::Jwt(jwt) => jwt.as_bytes(),
        Content::Claims(claims) => claims,
    };
    let mut jwe = Jwe::new(alg, enc, payload.to_vec());
    if matches!(content, Content::Jwt(_)) {
        jwe.header.cty = Some("JWT".to_owned());
    }
    jwe.header.kid.clone_from(&key.jwk().kid);
    // Who produced it and whom it is for go into the key that is agreed on (RFC 7518 §4.6.2). The library would write null
    // for them, which strict readers take for a value of the wrong type.
    jwe.header.apu = Some(URL_SAFE_NO_PAD.encode(PRODUCER));
    jwe.header.apv = Some(URL_SAFE_NO_PAD.encode(recipient.client_id.as_str()));
    let jwk = key.jwk();
    // The members that make the key, and no other: the library knows fewer of the rest than there are.
    let mut bare = json!({ "kty": jwk.kty });
    for (name, value) in [("crv", &jwk.crv), ("x", &jwk.x), ("y", &jwk.y), ("n", &jwk.n), ("e", &jwk.e)] {
        if let Some(value) = value {
            bare[name] = value.as_str().into();
        }
    }
    let public = Jwk::from_json(&bare.to_string())?.to_public_key()?;
    Ok(jwe.encode(&public)?)
}
