//! `/oauth2/register` (RFC 7591) and `/oauth2/register/{client_id}` (RFC 7592): clients that register themselves.
//!
//! A pod decides nothing here. It draws the secrets, shows them once and sends on what the client said with digests; the
//! control plane judges and writes, and the answer waits until the client is known here.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use oauth_core::error::{Code, OAuthError};
use serde_json::{Map, Value, json};
use shared_proto::watch;
use shared_proto::watch::registration_reply::Outcome;
use vocab::registration::{InitialToken, RegistrationMode};
use vocab::{ErrorCode, Revision, Secret, SecretDigest};

use super::body::Body;
use super::respond::{private, refusal, status_of};
use super::{form_body, origin};
use crate::app::App;
use crate::opaque;
use crate::registrar::Unreachable;
use crate::resolve::Tenant;
use crate::sector;
use crate::tenant::TenantContext;
use crate::throttle::Wait;

/// How long an answer waits for this pod to know the client.
const CATCH_UP: Duration = Duration::from_secs(5);

/// Why nobody was registered.
enum Failure {
    /// The token that was shown, or none.
    Token(Option<OAuthError>),
    Refused(OAuthError),
    TooMany(Wait),
    Unreachable,
}

impl From<OAuthError> for Failure {
    fn from(error: OAuthError) -> Self {
        Self::Refused(error)
    }
}

impl From<Unreachable> for Failure {
    fn from(_: Unreachable) -> Self {
        Self::Unreachable
    }
}

type Answer = Result<HttpResponse, Failure>;
/// The metadata, and the `client_secret` that stood in it.
type Said = (Map<String, Value>, Option<Secret<String>>);

pub(super) async fn create(request: HttpRequest, tenant: Tenant, app: web::Data<App>, body: Body) -> HttpResponse {
    finish(&tenant, register(&request, &tenant, &app, body).await)
}

pub(super) async fn read(request: HttpRequest, tenant: Tenant, app: web::Data<App>) -> HttpResponse {
    finish(&tenant, show(&request, &tenant, &app).await)
}

pub(super) async fn update(request: HttpRequest, tenant: Tenant, app: web::Data<App>, body: Body) -> HttpResponse {
    finish(&tenant, replace(&request, &tenant, &app, body).await)
}

pub(super) async fn delete(request: HttpRequest, tenant: Tenant, app: web::Data<App>) -> HttpResponse {
    finish(&tenant, remove(&request, &tenant, &app).await)
}

/// Whoever has a token may use it from any page; nothing here looks at cookies.
pub(super) async fn preflight(_: Tenant) -> HttpResponse {
    let mut response = HttpResponse::NoContent().finish();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, DELETE"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

async fn register(request: &HttpRequest, tenant: &TenantContext, app: &App, body: Body) -> Answer {
    let policy = &tenant.oauth.registration;
    let shown = bearer(request)?;
    if policy.mode == RegistrationMode::Off || (policy.mode == RegistrationMode::Token && shown.is_none()) {
        return Err(Failure::Token(
            shown.map(|_| OAuthError::invalid_token("This tenant lets no client register itself.")),
        ));
    }
    let initial = match (policy.mode, shown) {
        (RegistrationMode::Token, Some(token)) => {
            let unknown = || Failure::Token(Some(OAuthError::invalid_token("The initial access token is not one.")));
            let token: InitialToken = token.expose().parse().map_err(|_| unknown())?;
            let digest = Bytes::copy_from_slice(token.digest().as_bytes());
            Some(watch::InitialToken { id: token.id.to_string(), digest })
        }
        _ => None,
    };
    let address = address(request);
    app.registrations.step(tenant.id, address, policy.per_minute, app.clock.now()).map_err(Failure::TooMany)?;
    let (metadata, _) = document(request, &body)?;
    check_sector(app, &metadata).await?;
    let (secret, management) = (opaque::fresh_hmac_secret(), opaque::fresh());
    let asked = watch::RegisterRequest {
        registrant: Some(app.registrar.registrant(address)),
        tenant_id: tenant.id.to_string(),
        metadata_json: json_bytes(&metadata),
        initial_token: initial,
        management_digest: digest(&management),
        secret: Some(offered(app, &secret)),
    };
    let outcome = app.registrar.ask(&asked, async |mut node, request| node.register(request).await).await?;
    let client = registered(outcome)?;
    let mut shown = information(tenant, &client, &management)?;
    if client.took_secret {
        shown.insert("client_secret".to_owned(), json!(secret.expose()));
    }
    // RFC 7591 §3.2.1: returned as it came.
    shown.extend(metadata.get("software_statement").map(|it| ("software_statement".to_owned(), it.clone())));
    reach(app, client.revision).await;
    Ok(private(StatusCode::CREATED).json(Value::Object(shown)))
}

async fn show(request: &HttpRequest, tenant: &TenantContext, app: &App) -> Answer {
    let token = needed(request)?;
    let asked = watch::ReadRegistrationRequest {
        tenant_id: tenant.id.to_string(),
        client_id: client_id(request)?,
        proof: digest(&token),
        registrant: Some(app.registrar.registrant(address(request))),
    };
    let outcome = app.registrar.ask(&asked, async |mut node, request| node.read(request).await).await?;
    let shown = information(tenant, &registered(outcome)?, &token)?;
    Ok(private(StatusCode::OK).json(Value::Object(shown)))
}

async fn replace(request: &HttpRequest, tenant: &TenantContext, app: &App, body: Body) -> Answer {
    let token = needed(request)?;
    let address = address(request);
    let pace = tenant.oauth.registration.per_minute;
    app.registrations.step(tenant.id, address, pace, app.clock.now()).map_err(Failure::TooMany)?;
    let (metadata, secret) = document(request, &body)?;
    check_sector(app, &metadata).await?;
    let (fresh_secret, fresh_token) = (opaque::fresh_hmac_secret(), opaque::fresh());
    let asked = watch::UpdateRegistrationRequest {
        tenant_id: tenant.id.to_string(),
        client_id: client_id(request)?,
        proof: digest(&token),
        registrant: Some(app.registrar.registrant(address)),
        metadata_json: json_bytes(&metadata),
        secret_digest: secret.as_ref().map(digest),
        secret: Some(offered(app, &fresh_secret)),
        management_digest: Some(digest(&fresh_token)),
    };
    let outcome = app.registrar.ask(&asked, async |mut node, request| node.update(request).await).await?;
    let client = registered(outcome)?;
    // RFC 7592 §3: the client discards what it had before.
    let token = if client.took_management { &fresh_token } else { &token };
    let mut shown = information(tenant, &client, token)?;
    if let Some(secret) = if client.took_secret { Some(fresh_secret) } else { secret } {
        shown.insert("client_secret".to_owned(), json!(secret.expose()));
    }
    shown.extend(metadata.get("software_statement").map(|it| ("software_statement".to_owned(), it.clone())));
    reach(app, client.revision).await;
    Ok(private(StatusCode::OK).json(Value::Object(shown)))
}

async fn remove(request: &HttpRequest, tenant: &TenantContext, app: &App) -> Answer {
    let token = needed(request)?;
    let asked = watch::DeleteRegistrationRequest {
        tenant_id: tenant.id.to_string(),
        client_id: client_id(request)?,
        proof: digest(&token),
        registrant: Some(app.registrar.registrant(address(request))),
    };
    match app.registrar.ask(&asked, async |mut node, request| node.delete(request).await).await? {
        Outcome::Deleted(deleted) => {
            reach(app, deleted.revision).await;
            Ok(HttpResponse::NoContent().insert_header((header::CACHE_CONTROL, "no-store")).finish())
        }
        other => registered(other).and(Err(Failure::Unreachable)),
    }
}

/// The JSON object in the body, less the secret in it, which goes no further.
fn document(request: &HttpRequest, body: &Body) -> Result<Said, Failure> {
    let refused = |why| Failure::Refused(OAuthError::new(Code::InvalidClientMetadata, why));
    if !form_body::is_json(request) {
        return Err(refused("The body must be application/json."));
    }
    let body = form_body::read(body)?;
    let mut metadata: Map<String, Value> =
        serde_json::from_slice(body).map_err(|_| refused("The body must be one JSON object."))?;
    let secret = match metadata.remove("client_secret") {
        None | Some(Value::Null) => None,
        Some(Value::String(secret)) => Some(Secret::new(secret)),
        Some(_) => return Err(refused("client_secret: must be a string")),
    };
    Ok((metadata, secret))
}

/// OIDC Registration §5: the sector's own document decides who belongs to it.
async fn check_sector(app: &App, metadata: &Map<String, Value>) -> Result<(), OAuthError> {
    let refused = |error: sector::SectorError| OAuthError::quoting(Code::InvalidClientMetadata, &error.to_string());
    sector::check(&app.fetcher, metadata).await.map_err(refused)
}

/// The token of the `Authorization` header, if there is one (RFC 6750 §2.1).
fn bearer(request: &HttpRequest) -> Result<Option<Secret<String>>, Failure> {
    let refused = || Failure::Token(Some(OAuthError::invalid_token("The token cannot be read.")));
    let Some(value) = form_body::authorization(request)? else { return Ok(None) };
    let value = std::str::from_utf8(value).map_err(|_| refused())?;
    let (scheme, token) = value.split_once(' ').ok_or_else(refused)?;
    if !scheme.eq_ignore_ascii_case("Bearer") || token.is_empty() || token.len() > MAX_TOKEN_BYTES {
        return Err(refused());
    }
    Ok(Some(Secret::new(token.to_owned())))
}

const MAX_TOKEN_BYTES: usize = 1024;

fn needed(request: &HttpRequest) -> Result<Secret<String>, Failure> {
    bearer(request)?.ok_or(Failure::Token(None))
}

/// One that cannot be a client's is told like an unknown one.
fn client_id(request: &HttpRequest) -> Result<String, Failure> {
    let id = request.match_info().get("client_id").unwrap_or_default();
    let id: Result<vocab::ClientId, _> = id.parse();
    let unknown =
        || Failure::Token(Some(OAuthError::invalid_token("The registration access token is not this client's.")));
    id.map(|id| id.to_string()).map_err(|_| unknown())
}

fn registered(outcome: Outcome) -> Result<watch::RegisteredClient, Failure> {
    use watch::RegistrationError as E;
    let refused = match outcome {
        Outcome::Client(client) => return Ok(client),
        Outcome::Refused(refused) => refused,
        Outcome::Deleted(_) => return Err(Failure::Unreachable),
    };
    let told = |code| OAuthError::quoting(code, &refused.description);
    Err(match refused.error() {
        E::InvalidToken => Failure::Token(Some(told(Code::InvalidToken))),
        E::InvalidRedirectUri => Failure::Refused(told(Code::InvalidRedirectUri)),
        E::InvalidSoftwareStatement => Failure::Refused(told(Code::InvalidSoftwareStatement)),
        E::UnapprovedSoftwareStatement => Failure::Refused(told(Code::UnapprovedSoftwareStatement)),
        E::AccessDenied => Failure::Refused(told(Code::AccessDenied)),
        // Unspecified: of a control plane of a later release.
        E::InvalidClientMetadata | E::Unspecified => Failure::Refused(told(Code::InvalidClientMetadata)),
    })
}

/// RFC 7591 §3.2.1, RFC 7592 §3.
fn information(
    tenant: &TenantContext,
    client: &watch::RegisteredClient,
    token: &Secret<String>,
) -> Result<Map<String, Value>, Failure> {
    let mut shown: Map<String, Value> =
        serde_json::from_slice(&client.metadata_json).map_err(|_| Failure::Unreachable)?;
    let uri = format!("{}/oauth2/register/{}", tenant.issuer, client.client_id);
    shown.insert("registration_client_uri".to_owned(), json!(uri));
    shown.insert("registration_access_token".to_owned(), json!(token.expose()));
    Ok(shown)
}

/// A secret as the control plane is offered it: it does not go there in the clear.
fn offered(app: &App, secret: &Secret<String>) -> watch::OfferedSecret {
    watch::OfferedSecret {
        id: opaque::fresh_id(app.clock.now()).to_string(),
        digest: digest(secret),
        sealed: Some(app.keyring.seal(secret.expose().as_bytes(), rand::random()).to_string()),
    }
}

fn digest(secret: &Secret<String>) -> Bytes {
    Bytes::copy_from_slice(SecretDigest::of(secret.expose().as_bytes()).as_bytes())
}

fn json_bytes(metadata: &Map<String, Value>) -> Bytes {
    serde_json::to_vec(metadata).unwrap_or_default().into()
}

fn address(request: &HttpRequest) -> Option<IpAddr> {
    origin::of(request).map(|origin| origin.address)
}

/// Whoever registered may come back at once. If this pod is cut off it is answered all the same: it is registered.
async fn reach(app: &App, revision: u64) {
    let _ = tokio::time::timeout(CATCH_UP, app.directory.reach(Revision(revision))).await;
}

fn finish(tenant: &TenantContext, answer: Answer) -> HttpResponse {
    let mut response = answer.unwrap_or_else(|failure| refused(tenant, failure));
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let exposed = HeaderValue::from_static("www-authenticate, retry-after");
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    response
}

fn refused(tenant: &TenantContext, failure: Failure) -> HttpResponse {
    let realm = &tenant.slug;
    match failure {
        Failure::Refused(error) => refusal(status_of(&error), &error, None),
        // RFC 6750 §3.1: nothing was shown, so there is no error to name.
        Failure::Token(None) => {
            let mut response = private(StatusCode::UNAUTHORIZED);
            response.insert_header((header::WWW_AUTHENTICATE, format!("Bearer realm=\"{realm}\"")));
            response.finish()
        }
        Failure::Token(Some(error)) => {
            let (code, why) = (error.code().as_str(), error.description());
            let challenge = format!("Bearer realm=\"{realm}\", error=\"{code}\", error_description=\"{why}\"");
            let mut response = refusal(status_of(&error), &error, None);
            if let Ok(challenge) = HeaderValue::try_from(challenge) {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
        }
        Failure::TooMany(Wait { secs }) => {
            let told =
                OAuthError::temporarily_unavailable("Too many registrations from this address; try again later.");
            let mut response = refusal(StatusCode::TOO_MANY_REQUESTS, &told, Some(ErrorCode::TooManyRequests));
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
            response
        }
        Failure::Unreachable => {
            let told = OAuthError::temporarily_unavailable("Clients cannot be registered just now; try again.");
            refusal(StatusCode::SERVICE_UNAVAILABLE, &told, Some(ErrorCode::Unavailable))
        }
    }
}
