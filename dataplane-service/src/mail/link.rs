//! The mail whose link lets a person choose another password, or shows that the address is hers.

use askama::Template;
use vocab::branding::{MailKind, MailTemplate};

use super::{Envelope, Mail, MailError};
use crate::store::mail_links::Purpose;

/// What the mail says.
#[derive(Debug)]
pub struct LinkMail<'a> {
    pub envelope: Envelope<'a>,
    pub purpose: Purpose,
    pub link: &'a str,
    pub minutes: u64,
    /// The tenant's words for it.
    pub own: Option<&'a MailTemplate>,
}

#[derive(Template)]
#[template(path = "mail_link.txt")]
struct Text<'a> {
    mail: &'a LinkMail<'a>,
}

#[derive(Template)]
#[template(path = "mail_link.html")]
struct Html<'a> {
    mail: &'a LinkMail<'a>,
}

impl<'a> LinkMail<'a> {
    /// The page that such a link leads to, below the issuer.
    pub const fn page(purpose: Purpose) -> &'static str {
        match purpose {
            Purpose::ResetPassword => "/reset-password",
            Purpose::VerifyEmail => "/verify-email",
        }
    }

    pub const fn kind(purpose: Purpose) -> MailKind {
        match purpose {
            Purpose::ResetPassword => MailKind::ResetPassword,
            Purpose::VerifyEmail => MailKind::VerifyEmail,
        }
    }

    pub fn compose(&'a self) -> Result<Mail<'a>, MailError> {
        if let Some(own) = self.own {
            let minutes = self.minutes.to_string();
            let values = [("tenant", self.envelope.tenant), ("link", self.link), ("minutes", &minutes)];
            return self.envelope.with_own_words(own, &values);
        }
        let subject = match self.purpose {
            Purpose::ResetPassword => "Choose a new password",
            Purpose::VerifyEmail => "Confirm your email address",
        };
        self.envelope.with_our_words(subject, &Text { mail: self }, &Html { mail: self })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn both_parts_say_what_the_link_is_for() {
        for (purpose, subject, words) in [
            (Purpose::ResetPassword, "Choose a new password", "new password"),
            (Purpose::VerifyEmail, "Confirm your email address", "confirm"),
        ] {
            let link = "https://id.example/t/acme/reset-password?code=c0de";
            let envelope = Envelope { id: Uuid::nil(), to: "ada@example.com", tenant: "<b>Acme</b>" };
            let mail = LinkMail { envelope, purpose, link, minutes: 60, own: None };
            let mail = mail.compose().unwrap();
            assert_eq!(mail.subject, subject);
            let html = mail.html.as_ref().unwrap();
            for part in [&mail.text, html] {
                assert!(part.contains(link) && part.contains("60 minutes") && part.contains(words), "{part}");
            }
            assert!(mail.text.contains("<b>Acme</b>") && !html.contains("<b>Acme"), "{html}");
        }
    }
}
