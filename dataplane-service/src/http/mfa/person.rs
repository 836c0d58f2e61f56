//! Who is at the second factor, what for, and what happens once it was shown.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use oauth_core::acr::Acr;
use oauth_core::authorize::{AuthorizationRequest, SessionFacts};
use oauth_core::form::Form;
use uuid::Uuid;

use super::password::{self, Refused};
use crate::http::authorize::{self, Progress};
use crate::http::cookies::Kind;
use crate::http::login::{self, begin_session};
use crate::http::onward::Onward;
use crate::http::visit::{Visit, add_cookie};
use crate::pages::{self, PageError, see_other};
use crate::second_factor::{self, recovery};
use crate::store::factors::{self, Factor};
use crate::store::interactions::{self, Interaction};
use crate::store::sessions::{self, Begun, Session};
use crate::store::sign_ins::{self, Halfway};

/// What it leads to: a client's request, or one of our own pages.
pub(in crate::http) struct Destination {
    interaction: Option<(String, Interaction)>,
    onward: Onward,
}

impl Destination {
    pub(in crate::http) async fn of(visit: &Visit<'_>, form: &Form<'_>) -> Result<Self, PageError> {
        let interaction = match form.get("interaction") {
            Some(id) => Some((id.to_owned(), visit.interaction(id).await?)),
            None => None,
        };
        Ok(Self { interaction, onward: Onward::of(form) })
    }

    /// Empty: there is no interaction.
    pub(super) fn id(&self) -> &str {
        self.interaction.as_ref().map_or("", |(id, _)| id)
    }

    pub(super) fn asked(&self) -> Option<&AuthorizationRequest> {
        self.interaction.as_ref().map(|(_, interaction)| &interaction.request)
    }

    /// What a form brings back.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        match &self.interaction {
            Some((id, _)) => vec![("interaction", id.clone())],
            None => self.onward.fields(),
        }
    }

    /// That page, which leads here afterwards.
    pub(in crate::http) fn by_way_of(&self, visit: &Visit<'_>, page: &str) -> String {
        match &self.interaction {
            Some((id, _)) => visit.interaction_path(page, Some(id)),
            None => self.onward.by_way_of(visit, page),
        }
    }

    fn sign_in_first(&self, visit: &Visit<'_>) -> PageError {
        PageError::sign_in_first(self.by_way_of(visit, "/login"))
    }

    /// The address where somebody who is signed in goes on.
    pub(super) fn next(&self, visit: &Visit<'_>) -> String {
        match &self.interaction {
            Some((id, _)) => visit.interaction_path("/login", Some(id)),
            None => visit.path(&self.onward.path()),
        }
    }

    pub(super) async fn go_on(&self, visit: &Visit<'_>, session: &SessionFacts) -> Result<HttpResponse, PageError> {
        let Some((id, interaction)) = &self.interaction else {
            return Ok(see_other(&self.next(visit)));
        };
        // Found anew: the session may have been begun within it a moment ago.
        let interaction =
            Interaction { authenticated_sid: visit.interaction(id).await?.authenticated_sid, ..interaction.clone() };
        let so_far = Progress {
            session: Some(session),
            authenticated_sid: interaction.authenticated_sid,
            selected_sid: interaction.selected_sid,
            consented_here: false,
        };
        authorize::resume(visit, id, &interaction, &so_far).await
    }
}

pub(in crate::http) enum Person {
    /// Has shown the password just now, and has no session.
    Halfway(Halfway),
    SignedIn(Session),
}

impl Person {
    /// Nobody signs in first: the password is the first factor.
    pub(in crate::http) async fn of(visit: &Visit<'_>, to: &Destination) -> Result<Self, PageError> {
        if let Some(cookie) = visit.sign_in_cookie() {
            let interaction = to.interaction.as_ref().map(|(id, _)| id.as_str());
            let found = sign_ins::find(visit.db()?, cookie, interaction, visit.now).await;
            if let Some(found) = found.map_err(|e| visit.fault(&e))? {
                return Ok(Self::Halfway(found));
            }
        }
        visit.session().await?.map(Self::SignedIn).ok_or_else(|| to.sign_in_first(visit))
    }

    pub(super) fn user(&self) -> Uuid {
        match self {
            Self::Halfway(halfway) => halfway.user_id,
            Self::SignedIn(session) => session.facts.user_id,
        }
    }

    pub(super) fn email(&self) -> &str {
        match self {
            Self::Halfway(halfway) => &halfway.email,
            Self::SignedIn(session) => &session.email,
        }
    }

    /// The password as it is asked for here: who is halfway has shown it a moment ago.
    pub(super) async fn password_refused(
        &self,
        visit: &Visit<'_>,
        form: &Form<'_>,
    ) -> Result<Option<Refused>, PageError> {
        match self {
            Self::Halfway(_) => Ok(None),
            Self::SignedIn(session) => password::refusal(visit, session.facts.user_id, &session.email, form).await,
        }
    }

    /// What only this browser holds: it tells this sign-in or session from all others.
    pub(super) fn cookie<'v>(&self, visit: &'v Visit<'_>) -> &'v str {
        let cookie = match self {
            Self::Halfway(_) => visit.sign_in_cookie(),
            Self::SignedIn(_) => visit.session_cookie(),
        };
        cookie.expect("by it the person was found")
    }

    /// What a form is shown for: this very sign-in or session.
    pub(super) fn id(&self) -> String {
        match self {
            Self::Halfway(halfway) => halfway.id.to_string(),
            Self::SignedIn(session) => session.facts.sid.to_string(),
        }
    }
}

/// Who may add a factor here, and what there is already; otherwise the page that comes before. Who has another factor has
/// shown it before.
pub(super) async fn who_adds(visit: &Visit<'_>, to: &Destination) -> Result<(Person, Vec<Factor>), PageError> {
    let person = Person::of(visit, to).await?;
    let known = factors::list(visit.db()?, person.user()).await.map_err(|e| visit.fault(&e))?;
    let has_shown = match &person {
        Person::Halfway(_) => false,
        Person::SignedIn(session) => Acr::of(&session.facts.amr) == Acr::MultiFactor,
    };
    if !known.is_empty() && !has_shown {
        return Err(PageError::sign_in_first(to.by_way_of(visit, "/mfa")));
    }
    Ok((person, known))
}

/// Goes on with who has just added a factor, of which a mail tells, too, by way of the recovery codes if they are the user's
/// now.
pub(super) async fn added(
    visit: &Visit<'_>,
    to: &Destination,
    person: &Person,
    methods: &[&str],
    codes: Option<&[String]>,
) -> Result<HttpResponse, PageError> {
    visit.posted();
    let admitted = admit(visit, to, person, methods).await?;
    let mut response = match codes {
        Some(codes) => codes_page(visit, codes, to.next(visit)),
        None => to.go_on(visit, &admitted.begun.facts).await?,
    };
    admitted.add_cookies(visit, &mut response);
    Ok(response)
}

/// The one time that recovery codes are shown.
pub(in crate::http) fn codes_page(visit: &Visit<'_>, codes: &[String], next: String) -> HttpResponse {
    let codes = codes.iter().map(|code| recovery::grouped(code)).collect();
    let page = pages::RecoveryCodes { frame: visit.frame(), codes, next };
    visit.show(StatusCode::OK, &page, None)
}

/// Somebody who has shown two factors.
pub(in crate::http) struct Admitted {
    pub(in crate::http) begun: Begun,
}

impl Admitted {
    pub(super) fn add_cookies(&self, visit: &Visit<'_>, response: &mut HttpResponse) {
        add_cookie(response, &Kind::Session.set(visit.tenant, self.begun.cookie.expose()));
        if visit.sign_in_cookie().is_some() {
            add_cookie(response, &Kind::SignIn.clear(visit.tenant));
        }
    }
}

/// Begins the session of who was halfway, or makes the session one of two factors. Whose was over meanwhile signs
/// in again.
pub(super) async fn admit(
    visit: &Visit<'_>,
    to: &Destination,
    person: &Person,
    methods: &[&str],
) -> Result<Admitted, PageError> {
    let db = visit.db()?;
    let begun = match person {
        Person::Halfway(halfway) => {
            let cookie = visit.sign_in_cookie().unwrap_or_default();
            if !sign_ins::finish(db, cookie).await.map_err(|e| visit.fault(&e))? {
                return Err(to.sign_in_first(visit));
            }
            let amr = second_factor::amr(&halfway.amr, methods);
            let amr: Vec<&str> = amr.iter().map(String::as_str).collect();
            let begun = begin_session(visit, login::Person { id: halfway.user_id, amr: &amr }).await?;
            if let Some((id, _)) = &to.interaction {
                let noted = interactions::authenticated(db, visit.key(id), begun.facts.sid).await;
                noted.map_err(|e| visit.fault(&e))?;
            }
            Some(begun)
        }
        Person::SignedIn(session) => {
            let amr = second_factor::amr(&session.facts.amr, methods);
            let cookie = visit.session_cookie().unwrap_or_default();
            sessions::strengthen(db, cookie, &amr, visit.now).await.map_err(|e| visit.fault(&e))?
        }
    };
    begun.map(|begun| Admitted { begun }).ok_or_else(|| to.sign_in_first(visit))
}
