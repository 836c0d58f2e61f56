//! What a person shows beside the password, and how that is called in tokens.
//!
//! What is kept of it in the tenant's database is sealed with the master key, so that a dump of the database signs nobody
//! in; recovery codes are kept as digests alone.

pub mod recovery;
pub mod totp;
pub mod webauthn;

/// How a user signed in (RFC 8176 §2), after `methods` were shown beside what was shown before.
pub fn amr(before: &[String], methods: &[&str]) -> Vec<String> {
    let mut amr = before.to_vec();
    for method in methods.iter().chain(&["mfa"]) {
        if !amr.iter().any(|known| known == method) {
            amr.push((*method).to_owned());
        }
    }
    amr
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_method_stands_once() {
        let first = super::amr(&["pwd".to_owned()], &["otp"]);
        assert_eq!(first, ["pwd", "otp", "mfa"]);
        assert_eq!(super::amr(&first, &["otp"]), first);
    }
}
