//! How metrics name tenants: the first so many by their slug, all others as [`OTHERS`] together. Whoever stores series
//! pays for each, and there may be ten thousand tenants.
//!
//! Which are named is decided as they come in, and a pod gets them in the order in which they were made: every pod names
//! the same, the oldest, apart from those that were removed while it ran. A name is never given up, since the recorder
//! keeps its series until the process ends.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use parking_lot::Mutex;
use vocab::Slug;

/// No tenant's slug: those begin with a letter or a digit.
pub const OTHERS: &str = "_other";

/// As the recorder, one for the process.
static NAMED: LazyLock<Mutex<Named>> = LazyLock::new(|| Mutex::new(Named { most: usize::MAX, slugs: BTreeSet::new() }));

struct Named {
    most: usize,
    slugs: BTreeSet<Slug>,
}

impl Named {
    fn label(&mut self, tenant: &Slug) -> String {
        if self.slugs.len() < self.most {
            self.slugs.insert(tenant.clone());
        }
        if self.slugs.contains(tenant) { tenant.to_string() } else { OTHERS.to_owned() }
    }
}

pub(super) fn limit(most: usize) {
    NAMED.lock().most = most;
}

/// The value of the label `tenant`. Takes a lock: not for what happens with every request.
pub fn tenant_label(tenant: &Slug) -> String {
    NAMED.lock().label(tenant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_named_and_all_others_are_one() {
        let mut named = Named { most: 2, slugs: BTreeSet::new() };
        let mut label = |slug: &str| named.label(&slug.parse().unwrap());
        assert_eq!(
            [label("a1"), label("b1"), label("c1"), label("a1"), label("d1")],
            ["a1", "b1", OTHERS, "a1", OTHERS]
        );
        assert!(OTHERS.parse::<Slug>().is_err());
    }
}
