//! A TCP load balancer that follows readiness, as a Service of Kubernetes does: new connections go round the backends
//! whose last probe succeeded, connections that there are stay where they are.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::wait::{PATIENCE, until};
use crate::web;

/// How often readiness is probed: the clock that a real balancer has, only faster.
const PROBE: Duration = Duration::from_millis(50);

/// One process behind the balancer.
#[derive(Clone, Debug)]
pub struct Backend {
    /// `host:port`
    pub traffic: String,
    /// The URL that answers 200 while it takes traffic.
    pub readiness: String,
}

/// Runs until the runtime that started it ends.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    backends: Mutex<Vec<(Backend, bool)>>,
    next: AtomicUsize,
}

impl Balancer {
    /// Without backends: [`Balancer::set`] them.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared { backends: Mutex::default(), next: AtomicUsize::new(0) });
        tokio::spawn(Arc::clone(&shared).accept(listener));
        tokio::spawn(Arc::clone(&shared).probe());
        Self { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The backend of that place is this one from now on, and takes traffic once it was probed; returns then.
    pub async fn set(&self, place: usize, backend: Backend) {
        {
            let mut backends = self.shared.backends();
            if place < backends.len() {
                backends[place] = (backend, false);
            } else {
                assert_eq!(place, backends.len(), "one after the other");
                backends.push((backend, false));
            }
        }
        until("the balancer takes it in", PATIENCE, async || {
            let ready = self.shared.backends()[place].1;
            if ready { Ok(()) } else { Err("not ready".to_owned()) }
        })
        .await;
    }
}

impl Shared {
    fn backends(&self) -> std::sync::MutexGuard<'_, Vec<(Backend, bool)>> {
        self.backends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn probe(self: Arc<Self>) {
        let http = web::builder().timeout(Duration::from_secs(2)).build().expect("an HTTP client can be made");
        let mut ticks = tokio::time::interval(PROBE);
        loop {
            ticks.tick().await;
            let urls: Vec<String> = self.backends().iter().map(|(backend, _)| backend.readiness.clone()).collect();
            for (place, url) in urls.into_iter().enumerate() {
                let ready = web::try_send(http.get(&url)).await.is_ok_and(|answer| answer.status == 200);
                // It may have been replaced meanwhile.
                if let Some((backend, known)) = self.backends().get_mut(place)
                    && backend.readiness == url
                {
                    *known = ready;
                }
            }
        }
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        while let Ok((inward, _)) = listener.accept().await {
            tokio::spawn(Arc::clone(&self).carry(inward));
        }
    }

    async fn carry(self: Arc<Self>, mut inward: TcpStream) {
        let ready: Vec<String> =
            self.backends().iter().filter(|(_, ready)| *ready).map(|(backend, _)| backend.traffic.clone()).collect();
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % ready.len().max(1);
        // No second attempt elsewhere: a backend that is called ready and refuses is what the tests look for.
        if let Some(traffic) = ready.get(turn)
            && let Ok(mut outward) = TcpStream::connect(traffic).await
        {
            let _ = tokio::io::copy_bidirectional(&mut inward, &mut outward).await;
        }
    }
}
