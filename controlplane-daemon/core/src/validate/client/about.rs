//! Rules of what a client says of itself (RFC 7591 §2): people see it on the consent page.

use vocab::Violations;
use vocab::client::LOCALIZABLE;

use super::super::{text, uri};
use crate::limits;
use crate::model::ClientSpec;

pub(super) fn check(violations: &mut Violations, spec: &ClientSpec) {
    let pages = [
        ("/client_uri", &spec.client_uri),
        ("/logo_uri", &spec.logo_uri),
        ("/tos_uri", &spec.tos_uri),
        ("/policy_uri", &spec.policy_uri),
    ];
    for (pointer, page) in pages {
        if let Some(problem) = page.as_deref().and_then(uri::web_problem) {
            violations.add(pointer, problem);
        }
    }
    text::check_list(violations, "/contacts", &spec.contacts, limits::CONTACTS);
    for (index, contact) in spec.contacts.iter().enumerate() {
        text::check_name(violations, &format!("/contacts/{index}"), contact);
    }
    for (pointer, software) in [("/software_id", &spec.software_id), ("/software_version", &spec.software_version)] {
        if let Some(software) = software {
            text::check_name(violations, pointer, software);
        }
    }
    check_localized(violations, spec);
}

fn check_localized(violations: &mut Violations, spec: &ClientSpec) {
    let count = spec.localized.len();
    violations
        .require(count <= limits::LOCALIZED, "/localized", || format!("at most {}, has {count}", limits::LOCALIZED));
    for (name, value) in &spec.localized {
        let pointer = format!("/localized/{}", name.replace('~', "~0").replace('/', "~1"));
        let (member, language) = name.split_once('#').unwrap_or((name, ""));
        if !LOCALIZABLE.contains(&member) || !is_language_tag(language) {
            let members = LOCALIZABLE.join(", ");
            violations.add(pointer, format!("must be one of {members}, then '#' and a language tag"));
        } else if member == "client_name" {
            text::check_name(violations, &pointer, value);
        } else if let Some(problem) = uri::web_problem(value) {
            violations.add(pointer, problem);
        }
    }
}

/// Roughly RFC 5646 §2.1: subtags of one to eight letters and digits.
fn is_language_tag(text: &str) -> bool {
    let subtag = |subtag: &str| (1..=8).contains(&subtag.len()) && subtag.bytes().all(|b| b.is_ascii_alphanumeric());
    text.len() <= 35 && text.split('-').all(subtag) && text.starts_with(|c: char| c.is_ascii_alphabetic())
}
