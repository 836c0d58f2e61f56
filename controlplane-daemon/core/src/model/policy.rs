//! Policies that a tenant may set for itself and the cluster for everybody else: when keys are replaced, and how old a
//! pod's configuration may be. One of a tenant alone: how many requests it gets answered. And one of the cluster alone:
//! how long the audit is kept.

use serde::{Deserialize, Serialize};

/// When signing keys are replaced without anybody asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyRotation {
    /// A key that has signed for this long is replaced. `None`: never by itself, only by hand.
    pub max_age_secs: Option<u32>,
    /// How long after its end a verifier whose clock is behind may still accept a token.
    pub clock_skew_secs: u32,
}

impl Default for KeyRotation {
    fn default() -> Self {
        Self { max_age_secs: None, clock_skew_secs: 60 }
    }
}

/// How old a pod's configuration may be: the time since the pod last knew that it had everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Staleness {
    /// Beyond it the pod says so: log, metrics, `/debug/config`.
    pub warn_after_secs: u32,
    /// Beyond it `fail_mode` applies.
    pub refuse_after_secs: u32,
    pub fail_mode: FailMode,
}

impl Default for Staleness {
    fn default() -> Self {
        Self { warn_after_secs: 300, refuse_after_secs: 24 * 3600, fail_mode: FailMode::Refuse }
    }
}

/// What a pod does once its configuration is too old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailMode {
    /// It goes on: what was disabled meanwhile still works on this pod.
    Serve,
    /// It goes on, and says that it is not ready.
    NotReady,
    /// It answers 503.
    #[default]
    Refuse,
}

/// How many requests of a tenant each pod answers, so that one tenant's flood is not the others' slowness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    pub requests_per_second: u32,
    /// How many may come at once after a quiet while.
    pub burst: u32,
}

/// How much of the audit is kept. Where both are set, a record goes as soon as one of them wants it gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditRetention {
    /// Older records go. `None`: none goes for its age.
    pub max_age_secs: Option<u32>,
    /// Of all records together: beyond it the oldest go. `None`: no bound.
    pub max_bytes: Option<u64>,
}

impl AuditRetention {
    pub(crate) fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

/// The longest that the settings have ever allowed, the present ones aside. A verifier or a pod may still go by what was
/// allowed before, so whoever waits for them to be done waits for this, too. Never reset: that costs only waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Longest {
    pub jwks_cache_secs: u32,
    /// Of tokens that the keys sign.
    pub token_secs: u32,
    /// How long a pod that was cut off served.
    pub stale_secs: u32,
    /// Whether the cluster's staleness applied once, because the tenant had none of its own.
    pub inherited_staleness: bool,
}

impl Longest {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
