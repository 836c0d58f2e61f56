//! `GET /login/{provider}` and `GET /login/{provider}/callback`: a sign-in at another OpenID provider begins and ends.
//!
//! What the browser brings back is an answer to what this browser began, once, at this provider, or it is nothing.

use actix_web::HttpResponse;
use oauth_core::authorize::Prompt;
use oauth_core::federation::Refused;
use oauth_core::form::Form;
use tracing::{Instrument as _, Span};
use vocab::ErrorCode;
use vocab::identity_provider::IdentityProvider;

use super::login::{Person, signed_in};
use super::onward::Onward;
use super::visit::Visit;
use crate::federation::{Failure, Federation, Origin, SignIn};
use crate::pages::{PageError, see_other};
use crate::store::interactions::Interaction;

pub(super) async fn begin(visit: &Visit<'_>) -> Result<HttpResponse, PageError> {
    let provider = provider(visit)?;
    let query = visit.query()?;
    let interaction = visit.interaction_of(&query).await?;
    let origin = Origin {
        browser: visit.browser(),
        interaction: interaction.as_ref().map(|(id, _)| *id),
        onward: Onward::of(&query).query(),
        sign_in: interaction.as_ref().map_or(SignIn::AnyWillDo, |(_, interaction)| wanted(interaction)),
    };
    let step = interaction.as_ref().map_or_else(Span::none, |(_, interaction)| interaction.step("leave to sign in"));
    let begun = federation(visit, provider).begin(origin).instrument(step).await;
    let mut response = see_other(&begun.map_err(|failure| told(visit, provider, &failure))?);
    visit.bind(&mut response);
    Ok(response)
}

/// A client that asks for a fresh sign-in does not mean one of last week at the provider (OIDC Core §3.1.2.1).
fn wanted(interaction: &Interaction) -> SignIn {
    let asked = &interaction.request;
    let anew = asked.max_age_secs.is_some() || asked.prompt.contains(&Prompt::Login);
    if anew { SignIn::Anew } else { SignIn::AnyWillDo }
}

pub(super) async fn callback(visit: &Visit<'_>) -> Result<HttpResponse, PageError> {
    let provider = provider(visit)?;
    let answer = visit.query()?;
    let arrived = federation(visit, provider).finish(visit.browser(), &answer).await;
    let arrived = arrived.map_err(|failure| told(visit, provider, &failure))?;
    let interaction = match &arrived.interaction {
        Some(id) => Some((id.as_str(), visit.interaction(id).await?)),
        None => None,
    };
    let interaction = interaction.as_ref().map(|(id, interaction)| (*id, interaction));
    let onward = Form::parse(arrived.onward.as_bytes()).map(|query| Onward::of(&query)).unwrap_or_default();
    let methods: Vec<&str> = arrived.methods.iter().map(String::as_str).collect();
    let step = interaction.map_or_else(Span::none, |(_, interaction)| interaction.step("sign in"));
    signed_in(visit, interaction, &onward, Person { id: arrived.user, amr: &methods }).instrument(step).await
}

fn federation<'v>(visit: &'v Visit<'_>, provider: &'v IdentityProvider) -> Federation<'v> {
    Federation { tenant: visit.tenant, verifier: &visit.app.verifier, provider, now: visit.now }
}

fn provider<'v>(visit: &'v Visit<'_>) -> Result<&'v IdentityProvider, PageError> {
    let id = visit.segment("provider");
    let found = visit.tenant.oauth.identity_providers.iter().find(|provider| provider.id == id);
    found.ok_or_else(|| visit.error(ErrorCode::NotFound, "Nobody signs in here by this provider."))
}

/// The person reads what to do; what was wrong is for who looks after the provider.
fn told(visit: &Visit<'_>, provider: &IdentityProvider, failure: &Failure) -> PageError {
    let name = &provider.display_name;
    let (code, detail) = match failure {
        Failure::Database(error) => return visit.fault(error),
        Failure::Unknown => return visit.stale(),
        Failure::Fetch(_) | Failure::Signing(_) => {
            (ErrorCode::Unavailable, format!("{name} cannot be reached just now. Please try again."))
        }
        Failure::Client | Failure::Secret => (
            ErrorCode::NotConfigured,
            format!(
                "Signing in at {name} is not set up rightly. Nothing that you do will help: \
                please tell those who run this service."
            ),
        ),
        Failure::Nobody => (ErrorCode::Forbidden, format!("You have no account here that {name} can sign you in to.")),
        Failure::Refused(Refused::Declined) => (ErrorCode::Forbidden, format!("{name} did not sign you in.")),
        Failure::Refused(_) | Failure::Status(_) | Failure::NoIdToken => {
            (ErrorCode::Forbidden, format!("What {name} answered cannot be trusted. Please go back and start again."))
        }
    };
    tracing::warn!(tenant = %visit.tenant.slug, provider = provider.id, %failure, "a sign-in at a provider failed");
    visit.error(code, &detail)
}
