//! The cluster's DNS: what a Service and the pods behind it are called, as long as they are there.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use serde_json::Value;
use tokio::net::UdpSocket;

use super::super::rendered::Object;

const TTL: u32 = 1;

/// A pod, as Services see it.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) name: String,
    pub(super) labels: Value,
    pub(super) address: Ipv4Addr,
    pub(super) is_ready: bool,
}

impl Endpoint {
    pub(super) fn has(&self, labels: &Value) -> bool {
        labels.as_object().is_some_and(|wanted| wanted.iter().all(|(key, value)| self.labels[key] == *value))
    }
}

/// The pods that there are.
pub(super) type Endpoints = Arc<Mutex<Vec<Endpoint>>>;

#[derive(Clone, Debug)]
struct Zone {
    services: Vec<&'static Object>,
    endpoints: Endpoints,
}

/// Answers until the runtime that started it ends.
pub(super) async fn serve(address: &str, services: Vec<&'static Object>, endpoints: &Endpoints) {
    let socket = UdpSocket::bind((address, 53)).await.expect("nobody else answers for the bridge");
    let zone = Zone { services, endpoints: Arc::clone(endpoints) };
    tokio::spawn(async move {
        let mut packet = [0; 1232];
        while let Ok((len, from)) = socket.recv_from(&mut packet).await {
            let Ok(request) = Message::from_vec(&packet[..len]) else { continue };
            let mut response = Message::response(request.metadata.id, OpCode::Query);
            response.metadata.authoritative = true;
            for question in &request.queries {
                response.add_query(question.clone());
                match zone.answers(question) {
                    None => response.metadata.response_code = ResponseCode::NXDomain,
                    Some(answers) => response.answers.extend(answers),
                }
            }
            let _ = socket.send_to(&response.to_vec().expect("a small message"), from).await;
        }
    });
}

impl Zone {
    /// `None`: there is no such name. (A Service that is not headless has an address of its own in a real cluster, behind
    /// which are the pods that are ready; here its name says those at once.)
    fn answers(&self, question: &Query) -> Option<Vec<Record>> {
        let name = question.name().to_utf8().to_lowercase();
        let (host, service) = self.services.iter().find_map(|service| {
            let own = format!("{}.hellojohn.svc.cluster.local.", service.name());
            let host = name.strip_suffix(&own)?;
            Some((host.trim_end_matches('.').to_owned(), *service))
        })?;
        let behind = self.behind(service);
        let record = |data| Record::from_rdata(question.name().clone(), TTL, data);
        if let Some(port) = host.strip_prefix('_').and_then(|host| host.strip_suffix("._tcp")) {
            let ports = service.json["spec"]["ports"].as_array().expect("ports");
            let port = ports.iter().find(|it| it["name"] == port)?["port"].as_u64()?;
            let targets = behind.iter().map(|pod| {
                let target = format!("{}.{}.hellojohn.svc.cluster.local.", pod.name, service.name());
                let target = Name::from_ascii(target).expect("a name");
                record(RData::SRV(SRV::new(0, 100, u16::try_from(port).expect("a port"), target)))
            });
            return Some(targets.filter(|_| question.query_type() == RecordType::SRV).collect());
        }
        let meant: Vec<_> = behind.iter().filter(|pod| host.is_empty() || pod.name == host).collect();
        if meant.is_empty() && !host.is_empty() {
            return None;
        }
        let addresses = meant.into_iter().map(|pod| record(RData::A(A(pod.address))));
        Some(addresses.filter(|_| question.query_type() == RecordType::A).collect())
    }

    fn behind(&self, service: &Object) -> Vec<Endpoint> {
        let spec = &service.json["spec"];
        let all = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let publishes_all = spec["publishNotReadyAddresses"] == true;
        all.iter().filter(|pod| pod.has(&spec["selector"]) && (pod.is_ready || publishes_all)).cloned().collect()
    }
}
