//! Where strangers' bytes come in, each as a function that must hold for every input. The fuzz targets of this folder run
//! them for as long as somebody likes (`./hj fuzz`), the suite `fuzz` for a moment with every test.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dataplane_service::decryption::{DecryptionKey, DecryptionKeys};
use dataplane_service::signing::{KeyRecord, KeyStatus};
use oauth_core::authorization_details::DetailTypes;
use oauth_core::authorize::request_object::{self, Envelope};
use oauth_core::authorize::{Channel, Refusal, Site, validate};
use oauth_core::bearer;
use oauth_core::claims_request::ClaimsRequest;
use oauth_core::client::{Client, ClientSpec, GrantType};
use oauth_core::client_auth::assertion::{self, Assertion, Audience, Strictness};
use oauth_core::dpop::{self, NonceRule};
use oauth_core::form::Form;
use oauth_core::jose::encrypted::Encrypted;
use oauth_core::jose::{ClientKeys, Jws};
use oauth_core::pkce::Challenge;
use oauth_core::scope::ScopeSet;
use vocab::jws::JwsAlgorithm;
use vocab::oauth::OAuthSettings;
use vocab::registration::InitialToken;
use vocab::{KeyFamily, Keyring, MasterKey, Revision, Timestamp};

/// Takes anything.
type Entry = fn(&[u8]);

/// By name: what `./hj fuzz NAME` takes.
pub(crate) const ENTRIES: [(&str, Entry); 10] = [
    ("form", form),
    ("redirect_uri", redirect_uri),
    ("authorization_request", authorization_request),
    ("claims", claims),
    ("jws", jws),
    ("signed_request", signed_request),
    ("encrypted_request", encrypted_request),
    ("client_proof", client_proof),
    ("bearer", bearer_token),
    ("words", words),
];

/// The form parser: no name twice, no NUL, and what was read can be written and read again.
pub(crate) fn form(data: &[u8]) {
    let Ok(form) = Form::parse(data) else { return };
    let mut names = std::collections::BTreeSet::new();
    for (name, value) in form.iter() {
        assert!(!value.contains('\0') && !name.contains('\0'));
        assert!(names.insert(name.to_owned()) || name == "resource", "{name} twice");
    }
    let written: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(form.iter()).finish();
    // What was shorter unescaped may be too long now.
    if let Ok(again) = Form::parse(written.as_bytes()) {
        assert!(form.iter().eq(again.iter()));
    }
}

fn client(redirect_uri: &str) -> Client {
    let spec = ClientSpec {
        redirect_uris: vec![redirect_uri.to_owned()],
        grant_types: GrantType::ALL.to_vec(),
        scopes: ["openid", "email"].into_iter().filter_map(|scope| scope.parse().ok()).collect(),
        ..ClientSpec::default()
    };
    let client_id = "web".parse().expect("a client_id");
    Client { client_id, spec, secrets: Vec::new(), keys: ClientKeys::default(), revision: Revision::default() }
}

/// The redirect-URI matcher: what is let through is the registered one, or differs by the port of a loopback address.
pub(crate) fn redirect_uri(data: &[u8]) {
    let Ok(asked) = std::str::from_utf8(data) else { return };
    for registered in ["https://app.example/cb", "http://127.0.0.1/cb?x=1", "http://[::1]:7/", "com.example.app:/cb"] {
        if client(registered).redirects_to(asked) && asked != registered {
            let (asked, registered) =
                (url::Url::parse(asked).expect("a URL"), url::Url::parse(registered).expect("a URL"));
            assert!(registered.scheme() == "http" && asked.scheme() == "http");
            assert_eq!(asked.host_str(), registered.host_str());
            assert_eq!((asked.path(), asked.query()), (registered.path(), registered.query()));
            assert!(asked.username().is_empty() && asked.password().is_none() && asked.fragment().is_none());
        }
    }
}

/// The authorization request: an error goes to a registered address only.
pub(crate) fn authorization_request(data: &[u8]) {
    let (web, settings) = (client("https://app.example/cb"), OAuthSettings::default());
    for start in ["", "client_id=web&redirect_uri=https%3A%2F%2Fapp.example%2Fcb&response_type=code&"] {
        let query = [start.as_bytes(), data].concat();
        let Ok(form) = Form::parse(&query) else { continue };
        let find = |id: &str| (id == "web").then_some(&web);
        let details_types = DetailTypes::default();
        let site = Site {
            issuer: "https://id.example",
            settings: &settings,
            scope_claims: &|_| None,
            details_types: &details_types,
        };
        match validate(&form, site, Channel::Front, find) {
            Ok(asked) => assert!(web.redirects_to(&asked.return_address().redirect_uri)),
            Err(Refusal::Redirect(address, _)) => assert!(web.redirects_to(&address.redirect_uri)),
            Err(Refusal::Page(_)) => {}
        }
    }
}

/// The `claims` parameter: what is taken is stored, and must be read back the same.
pub(crate) fn claims(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(asked) = ClaimsRequest::parse(text) {
        let stored = serde_json::to_string(&asked).expect("it is JSON");
        let read: ClaimsRequest = serde_json::from_str(&stored).expect("what was stored");
        assert_eq!(read, asked);
    }
}

/// What is taken apart of a JWT before anybody verifies it: assertions, request objects, DPoP proofs.
pub(crate) fn jws(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(jws) = Jws::parse(text) else { return };
    // Neither `none` nor HMAC is ever among the asymmetric ones.
    if let Ok(algorithm) = jws.algorithm(&JwsAlgorithm::ASYMMETRIC) {
        assert!(JwsAlgorithm::ASYMMETRIC.contains(&algorithm));
    }
    let _ = (jws.kid(), jws.has_type("dpop+jwt"), jws.embedded_key().is_some());
    let _ = jws.unverified_claims::<serde_json::Value>();
}

/// A request object, up to its signature; and the parameters of one that a client did sign, which keep to the rules of a
/// form.
pub(crate) fn signed_request(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (web, none) = (client("https://app.example/cb"), ClientKeys::default());
    let outer = Form::parse(b"client_id=web").expect("a form");
    let envelope = Envelope { issuer: "https://id.example", form: &outer };
    let opened = request_object::open(Timestamp::from_secs(0), &web, &none, text, envelope);
    assert!(opened.is_err(), "nobody signed it");
    let pairs = text.split('&').filter_map(|pair| pair.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned()));
    if let Ok(form) = Form::of(pairs) {
        assert!(form.iter().all(|(name, value)| !name.contains('\0') && !value.contains('\0')));
        let _ = request_object::carried(&form, &web, Channel::Front);
    }
}

/// The keys that requests are encrypted to here, of both kinds.
static DECRYPTION: LazyLock<DecryptionKeys> = LazyLock::new(|| {
    let keyring = Keyring::new(MasterKey::new([1; 32]), Vec::new());
    let [ec, rsa] = [KeyFamily::P256Encryption, KeyFamily::RsaEncryption].map(|family| {
        let pkcs8 = if family == KeyFamily::RsaEncryption {
            let pair = PrivateDecryptingKey::generate(KeySize::Rsa2048).expect("a key");
            AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).expect("its own bytes").as_ref().to_vec()
        } else {
            let random = SystemRandom::new();
            let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
            pair.expect("a key").as_ref().to_vec()
        };
        let record = KeyRecord {
            kid: family.as_str().parse().expect("a kid"),
            family,
            status: KeyStatus::Active,
            public_jwk: "{}".to_owned(),
            private_key: keyring.seal(&pkcs8, [0; 24]),
        };
        Arc::new(DecryptionKey::open(&record, &keyring).expect("a usable key"))
    });
    DecryptionKeys::new(vec![ec, rsa])
});

/// What nobody encrypted: as it is, and behind headers that let it come as far as the keys.
pub(crate) fn encrypted_request(data: &[u8]) {
    let opened = |token: &str| match Encrypted::parse(token) {
        Some(Ok(parsed)) => DECRYPTION.open(&parsed).is_ok(),
        Some(Err(_)) | None => false,
    };
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(!opened(text), "nobody encrypted it");
    }
    let quarter = data.len() / 4;
    let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let parts: Vec<&[u8]> = data.chunks(quarter.max(1)).collect();
    let part = |at: usize| parts.get(at).copied().unwrap_or_default();
    let epk = |x: &str, y: &str| format!(r#""epk":{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#);
    // RFC 7515 appendix A.3: a point that is on the curve.
    let good = epk("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    for header in [
        r#"{"alg":"RSA-OAEP-256","enc":"A256GCM"}"#.to_owned(),
        format!(r#"{{"alg":"ECDH-ES","enc":"A256GCM",{}}}"#, epk(&b64(part(0)), &b64(part(1)))),
        format!(r#"{{"alg":"ECDH-ES+A256KW","enc":"A256GCM",{good}}}"#),
    ] {
        let token = [b64(header.as_bytes()), b64(part(0)), b64(part(1)), b64(part(2)), b64(part(3))].join(".");
        assert!(!opened(&token), "nobody encrypted it");
    }
}

/// What clients prove themselves with, with keys that signed none of it: assertions and proofs of DPoP.
pub(crate) fn client_proof(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let now = Timestamp::from_secs(0);
    let algorithms = &vocab::jws::JwsAlgorithm::ASYMMETRIC;
    let request = dpop::Request { now, method: "POST", algorithms, urls: &[], access_token: Some(text) };
    assert!(dpop::verify(text, request, NonceRule::Required, |_| true).is_err(), "it is for no URL at all");
    let body: String = form_urlencoded::Serializer::new(String::new())
        .append_pair("client_assertion_type", assertion::TYPE)
        .append_pair("client_assertion", text)
        .finish();
    let Ok(form) = Form::parse(body.as_bytes()) else { return };
    if let Ok(Some(asserted)) = Assertion::of(None, &form) {
        let audience = Audience { issuer: "https://id.example", strict: Strictness::Usual, endpoint: "/oauth2/token" };
        let web = client("https://app.example/cb");
        assert!(asserted.verify(now, &web, &ClientKeys::default(), audience).is_err(), "nobody signed it");
    }
}

/// The `Authorization` header of a protected endpoint.
pub(crate) fn bearer_token(data: &[u8]) {
    if let Ok(Some((_, token))) = bearer::presented(Some(data), None) {
        assert!(!token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()));
    }
}

/// Words with a grammar of their own.
pub(crate) fn words(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(scopes) = ScopeSet::parse(text) {
        assert!(scopes.iter().all(|scope| text.split(' ').any(|word| word == scope.as_str())));
    }
    let _ = Challenge::parse(text);
    let _ = text.parse::<InitialToken>();
}
