//! The form that a page posts back, as handlers of pages take it.

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use futures::future::LocalBoxFuture;
use oauth_core::form::Form;
use vocab::ErrorCode;

use super::body::Body;
use super::form_body;
use super::visit;
use crate::pages::{Frame, PageError, PageTenant};
use crate::tenant::TenantContext;

/// A body that is a form and kept to the limit.
pub(super) struct Posted(web::Bytes);

impl Posted {
    pub(super) fn form(&self, tenant: &TenantContext) -> Result<Form<'_>, PageError> {
        visit::form(tenant, &self.0)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromRequest for Posted {
    type Error = PageError;
    type Future = LocalBoxFuture<'static, Result<Self, PageError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        // Counted once, when the handler takes it.
        let tenant = PageTenant::known(request);
        let is_form = form_body::is_form(request);
        let body = Body::from_request(request, payload);
        Box::pin(async move {
            let tenant = tenant?;
            let refused = |code, detail| PageError::new(Frame::of(&tenant), code, detail);
            if !is_form {
                let detail = "A form was expected (application/x-www-form-urlencoded).";
                return Err(refused(ErrorCode::UnsupportedMediaType, detail));
            }
            let Body(whole) = body.await.map_err(|late| refused(late.code(), "The form did not arrive in time."))?;
            let too_large = |_| refused(ErrorCode::PayloadTooLarge, "The form is over 128 KiB.");
            whole.map(Self).map_err(too_large)
        })
    }
}
