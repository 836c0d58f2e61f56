//! A proxy before the nodes' peer ports: everything passes, up to a message in which certain words stand. What comes on
//! that connection from there on is held, so that a leader can be stopped at that very step.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::wait::PATIENCE;

/// Runs until the runtime that started it ends.
#[derive(Clone, Debug, Default)]
pub struct Sluice {
    state: Arc<watch::Sender<State>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// `None`: everything passes.
    words: Option<String>,
    holds: bool,
}

impl Sluice {
    /// Stands at `address`, before the node that listens at `target`.
    pub async fn stand(&self, address: &str, target: &str) {
        let address: SocketAddr = address.parse().expect("an address and a port");
        let listener = TcpListener::bind(address).await.expect("the port is free");
        let (sluice, target) = (self.clone(), target.to_owned());
        tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                let (sluice, target) = (sluice.clone(), target.clone());
                tokio::spawn(async move {
                    let Ok(node) = TcpStream::connect(&target).await else { return };
                    let _ = (caller.set_nodelay(true), node.set_nodelay(true));
                    let ((from_caller, mut to_caller), (mut from_node, to_node)) =
                        (caller.into_split(), node.into_split());
                    // Whichever side ends first, or is let go, ends both.
                    tokio::select! {
                        () = sluice.pass(from_caller, to_node) => {}
                        _ = tokio::io::copy(&mut from_node, &mut to_caller) => {}
                    }
                });
            }
        });
    }

    pub fn hold_at(&self, words: &str) {
        self.state.send_replace(State { words: Some(words.to_owned()), holds: false });
    }

    /// Returns once something is held.
    pub async fn holds(&self) {
        let mut state = self.state.subscribe();
        let held = tokio::time::timeout(PATIENCE, state.wait_for(|state| state.holds)).await;
        drop(held.expect("nothing was held").expect("the sluice is there"));
    }

    /// Ends the connections that are held: what they held is lost. Everything passes again.
    pub fn open(&self) {
        self.state.send_replace(State::default());
    }

    async fn pass(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let (mut seen, mut piece) = (Vec::new(), vec![0; 64 << 10]);
        while let Ok(length @ 1..) = from.read(&mut piece).await {
            seen.extend_from_slice(&piece[..length]);
            let words = self.state.borrow().words.clone().unwrap_or_default();
            if !words.is_empty() && seen.windows(words.len()).any(|window| window == words.as_bytes()) {
                self.state.send_modify(|state| state.holds = true);
                let _ = self.state.subscribe().wait_for(|state| state.words.is_none()).await;
                return;
            }
            // They may begin at the end of one piece and end in the next.
            seen.drain(..seen.len().saturating_sub(words.len()));
            if to.write_all(&piece[..length]).await.is_err() {
                return;
            }
        }
    }
}
