//! OAuth errors as answers: the only table. Token endpoint: RFC 6749 §5.2; protected endpoints: RFC 6750 §3.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use bytes::Bytes;
use oauth_core::bearer::{Scheme, step_up_parameters};
use oauth_core::error::{Code, OAuthError};
use serde::Serialize;
use vocab::oauth::StepUp;
use vocab::{ErrorCode, Slug};

use crate::exchange::Failure;
use crate::signing::SignError;
use crate::store::DbError;

const JSON: (HeaderName, HeaderValue) = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
/// RFC 6749 §5.1: on every answer that holds or refuses a token.
const NO_STORE: (HeaderName, HeaderValue) = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
const NO_CACHE: (HeaderName, HeaderValue) = (header::PRAGMA, HeaderValue::from_static("no-cache"));

/// An answer in JSON that no cache keeps.
pub fn private_json(body: &impl Serialize) -> HttpResponse {
    match serde_json::to_vec(body) {
        Ok(bytes) => private(StatusCode::OK).body(bytes),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            private(StatusCode::INTERNAL_SERVER_ERROR).finish()
        }
    }
}

/// An answer as a JWT that no cache keeps.
pub fn private_jwt(jwt: String) -> HttpResponse {
    private(StatusCode::OK).insert_header((header::CONTENT_TYPE, "application/jwt")).body(jwt)
}

/// That it was done, for whom there is nothing to read.
pub fn done() -> HttpResponse {
    HttpResponse::Ok().insert_header(NO_STORE).insert_header(NO_CACHE).finish()
}

/// An answer in JSON, unless its maker says otherwise, that no cache keeps.
pub fn private(status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response.insert_header(JSON).insert_header(NO_STORE).insert_header(NO_CACHE);
    response
}

/// A public document that caches and pages of any origin may read. At the root it depends on the header that names the
/// tenant, so a cache must tell these apart.
pub fn public_json(body: Bytes, max_age_secs: u32) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(JSON)
        .insert_header((header::CACHE_CONTROL, format!("public, max-age={max_age_secs}")))
        .insert_header((header::VARY, HeaderValue::from_static("x-tenant-slug")))
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")))
        .body(body)
}

/// The body of an error (RFC 6749 §5.2).
#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'static str,
    error_description: &'a str,
    /// The platform's own code, where OAuth has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

/// What OAuth says of a fault that is not the client's, and the status it is answered with. Only a tenant without a
/// database is past curing by trying again.
fn fault(error: &DbError) -> (StatusCode, OAuthError, ErrorCode) {
    let code = error.code();
    if matches!(error, DbError::NoDatabase) {
        let told = OAuthError::server_error("This tenant has no database configured.");
        return (StatusCode::CONFLICT, told, code);
    }
    tracing::error!(%error, "the tenant's database failed");
    let told = OAuthError::temporarily_unavailable("The tenant's database does not answer; try again.");
    (StatusCode::SERVICE_UNAVAILABLE, told, code)
}

pub(super) fn refusal(status: StatusCode, error: &OAuthError, code: Option<ErrorCode>) -> HttpResponse {
    let mut response = private(status);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.insert_header((header::RETRY_AFTER, HeaderValue::from_static("1")));
    }
    if error.code() == Code::InvalidClient {
        // RFC 6749 §5.2, RFC 9110 §15.5.2.
        response.insert_header((header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"clients\"")));
    }
    response.json(ErrorBody {
        error: error.code().as_str(),
        error_description: error.description(),
        code: code.map(ErrorCode::as_str),
    })
}

/// The pod does not answer just now, whatever was asked.
pub fn not_now(code: ErrorCode, retry_after_secs: Option<u32>) -> HttpResponse {
    let (status, why) = match code {
        ErrorCode::TooManyRequests => {
            (StatusCode::TOO_MANY_REQUESTS, "These are more requests than the limit of this tenant allows; try again.")
        }
        _ => (StatusCode::SERVICE_UNAVAILABLE, "The configuration of this server is too old; try again."),
    };
    let mut response = refusal(status, &OAuthError::temporarily_unavailable(why), Some(code));
    if let Some(secs) = retry_after_secs {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
    }
    response
}

pub(super) fn status_of(error: &OAuthError) -> StatusCode {
    StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// RFC 6749 §5.2.
impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Refused(error) => status_of(error),
            Self::Database(DbError::NoDatabase) => StatusCode::CONFLICT,
            Self::Database(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Signing(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        match self {
            Self::Refused(error) => refusal(status_of(error), error, None),
            Self::Database(error) => {
                let (status, told, code) = fault(error);
                refusal(status, &told, Some(code))
            }
            Self::Signing(error) => {
                tracing::error!(%error, "a token could not be signed");
                let told = OAuthError::server_error("The token could not be signed; it was logged.");
                refusal(StatusCode::INTERNAL_SERVER_ERROR, &told, Some(ErrorCode::Internal))
            }
        }
    }
}

/// Why an access token opens nothing (RFC 6750 §3).
#[derive(Debug, thiserror::Error)]
pub enum BearerFailure {
    /// The request carries no token. That alone is no error, so the challenge names none (§3.1).
    #[error("no access token")]
    Missing { realm: Slug, metadata: String },
    #[error("{error}")]
    Refused { realm: Slug, metadata: String, shown: Scheme, error: OAuthError, scope: &'static str },
    /// The user has to sign in anew, in this way (RFC 9470 §3).
    #[error("{error}")]
    StepUp { realm: Slug, metadata: String, shown: Scheme, error: OAuthError, needed: StepUp },
    #[error(transparent)]
    Database(#[from] DbError),
    #[error("the answer was not signed: {0}")]
    Signing(#[from] SignError),
}

impl BearerFailure {
    /// Of a failure to prove what a token is bound to.
    pub fn of(failure: Failure, refused: impl FnOnce(OAuthError) -> Self) -> Self {
        match failure {
            Failure::Refused(error) => refused(error),
            Failure::Database(error) => Self::Database(error),
            Failure::Signing(error) => Self::Signing(error),
        }
    }
}

/// At a protected endpoint what is wrong with a proof is no different from what is wrong with a token (RFC 9449 §7.1).
fn status_at_protected(error: &OAuthError) -> StatusCode {
    match error.code() {
        Code::InvalidDpopProof | Code::UseDpopNonce => StatusCode::UNAUTHORIZED,
        _ => status_of(error),
    }
}

/// A protected endpoint's challenges: the ways to show it a token, and what was wrong with the one that was shown.
struct Challenge<'a> {
    realm: &'a Slug,
    /// RFC 9728 §5.1.
    metadata: &'a str,
}

impl Challenge<'_> {
    /// `told`: further parameters, each after a comma.
    fn bearer(&self, told: &str) -> String {
        format!("Bearer realm=\"{}\", resource_metadata=\"{}\"{told}", self.realm, self.metadata)
    }

    /// With the algorithms of proofs that are taken (RFC 9449 §7.1).
    fn dpop(&self, told: &str) -> String {
        let algorithms = oauth_core::dpop::algorithms();
        format!("DPoP realm=\"{}\", resource_metadata=\"{}\", algs=\"{algorithms}\"{told}", self.realm, self.metadata)
    }

    /// A refusal (RFC 6750 §3), `needed` being what the challenge says beside the error. The error is told of the scheme
    /// that was used; who came with Bearer is told of DPoP, too (RFC 9449 §7.2).
    fn refuse(&self, shown: Scheme, error: &OAuthError, needed: &str) -> HttpResponse {
        // Descriptions hold neither quotes nor backslashes, so they need no escaping.
        let (code, description) = (error.code().as_str(), error.description());
        let told = format!(", error=\"{code}\", error_description=\"{description}\"{needed}");
        let mut response = refusal(status_at_protected(error), error, None);
        match shown {
            Scheme::Bearer => add(&mut response, [self.bearer(&told), self.dpop("")]),
            Scheme::Dpop => add(&mut response, [self.dpop(&told)]),
        }
        response
    }
}

fn add(response: &mut HttpResponse, challenges: impl IntoIterator<Item = String>) {
    for challenge in challenges.into_iter().filter_map(|text| HeaderValue::try_from(text).ok()) {
        response.headers_mut().append(header::WWW_AUTHENTICATE, challenge);
    }
}

impl ResponseError for BearerFailure {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Missing { .. } => StatusCode::UNAUTHORIZED,
            Self::Refused { error, .. } | Self::StepUp { error, .. } => status_at_protected(error),
            Self::Database(DbError::NoDatabase) => StatusCode::CONFLICT,
            Self::Database(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Signing(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        match self {
            Self::Signing(error) => {
                tracing::error!(%error, "an answer was not signed");
                refusal(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    &OAuthError::server_error("The answer could not be signed; it was logged."),
                    None,
                )
            }
            Self::Missing { realm, metadata } => {
                let challenge = Challenge { realm, metadata };
                let mut response = HttpResponse::build(StatusCode::UNAUTHORIZED);
                let mut response = response.insert_header(NO_STORE).insert_header(NO_CACHE).finish();
                add(&mut response, [challenge.bearer(""), challenge.dpop("")]);
                response
            }
            Self::Refused { realm, metadata, shown, error, scope } => {
                let needed = match error.code() {
                    Code::InsufficientScope => format!(", scope=\"{scope}\""),
                    _ => String::new(),
                };
                Challenge { realm, metadata }.refuse(*shown, error, &needed)
            }
            Self::StepUp { realm, metadata, shown, error, needed } => {
                Challenge { realm, metadata }.refuse(*shown, error, &step_up_parameters(needed))
            }
            Self::Database(error) => {
                let (status, told, code) = fault(error);
                refusal(status, &told, Some(code))
            }
        }
    }
}
