//! What a request shows of its sender, read from its headers and its connection.

use actix_web::HttpRequest;
use oauth_core::error::OAuthError;

use super::form_body;
use crate::app::App;
use crate::caller::Caller;
use crate::exchange::TokenRequest;

/// The whole of a request to an endpoint that clients authenticate at.
pub fn request<'a>(request: &'a HttpRequest, app: &'a App, body: &'a [u8]) -> Result<TokenRequest<'a>, OAuthError> {
    Ok(TokenRequest { caller: of(request, app)?, query: request.query_string(), body })
}

pub fn of<'a>(request: &'a HttpRequest, _app: &'a App) -> Result<Caller<'a>, OAuthError> {
    Ok(Caller { authorization: form_body::authorization(request)? })
}
