//! The FAPI 2.0 Security Profile (Final, 2025) as one switch, of a client or of a whole tenant, and what it leaves of that
//! which a client may be registered with. What it demands of requests is in `oauth_core::fapi`.

use serde::{Deserialize, Serialize};

use crate::SigningAlgorithm;
use crate::client::AuthMethod;
use crate::jws::JwsAlgorithm;

/// The version of the profile that is kept to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fapi {
    #[serde(rename = "2.0")]
    Security2,
}

impl Fapi {
    /// §5.3.2.1: "shall authenticate clients using one of the following methods: MTLS, or `private_key_jwt`". So none is
    /// public.
    pub const fn allows_method(self, method: AuthMethod) -> bool {
        matches!(method, AuthMethod::PrivateKeyJwt | AuthMethod::TlsClientAuth | AuthMethod::SelfSignedTlsClientAuth)
    }

    /// §5.4.1, of what clients sign.
    pub fn allows_algorithm(self, algorithm: JwsAlgorithm) -> bool {
        JwsAlgorithm::FAPI.contains(&algorithm)
    }

    /// §5.4.1, of what we sign.
    pub const fn allows_signing(self, algorithm: SigningAlgorithm) -> bool {
        matches!(algorithm, SigningAlgorithm::Ps256 | SigningAlgorithm::Es256 | SigningAlgorithm::EdDsa)
    }

    /// §5.3.2.2: "shall not allow clients to use redirect URIs that use the http scheme, except for native clients that use
    /// loopback interface redirection".
    pub fn allows_redirect(self, uri: &str, is_native: bool) -> bool {
        !uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http:")) || is_native
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left() {
        let fapi: Fapi = serde_json::from_str("\"2.0\"").unwrap();
        let methods = AuthMethod::ALL.into_iter().filter(|method| fapi.allows_method(*method));
        let methods: Vec<_> = methods.map(AuthMethod::as_str).collect();
        assert_eq!(methods, ["private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"]);
        let signing = SigningAlgorithm::ALL.into_iter().filter(|algorithm| fapi.allows_signing(*algorithm));
        let mut signing: Vec<_> = signing.map(SigningAlgorithm::as_str).collect();
        signing.sort_unstable();
        assert_eq!(signing, ["ES256", "EdDSA", "PS256"]);
        assert!(fapi.allows_algorithm(JwsAlgorithm::Ps256) && !fapi.allows_algorithm(JwsAlgorithm::Rs256));
        for (uri, web, native) in [
            ("https://app.example/cb", true, true),
            ("http://127.0.0.1/cb", false, true),
            ("HTTP://127.0.0.1/cb", false, true),
            ("com.example.app:/cb", true, true),
        ] {
            assert_eq!((fapi.allows_redirect(uri, false), fapi.allows_redirect(uri, true)), (web, native), "{uri}");
        }
    }
}
