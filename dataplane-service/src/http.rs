//! The routes, and what all of them share: the directory a request uses, the header that names it, the default errors.

mod account;
mod answer;
mod authorize;
mod bc_authorize;
pub mod bearer;
mod body;
mod call;
pub mod caller;
mod client_registration;
mod consent;
mod cookies;
mod cors;
mod device;
mod device_authorization;
mod discovery;
mod durations;
mod endpoint;
mod federated;
mod forgot_password;
pub mod form_body;
mod introspect;
mod jwks;
mod login;
mod logout;
mod mail_link;
mod mfa;
mod observe;
mod onward;
pub mod origin;
mod par;
mod posted;
mod register;
mod reset_password;
pub mod respond;
mod revoke;
mod token;
mod too_many;
pub mod unread;
mod userinfo;
mod users;
mod verify_email;
mod visit;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::http::Method;
use actix_web::http::header::{HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY};
use actix_web::middleware::Next;
use actix_web::{HttpMessage as _, HttpRequest, ResponseError as _, web};
use tracing::Instrument as _;
use transport::forwarded::Scheme;
use transport::head;
use transport::listener::Encrypted;
use vocab::ErrorCode;

pub use self::endpoint::{Endpoint, endpoint};
use crate::app::App;
use crate::directory::Directory;
use crate::problem::Problem;

static X_CONFIG_REVISION: HeaderName = HeaderName::from_static("x-config-revision");

/// Mounts every tenant route twice: below `/t/{slug}`, and at the root for tenants named by host, header or query.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .service(web::scope("/t/{slug}").configure(tenant_routes).default_service(web::to(not_found)))
        // RFC 9728 §3.1, as below; before the tenant's own routes, whose last would take these for theirs.
        .service(endpoint("/.well-known/oauth-protected-resource/t/{slug}").get(discovery::protected_resource))
        .service(
            endpoint("/.well-known/oauth-protected-resource/t/{slug}/{resource:.+}").get(discovery::protected_resource),
        )
        .configure(tenant_routes)
        // RFC 8414 §3.1: the well-known part goes between host and path of an issuer that has a path.
        .service(endpoint("/.well-known/oauth-authorization-server/t/{slug}").get(discovery::metadata))
        .service(endpoint("/.well-known/openid-configuration/t/{slug}").get(discovery::metadata))
        .app_data(web::PayloadConfig::new(BODY_LIMIT))
        .app_data(web::FormConfig::default().limit(BODY_LIMIT).error_handler(|e, _| unreadable(&e).into()))
        .app_data(web::JsonConfig::default().limit(BODY_LIMIT).error_handler(|e, _| unreadable(&e).into()))
        .app_data(web::QueryConfig::default().error_handler(|e, _| unreadable(&e).into()))
        .app_data(web::PathConfig::default().error_handler(|_, _| absent().into()))
        .default_service(web::to(not_found));
}

/// Each area adds its routes here, with paths relative to the tenant: `endpoint("/oauth2/token").post(token)`, or for
/// people `endpoint("/login").page(get).form(post)`.
fn tenant_routes(config: &mut web::ServiceConfig) {
    config
        .service(endpoint("/oauth2/authorize").get(authorize::get).post(authorize::post))
        .service(endpoint("/oauth2/logout").page(logout::get).form(logout::post))
        .service(endpoint("/oauth2/par").post(par::post).method(Method::OPTIONS, cors::preflight))
        .service(endpoint("/oauth2/device_authorization").post(device_authorization::post))
        .service(endpoint("/oauth2/device").page(device::get).form(device::post))
        .service(endpoint("/oauth2/bc-authorize").post(bc_authorize::post))
        .service(endpoint("/account").page(account::get).form(account::post))
        .service(endpoint("/account/access").form(account::access::post))
        .service(endpoint("/account/factors").page(account::factors::get).form(account::factors::post))
        .service(endpoint("/account/password").page(account::password::get).form(account::password::post))
        .service(endpoint("/account/request").page(account::request::get))
        .service(endpoint("/login").page(login::get).form(login::post))
        .service(endpoint("/login/{provider}").page(federated::begin))
        .service(endpoint("/login/{provider}/callback").page(federated::callback))
        .service(endpoint("/mfa").page(mfa::get).form(mfa::post))
        .service(endpoint("/mfa/totp").page(mfa::totp::get).form(mfa::totp::post))
        .service(endpoint("/mfa/webauthn").page(mfa::webauthn::get).form(mfa::webauthn::post))
        .service(endpoint("/register").page(register::get).form(register::post))
        .service(endpoint("/forgot-password").page(forgot_password::get).form(forgot_password::post))
        .service(endpoint("/reset-password").page(reset_password::get).form(reset_password::post))
        .service(endpoint("/verify-email").page(verify_email::get).form(verify_email::post))
        .service(endpoint("/consent").page(consent::get).form(consent::post))
        .service(endpoint("/api/v1/users").get(users::list).post(users::create))
        .service(endpoint("/api/v1/users/{id}").get(users::get).method(Method::PATCH, users::change::patch))
        .service(
            endpoint("/api/v1/users/{id}/factors")
                .get(users::factors::list)
                .method(Method::DELETE, users::factors::remove_all),
        )
        .service(
            endpoint("/api/v1/users/{id}/factors/{factor_id}")
                .get(users::factors::get)
                .method(Method::DELETE, users::factors::remove),
        )
        .service(
            endpoint("/api/v1/users/{id}/identities")
                .get(users::identities::list)
                .method(Method::DELETE, users::identities::remove),
        )
        .service(
            endpoint("/api/v1/users/{id}/identities/{provider}")
                .get(users::identities::get)
                .method(Method::PUT, users::identities::link)
                .method(Method::DELETE, users::identities::unlink),
        )
        .service(endpoint("/oauth2/token").post(token::post).method(Method::OPTIONS, cors::preflight))
        .service(endpoint("/oauth2/introspect").post(introspect::post))
        .service(endpoint("/oauth2/revoke").post(revoke::post).method(Method::OPTIONS, cors::preflight))
        .service(
            endpoint("/oauth2/userinfo")
                .get(userinfo::get_or_post)
                .post(userinfo::get_or_post)
                .method(Method::OPTIONS, cors::preflight),
        )
        .service(
            endpoint("/oauth2/register")
                .post(client_registration::create)
                .method(Method::OPTIONS, client_registration::preflight),
        )
        .service(
            endpoint("/oauth2/register/{client_id}")
                .get(client_registration::read)
                .method(Method::PUT, client_registration::update)
                .method(Method::DELETE, client_registration::delete)
                .method(Method::OPTIONS, client_registration::preflight),
        )
        .service(endpoint("/.well-known/openid-configuration").get(discovery::metadata))
        .service(endpoint("/.well-known/oauth-authorization-server").get(discovery::metadata))
        .service(endpoint("/.well-known/oauth-protected-resource").get(discovery::protected_resource))
        .service(endpoint("/.well-known/oauth-protected-resource/{resource:.+}").get(discovery::protected_resource))
        .service(endpoint("/.well-known/jwks.json").get(jwks::jwks));
}

/// Bodies larger than this are refused before they are read.
pub const BODY_LIMIT: usize = oauth_core::form::MAX_BYTES;

fn absent() -> Problem {
    Problem::new(ErrorCode::NotFound, "there is nothing at this path")
}

pub(crate) async fn not_found() -> Result<actix_web::HttpResponse, Problem> {
    Err(absent())
}

/// What actix's own readers of bodies and queries refuse.
fn unreadable(error: &dyn actix_web::ResponseError) -> Problem {
    let code = match error.status_code().as_u16() {
        413 => ErrorCode::PayloadTooLarge,
        415 => ErrorCode::UnsupportedMediaType,
        _ => ErrorCode::InvalidRequest,
    };
    Problem::new(code, error.to_string())
}

/// The configuration that this request is answered from, the same however often it is asked.
pub fn directory_of(request: &HttpRequest) -> Option<Arc<Directory>> {
    request.extensions().get::<Arc<Directory>>().cloned()
}

/// The longest a request may take, its body included: whoever sends slower holds a connection for nothing.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(25);

fn check_head(request: &ServiceRequest) -> Result<(), Problem> {
    head::check(request.headers()).map_err(|refusal| Problem::new(ErrorCode::InvalidRequest, refusal.to_string()))
}

/// Takes the directory once per request, names its revision on the answer, and measures.
pub async fn pin_directory(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let began = Instant::now();
    let _held = durations::begin();
    // What no handler answers is measured here.
    let given_up = |problem: Problem| {
        durations::record("none".to_owned(), problem.status_code(), began.elapsed());
        problem
    };
    check_head(&request).map_err(given_up)?;
    let app = request.app_data::<web::Data<App>>();
    let leaving = app.is_some_and(|app| app.status.is_stopping());
    let directory = app.map(|app| app.directory.load()).unwrap_or_default();
    let revision = HeaderValue::from(directory.revision.get());
    request.extensions_mut().insert(directory);
    let secure = request.request().conn_data::<Encrypted>().is_some()
        || origin::of(request.request()).is_some_and(|origin| origin.scheme == Some(Scheme::Https));
    let span = observe::span(&request);
    // Handlers and extractors answer their errors themselves. The request must not be cloned to do it here: the router
    // needs it unshared.
    let mut response = tokio::time::timeout(REQUEST_TIMEOUT, next.call(request).instrument(span.clone()))
        .await
        .map_err(|_| given_up(Problem::new(ErrorCode::Unavailable, "the request took too long")))??;
    response.headers_mut().insert(X_CONFIG_REVISION.clone(), revision);
    if leaving {
        // RFC 9112 §9.6: whoever has a connection here opens the next one, which a balancer leads elsewhere.
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    if secure {
        // RFC 6797 §7.2: over plain HTTP it must not be said.
        response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    observe::answered(&mut response, &span, began.elapsed());
    Ok(response)
}
