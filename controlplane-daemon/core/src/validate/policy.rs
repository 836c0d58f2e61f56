//! Rules of policies, and of the cluster's settings, which are made of them.

use vocab::Violations;

use crate::model::{AuditRetention, ClusterSettingsSpec, KeyRotation, RateLimit, Staleness};

const DAY: u32 = 24 * 3600;

impl KeyRotation {
    pub fn validate(&self) -> Violations {
        const MOST: u32 = 10 * 366 * DAY;
        const MOST_SKEW: u32 = 3600;
        let mut violations = Violations::new();
        if let Some(age) = self.max_age_secs {
            violations.require((1..=MOST).contains(&age), "/max_age_secs", || {
                format!("must be 1 to {MOST}, or null, is {age}")
            });
        }
        violations.require(self.clock_skew_secs <= MOST_SKEW, "/clock_skew_secs", || {
            format!("must be 0 to {MOST_SKEW}, is {}", self.clock_skew_secs)
        });
        violations
    }
}

impl Staleness {
    pub fn validate(&self) -> Violations {
        const MOST: u32 = 30 * DAY;
        let mut violations = Violations::new();
        let (warn, refuse) = (self.warn_after_secs, self.refuse_after_secs);
        violations.require(warn >= 1, "/warn_after_secs", || "must be at least 1".to_owned());
        violations
            .require(warn <= refuse, "/warn_after_secs", || format!("must not exceed refuse_after_secs {refuse}"));
        violations.require((1..=MOST).contains(&refuse), "/refuse_after_secs", || {
            format!("must be 1 to {MOST}, is {refuse}")
        });
        violations
    }
}

impl RateLimit {
    pub fn validate(&self) -> Violations {
        const MOST: u32 = 1_000_000;
        let mut violations = Violations::new();
        for (pointer, value) in [("/requests_per_second", self.requests_per_second), ("/burst", self.burst)] {
            violations.require((1..=MOST).contains(&value), pointer, || format!("must be 1 to {MOST}, is {value}"));
        }
        violations
    }
}

impl AuditRetention {
    pub fn validate(&self) -> Violations {
        const OLDEST: u32 = 10 * 366 * DAY;
        /// Some dozens of records: less would hardly hold the one that signs for the removal of the others.
        const LEAST: u64 = 64 << 10;
        const MOST: u64 = 1 << 50;
        let mut violations = Violations::new();
        if let Some(age) = self.max_age_secs {
            violations.require((1..=OLDEST).contains(&age), "/max_age_secs", || {
                format!("must be 1 to {OLDEST}, or null, is {age}")
            });
        }
        if let Some(bytes) = self.max_bytes {
            violations.require((LEAST..=MOST).contains(&bytes), "/max_bytes", || {
                format!("must be {LEAST} to {MOST}, or null, is {bytes}")
            });
        }
        violations
    }
}

impl ClusterSettingsSpec {
    pub fn validate(&self) -> Violations {
        const MOST_KEPT: u32 = 30 * DAY;
        let mut violations = Violations::new();
        for (pointer, policy) in
            [("/key_rotation", self.key_rotation), ("/tenant_key_rotation", self.tenant_key_rotation)]
        {
            if let Some(policy) = policy {
                violations.nest(pointer, policy.validate());
            }
        }
        violations.nest("/staleness", self.staleness.validate());
        violations.nest("/audit", self.audit.validate());
        let kept = self.gone_pods_kept_secs;
        violations.require((1..=MOST_KEPT).contains(&kept), "/gone_pods_kept_secs", || {
            format!("must be 1 to {MOST_KEPT}, is {kept}")
        });
        violations
    }
}
