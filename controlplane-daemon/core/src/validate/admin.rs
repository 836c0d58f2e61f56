//! Rules of an administrator's document.

use vocab::Violations;

use super::text;
use crate::model::AdminSpec;

impl AdminSpec {
    pub fn validate(&self) -> Violations {
        let mut violations = Violations::new();
        text::check_name(&mut violations, "/name", &self.name);
        violations
    }
}
