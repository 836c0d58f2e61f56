//! `GET` and `POST /login`: e-mail and password, on a page that needs no script.
//!
//! A wrong password and an unknown user are the same answer after the same work. A right one begins a session under a
//! fresh id and goes on with the interaction, if there is one; or, for who has a second factor, a sign-in that is halfway.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use oauth_core::authorize::{Decision, SessionFacts};
use oauth_core::form::Form;
use tracing::{Instrument as _, Span};
use uuid::Uuid;
use vocab::identity_provider::IdentityProvider;

use super::authorize::{self, Progress};
use super::cookies::Kind;
use super::mfa;
use super::onward::Onward;
use super::too_many;
use super::visit::{Visit, add_cookie};
use crate::email::Email;
use crate::pages::{self, About, PageError, see_other};
use crate::password::Password;
use crate::store::interactions::{self, Interaction};
use crate::store::sessions::{self, Begun, NewSession, Session};
use crate::store::users;

const WRONG: &str = "The email address or the password is wrong.";

pub(super) async fn get(visit: &Visit<'_>) -> Result<HttpResponse, PageError> {
    let query = visit.query()?;
    let session = visit.session().await?;
    let Some(id) = query.get("interaction") else {
        let onward = Onward::of(&query);
        return Ok(match session {
            Some(_) if query.get("switch").is_some() => form_page(visit, None, &onward, Answer::fresh("")),
            Some(_) if !matches!(onward, Onward::Here) => see_other(&visit.path(&onward.path())),
            Some(session) => {
                let page = pages::SignedIn {
                    frame: visit.frame(),
                    email: session.email,
                    csrf: visit.csrf(&["logout"]),
                    asked_by: None,
                    request: Vec::new(),
                };
                visit.show(StatusCode::OK, &page, None)
            }
            None => form_page(visit, None, &onward, Answer::fresh("")),
        });
    };
    let interaction = visit.interaction(id).await?;
    let so_far = Progress::of(session.as_ref().map(|session| &session.facts), &interaction);
    // The session may suffice by now: another tab signed in, or the first request was a cross-site POST, with which
    // browsers send no SameSite=Lax cookie. `switch` asks for another account all the same.
    let wants_form = query.get("switch").is_some()
        || match (authorize::decide(visit, &interaction.request, &so_far).await?, &session) {
            (Decision::NeedLogin, _) => true,
            (Decision::NeedSelection, Some(session)) => return Ok(selection_page(visit, id, &interaction, session)),
            _ => false,
        };
    if !wants_form {
        return authorize::resume(visit, id, &interaction, &so_far).await;
    }
    let email = interaction.request.login_hint.as_deref().unwrap_or_default();
    Ok(form_page(visit, Some((id, &interaction)), &Onward::Here, Answer::fresh(email)))
}

/// "Go on as …, or with another account": what `prompt=select_account` asks for.
fn selection_page(visit: &Visit<'_>, id: &str, interaction: &Interaction, session: &Session) -> HttpResponse {
    let asked = &interaction.request;
    let page = pages::SelectAccount {
        frame: visit.frame(),
        client: client_name(visit, asked.client_id.as_str()),
        email: session.email.clone(),
        csrf: visit.csrf(&["select", id, &session.facts.sid.to_string()]),
        interaction: id.to_owned(),
        switch: format!("{}&switch=1", visit.interaction_path("/login", Some(id))),
    };
    visit.show(StatusCode::OK, &page, Some(&asked.redirect_uri))
}

/// The user goes on as whom the browser knows already. The form's token names the session it was shown for.
async fn select(visit: &Visit<'_>, form: &Form<'_>) -> Result<HttpResponse, PageError> {
    let id = form.get("interaction").ok_or_else(|| visit.stale())?;
    let interaction = visit.interaction(id).await?;
    let Some(session) = visit.session().await?.map(|session| session.facts) else {
        return Ok(see_other(&visit.interaction_path("/login", Some(id))));
    };
    visit.check_csrf(form, &["select", id, &session.sid.to_string()])?;
    interactions::selected(visit.db()?, visit.key(id), session.sid).await.map_err(|e| visit.fault(&e))?;
    let so_far = Progress { selected_sid: Some(session.sid), ..Progress::of(Some(&session), &interaction) };
    authorize::resume(visit, id, &interaction, &so_far).await
}

/// What the form shows beside its fields.
struct Answer<'a> {
    status: StatusCode,
    alert: Option<String>,
    email: &'a str,
}

impl<'a> Answer<'a> {
    const fn fresh(email: &'a str) -> Self {
        Self { status: StatusCode::OK, alert: None, email }
    }

    fn alert(status: StatusCode, alert: impl Into<String>, email: &'a str) -> Self {
        Self { status, alert: Some(alert.into()), email }
    }
}

fn form_page(
    visit: &Visit<'_>,
    interaction: Option<(&str, &Interaction)>,
    onward: &Onward,
    answer: Answer<'_>,
) -> HttpResponse {
    let id = interaction.map(|(id, _)| id);
    let asked = interaction.map(|(_, interaction)| &interaction.request);
    let client = asked.and_then(|asked| visit.tenant.client(asked.client_id.as_str()));
    let page = pages::Login {
        frame: visit.frame(),
        client: client.map(|client| client.spec.name.clone()),
        about: client.map(|client| About::of(client)).unwrap_or_default(),
        alert: answer.alert,
        csrf: visit.csrf(&["login", id.unwrap_or_default()]),
        interaction: id.map(str::to_owned),
        onward: onward.fields(),
        email: answer.email.to_owned(),
        forgot: visit.app.sends_mail(visit.tenant).then(|| visit.path("/forgot-password")),
        providers: providers(visit, id, onward),
        register: visit.tenant.registration_enabled.then(|| match id {
            Some(_) => visit.interaction_path("/register", id),
            None => onward.by_way_of(visit, "/register"),
        }),
    };
    visit.show_about(answer.status, &page, asked.map(|asked| asked.redirect_uri.as_str()), &page.about)
}

/// Where one may sign in beside here.
fn providers(visit: &Visit<'_>, interaction: Option<&str>, onward: &Onward) -> Vec<pages::Provider> {
    let link = |provider: &IdentityProvider| {
        let path = format!("/login/{}", provider.id);
        let href = match interaction {
            Some(_) => visit.interaction_path(&path, interaction),
            None => onward.by_way_of(visit, &path),
        };
        pages::Provider { name: provider.display_name.clone(), href }
    };
    visit.tenant.oauth.identity_providers.iter().map(link).collect()
}

pub(super) fn client_name(visit: &Visit<'_>, client_id: &str) -> Option<String> {
    visit.tenant.client(client_id).map(|client| client.spec.name.clone())
}

/// The interaction that a posted form belongs to, after the form's token was checked.
pub(super) async fn posted_interaction<'f>(
    visit: &Visit<'_>,
    form: &'f Form<'_>,
    page: &str,
) -> Result<Option<(&'f str, Interaction)>, PageError> {
    let id = form.get("interaction");
    visit.check_csrf(form, &[page, id.unwrap_or_default()])?;
    visit.interaction_of(form).await
}

pub(super) async fn post(visit: &Visit<'_>, form: &Form<'_>) -> Result<HttpResponse, PageError> {
    if form.get("select").is_some() {
        return select(visit, form).await;
    }
    let interaction = posted_interaction(visit, form, "login").await?;
    let interaction = interaction.as_ref().map(|(id, interaction)| (*id, interaction));
    let step = interaction.map_or_else(Span::none, |(_, interaction)| interaction.step("sign in"));
    sign_in(visit, form, interaction).instrument(step).await
}

async fn sign_in(
    visit: &Visit<'_>,
    form: &Form<'_>,
    interaction: Option<(&str, &Interaction)>,
) -> Result<HttpResponse, PageError> {
    let email = form.get("email").unwrap_or_default();
    let onward = Onward::of(form);
    let answer = match authenticate(visit, email, form.get("password").unwrap_or_default()).await? {
        Outcome::Right(user) => return signed_in(visit, interaction, &onward, Person::by_password(user)).await,
        Outcome::Wrong => Answer::alert(StatusCode::FORBIDDEN, WRONG, email),
        Outcome::Unusable(why) => Answer::alert(StatusCode::BAD_REQUEST, why, email),
        Outcome::Wait(secs) => {
            return Ok(too_many::page(secs, |status, text| {
                form_page(visit, interaction, &onward, Answer::alert(status, text, email))
            }));
        }
    };
    Ok(form_page(visit, interaction, &onward, answer))
}

pub(super) enum Outcome {
    Right(Uuid),
    Wrong,
    Unusable(String),
    Wait(u32),
}

pub(super) async fn authenticate(visit: &Visit<'_>, email: &str, password: &str) -> Result<Outcome, PageError> {
    let password = match Password::presented(password.to_owned()) {
        Ok(password) => password,
        Err(problem) => return Ok(Outcome::Unusable(format!("The password {problem}."))),
    };
    let db = visit.db()?;
    let parsed = Email::parse(email).ok();
    // An address that cannot exist is guessed at like any other, so it is counted and hashed for like any other.
    let account = parsed.as_ref().map_or_else(|| email.trim().to_lowercase(), |email| email.normalized().to_owned());
    let attempt = match visit.app.throttle.begin(visit.tenant.id, &account, visit.address, visit.now) {
        Ok(attempt) => attempt,
        Err(wait) => return Ok(Outcome::Wait(wait.secs)),
    };
    let judged = async {
        let found = match &parsed {
            Some(email) => users::find_for_sign_in(db, email).await.map_err(|e| visit.fault(&e))?,
            None => None,
        };
        let (id, stored) = found.map_or((None, None), |found| (Some(found.id), found.password_hash));
        let matches = visit.app.hasher.verify(password, stored).await;
        let matches = matches.map_err(|error| PageError::hashing(visit.tenant, error))?;
        Ok(id.filter(|_| matches))
    };
    match judged.await {
        Ok(Some(user)) => {
            visit.app.throttle.succeeded(&attempt);
            Ok(Outcome::Right(user))
        }
        Ok(None) => Ok(Outcome::Wrong),
        Err(error) => {
            visit.app.throttle.abandoned(&attempt);
            Err(error)
        }
    }
}

/// Who has just shown who they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Person<'a> {
    pub(super) id: Uuid,
    /// How (RFC 8176).
    pub(super) amr: &'a [&'a str],
}

impl Person<'_> {
    pub(super) const fn by_password(id: Uuid) -> Self {
        Self { id, amr: &["pwd"] }
    }
}

/// Goes on with who has just shown who they are: to the second factor, or with a session. A provider's word is the first
/// factor alone, as a password is: what the tenant demands beside it is shown here.
pub(super) async fn signed_in(
    visit: &Visit<'_>,
    interaction: Option<(&str, &Interaction)>,
    onward: &Onward,
    person: Person<'_>,
) -> Result<HttpResponse, PageError> {
    if mfa::is_due(visit, person.id).await? {
        return mfa::halfway(visit, interaction.map(|(id, _)| id), onward, person).await;
    }
    let begun = begin_session(visit, person).await?;
    let mut response = match interaction {
        Some((id, interaction)) => go_on(visit, id, interaction, &begun.facts).await?,
        None => see_other(&visit.path(&onward.path())),
    };
    add_cookie(&mut response, &Kind::Session.set(visit.tenant, begun.cookie.expose()));
    Ok(response)
}

/// A session under a fresh cookie.
pub(super) async fn begin_session(visit: &Visit<'_>, person: Person<'_>) -> Result<Begun, PageError> {
    let new = NewSession {
        user_id: person.id,
        amr: person.amr,
        now: visit.now,
        expires_at: visit.now.plus_secs(i64::from(visit.tenant.lifetimes.session_absolute_secs)),
        replaces: visit.session_cookie(),
        tell: &visit.tenant.told_of_logout(),
    };
    sessions::begin(visit.db()?, &new).await.map_err(|e| visit.fault(&e))
}

async fn go_on(
    visit: &Visit<'_>,
    id: &str,
    interaction: &Interaction,
    session: &SessionFacts,
) -> Result<HttpResponse, PageError> {
    interactions::authenticated(visit.db()?, visit.key(id), session.sid).await.map_err(|e| visit.fault(&e))?;
    let so_far = Progress {
        session: Some(session),
        authenticated_sid: Some(session.sid),
        selected_sid: None,
        consented_here: false,
    };
    authorize::resume(visit, id, interaction, &so_far).await
}
