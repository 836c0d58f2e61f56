//! The mail that tells a person what changed in the account. It has no link: it asks for nothing, and whoever makes a false
//! one should not look like it.

use askama::Template;
use vocab::Timestamp;

use super::{Envelope, Mail, MailError};
use crate::store::change_mails::Change;

/// What the mail says.
#[derive(Debug)]
pub struct ChangeMail<'a> {
    pub envelope: Envelope<'a>,
    pub change: Change,
    pub at: Timestamp,
}

#[derive(Template)]
#[template(path = "mail_change.txt")]
struct Text<'a> {
    mail: &'a ChangeMail<'a>,
}

#[derive(Template)]
#[template(path = "mail_change.html")]
struct Html<'a> {
    mail: &'a ChangeMail<'a>,
}

impl<'a> ChangeMail<'a> {
    const fn subject(&self) -> &'static str {
        match self.change {
            Change::PasswordChanged | Change::PasswordReset | Change::PasswordSet => "Your password was changed",
            Change::FactorAdded => "A second factor was added to your account",
            Change::FactorRemoved | Change::FactorsTakenAway => "A second factor was removed from your account",
            Change::CodesRenewed => "You have new recovery codes",
            Change::EmailVerified => "Your email address is confirmed",
        }
    }

    /// A whole sentence.
    const fn what(&self) -> &'static str {
        match self.change {
            Change::PasswordChanged => "The password was changed by somebody who knew the one before.",
            Change::PasswordReset => "Another password was chosen by the link of a mail to this address.",
            Change::PasswordSet => "Another password was set by those who manage the accounts.",
            Change::FactorAdded => "Something to show beside the password was added: a second factor.",
            Change::FactorRemoved => "A second factor was removed.",
            Change::FactorsTakenAway => "Those who manage the accounts removed a second factor, or all.",
            Change::CodesRenewed => "New recovery codes were made. Those of before let nobody in any more.",
            Change::EmailVerified => "This address is known to be yours now.",
        }
    }

    /// What else that did.
    const fn besides(&self) -> &'static str {
        match self.change {
            Change::PasswordChanged => "Everywhere else you were signed out.",
            Change::PasswordReset | Change::PasswordSet => "You were signed out everywhere.",
            _ => "",
        }
    }

    fn when(&self) -> String {
        let time = jiff::Timestamp::from_millisecond(self.at.millis()).unwrap_or_default();
        time.strftime("%Y-%m-%d, %H:%M UTC").to_string()
    }

    pub fn compose(&'a self) -> Result<Mail<'a>, MailError> {
        self.envelope.with_our_words(self.subject(), &Text { mail: self }, &Html { mail: self })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn both_parts_say_what_when_and_whom_to_ask_and_lead_nowhere() {
        for change in Change::ALL {
            let mail = ChangeMail {
                envelope: Envelope { id: Uuid::nil(), to: "ada@example.com", tenant: "<b>Acme</b>" },
                change,
                at: Timestamp::from_secs(1_700_000_000),
            };
            let written = mail.compose().unwrap();
            let html = written.html.as_ref().unwrap();
            for part in [&written.text, html] {
                assert!(part.contains(mail.what()) && part.contains("2023-11-14, 22:13 UTC"), "{part}");
                assert!(part.contains("Was it not you?") && part.contains(mail.besides()), "{part}");
                assert!(!part.contains("http") && !part.contains("href"), "{part}");
            }
            assert!(written.text.contains("<b>Acme</b>") && !html.contains("<b>Acme"), "{html}");
        }
    }
}
