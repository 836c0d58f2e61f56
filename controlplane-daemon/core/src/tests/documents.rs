//! Rules of single documents.

use super::build::{client_spec, slug, tenant_spec};
use crate::model::{AuthMethod, ClusterSettingsSpec, GrantType, KeyRotation, RateLimit, ScopeSpec, Staleness};
use crate::validate::client::check as check_client;
use crate::validate::slug_problems;

#[test]
fn redirect_uris() {
    let problems = |uri: &str| {
        let mut spec = client_spec();
        spec.redirect_uris = vec![uri.to_owned()];
        check_client(&spec, |_| true).iter().filter(|v| v.pointer == "/redirect_uris/0").count()
    };
    for good in [
        "https://a.example/cb",
        "https://a.example:8443/cb?x=1",
        "http://127.0.0.1/cb",
        "http://localhost:3000/",
        "http://[::1]:9/cb",
        "com.example.app:/cb",
        "com.example.app://cb",
    ] {
        assert_eq!(problems(good), 0, "{good}");
    }
    for bad in [
        "",
        "/cb",
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "https://a.example/#f",
        "https://*.example/cb",
        "http://a.example/cb",
        "http://localhost.evil.example/cb",
        "http://localhost@evil.example/",
        "https://user@a.example/",
        "https:a.example",
        "https:///cb",
        "https://a.example:0/",
        "https://a.example:99999/",
        "https://a.example:/",
        "https://A.example/",
        "HTTPS://a.example/",
        "https://a.example/\r\nx",
        "https://a.example\\@b.example/",
        "myapp:/cb",
    ] {
        assert!(problems(bad) > 0, "{bad:?}");
    }
}

#[test]
fn origins_and_audiences() {
    let mut spec = client_spec();
    spec.allowed_origins = ["https://a.example", "http://localhost:3000"].map(str::to_owned).to_vec();
    spec.audiences = ["orders-api", "https://api.example/v1", "urn:example:api"].map(str::to_owned).to_vec();
    assert!(check_client(&spec, |_| true).is_empty(), "{}", check_client(&spec, |_| true));
    spec.allowed_origins =
        ["*", "null", "https://a.example/", "https://a.example:443", "http://a.example"].map(str::to_owned).to_vec();
    spec.audiences = ["", "a b", "https://a.example/#f"].map(str::to_owned).to_vec();
    assert_eq!(check_client(&spec, |_| true).iter().count(), 8);
}

#[test]
fn every_problem_is_reported_at_once() {
    let mut spec = tenant_spec(&["UPPER.example", "a.example", "a.example", "10.0.0.1", "a.example:80"]);
    spec.display_name = "\u{202e}evil ".to_owned();
    spec.settings.lifetimes.authorization_code_secs = 61;
    spec.settings.lifetimes.session_idle_secs = 0;
    let violations = spec.validate();
    let pointers: Vec<_> = violations.iter().map(|v| v.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/display_name",
            "/display_name",
            "/settings/hosts/2",
            "/settings/hosts/0",
            "/settings/hosts/3",
            "/settings/hosts/4",
            "/settings/lifetimes/session_idle_secs",
            "/settings/lifetimes/authorization_code_secs",
        ]
    );
}

#[test]
fn grants_fit_the_client() {
    let mut spec = client_spec();
    spec.token_endpoint_auth_method = AuthMethod::None;
    assert!(check_client(&spec, |_| true).is_empty());
    spec.grant_types = vec![GrantType::ClientCredentials, GrantType::RefreshToken];
    assert_eq!(check_client(&spec, |_| true).iter().count(), 2);
    spec.grant_types = vec![];
    assert_eq!(check_client(&spec, |_| true).iter().count(), 1);
    let mut spec = client_spec();
    spec.redirect_uris = vec![];
    assert_eq!(check_client(&spec, |_| true).iter().count(), 1);
}

#[test]
fn claims_and_slugs_of_the_platform_are_reserved() {
    let spec = ScopeSpec { description: String::new(), claims: ["sub", "x y", "team"].map(str::to_owned).to_vec() };
    assert_eq!(spec.validate().iter().count(), 2);
    assert!(slug_problems(&slug("acme")).is_empty());
    assert!(!slug_problems(&slug("well-known")).is_empty());
}

#[test]
fn policies() {
    let mut spec = tenant_spec(&[]);
    spec.settings.key_rotation = Some(KeyRotation { max_age_secs: Some(0), clock_skew_secs: 3601 });
    spec.settings.staleness = Some(Staleness { warn_after_secs: 0, refuse_after_secs: 0, ..Staleness::default() });
    spec.settings.lifetimes.jwks_cache_secs = 0;
    spec.settings.rate_limit = Some(RateLimit { requests_per_second: 0, burst: 1_000_001 });
    let violations = spec.validate();
    let pointers: Vec<_> = violations.iter().map(|v| v.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/settings/lifetimes/jwks_cache_secs",
            "/settings/key_rotation/max_age_secs",
            "/settings/key_rotation/clock_skew_secs",
            "/settings/staleness/warn_after_secs",
            "/settings/staleness/refuse_after_secs",
            "/settings/rate_limit/requests_per_second",
            "/settings/rate_limit/burst",
        ]
    );
    let spec = ClusterSettingsSpec { gone_pods_kept_secs: 0, ..ClusterSettingsSpec::default() };
    assert_eq!(spec.validate().iter().count(), 1);
    assert!(ClusterSettingsSpec::default().validate().is_empty());
}
