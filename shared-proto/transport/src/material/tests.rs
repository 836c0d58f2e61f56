use std::fs;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use vocab::{Clock as _, SystemClock};

use super::*;

type Issuer = CertifiedIssuer<'static, KeyPair>;

pub(crate) fn authority() -> Issuer {
    issuer(CertificateParams::default())
}

fn issuer(mut params: CertificateParams) -> Issuer {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Certificate and key as PEM.
pub(crate) fn certify(issuer: &Issuer, params: &CertificateParams) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, issuer).unwrap().pem(), key.serialize_pem())
}

fn named(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).unwrap()
}

fn load(cert: &str, key: &str, ca: &str) -> Result<Material, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let identity = IdentityFiles { cert: path("cert.pem", cert), key: path("key.pem", key) };
    let files = Files { identity: Some(identity), authorities: Some(path("ca.pem", ca)), host: None };
    Material::load(&files, SystemClock.now()).map_err(|why| why.to_string())
}

#[test]
fn every_bad_file_is_named_with_what_is_wrong_with_it() {
    let ca = authority();
    let (cert, key) = certify(&ca, &named("a"));
    let (_, other) = certify(&ca, &named("b"));
    let mut params = named("a");
    params.not_after = date_time_ymd(2001, 1, 1);
    let (past, past_key) = certify(&ca, &params);
    let mut params = named("a");
    params.not_before = date_time_ymd(2999, 1, 1);
    let (future, future_key) = certify(&ca, &params);
    let rsa_like = "-----BEGIN PRIVATE KEY-----\nbm90IG9uZQ==\n-----END PRIVATE KEY-----\n";
    let garbage = "-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n";
    let cut = cert.get(..cert.len() / 2).unwrap().to_owned();
    let authority = ca.pem();
    let rows = [
        (&*past, &*past_key, &*authority, "cert.pem: the certificate expired at 2001"),
        (&future, &future_key, &authority, "cert.pem: the certificate is valid from 2999"),
        (&cert, &other, &authority, "key.pem: this is not the key of the certificate in"),
        (&cert, "", &authority, "key.pem: there is no private key in it"),
        (&cert, rsa_like, &authority, "key.pem: this private key cannot be used"),
        ("", &key, &authority, "cert.pem: there is no certificate in it"),
        (&cut, &key, &authority, "cert.pem: "),
        (garbage, &key, &authority, "cert.pem: certificate 1 in it cannot be read"),
        (&cert, &key, "", "ca.pem: there is no certificate in it"),
        (&cert, &key, &[&*authority, garbage].concat(), "ca.pem: certificate 2 in it cannot be read"),
    ];
    for (cert, key, ca, expected) in rows {
        let why = load(cert, key, ca).unwrap_err();
        assert!(why.contains(expected), "want {expected}: {why}");
        assert!(!why.contains("PRIVATE"), "{why}");
    }
    load(&cert, &key, &authority).unwrap();
}

#[test]
fn expired_authorities_are_left_out_while_there_is_another() {
    let mut params = CertificateParams::default();
    params.not_after = date_time_ymd(2001, 1, 1);
    let (old, new) = (issuer(params), authority());
    let (cert, key) = certify(&new, &named("a"));
    let material = load(&cert, &key, &[old.pem(), new.pem()].concat()).unwrap();
    assert_eq!(material.authorities.unwrap().len(), 1);
    assert!(load(&cert, &key, &old.pem()).unwrap_err().contains("ca.pem: the certificate expired"));
}

#[test]
fn a_chain_is_as_good_as_its_first_end() {
    let ca = authority();
    let mut params = CertificateParams::default();
    params.not_after = date_time_ymd(2040, 1, 1);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let intermediate = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &ca).unwrap();
    let (cert, key) = certify(&intermediate, &named("a"));
    let chain = [cert, intermediate.pem()].concat();
    let material = load(&chain, &key, &ca.pem()).unwrap();
    assert!(date(material.not_after.first().unwrap().1).starts_with("2040-01-01"));
    assert_eq!(material.identity.unwrap().cert.len(), 2);
}
