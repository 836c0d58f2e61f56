//! Requests to addresses that clients registered, against real listeners: what is never connected to, and what is cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dataplane_service::fetch::address::Reachable;
use dataplane_service::fetch::cache::Cache;
use dataplane_service::fetch::{FetchError, Fetcher};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tests::pki::Authority;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

/// A web server over TLS that answers every request with the same bytes, and counts connections.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start(authority: &Authority, answer: Answer) -> Self {
        let acceptor = tests::tls::acceptor(&authority.certify("listener"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (acceptor, answer) = (acceptor.clone(), answer.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, &answer).await;
                    }
                });
            }
        });
        Self { port, connections }
    }

    fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/jwks", self.port)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

#[derive(Clone)]
enum Answer {
    Whole(String),
    /// A body without an end.
    Endless,
    /// The head at once, then one byte at a time.
    Trickle,
    /// Reads, and says nothing for as long as the other side waits.
    Silence,
}

fn ok(head: &str, body: &str) -> Answer {
    Answer::Whole(format!("HTTP/1.1 200 OK\r\n{head}Content-Length: {}\r\n\r\n{body}", body.len()))
}

async fn serve(mut stream: TlsStream<TcpStream>, answer: &Answer) {
    let mut request = [0; 4096];
    if stream.read(&mut request).await.unwrap_or(0) == 0 {
        return;
    }
    let open = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    match answer {
        Answer::Whole(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Answer::Endless => {
            let _ = stream.write_all(open).await;
            while stream.write_all(&[b' '; 16_384]).await.is_ok() {}
        }
        Answer::Silence => {
            let _ = stream.read(&mut request).await;
        }
        Answer::Trickle => {
            let _ = stream.write_all(open).await;
            let mut pause = tokio::time::interval(Duration::from_millis(100));
            while stream.write_all(b" ").await.is_ok() && stream.flush().await.is_ok() {
                pause.tick().await;
            }
        }
    }
}

fn fetcher(authority: &Authority, allowed: &str) -> Fetcher {
    let ca = CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("PEM");
    Fetcher::new(Reachable::parse(allowed).expect("networks"), &[ca]).expect("a client")
}

#[tokio::test]
async fn an_internal_address_is_not_even_connected_to() {
    let authority = Authority::new("fetch-internal");
    let server = Server::start(&authority, ok("", "{}")).await;
    let fetcher = fetcher(&authority, "");
    for host in ["127.0.0.1", "localhost", "0x7f000001", "2130706433", "127.1", "[::ffff:127.0.0.1]"] {
        assert_eq!(fetcher.get(&server.url(host)).await, Err(FetchError::Forbidden), "{host}");
    }
    let plain = format!("http://127.0.0.1:{}/", server.port);
    assert_eq!(fetcher.get(&plain).await, Err(FetchError::Url));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn an_allowed_network_is_reached_over_tls_that_is_checked() {
    let authority = Authority::new("fetch-allowed");
    let server = Server::start(&authority, ok("Cache-Control: max-age=120\r\n", "{\"keys\":[]}")).await;
    let trusting = fetcher(&authority, "127.0.0.0/8,::1");
    for host in ["127.0.0.1", "localhost"] {
        let answer = trusting.get(&server.url(host)).await.expect("an answer");
        assert_eq!(&answer.body[..], b"{\"keys\":[]}");
        assert_eq!(answer.max_age, Some(Duration::from_mins(2)));
    }
    let posted = trusting.post_form(&server.url("localhost"), &[("logout_token", "x")]).await.expect("an answer");
    assert_eq!(posted.status, 200);
    let stranger = fetcher(&Authority::new("fetch-stranger"), "127.0.0.0/8,::1");
    assert_eq!(stranger.get(&server.url("localhost")).await, Err(FetchError::Unreachable));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let authority = Authority::new("fetch-redirect");
    let target = Server::start(&authority, ok("", "{}")).await;
    let head = format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", target.url("127.0.0.1"));
    let server = Server::start(&authority, Answer::Whole(head)).await;
    let fetcher = fetcher(&authority, "127.0.0.0/8,::1");
    assert_eq!(fetcher.get(&server.url("localhost")).await, Err(FetchError::Status(302)));
    assert_eq!((server.connections(), target.connections()), (1, 0));
}

#[tokio::test]
async fn what_is_too_much_is_cut() {
    let authority = Authority::new("fetch-bounds");
    let fetcher = fetcher(&authority, "127.0.0.0/8,::1");
    let announced = Answer::Whole("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n".to_owned());
    for (answer, expected) in [
        (announced, FetchError::TooLarge),
        (Answer::Endless, FetchError::TooLarge),
        // Nothing is inflated, whatever it is packed by, and whether it is or not.
        (ok("Content-Encoding: gzip\r\n", "\u{1f}"), FetchError::Encoded),
        (ok("Content-Encoding: x-gzip\r\n", "{}"), FetchError::Encoded),
        (ok("Content-Encoding: deflate\r\n", "{}"), FetchError::Encoded),
        (ok("Content-Encoding: br\r\n", "{}"), FetchError::Encoded),
        (ok("Content-Encoding: zstd\r\n", "{}"), FetchError::Encoded),
        (ok("Content-Encoding: identity\r\nContent-Encoding: gzip\r\n", "{}"), FetchError::Encoded),
        (Answer::Whole("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned()), FetchError::Status(404)),
    ] {
        let server = Server::start(&authority, answer).await;
        assert_eq!(fetcher.get(&server.url("localhost")).await, Err(expected));
    }
}

/// What is slow ends after 5 seconds, by the product's own clock. A busy machine may be late once, but not each time.
#[tokio::test]
async fn what_is_slow_is_cut_in_five_seconds() {
    const BOUND: Duration = Duration::from_secs(6);
    const TRIES: usize = 5;
    let authority = Authority::new("fetch-slow");
    let fetcher = fetcher(&authority, "127.0.0.0/8,::1");
    let cut = async |answer: Answer| {
        let server = Server::start(&authority, answer).await;
        for _ in 0..TRIES {
            if let Ok(outcome) = timeout(BOUND, fetcher.get(&server.url("localhost"))).await {
                assert_eq!(outcome, Err(FetchError::Timeout));
                return;
            }
        }
        panic!("{TRIES} times it was waited for longer than {BOUND:?}");
    };
    tokio::join!(cut(Answer::Trickle), cut(Answer::Silence));
}

fn length(body: &[u8]) -> Result<usize, String> {
    if body.is_empty() { Err("empty".to_owned()) } else { Ok(body.len()) }
}

#[tokio::test]
async fn many_askers_make_one_fetch_and_a_failure_is_remembered() {
    let authority = Authority::new("fetch-cache");
    let fetcher = fetcher(&authority, "127.0.0.0/8,::1");
    let good = Server::start(&authority, ok("", "four")).await;
    let cache = Cache::new(length);
    let url = good.url("localhost");
    let all = futures::future::join_all((0..50).map(|_| cache.get(&fetcher, &url))).await;
    assert!(all.iter().all(|value| value.as_deref() == Ok(&4)), "{all:?}");
    assert_eq!(good.connections(), 1);
    let seen = cache.get(&fetcher, &url).await.expect("a value");
    let again = cache.renew(&fetcher, &url, &seen).await.expect("a value");
    assert!(!Arc::ptr_eq(&seen, &again), "what is lacking may have been published since");
    let once_more = cache.renew(&fetcher, &url, &again).await.expect("a value");
    assert!(Arc::ptr_eq(&again, &once_more), "it was renewed a moment ago");
    assert_eq!(good.connections(), 2);

    let bad = Server::start(&authority, ok("", "")).await;
    for _ in 0..3 {
        let unusable = cache.get(&fetcher, &bad.url("localhost")).await;
        assert_eq!(unusable, Err(FetchError::Unusable("empty".to_owned())));
    }
    assert_eq!(bad.connections(), 1);
}
