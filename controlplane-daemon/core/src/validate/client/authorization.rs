//! Rules of what a client is registered with for the authorization endpoint.

use vocab::Violations;

use super::super::{authorization_details, text};
use crate::limits;
use crate::model::ClientSpec;

/// Longest age of a sign-in that anybody could mean.
const MOST_AGE_SECS: u32 = 366 * 24 * 3600;
const ACR_VALUES: usize = 16;
const ACR_BYTES: usize = 256;

pub(super) fn check(violations: &mut Violations, spec: &ClientSpec) {
    if let Some(age) = spec.default_max_age {
        violations.require(age <= MOST_AGE_SECS, "/default_max_age", || format!("must be at most {MOST_AGE_SECS}"));
    }
    check_acr_values(violations, "/default_acr_values", &spec.default_acr_values);
    let types = &spec.authorization_details_types;
    text::check_list(violations, "/authorization_details_types", types, limits::DETAILS_TYPES);
    for (index, name) in types.iter().enumerate() {
        authorization_details::check_name(violations, &format!("/authorization_details_types/{index}"), name);
    }
}

/// Words without spaces, because a request writes several of them in one parameter (OIDC Core §3.1.2.1).
pub(crate) fn check_acr_values(violations: &mut Violations, pointer: &str, values: &[String]) {
    text::check_list(violations, pointer, values, ACR_VALUES);
    for (index, value) in values.iter().enumerate() {
        let good = (1..=ACR_BYTES).contains(&value.len())
            && value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
        violations.require(good, &format!("{pointer}/{index}"), || {
            format!("must be 1 to {ACR_BYTES} visible ASCII characters, without quotes")
        });
    }
}
