//! For the tests beside the code: a tenant with a key and clients, and no database.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth_core::client::{AuthMethod, Client, ClientSecret, ClientSpec, GrantType};
use oauth_core::jose::ClientKeys;
use transport::forwarded::TrustedProxies;
use vocab::oauth::OAuthSettings;
use vocab::{ClusterId, KeyFamily, Keyring, ManualClock, MasterKey, Revision, SecretDigest, TenantId, Timestamp};

use crate::app::App;
use crate::caller::Verifier;
use crate::client_certificates::ClientCertificates;
use crate::directory::{Directory, LiveDirectory};
use crate::fetch::Fetcher;
use crate::fetch::address::Reachable;
use crate::issued::IssuedTokens;
use crate::outbox::Outbox;
use crate::password::Hasher;
use crate::signing::{KeyRecord, KeySet, KeyStatus, SigningKey};
use crate::tenant::{Lifetimes, Scope, TenantContext, TenantStatus};
use crate::throttle::Throttle;

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
pub(crate) const SECRET: &str = "s3cret";

/// An application whose directory holds [`tenant`] alone.
pub(crate) fn app() -> App {
    let mut directory = Directory::default();
    directory.cluster_id = Some(ClusterId::from_uuid(uuid::Uuid::nil()));
    directory.put(None, &Arc::new(tenant()));
    let fetcher = Arc::new(Fetcher::new(Reachable::default(), &[]).expect("a client"));
    App {
        registrar: Arc::default(),
        mails: crate::pace::Pace::default(),
        registrations: crate::pace::Pace::default(),
        directory: Arc::new(LiveDirectory::new(directory)),
        status: Arc::default(),
        clock: Arc::new(ManualClock::at(NOW)),
        default_tenant: None,
        hasher: Hasher::start(1).expect("a thread"),
        throttle: Throttle::default(),
        trusted_proxies: TrustedProxies::default(),
        keyring: Keyring::new(MasterKey::new([1; 32]), vec![]),
        verifier: Verifier::new(Arc::clone(&fetcher), &Keyring::new(MasterKey::new([1; 32]), vec![]), None),
        client_certificates: ClientCertificates::default(),
        takes_certificates: false,
        fetcher,
        outbox: Outbox::new().0,
        has_mail_server: false,
    }
}

/// `web` (Basic), `post` and the public `app` may do everything; `off` is disabled. All know the scope `staff`.
pub(crate) fn tenant() -> TenantContext {
    let issuer = "https://id.example/t/acme";
    let mut off = client("off", AuthMethod::ClientSecretBasic);
    off.spec.enabled = false;
    off.spec.allowed_origins = vec!["https://off.example".to_owned()];
    let mut code_only = client("code-only", AuthMethod::ClientSecretPost);
    code_only.spec.grant_types = vec![GrantType::AuthorizationCode];
    code_only.spec.allowed_origins = vec!["https://portal.example".to_owned()];
    let clients = [
        client("web", AuthMethod::ClientSecretBasic),
        client("post", AuthMethod::ClientSecretPost),
        client("app", AuthMethod::None),
        off,
        code_only,
    ];
    let staff = Scope {
        name: "staff".parse().expect("a scope"),
        description: "Who works here".to_owned(),
        claims: vec!["badge".to_owned()],
    };
    TenantContext {
        id: TenantId::from_uuid(uuid::Uuid::from_u128(1)),
        slug: "acme".parse().expect("a slug"),
        display_name: "Acme".to_owned(),
        status: TenantStatus::Active,
        issuer: issuer.to_owned(),
        hosts: vec![],
        lifetimes: Lifetimes {
            access_token_secs: 600,
            id_token_secs: 600,
            refresh_token_idle_secs: 1000,
            refresh_token_absolute_secs: 2000,
            session_idle_secs: 1000,
            session_absolute_secs: 2000,
            authorization_code_secs: 60,
            jwks_cache_secs: 300,
        },
        registration_enabled: false,
        staleness: None,
        limiter: None,
        mail: crate::mail::MailServer::default(),
        provider_secrets: crate::federation::secrets::ProviderSecrets::default(),
        oauth: OAuthSettings::default(),
        trusted_jwt_issuers: Arc::default(),
        details_types: Arc::default(),
        branding: Arc::default(),
        clients: clients.into_iter().map(|client| (client.client_id.clone(), Arc::new(client))).collect(),
        scopes: BTreeMap::from([(staff.name.clone(), staff)]),
        keys: keys(),
        revision: Revision::default(),
        base_path: "/t/acme".to_owned(),
        database: None,
        issued: IssuedTokens::of(&"acme".parse().expect("a slug")),
    }
}

fn client(id: &str, auth_method: AuthMethod) -> Client {
    let secret = ClientSecret { digest: SecretDigest::of(SECRET.as_bytes()), key: None, expires_at: None };
    Client {
        client_id: id.parse().expect("a client_id"),
        spec: ClientSpec {
            name: id.to_owned(),
            token_endpoint_auth_method: auth_method,
            redirect_uris: vec!["https://app.example/cb".to_owned()],
            grant_types: GrantType::ALL.to_vec(),
            scopes: ["openid", "email", "staff", "hj:users.read"].map(|name| name.parse().expect("a scope")).to_vec(),
            audiences: vec!["https://api.example".to_owned()],
            allowed_origins: vec!["https://app.example".to_owned()],
            ..ClientSpec::default()
        },
        secrets: if auth_method == AuthMethod::None { vec![] } else { vec![secret] },
        keys: ClientKeys::default(),
        revision: Revision::default(),
    }
}

/// A fresh ES256 key.
fn keys() -> KeySet {
    let keyring = Keyring::new(MasterKey::new([1; 32]), vec![]);
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).expect("its own encoding");
    // SEC 1 §2.3.3: 4, x, y.
    let (x, y) = pair.public_key().as_ref().get(1..).expect("a point").split_at(32);
    let public_jwk = serde_json::json!({
        "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    });
    let record = KeyRecord {
        kid: "k1".parse().expect("a kid"),
        family: KeyFamily::P256,
        status: KeyStatus::Active,
        public_jwk: public_jwk.to_string(),
        private_key: keyring.seal(pkcs8.as_ref(), [2; 24]),
    };
    KeySet::new(vec![Arc::new(SigningKey::open(&record, &keyring).expect("a usable key"))], None)
}
