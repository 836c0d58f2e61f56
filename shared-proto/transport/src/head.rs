//! What both planes ask of the head of a request over HTTP/1.1, whatever it is for.

use actix_web::http::header::{self, HeaderMap};
use actix_web::http::uri::Authority;

/// Tokens and cookies fit in many times over; nobody needs more.
pub const MAX_BYTES: usize = 32 << 10;

/// Why a head is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the header fields are {0} bytes long; at most {MAX_BYTES} are read")]
    TooLong(usize),
    #[error("the header Host names no host")]
    NoHost,
}

/// One that is too long, or sent to nobody: that it is sent to one alone, actix sees to.
pub fn check(headers: &HeaderMap) -> Result<(), Refusal> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > MAX_BYTES {
        return Err(Refusal::TooLong(bytes));
    }
    let host = headers.get(header::HOST);
    if host.is_none_or(|host| host.to_str().is_ok_and(is_host)) { Ok(()) } else { Err(Refusal::NoHost) }
}

/// RFC 9112 §3.2: host and port, or nothing.
fn is_host(text: &str) -> bool {
    text.is_empty() || (!text.contains('@') && text.parse::<Authority>().is_ok())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn checked(host: &[u8], other: usize) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_bytes(host).unwrap());
        headers.insert(header::COOKIE, HeaderValue::from_str(&"x".repeat(other)).unwrap());
        check(&headers)
    }

    #[test]
    fn a_head_is_short_and_sent_to_a_host() {
        for host in ["", "id.example", "id.example:8443", "127.0.0.1:80", "[::1]:8443"] {
            assert_eq!(checked(host.as_bytes(), 1), Ok(()), "{host}");
        }
        for host in ["id.example/x", "mallory@id.example", "a b", "id.example?x"] {
            assert_eq!(checked(host.as_bytes(), 1), Err(Refusal::NoHost), "{host}");
        }
        assert_eq!(checked(b"\xff", 1), Err(Refusal::NoHost));
        assert_eq!(checked(b"a", MAX_BYTES - 11), Ok(()));
        assert_eq!(checked(b"a", MAX_BYTES - 10), Err(Refusal::TooLong(MAX_BYTES + 1)));
        assert_eq!(check(&HeaderMap::new()), Ok(()), "a request to another authority need not have one");
    }
}
