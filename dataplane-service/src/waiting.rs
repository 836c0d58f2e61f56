//! Use cases of requests whose user answers elsewhere: what a device gets to show (RFC 8628), and how a client of CIBA
//! asks (OIDC CIBA Core 1.0). Tokens come by [`crate::exchange`], the user's answer by the pages.

use oauth_core::authorize::SessionFacts;
use oauth_core::error::{Code, OAuthError};
use oauth_core::form::Form;
use oauth_core::logout::HintClaims;
use oauth_core::scope::OFFLINE_ACCESS;
use oauth_core::waiting::{BackchannelRequest, DeviceRequest, Hint};
use oauth_core::{client::Client, client_auth};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vocab::{Secret, Timestamp};

use crate::caller;
use crate::email::Email;
use crate::exchange::{Failure, TokenRequest};
use crate::opaque;
use crate::signing::HintFault;
use crate::store::ciba::{self, Channel, NewRequest};
use crate::store::device::{self, NewDevice};
use crate::store::waiting::Approval;
use crate::store::{TenantDb, users};
use crate::tenant::TenantContext;

/// RFC 8628 §3.2.
#[derive(Serialize)]
pub struct DeviceAnswer {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: String,
    expires_in: u32,
    interval: u32,
}

impl std::fmt::Debug for DeviceAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceAnswer").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

pub async fn device_authorization(
    tenant: &TenantContext,
    now: Timestamp,
    request: &TokenRequest<'_>,
) -> Result<DeviceAnswer, Failure> {
    client_auth::refuse_query_parameters(request.query)?;
    let form = Form::parse(request.body).map_err(OAuthError::from)?;
    let proof = caller::authenticate(tenant, now, &request.caller, &form).await?;
    let asked = DeviceRequest::parse(&form, proof, &tenant.issuer, &tenant.details_types)?.asked;
    let (expires_in, interval) = (tenant.oauth.device_code_secs(), tenant.oauth.polling_interval_secs());
    let new = NewDevice {
        client_id: proof.client().client_id.as_str(),
        asked: &asked,
        interval_secs: interval,
        now,
        expires_at: now.plus_secs(i64::from(expires_in)),
    };
    let codes = device::begin(tenant.db()?, &new).await?;
    let verification_uri = format!("{}/oauth2/device", tenant.issuer);
    Ok(DeviceAnswer {
        device_code: codes.device_code.expose().clone(),
        user_code: codes.user_code.grouped(),
        verification_uri_complete: format!("{verification_uri}?user_code={}", codes.user_code.grouped()),
        verification_uri,
        expires_in,
        interval,
    })
}

/// OIDC CIBA Core 1.0 §7.3.
#[derive(Serialize)]
pub struct BackchannelAnswer {
    auth_req_id: String,
    expires_in: u32,
    interval: u32,
}

impl std::fmt::Debug for BackchannelAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackchannelAnswer").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// The user sees the request on the account page, and is told of it by the channel.
pub async fn backchannel_authentication(
    tenant: &TenantContext,
    now: Timestamp,
    request: &TokenRequest<'_>,
    channel: Channel,
) -> Result<BackchannelAnswer, Failure> {
    client_auth::refuse_query_parameters(request.query)?;
    let form = Form::parse(request.body).map_err(OAuthError::from)?;
    let proof = caller::authenticate(tenant, now, &request.caller, &form).await?;
    let longest_secs = tenant.oauth.ciba_request_secs();
    let asked = BackchannelRequest::parse(&form, proof, &tenant.issuer, &tenant.details_types, longest_secs)?;
    let db = tenant.db()?;
    let user_id = find_user(tenant, db, proof.client(), asked.hint).await?.ok_or(UNKNOWN_USER)?;
    let auth_req_id = opaque::fresh();
    let sealed = asked.notification_token.map(|token| Ping::seal(db, &auth_req_id, token));
    let interval = tenant.oauth.polling_interval_secs();
    let new = NewRequest {
        auth_req_id: &auth_req_id,
        client_id: proof.client().client_id.as_str(),
        user_id,
        asked: &asked.asked,
        binding_message: asked.binding_message,
        sealed,
        interval_secs: interval,
        channel,
        now,
        expires_at: now.plus_secs(i64::from(asked.lifetime_secs)),
    };
    if !ciba::begin(db, &new).await? {
        return Err(OAuthError::access_denied("The user has enough requests of this client to answer already.").into());
    }
    Ok(BackchannelAnswer { auth_req_id: auth_req_id.expose().clone(), expires_in: asked.lifetime_secs, interval })
}

const UNKNOWN_USER: OAuthError = OAuthError::new(Code::UnknownUserId, "The hint names no active user.");

async fn find_user(
    tenant: &TenantContext,
    db: &TenantDb,
    client: &Client,
    hint: Hint<'_>,
) -> Result<Option<Uuid>, Failure> {
    match hint {
        Hint::Login(address) => {
            let Ok(email) = Email::parse(address) else { return Ok(None) };
            Ok(users::find_for_sign_in(db, &email).await?.map(|found| found.id))
        }
        Hint::IdToken(token) => {
            // It may have expired (§7.1).
            let claims = match tenant.keys.verify_hint::<HintClaims>(token, &tenant.issuer) {
                Ok(claims) if claims.aud == client.client_id.as_str() => claims,
                // §13: it cannot be told whom it names.
                Err(HintFault::KeyGone) => return Ok(None),
                Ok(_) | Err(HintFault::Invalid) => {
                    return Err(OAuthError::invalid_request("The id_token_hint is no ID token of this client.").into());
                }
            };
            let Ok(id) = claims.sub.parse() else { return Ok(None) };
            Ok(users::find(db, id).await?.filter(|row| row.status == "active").map(|row| row.user.id))
        }
    }
}

/// The yes of the user whose session it is.
pub fn approval<'a, S: AsRef<str>>(
    tenant: &TenantContext,
    session: &'a SessionFacts,
    scopes: &[S],
    now: Timestamp,
) -> Approval<'a> {
    Approval {
        user_id: session.user_id,
        auth_time: session.auth_time,
        amr: &session.amr,
        grant_expires_at: grant_expiry(tenant, scopes, now),
    }
}

/// When a grant that a user makes now ends, as at the authorization endpoint.
fn grant_expiry<S: AsRef<str>>(tenant: &TenantContext, scopes: &[S], now: Timestamp) -> Timestamp {
    let lifetimes = &tenant.lifetimes;
    if scopes.iter().any(|scope| scope.as_ref() == OFFLINE_ACCESS) {
        now.plus_secs(i64::from(lifetimes.refresh_token_absolute_secs))
    } else {
        // The client may take its time to fetch the tokens.
        let waits = tenant.oauth.device_code_secs().max(tenant.oauth.ciba_request_secs());
        now.plus_secs(i64::from(waits) + i64::from(lifetimes.access_token_secs))
    }
}

/// What is sent to a client when its user answered: both are secrets, and at rest they are sealed.
#[derive(Serialize, Deserialize)]
struct Plain {
    auth_req_id: String,
    notification_token: String,
}

pub struct Ping {
    pub auth_req_id: String,
    pub notification_token: Secret<String>,
}

impl std::fmt::Debug for Ping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ping(…)")
    }
}

impl Ping {
    fn seal(db: &TenantDb, auth_req_id: &Secret<String>, notification_token: &str) -> String {
        let plain =
            Plain { auth_req_id: auth_req_id.expose().clone(), notification_token: notification_token.to_owned() };
        db.seal(&serde_json::to_vec(&plain).expect("two strings are JSON"))
    }

    pub(crate) fn open(db: &TenantDb, sealed: &str) -> Option<Self> {
        let plain = db.open(sealed).ok()?;
        let plain: Plain = serde_json::from_slice(plain.expose()).ok()?;
        Some(Self { auth_req_id: plain.auth_req_id, notification_token: Secret::new(plain.notification_token) })
    }
}
