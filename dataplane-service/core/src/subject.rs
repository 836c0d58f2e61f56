//! What a client knows a user by (OIDC Core §8).
//!
//! A public subject is the user's id. A pairwise one is made of the client's sector, the user's id and the tenant's salt,
//! the first way that §8.1 shows. The salt stands in the tenant's database, beside the ids that it hides: it goes
//! wherever the users go, and neither a rotation of keys nor an import of the configuration changes who somebody is.
//! The way not taken was a sealed salt in the configuration: one that is lost, or made anew by an import elsewhere, would
//! make every user a stranger.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use url::Url;
use uuid::Uuid;
use vocab::client::{ClientSpec, SubjectType};

/// 32 random bytes.
pub type Salt = [u8; 32];

/// The host that a client's pairwise subjects belong to; `None`: its subjects are public.
pub fn sector(spec: &ClientSpec) -> Option<String> {
    match spec.subject_type {
        SubjectType::Public => None,
        SubjectType::Pairwise => {
            // The control plane has checked that there is one, and that all redirect URIs have the same.
            let uri = spec.sector_identifier_uri.as_ref().or(spec.redirect_uris.first());
            let host = uri.and_then(|uri| Url::parse(uri).ok()?.host_str().map(ToOwned::to_owned));
            Some(host.unwrap_or_default())
        }
    }
}

/// `SHA-256(sector ‖ user ‖ salt)`: all but the first part have one length, so no two inputs run together.
pub fn pairwise(sector: &str, user: Uuid, salt: &Salt) -> String {
    let digest = Sha256::new().chain_update(sector).chain_update(user.as_bytes()).chain_update(salt).finalize();
    URL_SAFE_NO_PAD.encode(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const USER: Uuid = Uuid::from_u128(7);

    fn pairwise_client(redirect: &str, sector: Option<&str>) -> ClientSpec {
        ClientSpec {
            subject_type: SubjectType::Pairwise,
            redirect_uris: vec![redirect.to_owned()],
            sector_identifier_uri: sector.map(ToOwned::to_owned),
            ..ClientSpec::default()
        }
    }

    #[rstest]
    #[case("https://a.example:8443/cb", None, "a.example")]
    #[case("https://a.example/cb", Some("https://Sector.example/uris.json"), "sector.example")]
    fn sectors(#[case] redirect: &str, #[case] uri: Option<&str>, #[case] expected: &str) {
        assert_eq!(sector(&pairwise_client(redirect, uri)).as_deref(), Some(expected));
    }

    #[test]
    fn a_public_client_has_none() {
        assert_eq!(sector(&ClientSpec::default()), None);
    }

    /// Computed with Python's hashlib: it must never change.
    #[test]
    fn a_pairwise_subject_is_what_it_ever_was() {
        assert_eq!(pairwise("a.example", USER, &[1; 32]), "twJIz_CWKnvwGXGMA4QPgDo9ilgL4lcUybEVTTdyKz4");
    }

    #[test]
    fn it_differs_by_sector_user_and_tenant() {
        let one = pairwise("a.example", USER, &[1; 32]);
        for other in [
            pairwise("b.example", USER, &[1; 32]),
            pairwise("a.example", Uuid::from_u128(8), &[1; 32]),
            pairwise("a.example", USER, &[2; 32]),
        ] {
            assert_ne!(one, other);
        }
    }
}
