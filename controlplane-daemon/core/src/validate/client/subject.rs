//! Pairwise subjects need a sector that is one and stays one (OIDC Core §8.1).

use std::collections::BTreeSet;

use vocab::Violations;
use vocab::client::SubjectType;

use crate::model::ClientSpec;
use crate::validate::uri;

pub(super) fn check(violations: &mut Violations, spec: &ClientSpec) {
    const SECTOR: &str = "/sector_identifier_uri";
    if let Some(uri) = spec.sector_identifier_uri.as_deref() {
        let https = uri.starts_with("https://") && uri::web_problem(uri).is_none();
        violations.require(https, SECTOR, || "must be an https URL".to_owned());
    } else if spec.subject_type == SubjectType::Pairwise {
        let hosts: BTreeSet<_> = spec.redirect_uris.iter().map(|uri| uri::host(uri)).collect();
        let one = hosts.len() == 1 && !hosts.contains(&None);
        violations.require(one, SECTOR, || {
            "is needed for pairwise subjects, unless all redirect URIs have one and the same host".to_owned()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(redirect URIs, sector_identifier_uri)` that a pairwise client may have, and may not.
    #[test]
    fn a_sector_is_one_host() {
        let check = |redirects: &[&str], sector: Option<&str>| {
            let mut violations = Violations::new();
            let spec = ClientSpec {
                subject_type: SubjectType::Pairwise,
                redirect_uris: redirects.iter().map(ToString::to_string).collect(),
                sector_identifier_uri: sector.map(ToOwned::to_owned),
                ..ClientSpec::default()
            };
            super::check(&mut violations, &spec);
            violations.into_result().is_ok()
        };
        let two = ["https://a.example/cb", "https://b.example/cb"];
        assert!(check(&["https://a.example/cb", "https://a.example:8443/x"], None));
        assert!(check(&two, Some("https://sector.example/uris.json")));
        assert!(!check(&two, None));
        assert!(!check(&[], None));
        assert!(!check(&["com.example.app:/cb"], None));
        for wrong in ["http://s.example/x", "https://u@s.example/x", "s.example", "https://s.example/#x", ""] {
            assert!(!check(&two, Some(wrong)), "{wrong}");
        }
    }
}
