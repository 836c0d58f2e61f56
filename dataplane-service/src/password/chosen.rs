//! Which passwords may be chosen: long enough ones that are not among those which everybody tries first. Nothing is asked of
//! the characters that they have (NIST SP 800-63B-4 §3.1.1.2, OWASP ASVS 5.0 §6.2).

use vocab::Secret;

use super::{Password, PasswordProblem};

/// Passwords of eight characters and more that leaks have most often, in lower case and in order, one a line. Of Royce
/// Williams' 20,000 from Have I Been Pwned, as Django 5.2 has them (BSD-3-Clause).
const COMMON: &str = include_str!("common.txt");

/// NIST SP 800-63B-4 §3.1.1.2: eight characters where a second factor may be added, counted as Unicode code points. A tenant
/// may ask for more.
pub const MIN_CHARS: u32 = 8;

/// Of a name that a password must be more than.
const FEWEST_LETTERS: usize = 4;

/// What a tenant asks of a password, and what is known of whom it is for.
#[derive(Clone, Debug)]
pub struct Demands<'a> {
    pub min_chars: u32,
    /// Names and addresses: of the account, and of the tenant.
    pub known: Vec<&'a str>,
}

impl Password {
    /// A password to keep.
    pub fn chosen(text: String, demands: &Demands<'_>) -> Result<Self, PasswordProblem> {
        let password = Self::presented(text)?;
        let text = password.0.expose();
        if text.chars().count() < usize::try_from(demands.min_chars).unwrap_or(usize::MAX) {
            return Err(PasswordProblem::TooShort(demands.min_chars));
        }
        let lower = Secret::new(text.to_lowercase());
        if is_common(lower.expose()) {
            return Err(PasswordProblem::Common);
        }
        let letters = Secret::new(letters(lower.expose()));
        let known = |known: &&str| {
            let local_part = known.split('@').next().unwrap_or_default();
            [known, local_part].iter().any(|known| self::letters(&known.to_lowercase()) == *letters.expose())
        };
        // A few letters between digits say nothing that anybody is called.
        if letters.expose().chars().count() >= FEWEST_LETTERS && demands.known.iter().any(known) {
            return Err(PasswordProblem::Known);
        }
        Ok(password)
    }
}

fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphabetic()).collect()
}

fn is_common(lower: &str) -> bool {
    // Lines in order: half of what is left falls away with each look.
    let mut rest = COMMON;
    while !rest.is_empty() {
        let middle = rest.get(..rest.len() / 2).and_then(|half| half.rfind('\n')).map_or(0, |end| end + 1);
        let (before, from) = rest.split_at(middle);
        let (line, after) = from.split_once('\n').unwrap_or((from, ""));
        rest = match lower.cmp(line) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => before,
            std::cmp::Ordering::Greater => after,
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str, min_chars: u32) -> Option<PasswordProblem> {
        let demands =
            Demands { min_chars, known: vec!["ada.lovelace@people.example", "Ada Lovelace", "Acme Inc", "", "x1"] };
        Password::chosen(text.to_owned(), &demands).err()
    }

    #[test]
    fn length_is_counted_in_characters_and_a_tenant_may_ask_for_more() {
        assert_eq!(problem("seven77", 8), Some(PasswordProblem::TooShort(8)));
        assert_eq!(problem("åtta…åtta", 8), None);
        assert_eq!(problem("ååååååå", 8), Some(PasswordProblem::TooShort(8)), "seven, though 14 bytes");
        assert_eq!(problem("a horse, staple", 15), None);
        assert_eq!(problem("a horse staple", 15), Some(PasswordProblem::TooShort(15)));
        assert_eq!(problem(&"x".repeat(1025), 8), Some(PasswordProblem::TooLong));
    }

    #[test]
    fn the_list_is_in_order_and_each_of_it_is_found() {
        let lines: Vec<&str> = COMMON.lines().collect();
        assert!(lines.len() > 3000, "{}", lines.len());
        assert!(lines.is_sorted());
        for line in &lines {
            assert!(is_common(line), "{line}");
            assert!(!is_common(&format!("{line}~~")), "{line}");
        }
        assert!(!is_common("") && !is_common("~") && !is_common("!"));
    }

    #[test]
    fn what_is_tried_first_is_not_taken() {
        for common in ["password1", "PassWord1", "12345678", "qwertyuiop"] {
            assert_eq!(problem(common, 8), Some(PasswordProblem::Common), "{common}");
        }
        for known in ["Ada.Lovelace1815", "adalovelace!", "ACME-inc-2026", "ada.lovelace@people.example"] {
            assert_eq!(problem(known, 8), Some(PasswordProblem::Known), "{known}");
        }
        for fine in ["ada and a staple", "8642097531086", "9x8473-9201-8837", "correct horse"] {
            assert_eq!(problem(fine, 8), None, "{fine}");
        }
    }
}
