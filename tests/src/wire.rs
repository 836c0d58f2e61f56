//! What is between a pod and its PostgreSQL: a proxy that knows where a statement begins and ends, and stops it there.
//!
//! Each statement that is executed is three steps: its messages, the `Sync` that commits it, the answer. A proxy that was
//! told to [`Wire::hold`] the n-th step lets all before it pass and that one not; then whoever is to die is killed at that
//! very place, and [`Wire::cut`] ends the connections that were held.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Runs until the runtime that started it ends.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: u16,
    /// Statements in which one of these stands pass uncounted.
    background: &'static [&'static str],
    /// Steps that may still pass; [`EVERYTHING`]: all.
    left: AtomicUsize,
    state: watch::Sender<State>,
}

const EVERYTHING: usize = usize::MAX;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    /// A step is held.
    holds: bool,
    /// How often what was held was cut.
    cuts: u64,
}

impl Wire {
    /// To the server on that port. What a pod does in the background of its own accord is told by words of its SQL, and
    /// counts as no step.
    pub async fn to(server: u16, background: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (state, _) = watch::channel(State::default());
        let shared = Arc::new(Shared { server, background, left: AtomicUsize::new(EVERYTHING), state });
        tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { port, shared }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on so many steps pass, and the next one does not.
    pub fn hold(&self, after: usize) {
        self.shared.left.store(after, Ordering::SeqCst);
    }

    /// Returns once a step is held.
    pub async fn holds(&self) {
        let mut state = self.shared.state.subscribe();
        state.wait_for(|state| state.holds).await.expect("the wire is there");
    }

    /// Ends the connections that were held. Everything passes again.
    pub fn cut(&self) {
        self.shared.left.store(EVERYTHING, Ordering::SeqCst);
        self.shared.state.send_modify(|state| *state = State { holds: false, cuts: state.cuts + 1 });
    }
}

impl Shared {
    /// Whether the next step passes.
    fn passes(&self) -> bool {
        let less = |left| if left == EVERYTHING { None } else { Some(usize::saturating_sub(left, 1)) };
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) {
            Ok(left) => left > 0,
            Err(_) => true,
        }
    }

    /// Holds the step until everything that is held is cut.
    async fn hold(&self) {
        let cuts = self.state.borrow().cuts;
        self.state.send_modify(|state| state.holds = true);
        let mut state = self.state.subscribe();
        let _ = state.wait_for(|state| state.cuts > cuts).await;
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(("127.0.0.1", shared.server)).await else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
            let answers = watch::channel(true).0;
            let heard = answers.subscribe();
            // Whichever side ends first, or is cut, ends both.
            tokio::select! {
                () = statements(&shared, from_client, to_server, answers) => {}
                () = replies(from_server, to_client, heard) => {}
            }
        });
    }
}

/// What the pod says, message by message; a statement's are kept together until its `Sync`.
async fn statements(shared: &Shared, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, answers: watch::Sender<bool>) {
    let (mut pending, mut uncounted) = (Vec::new(), HashSet::<String>::new());
    // The first message has no type (PostgreSQL: Message Formats, StartupMessage).
    if relay_first(&mut from, &mut to).await.is_none() {
        return;
    }
    while let Some((kind, message)) = read(&mut from).await {
        let executes = pending.iter().any(|(kind, _)| *kind == b'E');
        let counts = |(kind, message): &(u8, Vec<u8>)| *kind == b'B' && !uncounted.contains(texts(message)[1]);
        let counts = executes && pending.iter().any(counts);
        match kind {
            b'P' if shared.background.iter().any(|words| texts(&message)[1].contains(words)) => {
                uncounted.insert(texts(&message)[0].to_owned());
                pending.push((kind, message));
            }
            b'P' | b'B' | b'D' | b'E' | b'C' | b'H' => {
                pending.push((kind, message));
            }
            b'S' if counts => {
                if !shared.passes() {
                    return shared.hold().await;
                }
                if send(&mut to, pending.drain(..)).await.is_none() {
                    return;
                }
                if !shared.passes() {
                    return shared.hold().await;
                }
                // Closed before the server is asked to answer.
                let passes = shared.passes();
                answers.send_replace(passes);
                if send(&mut to, [(kind, message)]).await.is_none() {
                    return;
                }
                if !passes {
                    return shared.hold().await;
                }
            }
            _ => {
                pending.push((kind, message));
                if send(&mut to, pending.drain(..)).await.is_none() {
                    return;
                }
            }
        }
    }
}

/// The first two texts of a message: name and SQL of a Parse, portal and statement's name of a Bind.
fn texts(message: &[u8]) -> [&str; 2] {
    let mut texts = message[5..].split(|byte| *byte == 0).map(|text| std::str::from_utf8(text).unwrap_or_default());
    [texts.next().unwrap_or_default(), texts.next().unwrap_or_default()]
}

/// What the server says, unless its answer is held.
async fn replies(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut answers: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if !*answers.borrow() && answers.wait_for(|passes| *passes).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

async fn relay_first(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) -> Option<()> {
    let length = from.read_u32().await.ok()?;
    let mut rest = vec![0; usize::try_from(length).ok()?.checked_sub(4)?];
    from.read_exact(&mut rest).await.ok()?;
    to.write_u32(length).await.ok()?;
    to.write_all(&rest).await.ok()
}

async fn read(from: &mut OwnedReadHalf) -> Option<(u8, Vec<u8>)> {
    let kind = from.read_u8().await.ok()?;
    let length = from.read_u32().await.ok()?;
    let mut message = vec![kind];
    message.extend(length.to_be_bytes());
    let start = message.len();
    message.resize(start + usize::try_from(length).ok()?.checked_sub(4)?, 0);
    from.read_exact(&mut message[start..]).await.ok()?;
    Some((kind, message))
}

async fn send(to: &mut OwnedWriteHalf, messages: impl IntoIterator<Item = (u8, Vec<u8>)>) -> Option<()> {
    let bytes: Vec<u8> = messages.into_iter().flat_map(|(_, message)| message).collect();
    to.write_all(&bytes).await.ok()
}
