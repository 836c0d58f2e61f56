//! An endpoint that takes the audit's records, as operators have one: it can refuse, go away and come back.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use crate::pki::Certified;
use crate::postgres::free_port;

/// More than this at once is answered 413.
const MOST_BYTES: usize = 4 << 20;

#[derive(Debug)]
pub struct Collector {
    port: u16,
    taken: Arc<Taken>,
    tls: Option<ServerConfig>,
    running: Option<ServerHandle>,
}

#[derive(Debug, Default)]
struct Taken {
    events: Mutex<Vec<Value>>,
    requests: Mutex<Vec<(String, String)>>,
    /// What it answers instead of taking something.
    refuses_with: Mutex<Option<StatusCode>>,
    most_events: Mutex<Option<usize>>,
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Collector {
    /// With a port of its own, not listening yet.
    pub fn prepare() -> Self {
        Self { port: free_port(), taken: Arc::default(), tls: None, running: None }
    }

    /// The same behind https.
    pub fn prepare_tls(certified: &Certified) -> Self {
        let certificates = CertificateDer::pem_slice_iter(certified.cert.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(certified.key.as_bytes()).expect("a key");
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(certificates.collect::<Result<_, _>>().expect("certificates"), key);
        Self { tls: Some(config.expect("a certificate")), ..Self::prepare() }
    }

    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}/audit?tenant=all", self.port)
    }

    pub fn listen(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).expect("the port is free");
        let taken = web::Data::from(Arc::clone(&self.taken));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(taken.clone())
                .app_data(web::PayloadConfig::new(MOST_BYTES))
                .default_service(web::to(take))
        });
        let server = server.workers(1).disable_signals();
        let server = match self.tls.clone() {
            Some(tls) => server.listen_rustls_0_23(listener, tls),
            None => server.listen(listener),
        };
        let server = server.expect("it listens").run();
        self.running = Some(server.handle());
        drop(tokio::spawn(server));
    }

    pub async fn go_away(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop(false).await;
        }
    }

    pub fn refuse(&self, with: Option<u16>) {
        *lock(&self.taken.refuses_with) = with.map(|code| StatusCode::from_u16(code).expect("a status"));
    }

    /// More events in one request are answered 413.
    pub fn take_at_most(&self, events: usize) {
        *lock(&self.taken.most_events) = Some(events);
    }

    /// All that it has taken, in that order, what came twice twice.
    pub fn events(&self) -> Vec<Value> {
        lock(&self.taken.events).clone()
    }

    /// `Content-Type` and `Authorization` of every request, those included that it refused.
    pub fn requests(&self) -> Vec<(String, String)> {
        lock(&self.taken.requests).clone()
    }
}

async fn take(taken: web::Data<Taken>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let header = |name: &str| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    lock(&taken.requests).push((header("content-type"), header("authorization")));
    if let Some(status) = *lock(&taken.refuses_with) {
        return HttpResponse::build(status).insert_header(("location", "/elsewhere")).finish();
    }
    let events: Vec<Value> = match serde_json::from_slice(&body) {
        Ok(events) => events,
        Err(why) => return HttpResponse::BadRequest().body(why.to_string()),
    };
    if lock(&taken.most_events).is_some_and(|most| events.len() > most) {
        return HttpResponse::PayloadTooLarge().finish();
    }
    lock(&taken.events).extend(events);
    HttpResponse::Accepted().finish()
}
