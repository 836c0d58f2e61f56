//! The demo tenant: its database, two clients, a user. Made over the same APIs that everyone uses, and left as it is
//! when it is there already.

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};
use vocab::Secret;

use super::folder::Folder;
use super::layout::{Layout, TENANT};
use super::postgres::Postgres;
use super::supervisor::Supervisor;
use crate::api::{self, Api, Change};
use crate::failure::Failure;
use crate::problem::Problem;
use crate::profile::{Proof, Target};

pub(crate) const CONFIDENTIAL: &str = "demo-service";
pub(crate) const PUBLIC: &str = "demo-app";
pub(crate) const USER: &str = "demo@example.com";
/// What `hellojohn token` listens on unless told otherwise.
pub(crate) const REDIRECT_URI: &str = "http://127.0.0.1:8400/callback";

/// Creates the demo user; nobody else knows of it.
const PROVISIONER: &str = "dev-provisioner";

/// What [`create_user`] needs.
#[derive(Debug)]
pub(crate) struct Demo {
    provisioner_secret: Secret<String>,
}

/// The tenant and its clients, by the admin API.
pub(crate) async fn configure(
    layout: &Layout,
    folder: &Folder,
    postgres: &Postgres,
    supervisor: &mut Supervisor,
) -> Result<Demo, Failure> {
    let proof = Proof::Credential(Secret::new(folder.secret("owner-credential")?));
    let target = Target { server: layout.admin_url(), proof, ca_file: None };
    // A new cluster is ready a moment before its leader has stored the first owner.
    let api = supervisor
        .wait_until("node-1", async || Api::login(&target).await.map_err(|failure| failure.to_string()))
        .await?;
    let dsn = postgres.tenant_database(folder).await?;
    tenant(&api, &dsn).await?;
    let redirects = [REDIRECT_URI];
    let scopes = ["openid", "profile", "email", "offline_access"];
    let confidential = json!({
        "client_id": CONFIDENTIAL, "name": "Demo service", "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
        "redirect_uris": redirects, "scopes": scopes,
    });
    let public = json!({
        "client_id": PUBLIC, "name": "Demo app", "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"], "redirect_uris": redirects, "scopes": scopes,
        "require_consent": true,
    });
    let provisioner = json!({
        "client_id": PROVISIONER, "name": "Creates the demo user", "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["client_credentials"], "scopes": ["hj:users.write"],
    });
    client(&api, folder, CONFIDENTIAL, confidential).await?;
    client(&api, folder, PUBLIC, public).await?;
    client(&api, folder, PROVISIONER, provisioner).await?;
    let provisioner_secret = Secret::new(folder.secret(PROVISIONER)?);
    Ok(Demo { provisioner_secret })
}

/// The DSN is written at every start: PostgreSQL may have got another port.
async fn tenant(api: &Api, dsn: &str) -> Result<(), Failure> {
    let database = json!({ "dsn": dsn, "max_connections": 10 });
    let (method, path, body) = match api.get(&["tenants", TENANT]).await {
        Ok(_) => {
            let body = json!({ "settings": { "database": database } });
            (Method::PATCH, &["tenants", TENANT][..], body)
        }
        Err(failure) if failure.is_not_found() => {
            let settings = json!({ "database": database, "registration_enabled": true });
            let body = json!({ "slug": TENANT, "display_name": "Local", "settings": settings });
            (Method::POST, &["tenants"][..], body)
        }
        Err(failure) => return Err(failure),
    };
    api.change(Change { method, path, body: Some(body), if_match: None }).await?;
    Ok(())
}

/// A client whose secret we no longer know is made anew.
async fn client(api: &Api, folder: &Folder, id: &str, body: Value) -> Result<(), Failure> {
    let public = body.get("token_endpoint_auth_method") == Some(&json!("none"));
    let path = ["tenants", TENANT, "clients", id];
    match api.get(&path).await {
        Ok(_) if public || folder.secret_path(id).exists() => return Ok(()),
        Ok(_) => {
            api.change(Change { method: Method::DELETE, path: &path, body: None, if_match: None }).await?;
        }
        Err(failure) if failure.is_not_found() => {}
        Err(failure) => return Err(failure),
    }
    let path = ["tenants", TENANT, "clients"];
    let answer = api.change(Change { method: Method::POST, path: &path, body: Some(body), if_match: None }).await?;
    if !public {
        let secret = answer.body.get("client_secret").and_then(Value::as_str);
        folder.keep_secret(id, secret.context("the new client came without its secret")?)?;
    }
    Ok(())
}

/// The user, by the data plane's own user API.
pub(crate) async fn create_user(layout: &Layout, folder: &Folder, demo: &Demo) -> Result<(), Failure> {
    let http = api::http_client(None)?;
    let issuer = layout.issuer();
    let url = format!("{issuer}/oauth2/token");
    let request = http.post(&url).basic_auth(PROVISIONER, Some(demo.provisioner_secret.expose()));
    let answer = send(request.form(&[("grant_type", "client_credentials"), ("scope", "hj:users.write")]), &url).await?;
    let answer = answer.map_err(|problem| Failure::Problem(Box::new(problem)))?;
    let token = answer.get("access_token").and_then(Value::as_str).context("no access token for the user API")?;
    let url = format!("{issuer}/api/v1/users");
    let claims = json!({ "name": "Demo User", "given_name": "Demo", "family_name": "User" });
    let user = json!({
        "email": USER, "password": folder.secret("user-password")?, "email_verified": true, "claims": claims,
    });
    match send(http.post(&url).bearer_auth(token).json(&user), &url).await? {
        Ok(_) => Ok(()),
        Err(problem) if problem.status == 409 => Ok(()),
        Err(problem) => Err(Failure::Problem(Box::new(problem))),
    }
}

async fn send(request: reqwest::RequestBuilder, url: &str) -> Result<Result<Value, Problem>, Failure> {
    let response = request.send().await.map_err(|error| api::unreachable(url, &error))?;
    let status = response.status();
    let bytes = response.bytes().await.with_context(|| format!("the answer of {url} broke off"))?;
    if !status.is_success() {
        return Ok(Err(Problem::read(status.as_u16(), &bytes)));
    }
    Ok(Ok(serde_json::from_slice(&bytes).with_context(|| format!("{url} answered something that is not JSON"))?))
}
