//! Where a request came from: the other end of its connection, or what a trusted proxy says of it.

use std::net::IpAddr;

use actix_web::{HttpRequest, web};

use super::Api;

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
