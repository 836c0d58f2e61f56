//! A DNS server on loopback: real packets, a zone that a test changes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const TTL: u32 = 5;

/// What `cp.test`, `cp6.test` and `_admin._tcp.cp.test` say; nothing when nobody is listed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Zone {
    node: Option<(Ipv4Addr, u16)>,
}

impl Zone {
    pub(super) fn of(node: SocketAddr) -> Self {
        let SocketAddr::V4(node) = node else { panic!("the tests run on IPv4") };
        Self { node: Some((*node.ip(), node.port())) }
    }

    fn answer(self, question: &Query) -> Option<RData> {
        let (ip, port) = self.node?;
        match (question.query_type(), question.name().to_utf8().to_lowercase().as_str()) {
            (RecordType::A, "cp.test." | "cp-1.cp.test.") => Some(RData::A(A(ip))),
            // A machine without IPv6 of its own reaches it all the same.
            (RecordType::AAAA, "cp6.test.") => Some(RData::AAAA(AAAA(ip.to_ipv6_mapped()))),
            (RecordType::SRV, "_admin._tcp.cp.test.") => {
                let target = Name::from_ascii("cp-1.cp.test.").expect("a name");
                Some(RData::SRV(SRV::new(0, 0, port, target)))
            }
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct NameServer {
    address: SocketAddr,
    zone: watch::Sender<Zone>,
    questions: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl NameServer {
    pub(super) async fn start(address: &str, zone: Zone) -> Self {
        let socket = UdpSocket::bind(address).await.expect("a port is free");
        let address = socket.local_addr().expect("it is bound");
        let (zone, current) = watch::channel(zone);
        let questions = Arc::new(AtomicUsize::new(0));
        let asked = Arc::clone(&questions);
        let task = tokio::spawn(async move {
            let mut packet = [0; 1232];
            while let Ok((len, from)) = socket.recv_from(&mut packet).await {
                let Ok(request) = Message::from_vec(&packet[..len]) else { continue };
                asked.fetch_add(1, Ordering::Relaxed);
                let zone = *current.borrow();
                let mut response = Message::response(request.metadata.id, OpCode::Query);
                response.metadata.authoritative = true;
                for question in &request.queries {
                    response.add_query(question.clone());
                    if let Some(data) = zone.answer(question) {
                        response.add_answer(Record::from_rdata(question.name().clone(), TTL, data));
                    }
                }
                if response.answers.is_empty() && zone.node.is_none() {
                    response.metadata.response_code = ResponseCode::NXDomain;
                }
                let bytes = response.to_vec().expect("a small message");
                let _ = socket.send_to(&bytes, from).await;
            }
        });
        Self { address, zone, questions, task }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn set(&self, zone: Zone) {
        self.zone.send_replace(zone);
    }

    pub(super) fn questions(&self) -> usize {
        self.questions.load(Ordering::Relaxed)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
