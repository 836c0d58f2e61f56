//! Who the other nodes are, who makes a cluster of them, and by which secret they know each other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use controlplane_core::validate::is_host_port;
use vocab::{NodeId, Secret};

use super::Judge;
use crate::discovery::{Discovery, DnsName, Seed};
use crate::membership::Bootstrap;

/// Shorter HMAC keys than the hash's output weaken it (RFC 2104 §3).
const MIN_HMAC_SECRET_LEN: usize = 32;

impl Judge {
    pub(super) fn peers(&mut self) -> Option<BTreeMap<NodeId, String>> {
        let Some(text) = self.text("peers") else { return Some(BTreeMap::new()) };
        let mut peers = BTreeMap::new();
        let mut addresses = BTreeSet::new();
        let before = self.problems.len();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('=').map(|(id, addr)| (id.parse::<NodeId>(), addr)) {
                Some((Ok(id), addr)) if is_host_port(addr) => {
                    if !addresses.insert(addr.to_owned()) {
                        self.wrong("peers", format!("{addr} stands there twice"));
                    }
                    if peers.insert(id, addr.to_owned()).is_some() {
                        self.wrong("peers", format!("node {id} stands there twice"));
                    }
                }
                _ => self.wrong("peers", format!("{part:?} is not ID=host:port")),
            }
        }
        (self.problems.len() == before).then_some(peers)
    }

    pub(super) fn hmac_secrets(&mut self) -> Option<Vec<Secret<String>>> {
        let flag = "cluster-hmac-secret";
        let Some(text) = self.text(flag).map(Secret::new) else { return Some(Vec::new()) };
        let secrets: Vec<_> = text.expose().split(',').map(|part| Secret::new(part.trim().to_owned())).collect();
        if secrets.len() > 2 {
            self.wrong(flag, "at most two, separated by a comma: the first signs, both verify");
            return None;
        }
        if secrets.iter().any(|secret| secret.expose().len() < MIN_HMAC_SECRET_LEN) {
            self.wrong(flag, format!("(CLUSTER_HMAC_SECRET) each must have at least {MIN_HMAC_SECRET_LEN} bytes"));
            return None;
        }
        Some(secrets)
    }

    pub(super) fn discovery(&mut self) -> Option<Discovery> {
        let mut seeds = Vec::new();
        let before = self.problems.len();
        for part in self.text("discovery-seeds").iter().flat_map(|text| text.split(',')).map(str::trim) {
            match part.parse::<Seed>() {
                Ok(seed) => seeds.push(seed),
                Err(why) => self.wrong("discovery-seeds", format!("{part:?} {why}")),
            }
        }
        let dns = self.text("discover-dns").is_some().then(|| self.parse::<DnsName>("discover-dns"));
        let resolver = self.text("dns-resolver").is_some().then(|| self.parse::<SocketAddr>("dns-resolver"));
        (self.problems.len() == before).then(|| Discovery { seeds, dns: dns.flatten(), resolver: resolver.flatten() })
    }

    pub(super) fn bootstrap(
        &mut self,
        node_id: Option<NodeId>,
        peers: Option<&BTreeMap<NodeId, String>>,
        discovery: Option<&Discovery>,
    ) -> Option<Bootstrap> {
        let join_only = self.word("join-only", &[("true", true), ("false", false)])?;
        let flag = "bootstrap-preferred";
        let preferred = match self.text(flag).as_deref() {
            Some("true") => Some(true),
            Some("false") | None => None,
            Some(id) => match id.parse::<NodeId>() {
                Ok(id) => Some(Some(id) == node_id),
                Err(why) => {
                    self.wrong(flag, why);
                    None
                }
            },
        };
        if join_only && preferred.is_some() {
            self.wrong(flag, "contradicts --join-only");
        }
        let asks = discovery.is_some_and(Discovery::is_on);
        let is_founder = peers.zip(node_id).is_some_and(|(peers, id)| peers.contains_key(&id));
        Some(match preferred {
            _ if join_only => Bootstrap::Others,
            Some(true) if asks => Bootstrap::ThisNodeAfterAsking,
            Some(true) => Bootstrap::ThisNode,
            Some(false) => Bootstrap::Others,
            // Each would make a cluster of its own. With --peers it is one that came later, under the same settings as
            // the founders: a StatefulSet has one template.
            None if asks && !is_founder => Bootstrap::Others,
            None => Bootstrap::LowestId,
        })
    }

    /// What a node that is to be taken in needs.
    pub(super) fn joining(
        &mut self,
        bootstrap: Option<Bootstrap>,
        discovery: Option<&Discovery>,
        peers: Option<&BTreeMap<NodeId, String>>,
        hmac_secrets: Option<&[Secret<String>]>,
    ) {
        if peers.is_some_and(|peers| peers.len() > controlplane_core::limits::VOTERS) {
            self.wrong("peers", format!("at most {} vote", controlplane_core::limits::VOTERS));
        }
        let joins = bootstrap == Some(Bootstrap::Others) || discovery.is_some_and(Discovery::is_on);
        let alone = peers.is_none_or(|peers| peers.len() < 2);
        if joins && alone && hmac_secrets.is_some_and(<[_]>::is_empty) {
            self.wrong(
                "cluster-hmac-secret",
                format!("is needed to join a cluster (CLUSTER_HMAC_SECRET, at least {MIN_HMAC_SECRET_LEN} bytes)"),
            );
        }
    }

    /// What several nodes demand of each other's settings.
    pub(super) fn cluster(
        &mut self,
        node_id: Option<NodeId>,
        peers: Option<&BTreeMap<NodeId, String>>,
        discovery: Option<&Discovery>,
        hmac_secrets: Option<&[Secret<String>]>,
    ) {
        let Some(peers) = peers.filter(|peers| !peers.is_empty()) else { return };
        if let Some(id) = node_id
            && !peers.contains_key(&id)
            && !discovery.is_some_and(Discovery::is_on)
        {
            let ids: Vec<String> = peers.keys().map(NodeId::to_string).collect();
            let why = format!(
                "is not in --peers, which names {}, and there is no --discover-dns nor --discovery-seeds to join by",
                ids.join(", ")
            );
            self.wrong("node-id", why);
        }
        if peers.len() > 1 && hmac_secrets.is_some_and(<[_]>::is_empty) {
            self.wrong(
                "cluster-hmac-secret",
                format!("is needed with several --peers (CLUSTER_HMAC_SECRET, at least {MIN_HMAC_SECRET_LEN} bytes)"),
            );
        }
    }
}
