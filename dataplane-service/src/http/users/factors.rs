//! `/api/v1/users/{id}/factors`: the second factors of a user, for whoever helps people that lost them.
//!
//! Nothing secret is told, and none can be added here: only the person proves to have one.

use actix_web::{HttpRequest, HttpResponse, web};
use oauth_core::scope::{USERS_READ, USERS_WRITE};
use serde::Serialize;
use uuid::Uuid;
use vocab::ErrorCode;

use super::document::rfc3339;
use super::{absent, done, id_in, whose};
use crate::app::App;
use crate::http::respond::private_json;
use crate::problem::Problem;
use crate::resolve::Tenant;
use crate::store::change_mails::Change;
use crate::store::factors;
use crate::store::factors::held::{self, Held, HeldFactor};

#[derive(Serialize)]
struct FactorDocument {
    id: Uuid,
    kind: String,
    name: String,
    created_at: String,
    last_used_at: Option<String>,
}

#[derive(Serialize)]
struct FactorsDocument {
    items: Vec<FactorDocument>,
    recovery_codes_left: i64,
}

impl From<HeldFactor> for FactorDocument {
    fn from(factor: HeldFactor) -> Self {
        Self {
            id: factor.id,
            name: factor.name.unwrap_or_else(|| name(&factor.kind).to_owned()),
            kind: factor.kind,
            created_at: rfc3339(factor.created_at),
            last_used_at: factor.last_used_at.map(rfc3339),
        }
    }
}

/// Of what has no name of its own, as people read it; of a kind that only newer pods know, the kind.
fn name(kind: &str) -> &str {
    match kind {
        "totp" => "Authenticator app",
        "webauthn" => "Security key",
        other => other,
    }
}

fn no_such_factor() -> Problem {
    Problem::new(ErrorCode::NotFound, "the user has no such second factor")
}

async fn held_by(request: &HttpRequest, tenant: &Tenant, app: &App) -> Result<Held, actix_web::Error> {
    let (db, user) = whose(request, tenant, app, USERS_READ).await?;
    Ok(held::of_user(db, user).await.map_err(Problem::from)?.ok_or_else(absent)?)
}

pub(in crate::http) async fn list(
    request: HttpRequest,
    tenant: Tenant,
    app: web::Data<App>,
) -> Result<HttpResponse, actix_web::Error> {
    let held = held_by(&request, &tenant, &app).await?;
    let items = held.factors.into_iter().map(FactorDocument::from).collect();
    Ok(private_json(&FactorsDocument { items, recovery_codes_left: held.codes_left }))
}

pub(in crate::http) async fn get(
    request: HttpRequest,
    tenant: Tenant,
    app: web::Data<App>,
) -> Result<HttpResponse, actix_web::Error> {
    let held = held_by(&request, &tenant, &app).await?;
    let id = id_in(&request, "factor_id");
    let found = held.factors.into_iter().find(|factor| Some(factor.id) == id).ok_or_else(no_such_factor)?;
    Ok(private_json(&FactorDocument::from(found)))
}

pub(in crate::http) async fn remove_all(
    request: HttpRequest,
    tenant: Tenant,
    app: web::Data<App>,
) -> Result<HttpResponse, actix_web::Error> {
    let (db, user) = whose(&request, &tenant, &app, USERS_WRITE).await?;
    let news = app.news(&tenant, Change::FactorsTakenAway);
    let removed = factors::remove_all(db, user, &news).await.map_err(Problem::from)?.ok_or_else(absent)?;
    tracing::info!(tenant = %tenant.slug, %user, removed, "a user's second factors and recovery codes were removed");
    app.outbox.look_at(tenant.id);
    Ok(done())
}

pub(in crate::http) async fn remove(
    request: HttpRequest,
    tenant: Tenant,
    app: web::Data<App>,
) -> Result<HttpResponse, actix_web::Error> {
    let (db, user) = whose(&request, &tenant, &app, USERS_WRITE).await?;
    let factor = id_in(&request, "factor_id").ok_or_else(no_such_factor)?;
    let news = app.news(&tenant, Change::FactorsTakenAway);
    if !factors::remove(db, user, factor, &news).await.map_err(Problem::from)? {
        return Err(no_such_factor().into());
    }
    tracing::info!(tenant = %tenant.slug, %user, %factor, "a user's second factor was removed");
    app.outbox.look_at(tenant.id);
    Ok(done())
}
