//! The mail that tells a user of a request of CIBA. Its link opens one request and answers nothing.

use askama::Template;
use uuid::Uuid;

use vocab::branding::MailTemplate;

use super::own::{self, Envelope};
use super::{Mail, MailError};

/// What the mail says.
#[derive(Debug)]
pub struct RequestMail<'a> {
    pub id: Uuid,
    pub to: &'a str,
    pub tenant: &'a str,
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
            let envelope = Envelope { id: self.id, sender_name: self.tenant, to: self.to };
            let minutes = self.minutes.to_string();
            let values = [
                ("tenant", self.tenant),
                ("client", self.client),
                ("binding_message", self.binding_message.unwrap_or_default()),
                ("link", self.link),
                ("minutes", &minutes),
            ];
            return Ok(own::compose(envelope, own, &values)?);
        }
        Ok(Mail {
            id: self.id,
            sender_name: self.tenant,
            to: self.to,
            subject: format!("{} asks you to sign in", self.client),
            text: Text { mail: self }.render()?,
            html: Some(Html { mail: self }.render()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_say_is_escaped_and_told_in_both_parts() {
        let request = RequestMail {
            id: Uuid::nil(),
            to: "ada@example.com",
            tenant: "Acme",
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
