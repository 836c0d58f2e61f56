//! How old the configuration may be: a tenant's policy, and what it comes to at an age.
//!
//! The age is the time since the pod last knew that it had everything that was committed. A pod that lost its control
//! plane goes on with what it has, but not for ever: what was disabled meanwhile must not work for ever.

use std::time::Duration;

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub warn_after: Duration,
    /// Beyond it `fail_mode` applies.
    pub refuse_after: Duration,
    pub fail_mode: FailMode,
}

/// As the control plane has it: what holds while no cluster settings were ever written.
impl Default for Policy {
    fn default() -> Self {
        Self { warn_after: Duration::from_mins(5), refuse_after: Duration::from_hours(24), fail_mode: FailMode::Refuse }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailMode {
    Serve,
    NotReady,
    Refuse,
}

/// What a policy says of an age. In the order of severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Fresh,
    /// Old enough to tell somebody; served all the same, by `serve` for ever.
    Warn,
    /// Served, but better sent elsewhere.
    NotReady,
    Refuse,
}

impl Verdict {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Warn => "warn",
            Self::NotReady => "not_ready",
            Self::Refuse => "refuse",
        }
    }
}

impl Policy {
    pub fn judge(&self, age: Duration) -> Verdict {
        if age < self.warn_after {
            return Verdict::Fresh;
        }
        match self.fail_mode {
            _ if age < self.refuse_after => Verdict::Warn,
            FailMode::Serve => Verdict::Warn,
            FailMode::NotReady => Verdict::NotReady,
            FailMode::Refuse => Verdict::Refuse,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_at_each_age() {
        use Verdict::{Fresh, NotReady, Refuse, Warn};
        let rows = [
            (FailMode::Serve, [Fresh, Warn, Warn, Warn]),
            (FailMode::NotReady, [Fresh, Warn, NotReady, NotReady]),
            (FailMode::Refuse, [Fresh, Warn, Refuse, Refuse]),
        ];
        for (fail_mode, verdicts) in rows {
            let (warn_after, refuse_after) = (Duration::from_secs(10), Duration::from_secs(20));
            let policy = Policy { warn_after, refuse_after, fail_mode };
            let ages = [Duration::from_millis(9_999), warn_after, refuse_after, Duration::MAX];
            assert_eq!(ages.map(|age| policy.judge(age)), verdicts, "{fail_mode:?}");
        }
    }
}
