//! Rules of a tenant's document.

use vocab::{Slug, Violations};

use super::{branding, oauth, text, uri};
use crate::limits;
use crate::model::{IssuerMode, Lifetimes, TenantSettings, TenantSpec};

/// Names that would read as a part of the platform.
const RESERVED_SLUGS: [&str; 10] =
    ["admin", "api", "global", "oauth2", "root", "scim", "static", "system", "well-known", "www"];

/// Whether a tenant may be made under this slug.
pub fn slug_problems(slug: &Slug) -> Violations {
    let mut violations = Violations::new();
    let slug = slug.as_str();
    violations.require(!RESERVED_SLUGS.contains(&slug), "", || "is reserved".to_owned());
    // RFC 5891 §4.2.3.1. `xn--` shows as other letters than it has, so it could pass for another tenant's slug.
    violations.require(slug.get(2..4) != Some("--"), "", || "must not have '--' as 3rd and 4th character".to_owned());
    violations
}

impl TenantSpec {
    pub fn validate(&self) -> Violations {
        let mut violations = Violations::new();
        text::check_name(&mut violations, "/display_name", &self.display_name);
        violations.nest("/settings", self.settings.validate());
        violations
    }
}

impl TenantSettings {
    pub fn validate(&self) -> Violations {
        let mut violations = Violations::new();
        if let Some(database) = &self.database {
            let allowed = 1..=limits::MAX_CONNECTIONS;
            violations.require(allowed.contains(&database.max_connections), "/database/max_connections", || {
                format!("must be 1 to {}, is {}", limits::MAX_CONNECTIONS, database.max_connections)
            });
            violations.require(database.dsn.to_string().len() <= limits::SEALED_BYTES, "/database/dsn", || {
                "is too long".to_owned()
            });
        }
        text::check_list(&mut violations, "/hosts", &self.hosts, limits::HOSTS_PER_TENANT);
        for (index, host) in self.hosts.iter().enumerate() {
            violations.require(uri::is_dns_name(host), &format!("/hosts/{index}"), || {
                "must be a DNS name in lower case, without port, final dot or wildcard".to_owned()
            });
        }
        violations.require(self.issuer_mode != IssuerMode::Host || !self.hosts.is_empty(), "/issuer_mode", || {
            "host needs at least one of hosts".to_owned()
        });
        violations.nest("/lifetimes", self.lifetimes.validate());
        violations.nest("/oauth", oauth::problems(&self.oauth));
        violations.nest("/branding", branding::problems(&self.branding));
        // FAPI 2.0 Security Profile §5.4.1.
        let fits = self.oauth.fapi.is_none_or(|fapi| fapi.allows_signing(self.signing_algorithm));
        violations.require(fits, "/signing_algorithm", || "FAPI 2.0 allows PS256, ES256 and EdDSA".to_owned());
        if let Some(policy) = &self.key_rotation {
            violations.nest("/key_rotation", policy.validate());
        }
        if let Some(policy) = &self.staleness {
            violations.nest("/staleness", policy.validate());
        }
        if let Some(limit) = &self.rate_limit {
            violations.nest("/rate_limit", limit.validate());
        }
        if let Some(smtp) = &self.smtp {
            violations.nest("/smtp", smtp.validate());
        }
        violations
    }
}

impl Lifetimes {
    pub fn validate(&self) -> Violations {
        const DAY: u32 = 24 * 3600;
        const YEAR: u32 = 366 * DAY;
        let mut violations = Violations::new();
        for (pointer, value, most) in [
            ("/access_token_secs", self.access_token_secs, DAY),
            ("/id_token_secs", self.id_token_secs, DAY),
            ("/refresh_token_idle_secs", self.refresh_token_idle_secs, YEAR),
            ("/refresh_token_absolute_secs", self.refresh_token_absolute_secs, YEAR),
            ("/session_idle_secs", self.session_idle_secs, YEAR),
            ("/session_absolute_secs", self.session_absolute_secs, YEAR),
            ("/authorization_code_secs", self.authorization_code_secs, 60),
            ("/jwks_cache_secs", self.jwks_cache_secs, DAY),
        ] {
            violations.require((1..=most).contains(&value), pointer, || format!("must be 1 to {most}, is {value}"));
        }
        for (pointer, idle, absolute) in [
            ("/refresh_token_idle_secs", self.refresh_token_idle_secs, self.refresh_token_absolute_secs),
            ("/session_idle_secs", self.session_idle_secs, self.session_absolute_secs),
        ] {
            violations.require(idle <= absolute, pointer, || format!("must not exceed the absolute {absolute}"));
        }
        violations
    }
}
