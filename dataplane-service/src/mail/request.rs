//! The mail that tells a user of a request of CIBA. Its link opens one request and answers nothing.

use askama::Template;
use vocab::branding::MailTemplate;

use super::{Envelope, Mail, MailError};

/// What the mail says.
#[derive(Debug)]
pub struct RequestMail<'a> {
    pub envelope: Envelope<'a>,
    pub client: &'a str,
    pub binding_message: Option<&'a str>,
    /// Of the page where it can be answered: below the tenant's issuer, whatever host anybody asked for.
    pub link: &'a str,
    pub minutes: u64,
    /// The tenant's words for it.
    pub own: Option<&'a MailTemplate>,
}

#[derive(Template)]
#[template(path = "mail_request.txt")]
struct Text<'a> {
    mail: &'a RequestMail<'a>,
}

#[derive(Template)]
#[template(path = "mail_request.html")]
struct Html<'a> {
    mail: &'a RequestMail<'a>,
}

impl<'a> RequestMail<'a> {
    pub fn compose(&'a self) -> Result<Mail<'a>, MailError> {
        if let Some(own) = self.own {
            let minutes = self.minutes.to_string();
            let values = [
                ("tenant", self.envelope.tenant),
                ("client", self.client),
                ("binding_message", self.binding_message.unwrap_or_default()),
                ("link", self.link),
                ("minutes", &minutes),
            ];
            return self.envelope.with_own_words(own, &values);
        }
        let subject = format!("{} asks you to sign in", self.client);
        self.envelope.with_our_words(&subject, &Text { mail: self }, &Html { mail: self })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_clients_say_is_escaped_and_told_in_both_parts() {
        let request = RequestMail {
            envelope: Envelope { id: Uuid::nil(), to: "ada@example.com", tenant: "Acme" },
            client: "<b>Bank</b>",
            binding_message: Some("Pay 12 € & \"more\""),
            link: "https://id.example/t/acme/account/request?code=c0de",
            minutes: 5,
            own: None,
        };
        let mail = request.compose().unwrap();
        assert_eq!(mail.subject, "<b>Bank</b> asks you to sign in");
        assert!(mail.text.contains("<b>Bank</b>") && mail.text.contains("Pay 12 € & \"more\""), "{}", mail.text);
        let html = mail.html.as_ref().unwrap();
        assert!(!html.contains("<b>Bank") && !html.contains("& \""), "{html}");
        for part in [&mail.text, html] {
            assert!(part.contains(request.link) && part.contains("5 minutes"), "{part}");
        }
    }
}
