//! A document that somebody publishes over TLS, at one of this machine's addresses, and how often somebody connected.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::pki::Certified;
use crate::tls;

#[derive(Debug)]
pub struct Published {
    pub port: u16,
    document: Arc<Mutex<String>>,
    connections: Arc<AtomicUsize>,
}

impl Published {
    /// At `address`, under the names of the certificate.
    pub async fn serve(address: &str, certified: &Certified, document: &str) -> Self {
        let acceptor = tls::acceptor(certified);
        let listener = TcpListener::bind(address).await.expect("the port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let (document, connections) = (Arc::new(Mutex::new(document.to_owned())), Arc::new(AtomicUsize::new(0)));
        let (served, count) = (Arc::clone(&document), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let body = served.lock().expect("nobody panics with it").clone();
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let _ = stream.read(&mut [0; 4096]).await;
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = stream.write_all((head + &body).as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { port, document, connections }
    }

    pub fn set(&self, document: &str) {
        document.clone_into(&mut self.document.lock().expect("nobody panics with it"));
    }

    pub fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/document", self.port)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}
