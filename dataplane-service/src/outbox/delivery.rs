//! One attempt to deliver one message, and what becomes of it.

use oauth_core::client::Client;
use oauth_core::issue::{LOGOUT_TOKEN_TYPE, LogoutToken};
use uuid::Uuid;
use vocab::Timestamp;
use vocab::branding::MailKind;

use super::{MAX_ATTEMPTS, pause_secs};
use crate::fetch::{FetchError, Fetcher};
use crate::mail::{ChangeMail, Envelope, LinkMail, MailError, Mailer, RequestMail};
use crate::opaque;
use crate::recorder::tenant_label;
use crate::signing::SignError;
use crate::store::change_mails::{self, Change};
use crate::store::outbox::{self, About, Message};
use crate::store::{DbError, TenantDb, ciba, mail_links};
use crate::tenant::TenantContext;
use crate::waiting::Ping;

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the client answered with status {0}")]
    Status(u16),
    #[error("the logout token was not signed: {0}")]
    Signing(#[from] SignError),
    #[error(transparent)]
    Database(#[from] DbError),
    #[error("what the ping needs cannot be read")]
    Unreadable,
    #[error(transparent)]
    Mail(#[from] MailError),
    #[error("this pod sends no mail")]
    NoMailer,
}

/// What came of an attempt.
enum Outcome {
    Delivered,
    /// The client does not want it any more.
    Dropped,
    Failed(Failure),
}

/// What messages are delivered by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ways<'a> {
    pub(super) fetcher: &'a Fetcher,
    pub(super) mailer: Option<&'a Mailer>,
}

/// Tries, and writes down what came of it. The time of the next attempt, if there will be one.
pub(super) async fn deliver(
    tenant: &TenantContext,
    db: &TenantDb,
    ways: Ways<'_>,
    message: &Message,
    now: Timestamp,
) -> Result<Option<Timestamp>, DbError> {
    let kind = match message.about {
        About::Logout(_) => "logout",
        About::CibaPing(_) => "ciba_ping",
        About::CibaMail(_) => "ciba_mail",
        About::LinkMail(_) => "link_mail",
        About::ChangeMail(_) => "change_mail",
    };
    let count = |outcome: &'static str| {
        let tenant = tenant_label(&tenant.slug);
        metrics::counter!("hj_dp_outbox_deliveries_total", "tenant" => tenant, "kind" => kind, "outcome" => outcome)
            .increment(1);
    };
    let outcome = attempt(tenant, db, ways, message, now).await;
    let failure = match outcome {
        Outcome::Delivered => {
            count("delivered");
            outbox::remove(db, message.id).await?;
            return Ok(None);
        }
        Outcome::Dropped => {
            count("dropped");
            outbox::remove(db, message.id).await?;
            return Ok(None);
        }
        Outcome::Failed(failure) => failure,
    };
    let (slug, client, attempts) = (&tenant.slug, message.client_id.as_str(), message.attempts);
    if attempts >= MAX_ATTEMPTS {
        count("given_up");
        tracing::error!(tenant = %slug, client, kind, attempts, %failure, "a message is given up");
        outbox::remove(db, message.id).await?;
        return Ok(None);
    }
    count("failed");
    tracing::warn!(tenant = %slug, client, kind, attempts, %failure, "a message was not delivered");
    let due_at = now.plus_secs(pause_secs(attempts));
    outbox::postpone(db, message.id, due_at).await?;
    Ok(Some(due_at))
}

async fn attempt(tenant: &TenantContext, db: &TenantDb, ways: Ways<'_>, message: &Message, now: Timestamp) -> Outcome {
    let to_user = match message.about {
        About::LinkMail(link) => Some(link_mail(tenant, ways.mailer, link, now).await),
        About::ChangeMail(change) => Some(change_mail(tenant, ways.mailer, message, change).await),
        About::Logout(_) | About::CibaPing(_) | About::CibaMail(_) => None,
    };
    if let Some(told) = to_user {
        return match told {
            Ok(Told::Yes) => Outcome::Delivered,
            Ok(Told::NotNeeded) => Outcome::Dropped,
            Err(failure) => Outcome::Failed(failure),
        };
    }
    let Some(client) = tenant.client(&message.client_id).filter(|client| client.spec.enabled) else {
        return Outcome::Dropped;
    };
    let result = match &message.about {
        About::Logout(sid) => match &client.spec.backchannel_logout_uri {
            Some(uri) => logout(tenant, ways.fetcher, client, uri, (*sid, message.user_id), now).await,
            None => return Outcome::Dropped,
        },
        About::CibaPing(sealed) => match &client.spec.backchannel_client_notification_endpoint {
            Some(endpoint) => ping(db, ways.fetcher, endpoint, sealed).await,
            None => return Outcome::Dropped,
        },
        About::CibaMail(request) => match mail(tenant, ways.mailer, client, *request, now).await {
            Ok(Told::Yes) => Ok(()),
            Ok(Told::NotNeeded) => return Outcome::Dropped,
            Err(failure) => Err(failure),
        },
        // Of no client, and delivered above.
        About::LinkMail(_) | About::ChangeMail(_) => return Outcome::Dropped,
    };
    result.map_or_else(Outcome::Failed, |()| Outcome::Delivered)
}

/// OIDC Back-Channel Logout 1.0 §2.5: a form with one parameter. §2.8: 200 says yes; 204 is what some frameworks make
/// of it.
async fn logout(
    tenant: &TenantContext,
    fetcher: &Fetcher,
    client: &Client,
    uri: &str,
    (sid, user): (Uuid, Uuid),
    now: Timestamp,
) -> Result<(), Failure> {
    let sub = tenant.subject(client, user)?;
    let claims = LogoutToken::new(&tenant.issuer, &sub, client.client_id.as_str(), sid, opaque::fresh_jti(), now);
    // §2.4: like an ID token of the client's.
    let asked = client.spec.id_token_signed_response_alg;
    let algorithm = asked.or(tenant.keys.signing_algorithm()).ok_or(SignError::NoActiveKey)?;
    let token = tenant.keys.sign_with(algorithm, LOGOUT_TOKEN_TYPE, &claims)?;
    match fetcher.post_form(uri, &[("logout_token", &token)]).await?.status {
        200 | 204 => Ok(()),
        status => Err(Failure::Status(status)),
    }
}

/// OIDC CIBA Core 1.0 §10.2: "SHOULD respond with an HTTP 204"; 200 is as good.
async fn ping(db: &TenantDb, fetcher: &Fetcher, endpoint: &str, sealed: &str) -> Result<(), Failure> {
    let ping = Ping::open(db, sealed).ok_or(Failure::Unreadable)?;
    let body = serde_json::json!({ "auth_req_id": ping.auth_req_id });
    match fetcher.post_json(endpoint, Some(&ping.notification_token), &body).await?.status {
        200 | 204 => Ok(()),
        status => Err(Failure::Status(status)),
    }
}

enum Told {
    Yes,
    /// The user has answered, or it is too late.
    NotNeeded,
}

/// Each attempt has a code of its own, so that none is kept anywhere but in the mail that arrives last.
async fn mail(
    tenant: &TenantContext,
    mailer: Option<&Mailer>,
    client: &Client,
    request: Uuid,
    now: Timestamp,
) -> Result<Told, Failure> {
    let mailer = mailer.ok_or(Failure::NoMailer)?;
    let code = opaque::fresh();
    let Some(addressee) = ciba::put_mail_code(tenant.db()?, request, code.expose(), now).await? else {
        return Ok(Told::NotNeeded);
    };
    let mail = RequestMail {
        envelope: Envelope { id: request, to: &addressee.email, tenant: &tenant.display_name },
        client: &client.spec.name,
        binding_message: addressee.binding_message.as_deref(),
        link: &format!("{}/account/request?code={}", tenant.issuer, code.expose()),
        minutes: addressee.expires_at.since(now).as_secs().div_ceil(60),
        own: tenant.branding.mails.get(&MailKind::SignInRequest),
    };
    mailer.send(mail.compose()?).await?;
    Ok(Told::Yes)
}

/// As [`mail`]: a code of its own for each attempt. The link leads below the tenant's issuer, whatever host anybody asked
/// for.
async fn link_mail(
    tenant: &TenantContext,
    mailer: Option<&Mailer>,
    link: Uuid,
    now: Timestamp,
) -> Result<Told, Failure> {
    let mailer = mailer.ok_or(Failure::NoMailer)?;
    let code = opaque::fresh();
    let Some(addressee) = mail_links::put_code(tenant.db()?, link, code.expose(), now).await? else {
        return Ok(Told::NotNeeded);
    };
    let page = LinkMail::page(addressee.purpose);
    let mail = LinkMail {
        envelope: Envelope { id: link, to: &addressee.email, tenant: &tenant.display_name },
        purpose: addressee.purpose,
        link: &format!("{}{page}?code={}", tenant.issuer, code.expose()),
        minutes: addressee.expires_at.since(now).as_secs().div_ceil(60),
        own: tenant.branding.mails.get(&LinkMail::kind(addressee.purpose)),
    };
    mailer.send(mail.compose()?).await?;
    Ok(Told::Yes)
}

async fn change_mail(
    tenant: &TenantContext,
    mailer: Option<&Mailer>,
    message: &Message,
    change: Change,
) -> Result<Told, Failure> {
    let mailer = mailer.ok_or(Failure::NoMailer)?;
    let Some(to) = change_mails::addressee(tenant.db()?, message.user_id).await? else {
        return Ok(Told::NotNeeded);
    };
    let envelope = Envelope { id: message.id, to: &to, tenant: &tenant.display_name };
    let mail = ChangeMail { envelope, change, at: message.created_at };
    mailer.send(mail.compose()?).await?;
    Ok(Told::Yes)
}
