//! Mail in the tenant's own words.

use askama::Template;
use uuid::Uuid;
use vocab::branding::{FillError, MailTemplate, fill};

use super::Mail;

/// A value where HTML is written.
#[derive(Template)]
#[template(source = "{{ value }}", ext = "html")]
struct Escaped<'a> {
    value: &'a str,
}

/// Whose mail it is, and whom it goes to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Envelope<'a> {
    pub id: Uuid,
    pub sender_name: &'a str,
    pub to: &'a str,
}

/// The template with the values of its placeholders. What a value holds is text, never HTML and never another placeholder.
pub(super) fn compose<'a>(
    envelope: Envelope<'a>,
    template: &MailTemplate,
    values: &[(&str, &str)],
) -> Result<Mail<'a>, FillError> {
    let plain = |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let escaped = |name: &str| Escaped { value: &plain(name)? }.render().ok();
    Ok(Mail {
        id: envelope.id,
        sender_name: envelope.sender_name,
        to: envelope.to,
        subject: fill(&template.subject, plain)?,
        text: fill(&template.text, plain)?,
        html: template.html.as_deref().map(|html| fill(html, escaped)).transpose()?,
    })
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
        let envelope = Envelope { id: Uuid::nil(), sender_name: "Acme", to: "ada@example.com" };
        let values = [("tenant", "<i>{{ link }}</i>"), ("link", "https://id.example/?a=\"&b")];
        let mail = compose(envelope, &template, &values).unwrap();
        assert_eq!(mail.subject, "<i>{{ link }}</i>");
        assert_eq!(mail.text, "<i>{{ link }}</i> https://id.example/?a=\"&b");
        assert_eq!(
            mail.html.unwrap(),
            "<b>&#60;i&#62;{{ link }}&#60;/i&#62;</b> <a href=\"https://id.example/?a=&#34;&#38;b\">"
        );
        assert!(compose(envelope, &template, &[]).is_err());
    }
}
