//! Load over HTTP/1.1: connections kept open, one request at a time on each, as many as the server answers or at a pace.
//!
//! Requests are bytes made beforehand and answers are read only as far as their length, so that this end costs little.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub answers: u64,
    /// Answers of another status than the expected one, and connections that broke.
    pub failures: u64,
    pub took: Duration,
    /// Microseconds.
    pub latency: Histogram<u64>,
}

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        float(self.answers) / self.took.as_secs_f64()
    }

    pub(crate) fn millis(&self, quantile: f64) -> String {
        format!("{:.1}", float(self.latency.value_at_quantile(quantile)) / 1000.0)
    }
}

/// What to send: the request number `n` of connection `c`.
pub(crate) type Requests = Arc<dyn Fn(usize, u64) -> Vec<u8> + Send + Sync>;

/// Sends requests over `connections` to `address` for that long, as many as are answered, and expects `status` of each.
pub(crate) async fn run(
    address: &str,
    connections: usize,
    status: u16,
    duration: Duration,
    requests: Requests,
) -> Outcome {
    over(address, connections, status, duration, None, requests).await
}

/// The same at a pace of its own, of so many in a second over all connections. Latency is from when each was due: who waits
/// for a slow one waits, too.
pub(crate) async fn paced(
    address: &str,
    connections: usize,
    status: u16,
    duration: Duration,
    per_second: u32,
    requests: Requests,
) -> Outcome {
    let apart = Duration::from_secs(1) / per_second;
    over(address, connections, status, duration, Some(apart), requests).await
}

async fn over(
    address: &str,
    connections: usize,
    status: u16,
    duration: Duration,
    apart: Option<Duration>,
    requests: Requests,
) -> Outcome {
    let begin = Instant::now();
    let many = u32::try_from(connections).expect("connections are few");
    let workers: Vec<_> = (0..many)
        .map(|connection| {
            let (address, requests) = (address.to_owned(), Arc::clone(&requests));
            let pace = apart.map(|apart| Pace { due: begin + apart * connection, each: apart * many });
            let connection = usize::try_from(connection).expect("connections are few");
            tokio::spawn(async move { one(&address, connection, status, begin + duration, pace, requests).await })
        })
        .collect();
    let mut outcome = Outcome { answers: 0, failures: 0, took: Duration::ZERO, latency: histogram() };
    for worker in workers {
        let part = worker.await.expect("a worker does not panic");
        outcome.answers += part.answers;
        outcome.failures += part.failures;
        outcome.latency.add(&part.latency).expect("histograms of one shape add up");
    }
    outcome.took = begin.elapsed();
    outcome
}

/// When a connection sends next, and how much later each time.
struct Pace {
    due: Instant,
    each: Duration,
}

impl Pace {
    /// Waits; from when the request counts.
    async fn next(&mut self) -> Instant {
        let due = self.due;
        tokio::time::sleep_until(due.into()).await;
        self.due += self.each;
        due
    }
}

/// Sends `many` requests, each once, over `connections`; how many had another answer than `status`.
pub(crate) async fn all(
    address: &str,
    connections: usize,
    status: u16,
    many: u64,
    make: Arc<dyn Fn(u64) -> Vec<u8> + Send + Sync>,
) -> u64 {
    let next = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..connections)
        .map(|_| {
            let (address, next, make) = (address.to_owned(), Arc::clone(&next), Arc::clone(&make));
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.expect("the server listens");
                let _ = stream.set_nodelay(true);
                let (mut buffer, mut failures) = (Vec::with_capacity(8192), 0);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= many {
                        return failures;
                    }
                    let answer = exchange(&mut stream, &make(number), &mut buffer).await.expect("the server answers");
                    failures += u64::from(answer != status);
                }
            })
        })
        .collect();
    let mut failures = 0;
    for worker in workers {
        failures += worker.await.expect("a worker does not panic");
    }
    failures
}

async fn one(
    address: &str,
    connection: usize,
    status: u16,
    end: Instant,
    mut pace: Option<Pace>,
    requests: Requests,
) -> Outcome {
    let mut outcome = Outcome { answers: 0, failures: 0, took: Duration::ZERO, latency: histogram() };
    let mut number = 0;
    while Instant::now() < end {
        let Ok(mut stream) = TcpStream::connect(address).await else {
            outcome.failures += 1;
            tokio::task::yield_now().await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let mut buffer = Vec::with_capacity(8192);
        while Instant::now() < end {
            let request = requests(connection, number);
            number += 1;
            let sent = match &mut pace {
                Some(pace) => pace.next().await,
                None => Instant::now(),
            };
            match exchange(&mut stream, &request, &mut buffer).await {
                Ok(got) if got == status => {
                    outcome.answers += 1;
                    let micros = u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX);
                    outcome.latency.saturating_record(micros);
                }
                // Whoever refuses early may close the connection.
                Ok(_) | Err(_) => {
                    outcome.failures += 1;
                    break;
                }
            }
        }
    }
    outcome
}

/// Writes a request and reads one answer; its status.
pub(crate) async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> std::io::Result<u16> {
    stream.write_all(request).await?;
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let Some(head) = buffer.windows(4).position(|it| it == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
        let status = text.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or(0);
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .and_then(|it| it.trim().parse::<usize>().ok());
        let end = head + 4 + length.unwrap_or(0);
        while buffer.len() < end {
            if stream.read_buf(buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        return Ok(status);
    }
}

/// A request with a body, as bytes.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    use std::fmt::Write as _;
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    let _ = write!(text, "content-length: {}\r\n\r\n{body}", body.len());
    text.into_bytes()
}

pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("these bounds are valid")
}

/// Counts as figures for division; more than 2^52 are not reached here.
#[expect(clippy::cast_precision_loss, reason = "figures are rounded anyway")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}
