//! Names of manifest sets.

use vocab::Violations;

use crate::limits;

/// Whether a set of manifests may be called so: what fits a URL, a file name and a metric label.
pub fn manifest_set_problems(name: &str) -> Violations {
    let mut violations = Violations::new();
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    let first = name.chars().next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let fits = first && name.len() <= limits::MANIFEST_SET_CHARS && name.chars().all(allowed);
    violations.require(fits, "", || {
        format!(
            "must have 1 to {} of a-z, 0-9, '-', '_' and '.', the first a letter or digit",
            limits::MANIFEST_SET_CHARS
        )
    });
    violations
}
