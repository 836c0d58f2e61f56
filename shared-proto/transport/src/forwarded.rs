//! Whose request is it when a proxy passes it on? What a header claims counts only as far as it was written by proxies
//! that the operator named: from the right, up to the first address that is not one of theirs.
//!
//! Only one family of headers is read. A proxy that writes `X-Forwarded-For` passes a `Forwarded` of its client's making
//! on unchanged, and the other way round: whoever believed both would believe the client.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

/// Hops that are looked at: nobody has more, and a header full of commas must not cost more.
const MAX_HOPS: usize = 32;

/// The addresses from which forwarding headers are believed. The default: none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    header: ForwardingHeader,
}

/// The headers that the proxies write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardingHeader {
    /// `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl FromStr for ForwardingHeader {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "x-forwarded-for" => Ok(Self::XForwardedFor),
            "forwarded" => Ok(Self::Forwarded),
            _ => Err("must be x-forwarded-for or forwarded".to_owned()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

/// Where a request came from, and how it was sent there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The nearest address that no trusted proxy has.
    pub address: IpAddr,
    /// As a trusted proxy says; `None`: none says.
    pub scheme: Option<Scheme>,
    /// The host the client asked for, by the word of a trusted proxy.
    pub host: Option<String>,
}

impl TrustedProxies {
    /// `text`: addresses and networks, separated by commas, such as `10.0.0.0/8,2001:db8::/32,192.0.2.7`.
    pub fn parse(text: &str, header: ForwardingHeader) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let networks = parts.map(|part| {
            let network = part.parse::<IpNet>().ok().or_else(|| part.parse::<IpAddr>().ok().map(IpNet::from));
            network.ok_or_else(|| format!("{part:?} is neither an address nor a network such as 10.0.0.0/8"))
        });
        Ok(Self { networks: networks.collect::<Result<_, _>>()?, header })
    }

    /// Whether it is one of theirs.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// `peer` is the other end of the connection; `header` gives all values of a header, in order.
    pub fn origin<'a, V>(&self, peer: IpAddr, header: impl Fn(&'static str) -> V) -> Origin
    where
        V: IntoIterator<Item = &'a str>,
    {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return Origin { address: peer, scheme: None, host: None };
        }
        match self.header {
            ForwardingHeader::XForwardedFor => {
                let hops = from_the_right(header("x-forwarded-for"), ',');
                let (address, _) = self.walk(peer, hops.iter().map(|hop| node(hop)));
                // The nearest proxy's word: it passes on or replaces what came to it.
                let nearest = |name| from_the_right(header(name), ',').into_iter().next();
                Origin {
                    address,
                    scheme: nearest("x-forwarded-proto").and_then(scheme),
                    host: nearest("x-forwarded-host").and_then(host),
                }
            }
            ForwardingHeader::Forwarded => {
                let hops = from_the_right(header("forwarded"), ',');
                let (address, believed) = self.walk(peer, hops.iter().map(|hop| parameter(hop, "for").and_then(node)));
                // The last element that a trusted proxy wrote is about the client itself.
                let about_client = believed.and_then(|place| hops.get(place).copied());
                Origin {
                    address,
                    scheme: about_client.and_then(|hop| parameter(hop, "proto")).and_then(scheme),
                    host: about_client.and_then(|hop| parameter(hop, "host")).and_then(host),
                }
            }
        }
    }

    /// The first address from the right that is nobody's of ours, and the place of the last element that was believed. What
    /// cannot be read ends the walk: beyond it nothing is known.
    fn walk(&self, peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>) -> (IpAddr, Option<usize>) {
        let (mut address, mut believed) = (peer, None);
        for (place, hop) in hops.enumerate() {
            let Some(hop) = hop else { break };
            (address, believed) = (hop, Some(place));
            if !self.trusts(hop) {
                break;
            }
        }
        (address, believed)
    }
}

/// The elements of a header, the last first; a header that stands there twice is one list (RFC 9110 §5.3).
fn from_the_right<'a>(values: impl IntoIterator<Item = &'a str>, separator: char) -> Vec<&'a str> {
    let values: Vec<&str> = values.into_iter().collect();
    values.into_iter().rev().flat_map(|value| value.rsplit(separator)).map(str::trim).take(MAX_HOPS).collect()
}

/// An address, perhaps with a port: `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]:80`, `2001:db8::1`.
fn node(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    address.or_else(bracketed).map(|address| address.to_canonical())
}

fn scheme(text: &str) -> Option<Scheme> {
    match text {
        _ if text.eq_ignore_ascii_case("https") => Some(Scheme::Https),
        _ if text.eq_ignore_ascii_case("http") => Some(Scheme::Http),
        _ => None,
    }
}

/// A host and perhaps a port; nothing that could be anything else in a URL.
fn host(text: &str) -> Option<String> {
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    (!text.is_empty() && text.len() <= 255 && text.chars().all(is_host)).then(|| text.to_owned())
}

/// A parameter of one element of `Forwarded`: `for=192.0.2.1;proto=https;host="id.example:8443"` (RFC 7239 §4).
fn parameter<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let found = element.split(';').find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })?;
    // Without escapes: no address, scheme or host needs one, and none of them is read out of one that has.
    Some(found.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(found))
}

#[cfg(test)]
mod tests;
