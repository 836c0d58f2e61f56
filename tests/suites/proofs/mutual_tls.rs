//! Mutual TLS (RFC 8705): clients that show a certificate, to us or to a proxy, and tokens bound to it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tests::pki::{Authority, Certified, Validity, Wanted};
use tests::pod::Pod;
use tests::tenant::Tenant;
use tests::web::{self, Answer};

use super::keys::{Key, claims};
use super::{MTLS_URL, Setting, shared};

/// A client that shows `certified`, and trusts the pods' authority.
pub(super) fn http(setting: &Setting, certified: Option<&Certified>) -> reqwest::Client {
    let ca = reqwest::Certificate::from_pem(setting.authority.pem().as_bytes()).expect("PEM");
    let builder = web::builder().tls_certs_only([ca]);
    let shown = certified.map(|own| format!("{}{}", own.cert, own.key));
    let shown = shown.map(|pem| reqwest::Identity::from_pem(pem.as_bytes()).expect("certificate and key"));
    shown.into_iter().fold(builder, reqwest::ClientBuilder::identity).build().expect("a client")
}

pub(super) fn over_tls(pod: &Pod, tenant: &Tenant) -> String {
    format!("https://{}/t/{}", pod.tls_address(), tenant.slug)
}

/// For applications: good for the calling end alone.
pub(super) fn of_client<'a>(names: &'a [&'a str], validity: Validity) -> Wanted<'a> {
    const CALLER: &[rcgen::ExtendedKeyUsagePurpose] = &[rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    Wanted { names, purposes: CALLER, validity }
}

pub(super) async fn register(tenant: &Tenant, client_id: &str, more: Value) {
    let mut client = json!({
        "client_id": client_id, "name": "Shows", "grant_types": ["client_credentials"], "scopes": ["hj:users.read"],
    });
    for (name, value) in more.as_object().expect("members") {
        client[name] = value.clone();
    }
    let path = format!("/tenants/{}/clients?wait=fleet&timeout=15s", tenant.slug);
    let _ = tenant.admin.post(&path, &client).await.expect(201);
}

pub(super) async fn ask(http: &reqwest::Client, base: &str, client_id: &str) -> Answer {
    let form = [("grant_type", "client_credentials"), ("client_id", client_id)];
    web::send(http.post(format!("{base}/oauth2/token")).form(&form)).await
}

pub(super) fn der(certified: &Certified) -> Vec<u8> {
    CertificateDer::from_pem_slice(certified.cert.as_bytes()).expect("PEM").to_vec()
}

/// The certificate as nginx hands it on.
fn header(certified: &Certified) -> String {
    url::form_urlencoded::byte_serialize(certified.cert.as_bytes()).collect::<String>().replace('+', "%20")
}

#[tokio::test]
async fn a_certificate_with_the_registered_name_proves_the_client() {
    let setting = shared().await;
    let tenant = setting.tenant("mtls").await;
    let spec = json!({
        "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "app.example",
        "tls_client_certificate_bound_access_tokens": true,
    });
    register(&tenant, "shows", spec).await;
    let base = over_tls(&setting.pods[0], &tenant);
    let own = setting.authority.certify_as("app", &of_client(&["app.example"], Validity::Now));
    let answer = ask(&http(&setting, Some(&own)), &base, "shows").await.expect(200);
    assert_eq!(answer.text_of("token_type"), "Bearer");
    let thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(der(&own)));
    assert_eq!(claims(&answer.text_of("access_token"))["cnf"], json!({ "x5t#S256": thumbprint }));

    let stranger = Authority::new("nobody-knows").certify_as("app", &of_client(&["app.example"], Validity::Now));
    let past = setting.authority.certify_as("past", &of_client(&["app.example"], Validity::Past));
    let future = setting.authority.certify_as("future", &of_client(&["app.example"], Validity::Future));
    let other = setting.authority.certify_as("other", &of_client(&["other.example"], Validity::Now));
    let server = setting.authority.certify_as(
        "server",
        &Wanted {
            names: &["app.example"],
            purposes: &[rcgen::ExtendedKeyUsagePurpose::ServerAuth],
            ..Wanted::default()
        },
    );
    for (row, shown) in [
        ("an unknown authority", Some(&stranger)),
        ("expired", Some(&past)),
        ("not yet valid", Some(&future)),
        ("another name", Some(&other)),
        ("for servers", Some(&server)),
        ("none", None),
    ] {
        let refused = ask(&http(&setting, shown), &base, "shows").await.expect(401);
        assert_eq!(refused.text_of("error"), "invalid_client", "{row}");
    }
    // A secret, or the certificate of a client of secrets, is another method.
    let by_secret = web::client().post(format!("{}/oauth2/token", tenant.issuer)).basic_auth("shows", Some("x"));
    let by_secret = web::send(by_secret.form(&[("grant_type", "client_credentials")])).await;
    assert_eq!(by_secret.expect(401).text_of("error"), "invalid_client");
    assert_eq!(ask(&http(&setting, Some(&own)), &base, "service").await.status, 401);

    // The token needs its certificate.
    let token = answer.text_of("access_token");
    let users =
        |http: reqwest::Client, base: &str| web::send(http.get(format!("{base}/api/v1/users")).bearer_auth(&token));
    assert_eq!(users(http(&setting, Some(&own)), &base).await.status, 200);
    for shown in [Some(&other), None] {
        let refused = users(http(&setting, shown), &base).await.expect(401);
        assert_eq!(refused.text_of("error"), "invalid_token");
    }
    let plain = users(web::client(), &tenant.issuer).await.expect(401);
    assert_eq!(plain.text_of("error"), "invalid_token");
    let with_proof = http(&setting, Some(&own)).post(format!("{base}/oauth2/token"));
    let proof = Key::new("k").proof("POST", &format!("{}/oauth2/token", tenant.issuer), &json!({}));
    let form = [("grant_type", "client_credentials"), ("client_id", "shows")];
    let both = web::send(with_proof.header("DPoP", proof).form(&form)).await.expect(400);
    assert_eq!(both.text_of("error"), "invalid_dpop_proof", "bound to one thing");
}

#[tokio::test]
async fn a_certificate_that_is_registered_itself_needs_nobody_to_vouch_for_it() {
    let setting = shared().await;
    let tenant = setting.tenant("self-signed").await;
    let nobody = Authority::new("nobody");
    let own = nobody.certify_as("own", &of_client(&["app.example"], Validity::Now));
    let other = nobody.certify_as("other", &of_client(&["app.example"], Validity::Now));
    let mut jwk = Key::new("c").jwk;
    jwk["x5c"] = json!([STANDARD.encode(der(&own))]);
    let spec = json!({"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": {"keys": [jwk]}});
    register(&tenant, "own", spec).await;
    let base = over_tls(&setting.pods[0], &tenant);
    let answer = ask(&http(&setting, Some(&own)), &base, "own").await.expect(200);
    assert_eq!(claims(&answer.text_of("access_token")).get("cnf"), None, "nobody asked for that");
    let refused = ask(&http(&setting, Some(&other)), &base, "own").await.expect(401);
    assert_eq!(refused.text_of("error"), "invalid_client");
}

#[tokio::test]
async fn a_header_counts_from_a_trusted_proxy_only() {
    let setting = shared().await;
    let tenant = setting.tenant("proxy").await;
    let spec = json!({"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "app.example"});
    register(&tenant, "shows", spec).await;
    let own = setting.authority.certify_as("app", &of_client(&["app.example"], Validity::Now));
    let stranger = Authority::new("no-proxy-knows").certify_as("app", &of_client(&["app.example"], Validity::Now));
    let send = async |pod: &Pod, headers: &[(&str, &str)]| {
        let form = [("grant_type", "client_credentials"), ("client_id", "shows")];
        let request = web::client().post(format!("{}/t/{}/oauth2/token", pod.url(), tenant.slug)).form(&form);
        web::send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    };
    let (good, bad) = (header(&own), header(&stranger));
    let byte_sequence = format!(":{}:", STANDARD.encode(der(&own)));
    let [outside, behind] = [&setting.pods[0], &setting.pods[1]];
    assert_eq!(send(behind, &[("x-ssl-client-cert", &good)]).await.status, 200);
    for (what, pod, headers) in [
        ("forged from outside", outside, vec![("x-ssl-client-cert", good.as_str())]),
        ("the same by Envoy's name", outside, vec![("x-forwarded-client-cert", good.as_str())]),
        ("another header", behind, vec![("client-cert", byte_sequence.as_str())]),
        ("another header", behind, vec![("x-forwarded-client-cert", good.as_str())]),
        ("an unknown authority", behind, vec![("x-ssl-client-cert", bad.as_str())]),
        ("twice", behind, vec![("x-ssl-client-cert", good.as_str()), ("x-ssl-client-cert", good.as_str())]),
        ("garbage", behind, vec![("x-ssl-client-cert", "garbage")]),
        ("none", behind, vec![]),
    ] {
        let answer = send(pod, &headers).await;
        assert_eq!((answer.status, answer.text_of("error").as_str()), (401, "invalid_client"), "{what}");
    }
}

/// RFC 8705 §5: the endpoints under the other address are told of, and a proof of DPoP may be for either.
#[tokio::test]
async fn clients_with_certificates_are_sent_elsewhere() {
    let setting = shared().await;
    let tenant = setting.tenant("aliases").await;
    let [here, there] = [0, 1].map(|at| tenant.service.at(&format!("{}/t/{}", setting.pods[at].url(), tenant.slug)));
    assert_eq!(here.discovery().await.json.get("mtls_endpoint_aliases"), None);
    let document = there.discovery().await.json;
    let aliases = document["mtls_endpoint_aliases"].as_object().expect("the endpoints elsewhere");
    for endpoint in ["token", "userinfo", "introspection", "revocation"] {
        let name = format!("{endpoint}_endpoint");
        let moved = document[&name].as_str().map(|url| url.replace(&setting.pods[0].url(), MTLS_URL));
        assert_eq!(aliases[&name].as_str(), moved.as_deref(), "{name}");
    }
    let key = Key::new("k");
    for (party, status) in [(&here, 400), (&there, 200)] {
        let proof = key.proof("POST", aliases["token_endpoint"].as_str().expect("a URL"), &json!({}));
        let request = party.token_request(&[("grant_type", "client_credentials"), ("scope", "hj:users.read")]);
        let answer = web::send(request.header("DPoP", proof)).await.expect(status);
        assert!(status == 200 || answer.text_of("error") == "invalid_dpop_proof", "{}", answer.text);
    }
}

#[tokio::test]
async fn discovery_names_what_is_taken() {
    let setting = shared().await;
    let tenant = setting.tenant("named").await;
    let document = tenant.app.discovery().await.expect(200).json;
    let methods = document["token_endpoint_auth_methods_supported"].to_string();
    for method in ["private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"] {
        assert!(methods.contains(method), "{methods}");
    }
    assert_eq!(document["tls_client_certificate_bound_access_tokens"], true);
    for list in ["token_endpoint_auth_signing_alg_values_supported", "dpop_signing_alg_values_supported"] {
        let algorithms = document[list].to_string();
        assert!(algorithms.contains("ES256") && algorithms.contains("PS256"), "{list}: {algorithms}");
        assert!(!algorithms.contains("none"), "{list}: {algorithms}");
        // Clients have secrets to prove themselves with, but no proof of possession is made with one.
        assert_eq!(algorithms.contains("HS256"), list.starts_with("token_endpoint"), "{list}: {algorithms}");
    }
}
