//! Where a request came from: the other end of its connection, or what a trusted proxy says of it.

use actix_web::{HttpRequest, web};
use transport::forwarded::Origin;

use crate::app::App;

/// `None` when the connection has no address, as in tests.
pub fn of(request: &HttpRequest) -> Option<Origin> {
    let peer = request.peer_addr()?.ip();
    let app = request.app_data::<web::Data<App>>();
    let origin = |app: &web::Data<App>| {
        app.trusted_proxies.origin(peer, |name| {
            request.headers().get_all(name).map(|value| value.to_str().unwrap_or_default()).collect::<Vec<_>>()
        })
    };
    Some(app.map_or(Origin { address: peer.to_canonical(), scheme: None, host: None }, origin))
}

/// Whether the other end of the connection is a proxy whose headers are believed.
pub fn is_trusted_proxy(request: &HttpRequest) -> bool {
    let app = request.app_data::<web::Data<App>>();
    request.peer_addr().zip(app).is_some_and(|(peer, app)| app.trusted_proxies.trusts(peer.ip().to_canonical()))
}
