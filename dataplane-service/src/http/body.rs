//! The body of a request, read to its end before a handler is asked, in a bounded time: whoever sends slower is told so
//! (RFC 9110 §15.5.9) and holds a connection for nothing.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use futures::FutureExt as _;
use futures::future::Map;
use tokio::time::error::Elapsed;
use tokio::time::{Timeout, timeout};
use vocab::ErrorCode;

use crate::problem::Problem;

/// From the end of the head to the end of the body.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// Whole and within the limit, or why it is not: that is for the handler to say, in its own terms.
pub(super) struct Body(pub(super) Read);

type Read = Result<web::Bytes, actix_web::Error>;
type InTime = fn(Result<Read, Elapsed>) -> Result<Body, Problem>;

impl FromRequest for Body {
    type Error = Problem;
    type Future = Map<Timeout<<web::Bytes as FromRequest>::Future>, InTime>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        timeout(BODY_TIMEOUT, web::Bytes::from_request(request, payload)).map(in_time)
    }
}

fn in_time(read: Result<Read, Elapsed>) -> Result<Body, Problem> {
    let told = "the body did not arrive within 20 seconds";
    read.map(Body).map_err(|_| Problem::new(ErrorCode::RequestTimeout, told))
}
