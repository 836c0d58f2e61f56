//! A tenant as tests want one: a database of its own, three clients, and people who can sign in.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::admin::Admin;
use crate::postgres::{self, Database};
use crate::relying_party::RelyingParty;
use crate::web;
use crate::world::World;

pub const APP_REDIRECT: &str = "https://app.example/callback";
pub const NATIVE_REDIRECT: &str = "http://127.0.0.1:8123/callback";
pub const BACKEND_REDIRECT: &str = "https://backend.example/callback";

#[derive(Debug)]
pub struct Tenant {
    pub slug: String,
    pub issuer: String,
    pub database: Database,
    pub admin: Admin,
    /// Public, code with PKCE and refresh, asks for consent.
    pub app: RelyingParty,
    /// Confidential (`client_secret_basic`), code and refresh, asks for no consent.
    pub backend: RelyingParty,
    /// Confidential, `client_credentials`, may manage users.
    pub service: RelyingParty,
}

/// Someone with an account.
#[derive(Clone, Debug)]
pub struct User {
    pub id: String,
    pub email: String,
    pub password: String,
}

/// A slug that no other test of this process uses.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Tenant {
    /// Made under a slug that begins with `name`; known to every connected pod when this returns.
    pub async fn create(world: &World, name: &str) -> Self {
        Self::create_with(world, name, json!({})).await
    }

    /// `settings` are the tenant's, beside its database.
    pub async fn create_with(world: &World, name: &str, mut settings: Value) -> Self {
        let slug = unique(name);
        let database = postgres::server().await.database(&slug).await;
        settings["database"] = json!({ "dsn": database.dsn(), "max_connections": 5 });
        let admin = world.admin().await;
        admin.create_tenant(&slug, settings).await;
        let issuer = format!("{}/t/{slug}", world.pods[0].url());
        let clients = format!("/tenants/{slug}/clients");
        let app = json!({
            "client_id": "app", "name": "The App", "token_endpoint_auth_method": "none", "require_consent": true,
            "redirect_uris": [APP_REDIRECT, NATIVE_REDIRECT], "grant_types": ["authorization_code", "refresh_token"],
            "scopes": ["openid", "profile", "email", "offline_access"],
        });
        let backend = json!({
            "client_id": "backend", "name": "The Backend", "token_endpoint_auth_method": "client_secret_basic",
            "redirect_uris": [BACKEND_REDIRECT], "grant_types": ["authorization_code", "refresh_token"],
            "scopes": ["openid", "profile", "email", "offline_access"],
        });
        let service = json!({
            "client_id": "service", "name": "The Service", "token_endpoint_auth_method": "client_secret_basic",
            "grant_types": ["client_credentials"], "scopes": ["hj:users.read", "hj:users.write"],
        });
        let _ = admin.post(&clients, &app).await.expect(201);
        let backend = admin.post(&clients, &backend).await.expect(201);
        let service = admin.create_client(&slug, &service).await;
        let party =
            |id: &str, secret: Option<String>, redirect_uri: &str| RelyingParty::new(&issuer, id, secret, redirect_uri);
        Self {
            app: party("app", None, APP_REDIRECT),
            backend: party("backend", Some(backend.text_of("client_secret")), BACKEND_REDIRECT),
            service: party("service", service.secret, ""),
            slug,
            issuer,
            database,
            admin,
        }
    }

    /// A new user, made by the tenant's own user management.
    pub async fn user(&self, name: &str) -> User {
        self.user_with(name, &json!({ "name": name })).await
    }

    /// The same, of whom these claims are known.
    pub async fn user_with(&self, name: &str, claims: &Value) -> User {
        let email = format!("{name}@{}.example", self.slug);
        let password = format!("{name} is a horse with a staple");
        let token = self.service.client_credentials("hj:users.write").await;
        let body = json!({ "email": email, "password": password, "email_verified": true, "claims": claims });
        let request = self.service.http.post(format!("{}/api/v1/users", self.issuer)).bearer_auth(token).json(&body);
        let answer = web::send(request).await.expect(201);
        User { id: answer.text_of("id"), email, password }
    }

    /// Changes the tenant and returns once every connected pod knows.
    pub async fn patch(&self, patch: &Value) {
        let answer = self.admin.patch(&format!("/tenants/{}?wait=fleet&timeout=15s", self.slug), patch).await;
        assert_eq!(answer.expect(200).header("x-fleet"), Some("complete"));
    }

    /// Changes a client and returns once every connected pod knows.
    pub async fn patch_client(&self, client_id: &str, patch: &Value) {
        let path = format!("/tenants/{}/clients/{client_id}?wait=fleet&timeout=15s", self.slug);
        let answer = self.admin.patch(&path, patch).await.expect(200);
        assert_eq!(answer.header("x-fleet"), Some("complete"));
    }

    /// Has another key sign, and what the old ones signed is worthless; returns once every connected pod knows.
    pub async fn replace_keys(&self) {
        let keys = format!("/tenants/{}/keys", self.slug);
        let wait = "wait=fleet&timeout=15s";
        let _ = self.admin.post(&format!("{keys}/rotate?{wait}"), &json!({})).await.expect(200);
        let listed = self.admin.get(&keys).await.expect(200).json;
        let retiring = listed["items"].as_array().expect("keys").iter().filter(|key| key["status"] == "retiring");
        for key in retiring {
            let kid = key["kid"].as_str().expect("a kid");
            let answer = self.admin.post(&format!("{keys}/{kid}/revoke?{wait}"), &json!({})).await.expect(200);
            assert_eq!(answer.header("x-fleet"), Some("complete"));
        }
    }
}
