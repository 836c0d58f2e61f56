//! `PATCH /api/v1/users/{id}`: another password, or whether the user may sign in. Either ends what there was before.

use actix_web::{HttpRequest, HttpResponse, web};
use oauth_core::scope::USERS_WRITE;
use serde_json::Value;
use vocab::Violations;

use super::document::{self, UserDocument};
use super::{absent, busy, read_json, whose};
use crate::app::App;
use crate::http::body::Body;
use crate::http::respond::private_json;
use crate::password::{Demands, Password};
use crate::problem::Problem;
use crate::resolve::Tenant;
use crate::store::change_mails::Change;
use crate::store::credentials::{self, Active, NewPassword};
use crate::store::users;

#[derive(Debug)]
struct ChangeDocument {
    password: Option<Password>,
    status: Option<Active>,
}

impl ChangeDocument {
    fn parse(demands: &Demands<'_>, body: &[u8]) -> Result<Self, Problem> {
        let mut fields = document::object(body)?;
        let mut problems = Violations::new();
        let password = document::password(fields.remove("password"), demands, &mut problems);
        let status = match fields.remove("status") {
            None => None,
            Some(Value::String(text)) if Active::parse(&text).is_some() => Active::parse(&text),
            Some(_) => {
                problems.add("/status", "must be active or disabled");
                None
            }
        };
        for name in fields.keys() {
            problems.add(format!("/{}", document::pointer(name)), "cannot be changed");
        }
        problems.into_result().map_err(Problem::invalid)?;
        Ok(Self { password, status })
    }
}

pub(in crate::http) async fn patch(
    request: HttpRequest,
    tenant: Tenant,
    app: web::Data<App>,
    body: Body,
) -> Result<HttpResponse, actix_web::Error> {
    let now = app.clock.now();
    let (db, id) = whose(&request, &tenant, &app, USERS_WRITE).await?;
    let body = read_json(&request, body)?;
    let whose = users::find(db, id).await.map_err(Problem::from)?.ok_or_else(absent)?.user;
    let name = whose.claims.get("name").and_then(Value::as_str).unwrap_or_default();
    let change = ChangeDocument::parse(&tenant.password_demands(&[&whose.email, name]), &body)?;
    let tell = tenant.told_of_logout();
    if let Some(status) = change.status {
        let known = credentials::set_active(db, id, status, &tell, now).await.map_err(Problem::from)?;
        known.then_some(()).ok_or_else(absent)?;
        tracing::info!(tenant = %tenant.slug, user = %id, status = status.as_str(), "a user's status was set");
    }
    if let Some(password) = change.password {
        let hash = app.hasher.hash(password).await.map_err(busy)?;
        let news = app.news(&tenant, Change::PasswordSet);
        let new = NewPassword { user_id: id, hash: &hash, replaces: None, keep: None, tell: &tell, news };
        let known = credentials::change(db, &new).await.map_err(Problem::from)?;
        known.then_some(()).ok_or_else(absent)?;
        tracing::info!(tenant = %tenant.slug, user = %id, "a user's password was set; sessions and grants ended");
    }
    app.outbox.look_at(tenant.id);
    let row = users::find(db, id).await.map_err(Problem::from)?.ok_or_else(absent)?;
    Ok(private_json(&UserDocument::from(row)))
}
