//! The settings of the mail server.

use lettre::Address;
use vocab::Secret;

use super::sources::Values;
use crate::mail::{Account, Security, SmtpServer};

/// `None`: no mail is sent, or a problem was noted.
pub(super) fn read(values: &mut Values) -> Option<SmtpServer> {
    let host = values.optional("smtp-host", |text| {
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
        if text.chars().all(plain) { Ok(text.to_owned()) } else { Err("must be a host name or an address".to_owned()) }
    });
    let port = values.optional("smtp-port", |text| match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("must be a port".to_owned()),
    });
    let security = values.required("smtp-security", Security::parse);
    let from = values.optional("smtp-from", |text| {
        text.parse::<Address>().map_err(|_| "must be an e-mail address, such as no-reply@example.com".to_owned())
    });
    let username = values.optional("smtp-username", |text| Ok(text.to_owned()));
    let password = values.optional("smtp-password", |text| Ok(Secret::new(text.to_owned())));
    let host = host?;
    if from.is_none() && !values.problems.iter().any(|problem| problem.starts_with("smtp-from")) {
        values.problems.push("smtp-from: needed with smtp-host".to_owned());
    }
    let account = match (username, password) {
        (Some(username), Some(password)) => Some(Account { username, password }),
        (None, None) => None,
        _ => {
            values.problems.push("smtp-username and smtp-password: one is of no use without the other".to_owned());
            None
        }
    };
    if account.is_some() && security == Some(Security::None) {
        values.problems.push("smtp-security: without it the password would be readable on the way".to_owned());
    }
    Some(SmtpServer { host, port, security: security?, from: from?, account })
}
