//! A web server of a client, for what the provider sends there: remembers every request, and answers as it is told, or
//! not at all.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::wait::{PATIENCE, until};

const OK: &str = "HTTP/1.1 200 OK\r\n";

#[derive(Clone, Debug)]
pub struct Listener {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    answer: Answer,
    requests: Vec<Request>,
    sent: usize,
}

#[derive(Clone, Debug)]
pub enum Answer {
    Status(u16),
    /// 302 to there.
    Redirect(String),
    /// Reads, and says nothing for as long as the other side waits.
    Silence,
    /// 200 with these lines of header, and this.
    Document(&'static str, String),
    /// 200 with these lines of header, and blanks for as long as the other side reads.
    Endless(&'static str),
    /// The head at once, then a blank now and then for as long as the other side waits.
    Trickle,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A parameter of its form.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(self.body.as_bytes());
        pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    }
}

impl Listener {
    /// Answers 200 until it is told otherwise.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let state = Arc::new(Mutex::new(State { answer: Answer::Status(200), requests: Vec::new(), sent: 0 }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { port, state }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub fn answers(&self, answer: Answer) {
        self.state().answer = answer;
    }

    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// How many bytes without an end the other sides took, or the kernel for them.
    pub fn sent(&self) -> usize {
        self.state().sent
    }

    /// Waits until so many requests came, and shows them.
    pub async fn got(&self, count: usize) -> Vec<Request> {
        until(&format!("{count} requests at {}", self.port), PATIENCE, async || {
            let requests = self.requests();
            if requests.len() >= count { Ok(requests) } else { Err(format!("{requests:?}")) }
        })
        .await
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("nobody panics with it")
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let Some(request) = read(&mut stream).await else { return };
    let answer = {
        let mut state = lock(&state);
        state.requests.push(request);
        state.answer.clone()
    };
    let page = "<p>Welcome to the app".to_owned();
    let (head, body) = match answer {
        Answer::Status(status) => (format!("HTTP/1.1 {status} X\r\nContent-Type: text/html\r\n"), page),
        Answer::Redirect(to) => (format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\n"), page),
        Answer::Document(headers, body) => (format!("{OK}{headers}"), body),
        Answer::Silence => {
            // Ends when the other side closes.
            let _ = stream.read(&mut [0; 1]).await;
            return;
        }
        Answer::Endless(headers) => {
            let _ = stream.write_all(format!("{OK}{headers}\r\n").as_bytes()).await;
            while let Ok(sent) = stream.write(&[b' '; 16_384]).await {
                lock(&state).sent += sent;
            }
            return;
        }
        Answer::Trickle => {
            let _ = stream.write_all(format!("{OK}\r\n").as_bytes()).await;
            let mut pause = tokio::time::interval(Duration::from_millis(100));
            while stream.write_all(b" ").await.is_ok() {
                lock(&state).sent += 1;
                pause.tick().await;
            }
            return;
        }
    };
    let _ = stream
        .write_all(format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).as_bytes())
        .await;
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let mut words = lines.next()?.split(' ').map(str::to_owned);
            let headers: Vec<(String, String)> = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
                .collect();
            let length = headers.iter().find(|(name, _)| name == "content-length");
            let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                let (method, target) = (words.next()?, words.next()?);
                return Some(Request { method, target, headers, body: body.to_owned() });
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
