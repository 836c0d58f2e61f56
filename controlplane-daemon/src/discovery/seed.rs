//! Where a node may be asked: the address of its admin API.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use controlplane_core::validate::is_host_port;

/// The port of the admin API where none is given.
const ADMIN_PORT: u16 = 7200;

/// The admin API of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// `http` or `https`; without one, as this node's own admin API is.
    pub scheme: Option<&'static str>,
    /// `host:port`. The host is the one whose certificate is asked for.
    pub authority: String,
    /// Where to connect, when that is known already.
    pub address: Option<SocketAddr>,
}

impl FromStr for Seed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, authority) = match text.split_once("://") {
            Some(("http", rest)) => (Some("http"), rest),
            Some(("https", rest)) => (Some("https"), rest),
            Some(_) => return Err("is neither http nor https"),
            None => (None, text),
        };
        if !is_host_port(authority.trim_end_matches('/')) {
            return Err("is not host:port");
        }
        Ok(Self { scheme, authority: authority.trim_end_matches('/').to_owned(), address: None })
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{} at {address}", self.authority),
            None => f.write_str(&self.authority),
        }
    }
}

/// Under what DNS lists the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsName {
    pub name: String,
    /// Of the admin API; an SRV record brings its own.
    pub port: u16,
}

impl FromStr for DnsName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, port.parse().map_err(|_| "has no port after the colon")?),
            None => (text, ADMIN_PORT),
        };
        if !is_host_port(&format!("{name}:{port}")) || name.parse::<std::net::IpAddr>().is_ok() {
            return Err("must be a host name");
        }
        Ok(Self { name: name.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_names() {
        let seed: Seed = "https://cp-0.cp:7200/".parse().unwrap();
        assert_eq!((seed.scheme, seed.authority.as_str()), (Some("https"), "cp-0.cp:7200"));
        assert_eq!("cp-0:7200".parse::<Seed>().unwrap().scheme, None);
        for bad in ["", "cp-0", "ftp://a:1", "a:0", "https://a:1/x"] {
            assert!(bad.parse::<Seed>().is_err(), "{bad}");
        }
        let name: DnsName = "cp.svc.cluster.local".parse().unwrap();
        assert_eq!((name.name.as_str(), name.port), ("cp.svc.cluster.local", ADMIN_PORT));
        assert_eq!("_admin._tcp.cp:9".parse::<DnsName>().unwrap().port, 9);
        for bad in ["", "a:", "a:x", "10.0.0.1", "a/b", "a:1:2"] {
            assert!(bad.parse::<DnsName>().is_err(), "{bad}");
        }
    }
}
