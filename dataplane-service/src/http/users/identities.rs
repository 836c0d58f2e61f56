//! `/api/v1/users/{id}/identities`: as whom the tenant's identity providers know a user.
//!
//! A provider is named as in the tenant's settings; what is kept is its issuer and the subject there, so a provider that is
//! called otherwise tomorrow still knows its people. An identity of an issuer that the settings name no more has no such
//! path; it is taken away by what is kept of it.

use actix_web::{HttpRequest, HttpResponse, web};
use oauth_core::scope::{USERS_READ, USERS_WRITE};
use serde::Serialize;
use serde_json::Value;
use vocab::identity_provider::IdentityProvider;
use vocab::{ErrorCode, Violations};

use super::document::{self, rfc3339};
use super::{absent, done, parameters, read_json, whose};
use crate::app::App;
use crate::http::body::Body;
use crate::http::respond::private_json;
use crate::problem::Problem;
use crate::resolve::Tenant;
use crate::store::federation::Identity;
use crate::store::identities::{self, Linked, Linking};

/// OIDC Core §2: a `sub` is not longer.
const MAX_SUBJECT_CHARS: usize = 255;

#[derive(Serialize)]
struct IdentityDocument {
    /// `None`: the tenant has no provider of this issuer any more.
    provider: Option<String>,
    issuer: String,
    subject: String,
    created_at: String,
}

impl IdentityDocument {
    fn of(tenant: &Tenant, linked: Linked) -> Self {
        let provider = tenant.oauth.identity_providers.iter().find(|provider| provider.issuer == linked.issuer);
        Self {
            provider: provider.map(|provider| provider.id.clone()),
            issuer: linked.issuer,
            subject: linked.subject,
            created_at: rfc3339(linked.created_at),
        }
    }
}

#[derive(Serialize)]
struct IdentitiesDocument {
    items: Vec<IdentityDocument>,
}

fn not_linked() -> Problem {
    Problem::new(ErrorCode::NotFound, "the user has no identity at this provider")
}

fn provider<'t>(request: &HttpRequest, tenant: &'t Tenant) -> Result<&'t IdentityProvider, Problem> {
    let id = request.match_info().get("provider").unwrap_or_default();
    let found = tenant.oauth.identity_providers.iter().find(|provider| provider.id == id);
    found.ok_or_else(|| {
        Problem::new(ErrorCode::NotFound, "none of the tenant's identity_providers has the id that the path names")
    })
}

pub(in crate::http) async fn list(
    request: HttpRequest,
    tenant: Tenant,
    app: web::Data<App>,
) -> Result<HttpResponse, actix_web::Error> {
    let (db, user) = whose(&request, &tenant, &app, USERS_READ).await?;
    let linked = identities::of_user(db, user).await.map_err(Problem::from)?.ok_or_else(absent)?;
    let items = linked.into_iter().map(|linked| IdentityDocument::of(&tenant, linked)).collect();
    Ok(private_json(&IdentitiesDocument { items }))
}

pub(in crate::http) async fn get(
    request: HttpRequest,
    tenant: Tenant,
    app: web::Data<App>,
) -> Result<HttpResponse, actix_web::Error> {
    let (db, user) = whose(&request, &tenant, &app, USERS_READ).await?;
    let provider = provider(&request, &tenant)?;
    let linked = identities::of_user(db, user).await.map_err(Problem::from)?.ok_or_else(absent)?;
    let found = linked.into_iter().find(|linked| linked.issuer == provider.issuer).ok_or_else(not_linked)?;
    Ok(private_json(&IdentityDocument::of(&tenant, found)))
}

fn subject(body: &[u8]) -> Result<String, Problem> {
    let mut fields = document::object(body)?;
    let mut problems = Violations::new();
    let subject = match fields.remove("subject") {
        Some(Value::String(subject)) => subject,
        None => {
            problems.add("/subject", "is missing");
            String::new()
        }
        Some(_) => {
            problems.add("/subject", "must be a string");
            String::new()
        }
    };
    let chars = subject.chars().count();
    let is_good = (1..=MAX_SUBJECT_CHARS).contains(&chars) && !subject.contains(char::is_control);
    problems.require(!problems.is_empty() || is_good, "/subject", || {
        format!("must be the provider's `sub` of the person: 1 to {MAX_SUBJECT_CHARS} characters, none of control")
    });
    for name in fields.keys() {
        problems.add(format!("/{}", document::pointer(name)), "is not a field of an identity");
    }
    problems.into_result().map_err(Problem::invalid)?;
    Ok(subject)
}

pub(in crate::http) async fn link(
    request: HttpRequest,
    tenant: Tenant,
    app: web::Data<App>,
    body: Body,
) -> Result<HttpResponse, actix_web::Error> {
    let now = app.clock.now();
    let (db, user) = whose(&request, &tenant, &app, USERS_WRITE).await?;
    let subject = subject(&read_json(&request, body)?)?;
    let provider = provider(&request, &tenant)?;
    let identity = Identity { issuer: &provider.issuer, subject: &subject };
    let linked = match identities::link(db, user, identity, now).await.map_err(Problem::from)? {
        Linking::Linked(linked) => linked,
        Linking::NoSuchUser => return Err(absent().into()),
        Linking::AnotherUsers => {
            let detail = "another user has this subject at this provider; unlink it there first";
            return Err(Problem::new(ErrorCode::AlreadyExists, detail).into());
        }
    };
    tracing::info!(tenant = %tenant.slug, %user, provider = provider.id, "a user was linked to a provider's person");
    Ok(private_json(&IdentityDocument::of(&tenant, linked)))
}

pub(in crate::http) async fn unlink(
    request: HttpRequest,
    tenant: Tenant,
    app: web::Data<App>,
) -> Result<HttpResponse, actix_web::Error> {
    let (db, user) = whose(&request, &tenant, &app, USERS_WRITE).await?;
    let provider = provider(&request, &tenant)?;
    if !identities::unlink(db, user, &provider.issuer, None).await.map_err(Problem::from)? {
        return Err(not_linked().into());
    }
    tracing::info!(tenant = %tenant.slug, %user, provider = provider.id, "a user is a provider's person no more");
    Ok(done())
}

/// Which identity the query names. Both parts must be there: a request that lost one must not take more away.
fn named(query: &str) -> Result<(String, String), Problem> {
    let (query, mut problems) = parameters(query, &["issuer", "subject"])?;
    let [issuer, subject] = ["issuer", "subject"].map(|name| {
        let value = query.get(name).filter(|value| !value.is_empty());
        problems.require(value.is_some(), &format!("/{name}"), || "is missing: an identity has both".to_owned());
        value.unwrap_or_default().to_owned()
    });
    problems.into_result().map_err(Problem::invalid)?;
    Ok((issuer, subject))
}

/// As the list shows it, whatever the tenant has configured.
pub(in crate::http) async fn remove(
    request: HttpRequest,
    tenant: Tenant,
    app: web::Data<App>,
) -> Result<HttpResponse, actix_web::Error> {
    let (db, user) = whose(&request, &tenant, &app, USERS_WRITE).await?;
    let (issuer, subject) = named(request.query_string())?;
    if !identities::unlink(db, user, &issuer, Some(&subject)).await.map_err(Problem::from)? {
        return Err(Problem::new(ErrorCode::NotFound, "the user has no such identity").into());
    }
    tracing::info!(tenant = %tenant.slug, %user, issuer, "a user is an issuer's person no more");
    Ok(done())
}
