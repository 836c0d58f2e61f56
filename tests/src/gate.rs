//! A gate before a process: so many connections pass, and no more.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};

/// Runs until the runtime that started it ends.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
}

impl Gate {
    pub async fn to(target: &str, connections: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(pass(listener, target.to_owned(), connections));
        Self { address }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn pass(listener: TcpListener, target: String, mut left: usize) {
    // Whoever comes too late is accepted and dropped.
    while let Ok((mut inward, _)) = listener.accept().await {
        let target = target.clone();
        if left > 0 {
            left -= 1;
            tokio::spawn(async move {
                if let Ok(mut outward) = TcpStream::connect(&target).await {
                    let _ = tokio::io::copy_bidirectional(&mut inward, &mut outward).await;
                }
            });
        }
    }
}
