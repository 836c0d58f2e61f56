//! The password of who is signed in already, asked for before a second factor is changed: somebody else may have found the
//! session open. Guesses count as at the sign-in.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use oauth_core::form::Form;
use uuid::Uuid;

use crate::http::login::{self, Outcome};
use crate::http::too_many;
use crate::http::visit::Visit;
use crate::pages::PageError;

/// What was typed is not the person's password, or may not be tried yet.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) enum Refused {
    Wrong,
    Wait(u32),
}

impl Refused {
    pub(in crate::http) const fn status(self) -> StatusCode {
        match self {
            Self::Wrong => StatusCode::FORBIDDEN,
            Self::Wait(_) => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    pub(in crate::http) fn says(self) -> String {
        match self {
            Self::Wrong => "That is not your password.".to_owned(),
            Self::Wait(secs) => too_many::alert(secs),
        }
    }

    /// Tells programs, too, how long to wait.
    pub(in crate::http) fn mark(self, response: &mut HttpResponse) {
        if let Self::Wait(secs) = self {
            too_many::mark(response, secs);
        }
    }
}

/// Whether the form has the password of that user, whose address it is; `None`: it has.
pub(in crate::http) async fn refusal(
    visit: &Visit<'_>,
    user: Uuid,
    email: &str,
    form: &Form<'_>,
) -> Result<Option<Refused>, PageError> {
    Ok(match login::authenticate(visit, email, form.get("current").unwrap_or_default()).await? {
        Outcome::Right(found) if found == user => None,
        Outcome::Right(_) | Outcome::Wrong | Outcome::Unusable(_) => Some(Refused::Wrong),
        Outcome::Wait(secs) => Some(Refused::Wait(secs)),
    })
}
