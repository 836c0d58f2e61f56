//! Rules of how a tenant meets its people.

use vocab::Violations;
use vocab::branding::{Branding, MailKind, MailTemplate, fill};

use super::{text, uri};
use crate::limits;

pub(super) fn problems(branding: &Branding) -> Violations {
    let mut violations = Violations::new();
    if let Some(problem) = branding.logo_uri.as_deref().and_then(uri::web_problem) {
        violations.add("/logo_uri", problem);
    }
    for (kind, template) in &branding.mails {
        violations.nest(&format!("/mails/{}", kind.as_str()), of_mail(*kind, template));
    }
    violations
}

fn of_mail(kind: MailKind, template: &MailTemplate) -> Violations {
    let mut violations = Violations::new();
    text::check_name(&mut violations, "/subject", &template.subject);
    check_words(&mut violations, "/subject", kind, &template.subject);
    let bodies = [
        ("/text", Some(&template.text), limits::MAIL_TEXT_BYTES),
        ("/html", template.html.as_ref(), limits::MAIL_HTML_BYTES),
    ];
    for (pointer, body, most) in bodies {
        let Some(body) = body else { continue };
        violations.require(body.len() <= most, pointer, || format!("must be at most {most} bytes, has {}", body.len()));
        check_words(&mut violations, pointer, kind, body);
        // Without it, whoever reads the mail can do nothing.
        violations.require(names(body, "link"), pointer, || "must have {{ link }}".to_owned());
    }
    violations
}

fn check_words(violations: &mut Violations, pointer: &str, kind: MailKind, words: &str) {
    let known = kind.placeholders();
    if let Err(why) = fill(words, |name| known.contains(&name).then(String::new)) {
        violations.add(pointer, format!("{why}; there are: {}", known.join(", ")));
    }
}

fn names(words: &str, placeholder: &str) -> bool {
    let found = std::cell::Cell::new(false);
    let _ = fill(words, |name| {
        found.set(found.get() || name == placeholder);
        Some(String::new())
    });
    found.get()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(branding: serde_json::Value) -> Vec<String> {
        let branding: Branding = serde_json::from_value(branding).unwrap();
        problems(&branding).iter().map(|violation| violation.pointer.clone()).collect()
    }

    #[test]
    fn what_people_are_shown_is_held_against_the_rules() {
        let fine = json!({
            "logo_uri": "https://acme.example/logo.svg",
            "accent_color": "#ff8800",
            "mails": {
                "reset_password": {"subject": "{{ tenant }}: new password", "text": "{{link}}", "html": "<a href=\"{{ link }}\">{{minutes}}"},
                "sign_in_request": {"subject": "Hi", "text": "{{ client }} {{ binding_message }} {{ link }}"},
            },
        });
        assert_eq!(found(fine), [""; 0]);
        assert_eq!(found(json!({})), [""; 0]);
        let wrong = json!({
            "logo_uri": "http://acme.example/logo.svg",
            "mails": {
                "reset_password": {"subject": "", "text": "{{ links }}", "html": "{{ link"},
                "verify_email": {"subject": "a\nb", "text": "{{ link }} of {{ client }}"},
                "sign_in_request": {"subject": "x", "text": "no way on", "html": "{{ link }}".repeat(4000)},
            },
        });
        let expected = [
            "/logo_uri",
            "/mails/reset_password/subject",
            "/mails/reset_password/text",
            "/mails/reset_password/text",
            "/mails/reset_password/html",
            "/mails/reset_password/html",
            "/mails/verify_email/subject",
            "/mails/verify_email/text",
            "/mails/sign_in_request/text",
            "/mails/sign_in_request/html",
        ];
        assert_eq!(found(wrong), expected);
    }
}
