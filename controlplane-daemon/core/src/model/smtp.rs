//! The mail server that takes a tenant's mail, where it has one of its own.

use serde::{Deserialize, Serialize};
use vocab::Sealed;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    pub host: String,
    /// `None`: the one that is usual for the security.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(default)]
    pub security: SmtpSecurity,
    /// The address that mail is from.
    pub from: String,
    /// `None`: the server takes mail without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<SmtpAccount>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpAccount {
    pub username: String,
    /// Sealed before it came here.
    pub password: Sealed,
}

/// How the connection is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SmtpSecurity {
    /// Before anything else is said, or not at all (RFC 3207).
    #[default]
    Starttls,
    /// From the first byte (RFC 8314 §3.3).
    Tls,
    /// Never: for a server on the same machine.
    None,
}

impl SmtpSecurity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starttls => "starttls",
            Self::Tls => "tls",
            Self::None => "none",
        }
    }
}
