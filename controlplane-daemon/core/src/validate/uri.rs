//! Rules of URIs, strict on purpose: what is registered is later compared byte by byte (RFC 9700 §4.1.3), so each has
//! one spelling.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::limits;

/// The parts that the rules speak of (RFC 3986 §3).
struct Parts<'a> {
    scheme: &'a str,
    /// Host and port, when `//` follows the scheme.
    authority: Option<&'a str>,
    /// Path and query.
    rest: &'a str,
}

/// A redirect URI of an application: https, loopback http (RFC 8252 §7.3), or a private-use scheme (§7.1).
pub(super) fn redirect_problem(uri: &str) -> Option<&'static str> {
    let parts = match split(uri) {
        Ok(parts) => parts,
        Err(problem) => return Some(problem),
    };
    match (parts.scheme, parts.authority) {
        ("https" | "http", None) => Some("must name a host after '//'"),
        ("https", Some(authority)) => authority_problem(authority),
        ("http", Some(authority)) => authority_problem(authority).or_else(|| {
            (!is_loopback(authority)).then_some("http is for 127.0.0.1, [::1] and localhost only: use https")
        }),
        // A private-use scheme is a reversed domain name, which rules out javascript:, data: and their like.
        (scheme, _) if !scheme.contains('.') => {
            Some("must be https, http on loopback, or a private-use scheme such as com.example.app")
        }
        _ => None,
    }
}

/// An address that is called or shown: https, or http on loopback.
pub(super) fn web_problem(uri: &str) -> Option<&'static str> {
    let is_web = uri.starts_with("https:") || uri.starts_with("http:");
    if is_web { redirect_problem(uri) } else { Some("must be https, or http on loopback") }
}

/// A URL that a stranger names for us or for browsers to fetch: https, and a host by a name that can be anybody's. What
/// the name leads to is seen when it is fetched.
pub(crate) fn public_problem(uri: &str) -> Option<&'static str> {
    // The fragment tells answers apart (OIDC Core §6.2) and is not fetched.
    let uri = uri.split_once('#').map_or(uri, |(before, _)| before);
    let parts = match split(uri) {
        Ok(parts) => parts,
        Err(problem) => return Some(problem),
    };
    let Some(authority) = parts.authority.filter(|_| parts.scheme == "https") else {
        return Some("must be https://host…");
    };
    if let Some(problem) = authority_problem(authority) {
        return Some(problem);
    }
    let host = host_and_port(authority).0;
    let Some((_, last)) = host.rsplit_once('.') else { return Some("must name a public host") };
    // WHATWG URL §3.5: what ends in a number is an address, also in hexadecimal.
    let number = last.bytes().all(|b| b.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    let local = ["localhost", "local", "internal", "localdomain"].contains(&last);
    (number || local || host.starts_with('[')).then_some("must name a public host")
}

/// The host that a URI names, without its port; `None`: it names none.
pub(super) fn host(uri: &str) -> Option<&str> {
    Some(host_and_port(split(uri).ok()?.authority?).0)
}

/// What an access token may be for: a name, or an absolute URI without fragment (RFC 8707 §2, RFC 7519 §2 StringOrURI).
pub(super) fn audience_problem(audience: &str) -> Option<&'static str> {
    if audience.contains(':') {
        return split(audience).err();
    }
    let fits = (1..=limits::URI_BYTES).contains(&audience.len());
    let visible = audience.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\#".contains(&b));
    (!fits || !visible).then_some("must be an absolute URI, or a name of visible ASCII characters")
}

/// An origin as browsers send it (RFC 6454 §6.2), to be compared byte by byte.
pub(super) fn origin_problem(origin: &str) -> Option<&'static str> {
    let parts = match split(origin) {
        Ok(parts) => parts,
        Err(problem) => return Some(problem),
    };
    let default_port = match parts.scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return Some("must be https://host, or http://host on loopback"),
    };
    let authority = match parts.authority {
        Some(authority) if parts.rest.is_empty() => authority,
        _ => return Some("must be scheme, host and port only, without a path"),
    };
    if authority.ends_with(default_port) {
        return Some("must not name the scheme's own port: browsers leave it out");
    }
    if parts.scheme == "http" && !is_loopback(authority) {
        return Some("http is for 127.0.0.1, [::1] and localhost only: use https");
    }
    authority_problem(authority)
}

/// A host name in the one spelling that requests are looked up by (RFC 1123 §2.1).
pub(super) fn is_dns_name(host: &str) -> bool {
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    // All digits in the last label would make it an address (RFC 3696 §2).
    let numeric = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    (1..=253).contains(&host.len()) && host.split('.').all(label) && !host.rsplit('.').next().is_some_and(numeric)
}

fn split(uri: &str) -> Result<Parts<'_>, &'static str> {
    if uri.len() > limits::URI_BYTES {
        return Err("is longer than 2048 bytes");
    }
    if uri.contains('#') {
        return Err("must not have a fragment");
    }
    if uri.contains('*') {
        return Err("must not have a wildcard");
    }
    if !uri.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b)) {
        return Err("has characters that a URI must encode");
    }
    let (scheme, after) = uri.split_once(':').ok_or("must be an absolute URI")?;
    let scheme_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b);
    if !scheme.starts_with(|c: char| c.is_ascii_lowercase()) || !scheme.bytes().all(scheme_byte) {
        return Err("must begin with a scheme in lower case");
    }
    if after.is_empty() {
        return Err("has nothing after its scheme");
    }
    let Some(hierarchical) = after.strip_prefix("//") else {
        return Ok(Parts { scheme, authority: None, rest: after });
    };
    let end = hierarchical.find(['/', '?']).unwrap_or(hierarchical.len());
    let (authority, rest) = hierarchical.split_at(end);
    Ok(Parts { scheme, authority: Some(authority), rest })
}

fn authority_problem(authority: &str) -> Option<&'static str> {
    if authority.contains('@') {
        return Some("must not have user information");
    }
    let (host, port) = host_and_port(authority);
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |number| number == 0 || number.to_string() != port)) {
        return Some("has a port that is not a number from 1 to 65535");
    }
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let good = match bracketed {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => is_dns_name(host) || host.parse::<Ipv4Addr>().is_ok(),
    };
    (!good).then_some("has a host that is neither a DNS name in lower case nor an address")
}

fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // A colon inside brackets belongs to an IPv6 address.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn is_loopback(authority: &str) -> bool {
    matches!(host_and_port(authority).0, "127.0.0.1" | "[::1]" | "localhost")
}
