//! The cookies: the session, the sign-in that is halfway there, and the browser's binding to the interactions it began.
//!
//! All are HttpOnly and SameSite=Lax and end at the tenant's own path, so that no tenant sees another's. With an https
//! issuer they are Secure and carry the prefix that makes browsers insist on it: `__Host-` where the path is `/`, else
//! `__Secure-` (RFC 6265bis §4.1.3).

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};

use crate::tenant::TenantContext;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Session,
    /// The password was shown, the second factor was not.
    SignIn,
    Browser,
}

impl Kind {
    const fn base_name(self) -> &'static str {
        match self {
            Self::Session => "hj_session",
            Self::SignIn => "hj_sign_in",
            Self::Browser => "hj_browser",
        }
    }

    fn name(self, tenant: &TenantContext) -> String {
        name(self, &tenant.issuer, tenant.base_path())
    }

    /// The cookie's value, if it is one of ours by its form.
    pub(super) fn read(self, request: &HttpRequest, tenant: &TenantContext) -> Option<String> {
        let cookie = request.cookie(&self.name(tenant))?;
        let value = cookie.value();
        let is_ours = value.len() == 43 && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        is_ours.then(|| value.to_owned())
    }

    /// Sets it until the browser is closed; how long it is good for is decided here, not there.
    pub(super) fn set(self, tenant: &TenantContext, value: &str) -> Cookie<'static> {
        build(self, &tenant.issuer, tenant.base_path(), value)
    }

    pub(super) fn clear(self, tenant: &TenantContext) -> Cookie<'static> {
        let mut cookie = self.set(tenant, "");
        cookie.set_max_age(Duration::ZERO);
        cookie
    }
}

fn is_https(issuer: &str) -> bool {
    issuer.starts_with("https://")
}

fn name(kind: Kind, issuer: &str, base_path: &str) -> String {
    let prefix = match (is_https(issuer), base_path) {
        (false, _) => "",
        (true, "" | "/") => "__Host-",
        (true, _) => "__Secure-",
    };
    format!("{prefix}{}", kind.base_name())
}

fn build(kind: Kind, issuer: &str, base_path: &str, value: &str) -> Cookie<'static> {
    let path = if base_path.is_empty() { "/" } else { base_path };
    Cookie::build(name(kind, issuer, base_path), value.to_owned())
        .path(path.to_owned())
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(is_https(issuer))
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes() {
        for (issuer, base_path, expected) in [
            ("http://localhost:8080/t/acme", "/t/acme", "hj_session=v; HttpOnly; SameSite=Lax; Path=/t/acme"),
            (
                "https://id.example/t/acme",
                "/t/acme",
                "__Secure-hj_session=v; HttpOnly; SameSite=Lax; Secure; Path=/t/acme",
            ),
            ("https://acme.example", "", "__Host-hj_session=v; HttpOnly; SameSite=Lax; Secure; Path=/"),
        ] {
            assert_eq!(build(Kind::Session, issuer, base_path, "v").to_string(), expected);
        }
    }
}
