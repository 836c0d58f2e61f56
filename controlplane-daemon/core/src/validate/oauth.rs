//! Rules of a tenant's OAuth settings.

use vocab::Violations;
use vocab::oauth::OAuthSettings;

use super::registration;
use crate::limits;

pub(super) fn problems(settings: &OAuthSettings) -> Violations {
    let mut violations = Violations::new();
    for (pointer, value, most) in [
        ("/device_code_secs", settings.device_code_secs, 3600),
        ("/polling_interval_secs", settings.polling_interval_secs, 60),
        ("/ciba_request_secs", settings.ciba_request_secs, 3600),
    ] {
        violations
            .require(value.is_none_or(|value| (1..=most).contains(&value)), pointer, || format!("must be 1 to {most}"));
    }
    let grace = settings.refresh_token_grace_secs.unwrap_or_default();
    violations.require(grace <= limits::REFRESH_GRACE_SECS, "/refresh_token_grace_secs", || {
        format!("must be at most {}, is {grace}", limits::REFRESH_GRACE_SECS)
    });
    violations.nest("/registration", registration::policy_problems(&settings.registration));
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_has_an_end() {
        let with = |secs| OAuthSettings {
            device_code_secs: Some(secs),
            polling_interval_secs: Some(secs),
            ciba_request_secs: Some(secs),
            ..OAuthSettings::default()
        };
        let pointers = |settings: &OAuthSettings| serde_json::to_value(problems(settings)).unwrap();
        assert!(problems(&OAuthSettings::default()).is_empty());
        assert!(problems(&with(60)).is_empty());
        assert_eq!(pointers(&with(0)).as_array().unwrap().len(), 3);
        assert_eq!(pointers(&with(3601)).as_array().unwrap().len(), 3);
    }
}
