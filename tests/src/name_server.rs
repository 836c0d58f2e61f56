//! A DNS server on loopback: real packets, answers that a test chooses and changes.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

const TTL: u32 = 5;

/// What it says to a question; `None`: there is no such name.
pub type Zone = Box<dyn FnMut(&Query) -> Option<Vec<RData>> + Send>;

/// Where nobody is listed.
pub fn nobody() -> Zone {
    Box::new(|_| None)
}

/// Where `cp.test`, `cp6.test` and `_admin._tcp.cp.test` lead to a node of the control plane.
pub fn one_node(node: SocketAddr) -> Zone {
    let SocketAddr::V4(node) = node else { panic!("the tests run on IPv4") };
    Box::new(move |question| {
        let found = match (question.query_type(), question.name().to_utf8().to_lowercase().as_str()) {
            (RecordType::A, "cp.test." | "cp-1.cp.test.") => Some(RData::A(A(*node.ip()))),
            // A machine without IPv6 of its own reaches it all the same.
            (RecordType::AAAA, "cp6.test.") => Some(RData::AAAA(AAAA(node.ip().to_ipv6_mapped()))),
            (RecordType::SRV, "_admin._tcp.cp.test.") => {
                let target = Name::from_ascii("cp-1.cp.test.").expect("a name");
                Some(RData::SRV(SRV::new(0, 0, node.port(), target)))
            }
            _ => None,
        };
        Some(found.into_iter().collect())
    })
}

#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    zone: Mutex<Zone>,
    questions: AtomicUsize,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("questions", &self.questions).finish_non_exhaustive()
    }
}

impl NameServer {
    pub async fn start(address: &str, zone: Zone) -> Self {
        let socket = UdpSocket::bind(address).await.expect("the port is free");
        let address = socket.local_addr().expect("it is bound");
        let state = Arc::new(State { zone: Mutex::new(zone), questions: AtomicUsize::new(0) });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut packet = [0; 1232];
            while let Ok((len, from)) = socket.recv_from(&mut packet).await {
                let Ok(request) = Message::from_vec(&packet[..len]) else { continue };
                let bytes = shared.answer(&request).to_vec().expect("a small message");
                let _ = socket.send_to(&bytes, from).await;
            }
        });
        Self { address, state, task }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn set(&self, zone: Zone) {
        *self.state.zone.lock().expect("nobody panics with it") = zone;
    }

    pub fn questions(&self) -> usize {
        self.state.questions.load(Ordering::Relaxed)
    }
}

impl State {
    fn answer(&self, request: &Message) -> Message {
        self.questions.fetch_add(1, Ordering::Relaxed);
        let mut response = Message::response(request.metadata.id, OpCode::Query);
        response.metadata.authoritative = true;
        let mut zone = self.zone.lock().expect("nobody panics with it");
        for question in &request.queries {
            response.add_query(question.clone());
            match zone(question) {
                None => response.metadata.response_code = ResponseCode::NXDomain,
                Some(found) => {
                    for data in found {
                        response.add_answer(Record::from_rdata(question.name().clone(), TTL, data));
                    }
                }
            }
        }
        response
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
