//! `GET` and `POST /consent`: the user allows a client what it asks for, or does not.
//!
//! What is granted comes from the stored interaction, never from the form. The form's token names the session it was
//! shown to: nobody who signed in meanwhile in another tab grants what someone else was shown.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use oauth_core::authorize::{Decision, SessionFacts};
use oauth_core::error::OAuthError;
use oauth_core::form::Form;
use oauth_core::scope::ScopeSet;
use tracing::Instrument as _;
use url::Url;

use super::answer::Answer;
use super::authorize::{self, Progress};
use super::visit::Visit;
use crate::pages::{self, About, Asked, PageError, see_other};
use crate::store::consents::{self, Consent};
use crate::store::interactions::Interaction;
use crate::store::sessions::Session;

pub(super) async fn get(visit: &Visit<'_>) -> Result<HttpResponse, PageError> {
    let query = visit.query()?;
    let id = query.get("interaction").ok_or_else(|| visit.stale())?;
    let interaction = visit.interaction(id).await?;
    let session = visit.session().await?;
    let so_far = Progress::of(session.as_ref().map(|session| &session.facts), &interaction);
    match (authorize::decide(visit, &interaction.request, &so_far).await?, session.as_ref()) {
        (Decision::NeedConsent(scopes), Some(session)) => consent_page(visit, id, &interaction, session, &scopes),
        _ => authorize::resume(visit, id, &interaction, &so_far).await,
    }
}

fn token_about<'a>(id: &'a str, sid: &'a str) -> [&'a str; 3] {
    ["consent", id, sid]
}

fn consent_page(
    visit: &Visit<'_>,
    id: &str,
    interaction: &Interaction,
    session: &Session,
    scopes: &ScopeSet,
) -> Result<HttpResponse, PageError> {
    let asked = &interaction.request;
    let client = authorize::client_of(visit, asked)?;
    let page = pages::Consent {
        frame: visit.frame(),
        asked: Asked::of(visit.tenant, client.spec.name.clone(), scopes.iter(), &asked.authorization_details),
        about: About::of(client),
        email: session.email.clone(),
        csrf: visit.csrf(&token_about(id, &session.facts.sid.to_string())),
        interaction: id.to_owned(),
        destination: destination(&asked.redirect_uri),
        switch: format!("{}&switch=1", visit.interaction_path("/login", Some(id))),
    };
    Ok(visit.show_about(StatusCode::OK, &page, Some(&asked.redirect_uri), &page.about))
}

/// Where the browser will go, as far as a person can tell by it.
fn destination(redirect_uri: &str) -> String {
    let host = Url::parse(redirect_uri).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.unwrap_or_else(|| "the application".to_owned())
}

pub(super) async fn post(visit: &Visit<'_>, form: &Form<'_>) -> Result<HttpResponse, PageError> {
    let id = form.get("interaction").ok_or_else(|| visit.stale())?;
    let interaction = visit.interaction(id).await?;
    let Some(session) = visit.session().await?.map(|session| session.facts) else {
        return Ok(see_other(&visit.interaction_path("/login", Some(id))));
    };
    visit.check_csrf(form, &token_about(id, &session.sid.to_string()))?;
    match Answer::of(visit, form)? {
        Answer::Allow => allow(visit, id, &interaction, &session).instrument(interaction.step("consent")).await,
        Answer::Deny => {
            authorize::finish(visit, id).await?;
            Ok(authorize::refuse(visit, &interaction.request, &OAuthError::access_denied("The user did not consent.")))
        }
    }
}

async fn allow(
    visit: &Visit<'_>,
    id: &str,
    interaction: &Interaction,
    session: &SessionFacts,
) -> Result<HttpResponse, PageError> {
    let so_far = Progress::of(Some(session), interaction);
    // Only an answer to a question that was due is remembered.
    if let Decision::NeedConsent(scopes) = authorize::decide(visit, &interaction.request, &so_far).await? {
        let client_id = interaction.request.client_id.as_str();
        let details = visit.tenant.details_types.remembered(&interaction.request.authorization_details);
        let consent = Consent { scopes, details };
        consents::remember(visit.db()?, session.user_id, client_id, &consent, visit.now)
            .await
            .map_err(|e| visit.fault(&e))?;
    }
    authorize::resume(visit, id, interaction, &Progress { consented_here: true, ..so_far }).await
}
