//! `/api/v1/users`: a tenant's user management, by an access token of that tenant.

pub(super) mod change;
mod document;
pub(super) mod factors;
pub(super) mod identities;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use oauth_core::form::Form;
use oauth_core::scope::{USERS_READ, USERS_WRITE};
use serde::Serialize;
use uuid::Uuid;
use vocab::{ErrorCode, Violations};

use self::document::{NewUserDocument, UserDocument};
use super::body::Body;
use super::respond::{BearerFailure, private_json};
use super::{bearer, form_body};
use crate::app::App;
use crate::opaque;
use crate::password::{HashError, PasswordHash};
use crate::problem::Problem;
use crate::resolve::Tenant;
use crate::store::TenantDb;
use crate::store::users::{self, NewUser};

const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 500;

#[derive(Serialize)]
struct Page {
    items: Vec<UserDocument>,
    next_cursor: Option<Uuid>,
}

pub(super) async fn list(
    request: HttpRequest,
    tenant: Tenant,
    app: web::Data<App>,
) -> Result<HttpResponse, actix_web::Error> {
    authenticate(&request, &tenant, &app, USERS_READ).await?;
    let (limit, cursor) = paging(request.query_string())?;
    let db = tenant.db().map_err(Problem::from)?;
    // One more than asked for tells whether there is a next page.
    let mut rows = users::list(db, cursor, limit + 1).await.map_err(Problem::from)?;
    let asked = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > asked;
    rows.truncate(asked);
    let next_cursor = if more { rows.last().map(|row| row.user.id) } else { None };
    Ok(private_json(&Page { items: rows.into_iter().map(UserDocument::from).collect(), next_cursor }))
}

/// A token with the scope; a user's must come of a sign-in that is as good as the tenant demands (RFC 9470).
async fn authenticate(
    request: &HttpRequest,
    tenant: &Tenant,
    app: &App,
    scope: &'static str,
) -> Result<(), BearerFailure> {
    let bearer = bearer::authenticate(request, None, tenant, app, scope).await?;
    bearer.require(tenant.oauth.user_api_step_up.as_ref(), tenant, app.clock.now())
}

/// The user that the path names, if there is one, and the database that tells; for whom a token with the scope was shown.
async fn whose<'t>(
    request: &HttpRequest,
    tenant: &'t Tenant,
    app: &App,
    scope: &'static str,
) -> Result<(&'t TenantDb, Uuid), actix_web::Error> {
    authenticate(request, tenant, app, scope).await?;
    let user = id_in(request, "id").ok_or_else(absent)?;
    Ok((tenant.db().map_err(Problem::from)?, user))
}

fn absent() -> Problem {
    Problem::new(ErrorCode::NotFound, "there is no such user")
}

/// A part of the path; what is no id is nobody's.
fn id_in(request: &HttpRequest, part: &str) -> Option<Uuid> {
    request.match_info().get(part).and_then(|id| id.parse().ok())
}

fn done() -> HttpResponse {
    HttpResponse::NoContent().insert_header((header::CACHE_CONTROL, "no-store")).finish()
}

/// The query, and what stands in it beside `known` and the tenant's name.
fn parameters<'q>(query: &'q str, known: &[&str]) -> Result<(Form<'q>, Violations), Problem> {
    let query = Form::parse(query.as_bytes()).map_err(|e| Problem::new(ErrorCode::InvalidRequest, e.to_string()))?;
    let mut problems = Violations::new();
    for (name, _) in query.iter().filter(|(name, _)| *name != "tenant" && !known.contains(name)) {
        problems.add(format!("/{name}"), "is not a parameter of this request");
    }
    Ok((query, problems))
}

fn paging(query: &str) -> Result<(i64, Option<Uuid>), Problem> {
    let (query, mut problems) = parameters(query, &["limit", "cursor"])?;
    let limit = match query.get("limit").map(str::parse::<i64>) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit)) if (1..=MAX_LIMIT).contains(&limit) => limit,
        Some(_) => {
            problems.add("/limit", format!("must be a number from 1 to {MAX_LIMIT}"));
            DEFAULT_LIMIT
        }
    };
    let cursor = query.get("cursor").map(str::parse::<Uuid>).transpose().unwrap_or_else(|_| {
        problems.add("/cursor", "must be the next_cursor of the page before");
        None
    });
    problems.into_result().map_err(Problem::invalid)?;
    Ok((limit, cursor))
}

pub(super) async fn get(
    request: HttpRequest,
    tenant: Tenant,
    app: web::Data<App>,
) -> Result<HttpResponse, actix_web::Error> {
    let (db, user) = whose(&request, &tenant, &app, USERS_READ).await?;
    let row = users::find(db, user).await.map_err(Problem::from)?.ok_or_else(absent)?;
    Ok(private_json(&UserDocument::from(row)))
}

pub(super) async fn create(
    request: HttpRequest,
    tenant: Tenant,
    app: web::Data<App>,
    body: Body,
) -> Result<HttpResponse, actix_web::Error> {
    let now = app.clock.now();
    authenticate(&request, &tenant, &app, USERS_WRITE).await?;
    let body = read_json(&request, body)?;
    let new = NewUserDocument::parse(&tenant, &body)?;
    let db = tenant.db().map_err(Problem::from)?;
    let password_hash: Option<PasswordHash> = match new.password {
        Some(password) => Some(app.hasher.hash(password).await.map_err(busy)?),
        None => None,
    };
    let user = NewUser {
        id: opaque::fresh_id(now),
        email: &new.email,
        email_verified: new.email_verified,
        password_hash: password_hash.as_ref(),
        claims: &new.claims,
        now,
    };
    let row = users::create(db, &user).await.map_err(Problem::from)?;
    let row = row.ok_or_else(|| Problem::new(ErrorCode::AlreadyExists, "a user with this email exists already"))?;
    let location = format!("{}/api/v1/users/{}", tenant.issuer, row.user.id);
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, location))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(UserDocument::from(row)))
}

fn busy(error: HashError) -> Problem {
    Problem::new(ErrorCode::Unavailable, error.to_string())
}

fn read_json(request: &HttpRequest, body: Body) -> Result<web::Bytes, Problem> {
    if !form_body::is_json(request) {
        return Err(Problem::new(ErrorCode::UnsupportedMediaType, "send application/json without content encoding"));
    }
    body.0.map_err(|_| Problem::new(ErrorCode::PayloadTooLarge, "the body is over 128 KiB or was cut off"))
}
