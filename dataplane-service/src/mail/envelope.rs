//! What every mail has, and how words get into it: ours, out of two templates, or the tenant's own.

use askama::Template;
use uuid::Uuid;
use vocab::branding::{MailTemplate, fill};

use super::{Mail, MailError};

/// Whose mail it is, and whom it goes to.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// The same for each attempt, so that a mailbox that got it twice can tell.
    pub id: Uuid,
    pub to: &'a str,
    /// Shown beside the address that it is from.
    pub tenant: &'a str,
}

/// A value where HTML is written.
#[derive(Template)]
#[template(source = "{{ value }}", ext = "html")]
struct Escaped<'a> {
    value: &'a str,
}

impl<'a> Envelope<'a> {
    pub(super) fn with_our_words(
        self,
        subject: &str,
        text: &impl Template,
        html: &impl Template,
    ) -> Result<Mail<'a>, MailError> {
        Ok(Mail { envelope: self, subject: subject.to_owned(), text: text.render()?, html: Some(html.render()?) })
    }

    /// The template with the values of its placeholders. What a value holds is text, never HTML and never another
    /// placeholder.
    pub(super) fn with_own_words(
        self,
        template: &MailTemplate,
        values: &[(&str, &str)],
    ) -> Result<Mail<'a>, MailError> {
        let plain = |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let escaped = |name: &str| Escaped { value: &plain(name)? }.render().ok();
        Ok(Mail {
            envelope: self,
            subject: fill(&template.subject, plain)?,
            text: fill(&template.text, plain)?,
            html: template.html.as_deref().map(|html| fill(html, escaped)).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_text_in_both_parts() {
        let template = MailTemplate {
            subject: "{{ tenant }}".to_owned(),
            text: "{{ tenant }} {{ link }}".to_owned(),
            html: Some("<b>{{ tenant }}</b> <a href=\"{{ link }}\">".to_owned()),
        };
        let envelope = Envelope { id: Uuid::nil(), to: "ada@example.com", tenant: "Acme" };
        let values = [("tenant", "<i>{{ link }}</i>"), ("link", "https://id.example/?a=\"&b")];
        let mail = envelope.with_own_words(&template, &values).unwrap();
        assert_eq!(mail.subject, "<i>{{ link }}</i>");
        assert_eq!(mail.text, "<i>{{ link }}</i> https://id.example/?a=\"&b");
        assert_eq!(
            mail.html.unwrap(),
            "<b>&#60;i&#62;{{ link }}&#60;/i&#62;</b> <a href=\"https://id.example/?a=&#34;&#38;b\">"
        );
        assert!(envelope.with_own_words(&template, &[]).is_err());
    }
}
