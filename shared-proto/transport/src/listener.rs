//! actix's listeners, which tell how the handshakes at them ended. The `HttpServer` of actix-web does with a listener what
//! is done here, but passes over without a word what does not come to a request.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_http::body::{BoxBody, MessageBody};
use actix_http::error::DispatchError;
use actix_http::{Extensions, HttpServiceBuilder, KeepAlive, Request, Response, TlsAcceptorConfig};
use actix_server::{GracefulShutdownSignal, ServerBuilder};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt as _, map_config};
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_tls::accept::{TlsError, max_concurrent_tls_connect};
use actix_web::dev::AppConfig;
use actix_web::rt::net::TcpStream;
use rustls::{ServerConfig, ServerConnection};
use socket2::SockRef;

use crate::observer::{End, Observer};
use crate::outcome::Outcome;

/// A client that goes away while it is answered is waited for so long.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Handshakes under way at once, per worker. At the bound nobody is accepted, so that whoever only opens connections must
/// not get there before they time out.
const MAX_HANDSHAKES: usize = 65_536;

/// A caller that takes nothing of what was sent for so long is gone, though it may go on saying that it is there
/// (RFC 9293 §3.8.6.1, RFC 5482): HTTP/1.1 has no other end to that.
const TAKES_NOTHING: Duration = Duration::from_secs(30);

/// How long callers may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub handshake: Duration,
    /// From the connection to the end of a request's head.
    pub head: Duration,
    /// Between two requests.
    pub keep_alive: Duration,
}

/// TLS of a listener.
#[derive(Clone, Debug)]
pub struct Tls {
    /// As metrics name the port.
    pub port: &'static str,
    pub config: ServerConfig,
    pub observer: Arc<dyn Observer>,
}

/// Found in the connection's data of every request that came by TLS.
#[derive(Clone, Copy, Debug)]
pub struct Encrypted;

/// A listener without TLS.
pub fn plain<F, I, S, B>(
    server: ServerBuilder,
    listener: TcpListener,
    limits: Limits,
    app: F,
) -> io::Result<ServerBuilder>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    give_up_who_takes_nothing(&listener)?;
    let stopping = server.graceful_shutdown_signal();
    server.listen("http", listener, move || begin(limits, stopping.clone()).finish(service(app())).tcp())
}

/// A listener with TLS. `note` is shown each connection and writes down what its requests shall find.
pub fn tls<F, I, S, B>(
    server: ServerBuilder,
    listener: TcpListener,
    limits: Limits,
    tls: Tls,
    app: F,
    note: impl Fn(&ServerConnection, &mut Extensions) + Send + Clone + 'static,
) -> io::Result<ServerBuilder>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    give_up_who_takes_nothing(&listener)?;
    max_concurrent_tls_connect(MAX_HANDSHAKES);
    let stopping = server.graceful_shutdown_signal();
    server.listen("https", listener, move || {
        let Tls { port, config, observer } = tls.clone();
        let (note, refusals) = (note.clone(), Arc::clone(&observer));
        begin(limits, stopping.clone())
            .on_connect_ext(move |stream: &TlsStream<TcpStream>, extensions: &mut Extensions| {
                observer.handshake(End::Server, port, Outcome::Established);
                extensions.insert(Encrypted);
                note(stream.get_ref().1, extensions);
            })
            .finish(service(app()))
            .rustls_0_23_with_config(config, TlsAcceptorConfig::default().handshake_timeout(limits.handshake))
            .map_err(move |error| {
                if let Some(outcome) = refusal(&error) {
                    refusals.handshake(End::Server, port, outcome);
                }
                error
            })
    })
}

/// Connections have it of the socket that accepts them (tcp(7)).
fn give_up_who_takes_nothing(listener: &TcpListener) -> io::Result<()> {
    SockRef::from(listener).set_tcp_user_timeout(Some(TAKES_NOTHING))
}

/// Connections that are kept for a next request end when the server stops.
fn begin<T, S>(limits: Limits, stopping: GracefulShutdownSignal) -> HttpServiceBuilder<T, S>
where
    S: ServiceFactory<Request, Config = ()>,
    S::Error: Into<Response<BoxBody>> + 'static,
    S::InitError: fmt::Debug,
    <S::Service as Service<Request>>::Future: 'static,
{
    HttpServiceBuilder::default()
        .graceful_shutdown_signal(move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        })
        .keep_alive(KeepAlive::Timeout(limits.keep_alive))
        .client_request_timeout(limits.head)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
}

fn service<I, S, B>(
    app: I,
) -> impl ServiceFactory<
    Request,
    Config = (),
    Response = S::Response,
    Error = Response<BoxBody>,
    InitError = S::InitError,
    Service: Service<Request, Future: 'static> + 'static,
> + 'static
where
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    S::Service: 'static,
{
    let app = app.into_factory().map_err(|error| Response::from(error.into().error_response()));
    map_config(app, |()| AppConfig::default())
}

fn refusal(error: &TlsError<io::Error, DispatchError>) -> Option<Outcome> {
    match error {
        TlsError::Tls(error) => Some(Outcome::of(error)),
        TlsError::Timeout => Some(Outcome::TimedOut),
        // It had come about, and was counted then.
        TlsError::Service(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        give_up_who_takes_nothing(&listener).unwrap();
        let _caller = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(SockRef::from(&accepted).tcp_user_timeout().unwrap(), Some(TAKES_NOTHING));
    }
}
