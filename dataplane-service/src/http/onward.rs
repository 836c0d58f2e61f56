//! Where a sign-in leads that no client's request waits for: one of our own pages, by name. Never an address, which
//! anybody could put into a link (RFC 9700 §4.11).

use oauth_core::form::Form;
use oauth_core::waiting::UserCode;
use vocab::Secret;

use super::visit::Visit;
use crate::opaque;

#[derive(Clone, Debug, Default)]
pub(super) enum Onward {
    /// The page says who is signed in.
    #[default]
    Here,
    Account,
    /// The second factors of who is signed in.
    Factors,
    /// The device with that code.
    Device(UserCode),
    /// The request that a mail's link with this code names.
    Request(Secret<String>),
}

impl Onward {
    pub(super) fn of(form: &Form<'_>) -> Self {
        match form.get("next") {
            Some("account") => Self::Account,
            Some("factors") => Self::Factors,
            Some("request") => form
                .get("code")
                .filter(|code| opaque::looks_like(code))
                .map_or(Self::Here, |code| Self::Request(Secret::new(code.to_owned()))),
            Some("device") => form.get("user_code").and_then(UserCode::parse).map_or(Self::Here, Self::Device),
            _ => Self::Here,
        }
    }

    /// The page, below the tenant's path.
    pub(super) fn path(&self) -> String {
        match self {
            Self::Here => "/login".to_owned(),
            Self::Account => "/account".to_owned(),
            Self::Factors => "/account/factors".to_owned(),
            Self::Device(code) => format!("/oauth2/device?user_code={}", code.letters()),
            Self::Request(code) => format!("/account/request?code={}", code.expose()),
        }
    }

    /// What a form brings back.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Here => Vec::new(),
            Self::Account => vec![("next", "account".to_owned())],
            Self::Factors => vec![("next", "factors".to_owned())],
            Self::Request(code) => vec![("next", "request".to_owned()), ("code", code.expose().clone())],
            Self::Device(code) => vec![("next", "device".to_owned()), ("user_code", code.letters().to_owned())],
        }
    }

    /// The same as a query.
    pub(super) fn query(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(self.fields()).finish()
    }

    /// `/login` or `/register`, which lead here afterwards.
    pub(super) fn by_way_of(&self, visit: &Visit<'_>, page: &str) -> String {
        let query = self.query();
        if query.is_empty() {
            return visit.path(page);
        }
        format!("{}?{query}", visit.path(page))
    }
}
