//! How policies are read; they are shown as they stand in the model.

use controlplane_core::model::{AuditRetention, KeyRotation, RateLimit, Staleness};

use crate::admin::fields::Fields;

pub(super) fn key_rotation(fields: Fields<'_>) -> KeyRotation {
    let default = KeyRotation::default();
    let read = KeyRotation {
        max_age_secs: fields.number_or_null("max_age_secs"),
        clock_skew_secs: fields.number("clock_skew_secs").unwrap_or(default.clock_skew_secs),
    };
    fields.finish();
    read
}

/// A threshold that is left out is the default's, but the warning never comes after the refusal.
pub(super) fn staleness(fields: Fields<'_>) -> Staleness {
    let default = Staleness::default();
    let refuse_after_secs = fields.number("refuse_after_secs").unwrap_or(default.refuse_after_secs);
    let read = Staleness {
        warn_after_secs: fields.number("warn_after_secs").unwrap_or(default.warn_after_secs.min(refuse_after_secs)),
        refuse_after_secs,
        fail_mode: fields.word("fail_mode", "serve, not_ready or refuse").unwrap_or_default(),
    };
    fields.finish();
    read
}

/// A burst that is left out is a second's worth.
pub(super) fn rate_limit(fields: Fields<'_>) -> Option<RateLimit> {
    fields.require("requests_per_second");
    let requests_per_second = fields.number("requests_per_second");
    let burst = fields.number("burst").or(requests_per_second);
    fields.finish();
    Some(RateLimit { requests_per_second: requests_per_second?, burst: burst? })
}

pub(super) fn audit_retention(fields: Fields<'_>) -> AuditRetention {
    let max_bytes = fields.any("max_bytes").filter(|value| !value.is_null()).and_then(|value| {
        let bytes = value.as_u64();
        if bytes.is_none() {
            fields.wrong("max_bytes", "must be a whole number, or null");
        }
        bytes
    });
    let read = AuditRetention { max_age_secs: fields.number_or_null("max_age_secs"), max_bytes };
    fields.finish();
    read
}
