//! `GET` and `POST /register`: a new account, where the tenant lets people make one.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use oauth_core::form::Form;
use serde_json::Map;
use tracing::{Instrument as _, Span};
use vocab::ErrorCode;

use super::login::{Person, client_name, posted_interaction, signed_in};
use super::mail_link::send;
use super::onward::Onward;
use super::too_many;
use super::visit::Visit;
use crate::email::Email;
use crate::opaque;
use crate::pages::{self, PageError};
use crate::password::Password;
use crate::store::interactions::Interaction;
use crate::store::mail_links::{Purpose, Whom};
use crate::store::users::{self, NewUser};
use crate::tenant::TenantContext;

const MAX_NAME_CHARS: usize = 200;

pub(super) async fn get(visit: &Visit<'_>) -> Result<HttpResponse, PageError> {
    check_enabled(visit)?;
    let query = visit.query()?;
    let interaction = visit.interaction_of(&query).await?;
    let interaction = interaction.as_ref().map(|(id, interaction)| (*id, interaction));
    let hint = interaction.and_then(|(_, interaction)| interaction.request.login_hint.as_deref());
    let typed = Typed { email: hint.unwrap_or_default(), ..Typed::default() };
    let onward = Onward::of(&query);
    Ok(form_page(visit, (interaction, &onward), &typed, StatusCode::OK, Problems::default()))
}

fn check_enabled(visit: &Visit<'_>) -> Result<(), PageError> {
    if visit.tenant.registration_enabled {
        return Ok(());
    }
    Err(visit.error(ErrorCode::NotFound, "Accounts cannot be created here. Please ask whoever sent you."))
}

/// What the form is filled with again; never the password.
#[derive(Default)]
struct Typed<'a> {
    email: &'a str,
    name: &'a str,
}

/// What was wrong, field by field, all at once.
#[derive(Default)]
struct Problems {
    email: Option<String>,
    name: Option<String>,
    password: Option<String>,
    alert: Option<String>,
}

fn form_page(
    visit: &Visit<'_>,
    (interaction, onward): (Option<(&str, &Interaction)>, &Onward),
    typed: &Typed<'_>,
    status: StatusCode,
    problems: Problems,
) -> HttpResponse {
    let id = interaction.map(|(id, _)| id);
    let asked = interaction.map(|(_, interaction)| &interaction.request);
    let page = pages::Register {
        frame: visit.frame(),
        client: asked.and_then(|asked| client_name(visit, asked.client_id.as_str())),
        alert: problems.alert,
        csrf: visit.csrf(&["register", id.unwrap_or_default()]),
        interaction: id.map(str::to_owned),
        onward: onward.fields(),
        email: typed.email.to_owned(),
        name: typed.name.to_owned(),
        email_problem: problems.email,
        name_problem: problems.name,
        password_problem: problems.password,
        password_min_length: visit.tenant.password_min_length(),
        login: match id {
            Some(_) => visit.interaction_path("/login", id),
            None => onward.by_way_of(visit, "/login"),
        },
    };
    visit.show(status, &page, asked.map(|asked| asked.redirect_uri.as_str()))
}

struct Checked {
    email: Email,
    name: Option<String>,
    password: Password,
}

fn check(tenant: &TenantContext, form: &Form<'_>) -> Result<Checked, Problems> {
    let typed = |name: &str| form.get(name).unwrap_or_default();
    let email = Email::parse(typed("email"));
    let name = typed("name").trim();
    let demands = tenant.password_demands(&[typed("email"), name]);
    let password = Password::chosen(typed("password").to_owned(), &demands);
    let name_problem = (name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control))
        .then(|| format!("The name must have at most {MAX_NAME_CHARS} characters, on one line."));
    match (email, password, name_problem) {
        (Ok(email), Ok(password), None) => {
            Ok(Checked { email, name: (!name.is_empty()).then(|| name.to_owned()), password })
        }
        (email, password, name) => Err(Problems {
            email: email.err().map(|problem| format!("The email address {problem}.")),
            password: password.err().map(|problem| format!("The password {problem}.")),
            name,
            alert: None,
        }),
    }
}

pub(super) async fn post(visit: &Visit<'_>, form: &Form<'_>) -> Result<HttpResponse, PageError> {
    check_enabled(visit)?;
    let interaction = posted_interaction(visit, form, "register").await?;
    let interaction = interaction.as_ref().map(|(id, interaction)| (*id, interaction));
    let step = interaction.map_or_else(Span::none, |(_, interaction)| interaction.step("register"));
    register(visit, form, interaction).instrument(step).await
}

async fn register(
    visit: &Visit<'_>,
    form: &Form<'_>,
    interaction: Option<(&str, &Interaction)>,
) -> Result<HttpResponse, PageError> {
    let onward = Onward::of(form);
    let typed = Typed { email: form.get("email").unwrap_or_default(), name: form.get("name").unwrap_or_default() };
    let checked = match check(visit.tenant, form) {
        Ok(checked) => checked,
        Err(problems) => {
            return Ok(form_page(visit, (interaction, &onward), &typed, StatusCode::UNPROCESSABLE_ENTITY, problems));
        }
    };
    // Asking who is registered is guessing, too.
    let attempt = match visit.app.throttle.begin(visit.tenant.id, "(registration)", visit.address, visit.now) {
        Ok(attempt) => attempt,
        Err(wait) => {
            return Ok(too_many::page(wait.secs, |status, alert| {
                let problems = Problems { alert: Some(alert), ..Problems::default() };
                form_page(visit, (interaction, &onward), &typed, status, problems)
            }));
        }
    };
    let created = create(visit, checked).await;
    if !matches!(created, Ok(None)) {
        visit.app.throttle.abandoned(&attempt);
    }
    if let Some(user) = created? {
        if visit.app.sends_mail(visit.tenant) {
            send(visit, Purpose::VerifyEmail, Whom::User(user)).await?;
        }
        return signed_in(visit, interaction, &onward, Person::by_password(user)).await;
    }
    let email = Some("There is an account with this email address already.".to_owned());
    let problems = Problems { email, ..Problems::default() };
    Ok(form_page(visit, (interaction, &onward), &typed, StatusCode::CONFLICT, problems))
}

/// The new user's id; `None` when the address is taken.
async fn create(visit: &Visit<'_>, checked: Checked) -> Result<Option<uuid::Uuid>, PageError> {
    let db = visit.db()?;
    let hash =
        visit.app.hasher.hash(checked.password).await.map_err(|error| PageError::hashing(visit.tenant, error))?;
    let mut claims = Map::new();
    if let Some(name) = checked.name {
        claims.insert("name".to_owned(), name.into());
    }
    let new = NewUser {
        id: opaque::fresh_id(visit.now),
        email: &checked.email,
        email_verified: false,
        password_hash: Some(&hash),
        claims: &claims,
        now: visit.now,
    };
    let created = users::create(db, &new).await.map_err(|e| visit.fault(&e))?;
    Ok(created.map(|row| row.user.id))
}
