//! Rules of a tenant's mail server. That its `from` is an address that mail can be from is looked at here roughly; the pod
//! parses it.

use vocab::Violations;

use crate::limits;
use crate::model::{Smtp, SmtpSecurity};

const HOST_CHARS: usize = 253;
const ADDRESS_CHARS: usize = 254;

impl Smtp {
    pub fn validate(&self) -> Violations {
        let mut violations = Violations::new();
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
        let host = (1..=HOST_CHARS).contains(&self.host.len()) && self.host.chars().all(plain);
        violations.require(host, "/host", || "must be a host name or an address".to_owned());
        violations.require(self.port != Some(0), "/port", || "must be 1 to 65535".to_owned());
        let from = self.from.len() <= ADDRESS_CHARS
            && !self.from.contains(|c: char| c.is_control() || c.is_whitespace() || "<>,;".contains(c))
            && self.from.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
        violations.require(from, "/from", || "must be an e-mail address, such as no-reply@example.com".to_owned());
        if let Some(account) = &self.account {
            let username = (1..=limits::NAME_CHARS).contains(&account.username.chars().count())
                && !account.username.contains(char::is_control);
            violations.require(username, "/username", || format!("must have 1 to {} characters", limits::NAME_CHARS));
            let fits = account.password.to_string().len() <= limits::SEALED_BYTES;
            violations.require(fits, "/password", || "is too long".to_owned());
            violations.require(self.security != SmtpSecurity::None, "/security", || {
                "must be starttls or tls: without, the password would be readable on the way".to_owned()
            });
        }
        violations
    }
}
