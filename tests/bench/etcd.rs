//! The yardstick: an etcd (Debian's `etcd-server`) with its defaults, written to over its own gRPC.

use std::path::Path;
use std::time::{Duration, Instant};

use tests::pki::Certified;
use tests::postgres::free_port;
use tests::process::{Launch, Process};
use tests::scratch;
use tests::wait::{PATIENCE, until};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use crate::cpu;
use crate::load::histogram;
use crate::writes::{Figures, padded};

/// `etcdserverpb.PutRequest`, the fields used here.
#[derive(Clone, PartialEq, prost::Message)]
struct Put {
    #[prost(bytes, tag = "1")]
    key: Vec<u8>,
    #[prost(bytes, tag = "2")]
    value: Vec<u8>,
}

/// `etcdserverpb.PutResponse`, the field used here.
#[derive(Clone, PartialEq, prost::Message)]
struct PutDone {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
}

/// `etcdserverpb.StatusRequest`.
#[derive(Clone, PartialEq, prost::Message)]
struct Ask {}

/// `etcdserverpb.StatusResponse`, the fields used here.
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

/// `etcdserverpb.ResponseHeader`, the fields used here.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Header {
    #[prost(uint64, tag = "2")]
    member_id: u64,
    /// An `int64` that is never negative.
    #[prost(uint64, tag = "3")]
    pub(crate) revision: u64,
}

/// Three members.
pub(crate) struct Etcd {
    members: Vec<Process>,
    /// The leader's: as for our nodes, nothing is forwarded.
    leader: Endpoint,
}

/// How writers reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connections {
    /// A connection for each, as writers that are programs of their own have it, and as ours have it.
    Each,
    /// One for all of them, as the threads of one program may share it.
    Shared,
}

impl Etcd {
    /// `None` when it is not installed.
    pub(crate) async fn start() -> Option<Self> {
        let program = program()?;
        let ports: Vec<(u16, u16)> = (0..3).map(|_| (free_port(), free_port())).collect();
        let peer = |index: usize, port: u16| format!("m{index}=http://127.0.0.1:{port}");
        let all: Vec<String> = ports.iter().enumerate().map(|(index, (_, port))| peer(index, *port)).collect();
        let members: Vec<Process> = ports
            .iter()
            .enumerate()
            .map(|(index, (client, peer))| {
                let client = format!("http://127.0.0.1:{client}");
                start(program, index, &client, *peer, &[("--initial-cluster", all.join(","))])
            })
            .collect();
        let endpoints: Vec<Endpoint> = ports
            .iter()
            .map(|(port, _)| Channel::from_shared(format!("http://127.0.0.1:{port}")).expect("a valid address"))
            .collect();
        let leader = leader(&endpoints).await;
        Some(Self { members, leader })
    }

    pub(crate) async fn measure(
        &self,
        writers: usize,
        connections: Connections,
        warm_up: Duration,
        measured: Duration,
    ) -> Figures {
        let clients = self.clients(writers, connections).await;
        let _ = write(&clients, warm_up).await;
        let (before, idle) = (self.cpu(), cpu::time(std::process::id()));
        let mut figures = write(&clients, measured).await;
        figures.cpu = self.cpu().saturating_sub(before);
        figures.load = cpu::time(std::process::id()).saturating_sub(idle);
        figures
    }

    /// One for each writer.
    async fn clients(&self, writers: usize, connections: Connections) -> Vec<Channel> {
        let mut clients = Vec::with_capacity(writers);
        for writer in 0..writers {
            let known = if connections == Connections::Shared && writer > 0 { clients.first().cloned() } else { None };
            clients.push(match known {
                Some(client) => client,
                None => self.leader.connect().await.expect("the leader takes connections"),
            });
        }
        clients
    }

    fn cpu(&self) -> Duration {
        self.members.iter().map(|member| cpu::time(member.id())).sum()
    }
}

async fn write(clients: &[Channel], duration: Duration) -> Figures {
    let begin = Instant::now();
    let workers: Vec<_> = clients
        .iter()
        .enumerate()
        .map(|(writer, client)| {
            let (client, padding) = (client.clone(), "0".repeat(1024));
            tokio::spawn(async move {
                let (mut latency, mut failures, mut number) = (histogram(), 0, 0);
                while begin.elapsed() < duration {
                    let sent = Instant::now();
                    match put(client.clone(), writer, number, &padding).await {
                        Ok(_) => {
                            latency.saturating_record(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX));
                        }
                        Err(_) => failures += 1,
                    }
                    number += 1;
                }
                (latency, failures)
            })
        })
        .collect();
    let (mut latency, mut failures) = (histogram(), 0);
    for worker in workers {
        let (part, failed) = worker.await.expect("a worker does not panic");
        latency.add(&part).expect("histograms of one shape add up");
        failures += failed;
    }
    Figures {
        writes: latency.len(),
        failures,
        took: begin.elapsed(),
        cpu: Duration::ZERO,
        load: Duration::ZERO,
        latency,
    }
}

/// One member that is watched over TLS and written to without.
pub(crate) struct Watched {
    member: Process,
    client: Channel,
    pub(crate) address: String,
}

impl Watched {
    /// `None` when it is not installed.
    pub(crate) async fn start(certified: &Certified) -> Option<Self> {
        let program = program()?;
        let (plain, tls, peer) = (free_port(), free_port(), free_port());
        let plain = format!("http://127.0.0.1:{plain}");
        let address = format!("127.0.0.1:{tls}");
        let [cert, key, _] = certified.files.clone();
        let more =
            [("--initial-cluster", format!("m0=http://127.0.0.1:{peer}")), ("--cert-file", cert), ("--key-file", key)];
        let member = start(program, 0, &format!("{plain},https://{address}"), peer, &more);
        let endpoint = Channel::from_shared(plain).expect("a valid address");
        let client = leader(&[endpoint]).await.connect_lazy();
        Some(Self { member, client, address })
    }

    pub(crate) fn process(&self) -> u32 {
        self.member.id()
    }

    /// The revision that the change made.
    pub(crate) async fn change(&self, number: u64, padding: &str) -> u64 {
        put(self.client.clone(), 0, number, padding).await.expect("it takes a write")
    }
}

fn program() -> Option<&'static Path> {
    let program = Path::new("/usr/bin/etcd");
    program.exists().then_some(program)
}

/// `clients`: where it listens to them, separated by commas.
fn start(program: &Path, index: usize, clients: &str, peer: u16, more: &[(&str, String)]) -> Process {
    let folder = scratch::folder(&format!("etcd-{index}"));
    let peer = format!("http://127.0.0.1:{peer}");
    let args = [
        ("--name", format!("m{index}")),
        ("--data-dir", folder.join("data").display().to_string()),
        ("--listen-client-urls", clients.to_owned()),
        ("--advertise-client-urls", clients.to_owned()),
        ("--listen-peer-urls", peer.clone()),
        ("--initial-advertise-peer-urls", peer),
        ("--initial-cluster-state", "new".to_owned()),
    ];
    let args = args.iter().chain(more).flat_map(|(flag, value)| [(*flag).to_owned(), value.clone()]);
    let launch = Launch {
        name: format!("etcd {index}"),
        program: program.to_owned(),
        args: args.collect(),
        env: Vec::new(),
        user: None,
        namespace: None,
        log: folder.join("log"),
    };
    launch.start()
}

/// The one that leads, once it takes a write.
async fn leader(endpoints: &[Endpoint]) -> Endpoint {
    until("etcd has a leader that takes a write", PATIENCE, async || {
        for endpoint in endpoints {
            let client = endpoint.connect_lazy();
            if leads(client.clone()).await.map_err(|status| status.to_string())? {
                let _ = put(client, 0, 0, "0").await.map_err(|status| status.to_string())?;
                return Ok(endpoint.clone());
            }
        }
        Err("nobody leads".to_owned())
    })
    .await
}

async fn leads(client: Channel) -> Result<bool, tonic::Status> {
    let status: Status = call(client, "/etcdserverpb.Maintenance/Status", Ask {}).await?;
    Ok(status.leader != 0 && status.header.is_some_and(|header| header.member_id == status.leader))
}

/// The revision that it made.
async fn put(client: Channel, writer: usize, number: u64, padding: &str) -> Result<u64, tonic::Status> {
    let value = padded(number, padding, 1024).into_bytes();
    let request = Put { key: format!("bench/{writer}").into_bytes(), value };
    let done: PutDone = call(client, "/etcdserverpb.KV/Put", request).await?;
    Ok(done.header.map_or(0, |header| header.revision))
}

async fn call<Q, A>(client: Channel, path: &'static str, request: Q) -> Result<A, tonic::Status>
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + Default + 'static,
{
    let mut grpc = Grpc::new(client);
    grpc.ready().await.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
    let codec: ProstCodec<Q, A> = ProstCodec::default();
    let answer = grpc.unary(tonic::Request::new(request), PathAndQuery::from_static(path), codec).await?;
    Ok(answer.into_inner())
}
