//! `GET` and `POST /oauth2/userinfo` (OIDC Core §5.3).

use actix_web::{HttpRequest, HttpResponse, ResponseError as _, web};
use oauth_core::bearer::Scheme;
use oauth_core::error::OAuthError;
use oauth_core::form::Form;
use oauth_core::resource::{metadata_url, path_for};
use oauth_core::scope::OPENID;
use oauth_core::userinfo;

use super::respond::{BearerFailure, private_json, private_jwt};
use super::{bearer, caller, cors, form_body};
use crate::app::App;
use crate::encryption::{self, Content};
use crate::resolve::Tenant;

/// Nothing tells it apart from other JWTs but its audience, and that it has no `exp` (OIDC Core §5.3.2).
const USERINFO_TYPE: &str = "JWT";

pub(super) async fn userinfo(
    request: HttpRequest,
    tenant: Tenant,
    app: web::Data<App>,
    body: Result<web::Bytes, actix_web::Error>,
) -> HttpResponse {
    let answer = answer(&request, &tenant, &app, body).await;
    let mut response = answer.unwrap_or_else(|failure| failure.error_response());
    cors::permit(&request, &tenant, response.headers_mut());
    caller::offer_nonce(&request, &tenant, &app, response.headers_mut());
    response
}

async fn answer(
    request: &HttpRequest,
    tenant: &Tenant,
    app: &App,
    body: Result<web::Bytes, actix_web::Error>,
) -> Result<HttpResponse, BearerFailure> {
    let refused_as = |shown: Scheme| {
        move |error| BearerFailure::Refused {
            realm: tenant.slug.clone(),
            metadata: metadata_url(&tenant.issuer, path_for(OPENID).unwrap_or_default()),
            shown,
            error,
            scope: OPENID,
        }
    };
    let refused = refused_as(Scheme::Bearer);
    let body = form_body::read(body).map_err(refused)?;
    // RFC 6750 §2.2: the body counts only when it is a form, and never on GET.
    let carries_form = request.method() == actix_web::http::Method::POST && form_body::is_form(request);
    let form = if carries_form { Form::parse(&body).map(Some) } else { Ok(None) };
    let form = form.map_err(|error| refused(error.into()))?;
    let bearer = bearer::authenticate(request, form.as_ref(), tenant, app, OPENID).await?;
    let refused = refused_as(bearer.shown);
    let live =
        bearer.user.ok_or_else(|| refused(OAuthError::invalid_token("The access token does not stand for a user.")))?;
    let client = tenant
        .client(&bearer.claims.client_id)
        .ok_or_else(|| refused(OAuthError::invalid_token("Its client is gone.")))?;
    let user = userinfo::with_sources(live.user, &tenant.oauth.claims);
    let defined = |name: &str| tenant.scopes.get(name).map(|scope| scope.claims.as_slice());
    let mut claims = userinfo::claims(&user, &bearer.claims.scope, &live.claims.userinfo, defined);
    claims.insert("sub".to_owned(), tenant.subject(client, user.id).map_err(BearerFailure::Database)?.into());
    let signed = match client.spec.userinfo_signed_response_alg {
        None => None,
        Some(algorithm) => {
            // OIDC Core §5.3.2: issuer and audience are added when it is signed.
            claims.insert("iss".to_owned(), tenant.issuer.as_str().into());
            claims.insert("aud".to_owned(), client.client_id.as_str().into());
            Some(tenant.keys.sign_with(algorithm, USERINFO_TYPE, &claims).map_err(BearerFailure::Signing)?)
        }
    };
    match (signed, client.spec.userinfo_encryption()) {
        (None, None) => Ok(private_json(&claims)),
        (Some(jwt), None) => Ok(private_jwt(jwt)),
        (signed, Some(asked)) => {
            let json = serde_json::Value::Object(claims).to_string();
            let content = signed.as_deref().map_or(Content::Claims(json.as_bytes()), Content::Jwt);
            let jwe = encryption::encrypt(&app.verifier, client, asked, content).await.map_err(refused)?;
            Ok(private_jwt(jwe))
        }
    }
}
