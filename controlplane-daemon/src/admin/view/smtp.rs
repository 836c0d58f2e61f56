//! A tenant's mail server. Its password goes in and never comes out.

use controlplane_core::model::{Smtp, SmtpAccount, SmtpSecurity};
use serde::Serialize;
use vocab::{Keyring, Sealed, Secret};

use super::seal;
use crate::admin::fields::Fields;

const MAX_PASSWORD_BYTES: usize = 1024;

#[derive(Serialize)]
pub(super) struct SmtpView {
    host: String,
    port: Option<u16>,
    security: SmtpSecurity,
    from: String,
    username: Option<String>,
}

impl SmtpView {
    pub(super) fn of(smtp: Smtp) -> Self {
        let Smtp { host, port, security, from, account } = smtp;
        Self { host, port, security, from, username: account.map(|account| account.username) }
    }
}

pub(super) fn smtp(fields: Fields<'_>, stored: Option<&Smtp>, keyring: &Keyring) -> Option<Smtp> {
    fields.require("host");
    fields.require("from");
    let (host, from) = (fields.text("host"), fields.text("from"));
    let port = fields.number_or_null("port").and_then(|port| {
        let read = u16::try_from(port).ok().filter(|port| *port > 0);
        if read.is_none() {
            fields.wrong("port", "must be 1 to 65535, or null");
        }
        read
    });
    let security = fields.word("security", "starttls, tls or none").unwrap_or_default();
    let username = fields.any("username").filter(|value| !value.is_null()).and_then(|_| fields.text("username"));
    let mut smtp = Smtp { host: host?, port, security, from: from?, account: None };
    match (username, fields.any("password").is_some()) {
        (Some(username), true) => {
            let password = password(&fields)?;
            let current = stored.and_then(|stored| stored.account.as_ref()).map(|account| &account.password);
            let password = seal(&password, current, keyring);
            smtp.account = Some(SmtpAccount { username, password });
        }
        (Some(username), false) => match kept(&smtp, &username, stored) {
            Some(password) => smtp.account = Some(SmtpAccount { username, password }),
            None => fields.require("password"),
        },
        (None, true) => fields.require("username"),
        (None, false) => {}
    }
    fields.finish();
    Some(smtp)
}

fn password(fields: &Fields<'_>) -> Option<Secret<String>> {
    let password = fields.text("password").map(Secret::new)?;
    if password.expose().is_empty() || password.expose().len() > MAX_PASSWORD_BYTES {
        fields.wrong("password", format!("must have 1 to {MAX_PASSWORD_BYTES} bytes"));
        return None;
    }
    Some(password)
}

/// The stored password is shown to the server that it is of, and to no other: whoever may name a server, but does not know
/// the password, must not have it sent to one of his own.
fn kept(wanted: &Smtp, username: &str, stored: Option<&Smtp>) -> Option<Sealed> {
    let stored = stored?;
    let account = stored.account.as_ref()?;
    let same = (&stored.host, stored.port, stored.security) == (&wanted.host, wanted.port, wanted.security);
    (same && account.username == username).then(|| account.password.clone())
}
