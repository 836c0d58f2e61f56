use std::time::Duration;

use actix_web::HttpMessage as _;
use rstest::rstest;
use shared_proto::watch;
use transport::forwarded::{ForwardingHeader, TrustedProxies};
use uuid::Uuid;
use vocab::{ClusterId, Keyring, MasterKey, Revision};

use super::*;
use crate::store::migrate::Mode;
use crate::store::pool::{Limits, PodPools};
use crate::sync::mirror::{Mirror, Surroundings};

/// `acme` with a host of its own, `beta`, `closed` (suspended) and the default tenant `local`.
fn directory() -> Directory {
    let keyring = Keyring::new(MasterKey::new([1; 32]), vec![]);
    let limits = Limits { per_tenant: 1, total: 1, idle: Duration::from_secs(1) };
    let pools = PodPools::new(limits, keyring.clone(), Mode::Off);
    let mut mirror = Mirror::new(Surroundings { keyring, public_url: "https://id.example".parse().unwrap(), pools });
    let tenants =
        [("acme", true, "login.acme.example"), ("beta", true, ""), ("closed", false, ""), ("local", true, "")];
    let resources = tenants.iter().zip(1..).map(|((slug, active, host), n)| {
        let status = if *active { watch::TenantStatus::Active } else { watch::TenantStatus::Suspended };
        let tenant = watch::Tenant {
            id: Uuid::from_u128(n).to_string(),
            slug: (*slug).into(),
            status: status.into(),
            issuer_mode: watch::IssuerMode::Path.into(),
            hosts: [*host].into_iter().filter(|host| !host.is_empty()).map(str::to_owned).collect(),
            lifetimes: Some(watch::Lifetimes::default()),
            ..Default::default()
        };
        watch::Resource { kind: Some(watch::resource::Kind::Tenant(tenant)) }
    });
    mirror.replace(ClusterId::from_uuid(Uuid::from_u128(9)), Revision(1), resources.collect());
    mirror.directory().clone()
}

fn given<'a>(path: &'a str, host: &'a str, header: &'a str, query: &str) -> Hints<'a> {
    let some = |text: &'a str| (text != "-").then_some(text);
    Hints { path: some(path), host, header: some(header), query: (query != "-").then(|| query.to_owned()) }
}

#[rstest]
#[case::path("beta", "id.example", "-", "-", "beta")]
#[case::own_host("-", "login.acme.example", "-", "-", "acme")]
#[case::own_host_with_port("-", "LOGIN.acme.example:8443", "-", "-", "acme")]
#[case::header("-", "id.example", "beta", "-", "beta")]
#[case::query("-", "id.example", "-", "beta", "beta")]
#[case::default("-", "id.example", "-", "-", "local")]
#[case::all_agree("acme", "login.acme.example", "acme", "acme", "acme")]
fn the_tenant_is_found(
    #[case] path: &str,
    #[case] host: &str,
    #[case] header: &str,
    #[case] query: &str,
    #[case] slug: &str,
) {
    let default = "local".parse().unwrap();
    let tenant = resolve(&directory(), Some(&default), &given(path, host, header, query)).unwrap();
    assert_eq!(tenant.slug.as_str(), slug);
}

#[rstest]
#[case::path_and_header("acme", "id.example", "beta", "-", 400)]
#[case::path_and_host("beta", "login.acme.example", "-", "-", 400)]
#[case::path_and_query("acme", "id.example", "-", "beta", 400)]
#[case::host_and_header("-", "login.acme.example", "beta", "-", 400)]
#[case::header_and_query("-", "id.example", "acme", "beta", 400)]
#[case::path_and_unknown_header("acme", "id.example", "nobody", "-", 400)]
#[case::unknown_path("nobody", "id.example", "-", "-", 404)]
#[case::malformed_path("..", "id.example", "-", "-", 404)]
#[case::unknown_header("-", "id.example", "nobody", "-", 404)]
#[case::malformed_header("-", "id.example", "No Slug", "-", 400)]
#[case::malformed_query("-", "id.example", "-", "", 400)]
#[case::suspended("closed", "id.example", "-", "-", 403)]
fn the_request_is_refused(
    #[case] path: &str,
    #[case] host: &str,
    #[case] header: &str,
    #[case] query: &str,
    #[case] status: u16,
) {
    let default = "local".parse().unwrap();
    let problem = resolve(&directory(), Some(&default), &given(path, host, header, query)).unwrap_err();
    assert_eq!(problem.code().http_status(), status, "{problem}");
}

#[test]
fn without_a_default_tenant_nobody_is_guessed() {
    let problem = resolve(&directory(), None, &given("-", "id.example", "-", "-")).unwrap_err();
    assert_eq!(problem.code(), ErrorCode::NotFound);
}

#[test]
fn before_the_first_configuration_nobody_is_unknown() {
    let problem = resolve(&Directory::default(), None, &given("acme", "id.example", "-", "-")).unwrap_err();
    assert_eq!(problem.code(), ErrorCode::Unavailable);
}

#[rstest]
#[case("Example.COM", "example.com")]
#[case("example.com:80", "example.com")]
#[case("[::1]:8080", "[::1]")]
#[case("[::1]", "[::1]")]
fn ports_are_cut_off(#[case] host: &str, #[case] name: &str) {
    assert_eq!(host_name(host), name);
}

#[rstest]
#[case::header(&[("host", "login.acme.example")], "/", "login.acme.example")]
#[case::absolute_form_wins(&[("host", "id.example")], "http://login.acme.example/x", "login.acme.example")]
#[case::forwarded_is_no_host(&[("host", "id.example"), ("x-forwarded-host", "login.acme.example")], "/", "id.example")]
#[case::nor_is_its_successor(&[("host", "id.example"), ("forwarded", "host=login.acme.example")], "/", "id.example")]
fn the_host_is_where_the_request_was_sent(#[case] headers: &[(&str, &str)], #[case] uri: &str, #[case] expected: &str) {
    let request = headers
        .iter()
        .fold(actix_web::test::TestRequest::with_uri(uri), |request, header| request.insert_header(*header))
        .to_http_request();
    assert_eq!(host(&request).unwrap(), expected);
}

/// Only a trusted proxy's word can make another tenant of it.
#[rstest]
#[case::from_the_proxy("10.0.0.1:5", "acme")]
#[case::from_anybody("192.0.2.1:5", "local")]
fn a_forwarded_host_counts_from_a_trusted_proxy(#[case] peer: &str, #[case] slug: &str) {
    let mut app = crate::fixture::app();
    app.default_tenant = Some("local".parse().unwrap());
    app.trusted_proxies = TrustedProxies::parse("10.0.0.0/8", ForwardingHeader::XForwardedFor).unwrap();
    let request = actix_web::test::TestRequest::default()
        .app_data(web::Data::new(app))
        .peer_addr(peer.parse().unwrap())
        .insert_header(("host", "pod.internal"))
        .insert_header(("x-forwarded-host", "login.acme.example"))
        .to_http_request();
    request.extensions_mut().insert(Arc::new(directory()));
    assert_eq!(known(&request).unwrap().slug.as_str(), slug);
}

#[test]
fn two_host_headers_are_refused() {
    let request = actix_web::test::TestRequest::default().append_header(("host", "a")).append_header(("host", "b"));
    assert_eq!(host(&request.to_http_request()).unwrap_err().code(), ErrorCode::InvalidRequest);
}
