use rcgen::ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, SanType};
use rstest::rstest;
use rustls::pki_types::pem::PemObject as _;

use super::*;
use crate::material::tests::{authority, certify};

fn certificate(names: &[&str], purposes: &[ExtendedKeyUsagePurpose]) -> CertificateDer<'static> {
    let (uris, hosts): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains(':'));
    let mut params = CertificateParams::new(hosts.into_iter().map(str::to_owned).collect::<Vec<_>>()).unwrap();
    params.subject_alt_names.extend(uris.into_iter().map(|uri| SanType::URI(uri.try_into().unwrap())));
    params.extended_key_usages = purposes.to_vec();
    CertificateDer::from_pem_slice(certify(&authority(), &params).0.as_bytes()).unwrap()
}

#[rstest]
#[case::the_name("peer.example", &["peer.example"], true)]
#[case::one_of_many("x.example, peer.example", &["a.example", "peer.example"], true)]
#[case::case_does_not_count("Peer.Example", &["peer.example"], true)]
#[case::a_wildcard_covers_it("peer.example.org", &["*.example.org"], true)]
#[case::but_not_deeper("a.peer.example.org", &["*.example.org"], false)]
#[case::an_address("10.0.0.1", &["10.0.0.1"], true)]
#[case::a_uri("spiffe://example.org/peer", &["spiffe://example.org/peer"], true)]
#[case::a_longer_uri("spiffe://example.org/peer", &["spiffe://example.org/peer/2"], false)]
#[case::a_urn("urn:hellojohn:peer", &["urn:hellojohn:peer"], true)]
#[case::another("peer.example", &["pod.example"], false)]
#[case::a_part_of_it("peer.example", &["notpeer.example"], false)]
#[case::none("peer.example", &[], false)]
fn names_are_compared_with_the_alternative_names(#[case] wanted: &str, #[case] names: &[&str], #[case] admitted: bool) {
    let callers = Callers::Named(wanted.parse().unwrap());
    assert_eq!(callers.check(&certificate(names, &[ClientAuth])).is_ok(), admitted);
}

#[rstest]
#[case::callers_only(&[ClientAuth], false)]
#[case::both(&[ClientAuth, ServerAuth], true)]
#[case::servers_only(&[ServerAuth], true)]
#[case::any(&[Any], true)]
#[case::unsaid(&[], true)]
fn servers_are_known_by_their_purpose(#[case] purposes: &[ExtendedKeyUsagePurpose], #[case] admitted: bool) {
    assert_eq!(Callers::Servers.check(&certificate(&["a.example"], purposes)).is_ok(), admitted);
    Callers::Anybody.check(&certificate(&["a.example"], purposes)).unwrap();
}

#[rstest]
#[case("")]
#[case(" , ")]
#[case("no name")]
#[case("*.example.org")]
fn what_is_no_name_is_refused(#[case] text: &str) {
    text.parse::<Names>().unwrap_err();
}

#[test]
fn a_certificate_is_described_by_subject_and_names() {
    let names = ["pod.example", "10.0.0.1", "::1", "spiffe://example.org/pod"];
    let mut params =
        CertificateParams::new(names[..3].iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.subject_alt_names.push(SanType::URI(names[3].try_into().unwrap()));
    let certificate = CertificateDer::from_pem_slice(certify(&authority(), &params).0.as_bytes()).unwrap();
    let (subject, found) = describe(&certificate).unwrap();
    assert_eq!(subject, "CN=rcgen self signed cert");
    assert_eq!(found, names);
}
