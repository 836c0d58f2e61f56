//! Where a request came from: the other end of its connection, or what a trusted proxy says of it; and the id that it
//! is found by in logs and audit.

use std::net::IpAddr;

use actix_web::http::header::HeaderName;
use actix_web::{HttpMessage as _, HttpRequest, web};
use controlplane_core::Origin;
use telemetry::request_id;
use uuid::Uuid;

use super::Api;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static(request_id::HEADER);

/// The id of a request, the requester's own or one of ours. It stands in the answer, too.
#[derive(Clone, Debug)]
pub(super) struct AskedAs(pub(super) String);

impl AskedAs {
    /// What was sent counts when it is a word that is safe in logs, headers and file names.
    pub(super) fn read(request: &HttpRequest) -> Self {
        let sent = request.headers().get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
        Self(
            sent.and_then(request_id::taken_over)
                .map_or_else(|| Uuid::from_u128(rand::random()).to_string(), ToOwned::to_owned),
        )
    }
}

/// What throttles, logs and the audit log name. `None` when the connection has no address, as in tests.
pub(super) fn address(request: &HttpRequest) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip();
    let api = request.app_data::<web::Data<Api>>();
    let address = |api: &web::Data<Api>| {
        let header =
            |name| request.headers().get_all(name).map(|value| value.to_str().unwrap_or_default()).collect::<Vec<_>>();
        api.trusted_proxies.origin(peer, header).address
    };
    Some(api.map_or(peer.to_canonical(), address))
}

/// Without the credential, which only a verified token tells.
pub(super) fn of(request: &HttpRequest) -> Origin {
    Origin {
        address: address(request).map(|address| address.to_string()),
        request_id: request.extensions().get::<AskedAs>().map(|asked| asked.0.clone()),
        credential: None,
        traceparent: telemetry::context::current(),
    }
}
