//! A proxy before the nodes' peer ports: everything passes, up to a message in which certain words stand. That message and
//! what comes after it is held, or it passes and no answer to it does, so that a leader can be stopped at that very step.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    words: Option<(String, Held)>,
    /// How often.
    holds: usize,
}

/// What does not pass once the words were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Message,
    Answers,
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
                    let ((from_caller, to_caller), (from_node, to_node)) = (caller.into_split(), node.into_split());
                    let is_mute = AtomicBool::new(false);
                    // Whichever side ends first, or is let go, ends both.
                    tokio::select! {
                        () = sluice.pass(from_caller, to_node, &is_mute) => {}
                        () = sluice.answer(from_node, to_caller, &is_mute) => {}
                    }
                });
            }
        });
    }

    pub fn hold_at(&self, words: &str) {
        self.watch_for(words, Held::Message);
    }

    /// They pass, and nobody who sent them hears what came of it.
    pub fn hold_answers_to(&self, words: &str) {
        self.watch_for(words, Held::Answers);
    }

    fn watch_for(&self, words: &str, held: Held) {
        self.state.send_replace(State { words: Some((words.to_owned(), held)), holds: 0 });
    }

    /// Returns once something is held.
    pub async fn holds(&self) {
        let mut state = self.state.subscribe();
        let held = tokio::time::timeout(PATIENCE, state.wait_for(|state| state.holds > 0)).await;
        drop(held.expect("nothing was held").expect("the sluice is there"));
    }

    /// Ends the connections that are held: what they held is lost. Everything passes again.
    pub fn open(&self) {
        self.state.send_replace(State::default());
    }

    async fn opened(&self) {
        let _ = self.state.subscribe().wait_for(|state| state.words.is_none()).await;
    }

    async fn pass(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_mute: &AtomicBool) {
        let (mut seen, mut piece) = (Vec::new(), vec![0; 64 << 10]);
        while let Ok(length @ 1..) = from.read(&mut piece).await {
            seen.extend_from_slice(&piece[..length]);
            let watched = self.state.borrow().words.clone();
            let words = watched.as_ref().map_or("", |(words, _)| words);
            if !words.is_empty() && seen.windows(words.len()).any(|window| window == words.as_bytes()) {
                is_mute.store(true, Ordering::Relaxed);
                self.state.send_modify(|state| state.holds += 1);
                if watched.as_ref().is_some_and(|(_, held)| *held == Held::Message) {
                    return self.opened().await;
                }
            }
            // They may begin at the end of one piece and end in the next.
            seen.drain(..seen.len().saturating_sub(words.len()));
            if to.write_all(&piece[..length]).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_mute: &AtomicBool) {
        let mut piece = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut piece).await {
            if is_mute.load(Ordering::Relaxed) {
                return self.opened().await;
            }
            if to.write_all(&piece[..length]).await.is_err() {
                return;
            }
        }
    }
}
