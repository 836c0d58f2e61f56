//! `GET` and `POST /oauth2/userinfo` (OIDC Core §5.3).

use actix_web::HttpResponse;
use actix_web::http::Method;
use oauth_core::bearer::Scheme;
use oauth_core::client::Client;
use oauth_core::error::OAuthError;
use oauth_core::form::Form;
use oauth_core::resource::{metadata_url, path_for};
use oauth_core::scope::OPENID;
use oauth_core::userinfo;
use serde_json::{Map, Value};

use super::bearer::{self, Bearer};
use super::call::{Arrived, Call, Callers, answer};
use super::form_body;
use super::respond::{BearerFailure, private_json, private_jwt};
use crate::encryption::{self, Content};
use crate::tenant::TenantContext;

/// Nothing tells it apart from other JWTs but its audience, and that it has no `exp` (OIDC Core §5.3.2).
const USERINFO_TYPE: &str = "JWT";

pub(super) async fn get_or_post(arrived: Arrived) -> HttpResponse {
    answer(arrived, Callers::Pages, async |call| -> Result<_, BearerFailure> {
        let bearer = authenticate(call).await?;
        call.is_of(&bearer.claims.client_id);
        let refused = |error| refused(&call.tenant, bearer.shown, error);
        let client = call.tenant.client(&bearer.claims.client_id);
        let client = client.ok_or_else(|| refused(OAuthError::invalid_token("Its client is gone.")))?;
        let claims = claims(&call.tenant, client, &bearer)?;
        encode(call, client, claims, refused).await
    })
    .await
}

fn refused(tenant: &TenantContext, shown: Scheme, error: OAuthError) -> BearerFailure {
    BearerFailure::Refused {
        realm: tenant.slug.clone(),
        metadata: metadata_url(&tenant.issuer, path_for(OPENID).unwrap_or_default()),
        shown,
        error,
        scope: OPENID,
    }
}

async fn authenticate(call: &Call) -> Result<Bearer, BearerFailure> {
    let unreadable = |error| refused(&call.tenant, Scheme::Bearer, error);
    let body = call.body().map_err(unreadable)?;
    // RFC 6750 §2.2: the body counts only when it is a form, and never on GET.
    let carries_form = call.method() == Method::POST && form_body::is_form(call);
    let form = if carries_form { Form::parse(body).map(Some) } else { Ok(None) };
    let form = form.map_err(|error| unreadable(error.into()))?;
    bearer::authenticate(call, form.as_ref(), &call.tenant, &call.app, OPENID).await
}

fn claims(tenant: &TenantContext, client: &Client, bearer: &Bearer) -> Result<Map<String, Value>, BearerFailure> {
    let nobody =
        || refused(tenant, bearer.shown, OAuthError::invalid_token("The access token does not stand for a user."));
    let live = bearer.user.as_ref().ok_or_else(nobody)?;
    let user = userinfo::with_sources(live.user.clone(), &tenant.oauth.claims);
    let defined = |name: &str| tenant.scopes.get(name).map(|scope| scope.claims.as_slice());
    let claims = userinfo::claims(&user, &bearer.claims.scope, &live.claims.userinfo, defined);
    let mut claims = userinfo::aggregated(claims, &tenant.oauth.claims);
    claims.insert("sub".to_owned(), tenant.subject(client, user.id).map_err(BearerFailure::Database)?.into());
    Ok(claims)
}

/// As the client registered: as JSON, signed, encrypted, or both.
async fn encode(
    call: &Call,
    client: &Client,
    mut claims: Map<String, Value>,
    refused: impl FnOnce(OAuthError) -> BearerFailure,
) -> Result<HttpResponse, BearerFailure> {
    let signed = match client.spec.userinfo_signed_response_alg {
        None => None,
        Some(algorithm) => {
            // OIDC Core §5.3.2: issuer and audience are added when it is signed.
            claims.insert("iss".to_owned(), call.tenant.issuer.as_str().into());
            claims.insert("aud".to_owned(), client.client_id.as_str().into());
            Some(call.tenant.keys.sign_with(algorithm, USERINFO_TYPE, &claims).map_err(BearerFailure::Signing)?)
        }
    };
    match (signed, client.spec.userinfo_encryption()) {
        (None, None) => Ok(private_json(&claims)),
        (Some(jwt), None) => Ok(private_jwt(jwt)),
        (signed, Some(asked)) => {
            let json = Value::Object(claims).to_string();
            let content = signed.as_deref().map_or(Content::Claims(json.as_bytes()), Content::Jwt);
            let jwe = encryption::encrypt(&call.app.verifier, client, asked, content).await.map_err(refused)?;
            Ok(private_jwt(jwe))
        }
    }
}
