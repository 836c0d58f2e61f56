//! The yardstick: a three-member etcd (Debian's `etcd-server`) with its defaults, written to over its own gRPC.

use std::path::Path;
use std::time::{Duration, Instant};

use tests::postgres::free_port;
use tests::process::{Launch, Process};
use tests::scratch;
use tests::wait::{PATIENCE, until};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
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

/// `etcdserverpb.PutResponse`, nothing of which is read.
#[derive(Clone, PartialEq, prost::Message)]
struct PutDone {}

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

/// `etcdserverpb.ResponseHeader`, the field used here.
#[derive(Clone, PartialEq, prost::Message)]
struct Header {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}

pub(crate) struct Etcd {
    members: Vec<Process>,
    /// Of the leader: as for our nodes, nothing is forwarded.
    client: Channel,
}

impl Etcd {
    /// `None` when it is not installed.
    pub(crate) async fn start() -> Option<Self> {
        let program = Path::new("/usr/bin/etcd");
        if !program.exists() {
            return None;
        }
        let ports: Vec<(u16, u16)> = (0..3).map(|_| (free_port(), free_port())).collect();
        let peer = |index: usize, port: u16| format!("m{index}=http://127.0.0.1:{port}");
        let all: Vec<String> = ports.iter().enumerate().map(|(index, (_, port))| peer(index, *port)).collect();
        let members = ports.iter().enumerate().map(|(index, (client, peer))| {
            let folder = scratch::folder(&format!("etcd-{index}"));
            let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
            let args = [
                ("--name", format!("m{index}")),
                ("--data-dir", folder.join("data").display().to_string()),
                ("--listen-client-urls", client.clone()),
                ("--advertise-client-urls", client),
                ("--listen-peer-urls", peer.clone()),
                ("--initial-advertise-peer-urls", peer),
                ("--initial-cluster", all.join(",")),
                ("--initial-cluster-state", "new".to_owned()),
            ];
            let launch = Launch {
                name: format!("etcd {index}"),
                program: program.to_owned(),
                args: args.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect(),
                env: Vec::new(),
                user: None,
                namespace: None,
                log: folder.join("log"),
            };
            launch.start()
        });
        let members: Vec<Process> = members.collect();
        let clients: Vec<Channel> = ports
            .iter()
            .map(|(port, _)| Channel::from_shared(format!("http://127.0.0.1:{port}")).expect("a valid address"))
            .map(|endpoint| endpoint.connect_lazy())
            .collect();
        let client = until("etcd has a leader that takes a write", PATIENCE, async || {
            for client in &clients {
                if leads(client.clone()).await.map_err(|status| status.to_string())? {
                    put(client.clone(), 0, 0, "0").await.map_err(|status| status.to_string())?;
                    return Ok(client.clone());
                }
            }
            Err("nobody leads".to_owned())
        })
        .await;
        Some(Self { members, client })
    }

    pub(crate) async fn measure(&self, writers: usize, warm_up: Duration, measured: Duration) -> Figures {
        let _ = self.write(writers, warm_up).await;
        let (before, idle) = (self.cpu(), cpu::time(std::process::id()));
        let mut figures = self.write(writers, measured).await;
        figures.cpu = self.cpu().saturating_sub(before);
        figures.load = cpu::time(std::process::id()).saturating_sub(idle);
        figures
    }

    async fn write(&self, writers: usize, duration: Duration) -> Figures {
        let begin = Instant::now();
        let workers: Vec<_> = (0..writers)
            .map(|writer| {
                let (client, padding) = (self.client.clone(), "0".repeat(1024));
                tokio::spawn(async move {
                    let (mut latency, mut failures, mut number) = (histogram(), 0, 0);
                    while begin.elapsed() < duration {
                        let sent = Instant::now();
                        match put(client.clone(), writer, number, &padding).await {
                            Ok(()) => {
                                latency
                                    .saturating_record(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX));
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

    fn cpu(&self) -> Duration {
        self.members.iter().map(|member| cpu::time(member.id())).sum()
    }
}

async fn leads(client: Channel) -> Result<bool, tonic::Status> {
    let status: Status = call(client, "/etcdserverpb.Maintenance/Status", Ask {}).await?;
    Ok(status.leader != 0 && status.header.is_some_and(|header| header.member_id == status.leader))
}

async fn put(client: Channel, writer: usize, number: u64, padding: &str) -> Result<(), tonic::Status> {
    let value = padded(number, padding, 1024).into_bytes();
    let request = Put { key: format!("bench/{writer}").into_bytes(), value };
    call(client, "/etcdserverpb.KV/Put", request).await.map(|_: PutDone| ())
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
