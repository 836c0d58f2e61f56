//! A call of a client, not of a person's browser: what the endpoints share that clients authenticate at or bring their
//! access tokens to. With it each of them is: decode, authorize, one call, encode.

use std::cell::OnceCell;
use std::ops::Deref;

use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use oauth_core::client_auth;
use oauth_core::error::OAuthError;
use oauth_core::form::Form;
use vocab::Timestamp;

use super::body::Body;
use super::{caller, cors, form_body};
use crate::app::App;
use crate::exchange::TokenRequest;
use crate::resolve::Tenant;

/// What actix extracts for a handler of such an endpoint.
pub(super) type Arrived = (HttpRequest, Tenant, web::Data<App>, Body);

/// Who calls an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Callers {
    /// Applications in browsers, too: pages of their client's origins may read the answers.
    Pages,
    Servers,
}

pub(super) struct Call {
    pub request: HttpRequest,
    pub tenant: Tenant,
    pub app: web::Data<App>,
    body: Body,
    /// Whose the access token is that opened a protected endpoint.
    bearer: OnceCell<String>,
}

/// Answers by `work`, a failure as its error says, and adds the headers that every such answer has.
pub(super) async fn answer<E: ResponseError>(
    (request, tenant, app, body): Arrived,
    callers: Callers,
    work: impl AsyncFnOnce(&Call) -> Result<HttpResponse, E>,
) -> HttpResponse {
    let call = Call { request, tenant, app, body, bearer: OnceCell::new() };
    let mut response = work(&call).await.unwrap_or_else(|failure| failure.error_response());
    if callers == Callers::Pages {
        cors::permit(&call, response.headers_mut());
    }
    caller::offer_nonce(&call.request, &call.tenant, &call.app, response.headers_mut());
    response
}

impl Call {
    /// The form that was sent, and who sent it, to an endpoint that clients authenticate at.
    pub(super) fn read(&self) -> Result<TokenRequest<'_>, OAuthError> {
        let body = form_body::form(&self.request, &self.body)?;
        caller::request(&self.request, &self.app, body)
    }

    pub(super) fn body(&self) -> Result<&[u8], OAuthError> {
        form_body::read(&self.body)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.app.clock.now()
    }

    /// Notes whose the access token is that was found good.
    pub(super) fn is_of(&self, client_id: &str) {
        let _ = self.bearer.set(client_id.to_owned());
    }

    /// The client that the answer is for: whose access token it is, or whom the request names, as it must in order to
    /// authenticate. `None`: it named nobody, or several.
    pub(super) fn client_id(&self) -> Option<String> {
        if let Some(client_id) = self.bearer.get() {
            return Some(client_id.clone());
        }
        let read = self.read().ok()?;
        let form = Form::parse(read.body).ok()?;
        client_auth::named(read.caller.authorization, &form)
    }
}

impl Deref for Call {
    type Target = HttpRequest;

    fn deref(&self) -> &HttpRequest {
        &self.request
    }
}

#[cfg(test)]
impl Call {
    /// A request to the tenant of the fixture.
    pub(super) fn of(request: HttpRequest, body: &'static str) -> Self {
        let tenant = Tenant(crate::fixture::tenant().into());
        let app = web::Data::new(crate::fixture::app());
        Self { request, tenant, app, body: Body(Ok(web::Bytes::from_static(body.as_bytes()))), bearer: OnceCell::new() }
    }
}
