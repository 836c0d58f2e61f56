//! One path and the methods that it answers: calls of clients, pages that people visit, forms that these post back.

use actix_web::dev::{AppService, HttpServiceFactory};
use actix_web::http::Method;
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, web};
use oauth_core::form::Form;

use super::posted::Posted;
use super::visit::Visit;
use crate::app::App;
use crate::pages::{PageError, PageTenant};
use crate::problem::Problem;

/// One path. Methods that it does not know are answered 405 with the list of those it does.
pub fn endpoint(path: &str) -> Endpoint {
    Endpoint { resource: web::resource(path), allow: Vec::new() }
}

#[expect(missing_debug_implementations, reason = "actix's Resource has none")]
pub struct Endpoint {
    resource: Resource,
    allow: Vec<Method>,
}

impl Endpoint {
    /// Answers HEAD too (RFC 9110 §9.3.2); actix leaves the body out.
    #[must_use]
    pub fn get<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args> + Clone,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.resource = self.resource.route(web::get().to(handler.clone())).route(web::head().to(handler));
        self.allow.extend([Method::GET, Method::HEAD]);
        self
    }

    #[must_use]
    pub fn post<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.method(Method::POST, handler)
    }

    #[must_use]
    pub fn method<F, Args>(mut self, method: Method, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.resource = self.resource.route(web::method(method.clone()).to(handler));
        self.allow.push(method);
        self
    }

    /// What a person is shown who comes here.
    #[must_use]
    pub(super) fn page<H>(self, handler: H) -> Self
    where
        H: AsyncFn(&Visit<'_>) -> Result<HttpResponse, PageError> + Copy + 'static,
    {
        self.get(move |request: HttpRequest, tenant: PageTenant, app: web::Data<App>| async move {
            handler(&Visit::of(&request, &tenant, &app)).await
        })
    }

    /// What becomes of the form that a page posts back.
    #[must_use]
    pub(super) fn form<H>(self, handler: H) -> Self
    where
        H: AsyncFn(&Visit<'_>, &Form<'_>) -> Result<HttpResponse, PageError> + Copy + 'static,
    {
        self.post(move |request: HttpRequest, tenant: PageTenant, app: web::Data<App>, posted: Posted| async move {
            handler(&Visit::of(&request, &tenant, &app), &posted.form(&tenant)?).await
        })
    }
}

impl HttpServiceFactory for Endpoint {
    fn register(self, config: &mut AppService) {
        let allow = self.allow;
        let refuse = move || {
            let problem = Problem::method_not_allowed(allow.clone());
            async move { Err::<HttpResponse, _>(problem) }
        };
        self.resource.default_service(web::to(refuse)).register(config);
    }
}
