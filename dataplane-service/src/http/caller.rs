//! What a request shows of its sender, read from its headers and its connection.

use actix_web::HttpRequest;
use oauth_core::error::OAuthError;

use super::form_body;
use crate::app::App;
use crate::caller::Caller;

pub fn of<'a>(request: &'a HttpRequest, _app: &'a App) -> Result<Caller<'a>, OAuthError> {
    Ok(Caller { authorization: form_body::authorization(request)? })
}
