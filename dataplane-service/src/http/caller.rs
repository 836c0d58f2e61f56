//! What a request shows of its sender, read from its headers and its connection.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use oauth_core::certificate::ClientCertificate;
use oauth_core::error::OAuthError;

use super::{form_body, origin};
use crate::app::App;
use crate::caller::{Caller, DpopHeader};
use crate::exchange::TokenRequest;
use crate::tenant::TenantContext;

static DPOP: HeaderName = HeaderName::from_static("dpop");
static DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// The whole of a request to an endpoint that clients authenticate at.
pub fn request<'a>(request: &'a HttpRequest, app: &'a App, body: &'a [u8]) -> Result<TokenRequest<'a>, OAuthError> {
    Ok(TokenRequest { caller: of(request, app)?, query: request.query_string(), body })
}

pub fn of<'a>(request: &'a HttpRequest, app: &'a App) -> Result<Caller<'a>, OAuthError> {
    Ok(Caller {
        verifier: &app.verifier,
        method: request.method().as_str(),
        path: below_tenant(request.path()),
        authorization: form_body::authorization(request)?,
        certificate: certificate(request, app),
        dpop: dpop(request.headers()),
    })
}

/// The path of an endpoint below its tenant: `/oauth2/token` of `/t/acme/oauth2/token`, too. No endpoint of a tenant that
/// is named otherwise begins with `/t/`.
fn below_tenant(path: &str) -> &str {
    let named = path.strip_prefix("/t/").and_then(|rest| rest.find('/').map(|end| rest.split_at(end).1));
    named.unwrap_or(path)
}

fn dpop(headers: &HeaderMap) -> DpopHeader<'_> {
    let mut values = headers.get_all(&DPOP);
    match (values.next(), values.next()) {
        (None, _) => DpopHeader::Absent,
        (Some(one), None) => one.to_str().map_or(DpopHeader::Unreadable, DpopHeader::One),
        (Some(_), Some(_)) => DpopHeader::Unreadable,
    }
}

/// Of the connection; or, when that is a trusted proxy's, of the header that the proxy writes. Anybody else's header is
/// passed over as if it were not there.
fn certificate(request: &HttpRequest, app: &App) -> Option<Arc<ClientCertificate>> {
    let of_connection = request.conn_data::<Arc<ClientCertificate>>().cloned();
    let Some(header) = &app.client_certificates.header else { return of_connection };
    if !origin::is_trusted_proxy(request) {
        return of_connection;
    }
    // A proxy's own certificate is not the client's.
    let mut values = request.headers().get_all(header.name());
    match (values.next(), values.next()) {
        (Some(value), None) => app.client_certificates.of_header(value.to_str().ok()?).map(Arc::new),
        _ => None,
    }
}

/// Hands out a nonce with an answer to a request that used DPoP, where the tenant wants nonces (RFC 9449 §8).
pub fn offer_nonce(request: &HttpRequest, tenant: &TenantContext, app: &App, headers: &mut HeaderMap) {
    if tenant.oauth.require_dpop_nonce && dpop(request.headers()) != DpopHeader::Absent {
        let nonce = app.verifier.nonces.current(tenant.id, app.clock.now());
        if let Ok(value) = HeaderValue::try_from(nonce) {
            headers.insert(DPOP_NONCE.clone(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use rstest::rstest;

    #[rstest]
    #[case("/t/acme/oauth2/token", "/oauth2/token")]
    #[case("/oauth2/token", "/oauth2/token")]
    #[case("/t/acme/api/v1/users/7", "/api/v1/users/7")]
    fn paths_below_the_tenant(#[case] path: &str, #[case] expected: &str) {
        assert_eq!(below_tenant(path), expected);
    }

    #[test]
    fn one_proof_per_request() {
        let with = |values: &[&str]| {
            let request = values.iter().fold(TestRequest::post(), |it, value| it.append_header(("DPoP", *value)));
            request.to_http_request()
        };
        assert_eq!(dpop(with(&[]).headers()), DpopHeader::Absent);
        assert_eq!(dpop(with(&["a.b.c"]).headers()), DpopHeader::One("a.b.c"));
        assert_eq!(dpop(with(&["a.b.c", "a.b.c"]).headers()), DpopHeader::Unreadable);
    }
}
