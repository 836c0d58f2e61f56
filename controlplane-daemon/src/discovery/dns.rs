//! Nodes by DNS: SRV records of a name, else its A and AAAA records. Asked anew each time; DNS says how long that is fresh.

use std::net::SocketAddr;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;

use super::seed::{DnsName, Seed};

/// A name of more nodes than a cluster has is another name.
const MOST: usize = 32;

#[derive(Debug)]
pub(super) struct Resolver {
    name: DnsName,
    /// The reason when the system's settings cannot be read.
    resolver: Result<TokioResolver, String>,
}

impl Resolver {
    pub(super) fn new(name: DnsName, server: Option<SocketAddr>) -> Self {
        let builder = match server {
            Some(server) => Ok(TokioResolver::builder_with_config(to_server(server), TokioRuntimeProvider::default())),
            None => TokioResolver::builder_tokio(),
        };
        let resolver = builder.and_then(|mut builder| {
            // What was there a moment ago may be gone: a pod that was rescheduled.
            builder.options_mut().cache_size = 0;
            builder.build()
        });
        Self { name, resolver: resolver.map_err(|why| why.to_string()) }
    }

    /// Empty when nobody is listed, or DNS does not answer.
    pub(super) async fn look_up(&self) -> Vec<Seed> {
        let resolver = match &self.resolver {
            Ok(resolver) => resolver,
            Err(why) => {
                tracing::error!(why, "DNS cannot be used");
                return Vec::new();
            }
        };
        let DnsName { name, port } = &self.name;
        let fqdn = if name.ends_with('.') { name.clone() } else { format!("{name}.") };
        let mut seeds = Vec::new();
        if let Ok(found) = resolver.srv_lookup(fqdn.as_str()).await {
            for record in found.answers() {
                if let RData::SRV(srv) = &record.data {
                    let host = srv.target.to_utf8();
                    let addresses = resolver.lookup_ip(host.as_str()).await;
                    let host = host.trim_end_matches('.').to_owned();
                    seeds.extend(addresses.iter().flat_map(|found| found.iter()).map(|ip| Seed {
                        scheme: None,
                        authority: format!("{host}:{}", srv.port),
                        address: Some((ip, srv.port).into()),
                    }));
                }
            }
        }
        if seeds.is_empty() {
            match resolver.lookup_ip(fqdn.as_str()).await {
                Ok(found) => seeds.extend(found.iter().map(|ip| Seed {
                    scheme: None,
                    authority: format!("{name}:{port}"),
                    address: Some((ip, *port).into()),
                })),
                Err(why) => tracing::warn!(name, %why, "DNS lists no nodes"),
            }
        }
        seeds.truncate(MOST);
        seeds
    }
}

fn to_server(server: SocketAddr) -> ResolverConfig {
    let mut connection = ConnectionConfig::udp();
    connection.port = server.port();
    ResolverConfig::from_parts(None, Vec::new(), vec![NameServerConfig::new(server.ip(), true, vec![connection])])
}
