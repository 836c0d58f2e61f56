//! Lines that are chained by hashes, so that nobody can change, drop or reorder one without it being seen.
//!
//! ```text
//!   {"seq":7,"previous":"<hash of line 6>", …members… ,"hash":"<SHA-256 of this line without its hash>"}
//! ```
//!
//! A line is hashed as the bytes it consists of: who checks it need not understand its members, and members of later
//! versions need no other check. Whoever knows the hash of the last line knows that all before it are as they were.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

/// SHA-256. In text: 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainHash([u8; 32]);

impl ChainHash {
    /// What the first line names as its previous one.
    pub const ORIGIN: Self = Self([0; 32]);

    fn of(text: &[u8]) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// Digit by digit: a record holds two of them, and formatting a byte costs as much as hashing many.
    fn digits(&self) -> [u8; HASH_DIGITS] {
        let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        let mut digits = [0; HASH_DIGITS];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
        }
        digits
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// It is no hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 64 lower-case hexadecimal digits")]
pub struct InvalidHash;

impl FromStr for ChainHash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        let digits = text.as_bytes();
        let canonical =
            digits.len() == HASH_DIGITS && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        if !canonical {
            return Err(InvalidHash);
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| InvalidHash)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| InvalidHash)?;
        }
        Ok(Self(hash))
    }
}

impl Serialize for ChainHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ChainHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <std::borrow::Cow<'_, str>>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Where a line stands in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub seq: u64,
    pub previous: ChainHash,
    pub hash: ChainHash,
}

/// Why a line is not what it was when it was written, or does not stand where it stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    #[error("it is no line of a chain")]
    Malformed,
    #[error("its content does not fit its hash")]
    Changed,
    #[error("line {expected} is missing: line {found} stands in its place")]
    Missing { expected: u64, found: u64 },
    #[error("the line before it is another one than it names")]
    Unlinked,
}

const SEQ_MEMBER: &str = "{\"seq\":";
const PREVIOUS_MEMBER: &str = ",\"previous\":\"";
const HASH_DIGITS: usize = 64;
/// Of a `u64`, at the most.
const SEQ_DIGITS: usize = 20;
const HASH_MEMBER: &str = ",\"hash\":\"";
/// `,"hash":"…"}`
const TAIL: usize = HASH_MEMBER.len() + HASH_DIGITS + 2;
/// What a line has besides its members, at the most.
const AROUND: usize = SEQ_MEMBER.len() + SEQ_DIGITS + PREVIOUS_MEMBER.len() + HASH_DIGITS + 2 + TAIL;

impl Link {
    /// Makes the line that follows `previous`. `members` is the inside of a JSON object, without its braces, and is not
    /// empty.
    pub fn write(seq: u64, previous: ChainHash, members: &str) -> (Self, String) {
        let object = |line: &mut Vec<u8>| line.extend_from_slice(format!("{{{members}}}").as_bytes());
        let (link, line) = Self::write_object(seq, previous, members.len(), object);
        (link, String::from_utf8(line).expect("text among ASCII is text"))
    }

    /// The same of an object that is written right into the line, as JSON and not empty. `usual` is about how many bytes
    /// it has: every write makes a line, on every node.
    ///
    /// # Panics
    ///
    /// When nothing is written.
    pub fn write_object(
        seq: u64,
        previous: ChainHash,
        usual: usize,
        object: impl FnOnce(&mut Vec<u8>),
    ) -> (Self, Vec<u8>) {
        let mut line = Vec::with_capacity(AROUND + usual);
        line.extend_from_slice(SEQ_MEMBER.as_bytes());
        line.extend_from_slice(seq.to_string().as_bytes());
        line.extend_from_slice(PREVIOUS_MEMBER.as_bytes());
        line.extend_from_slice(&previous.digits());
        line.push(b'"');
        let brace = line.len();
        object(&mut line);
        // Its members go on with ours.
        *line.get_mut(brace).expect("an object has a brace") = b',';
        let hash = ChainHash::of(&line);
        line.pop();
        line.extend_from_slice(HASH_MEMBER.as_bytes());
        line.extend_from_slice(&hash.digits());
        line.extend_from_slice(b"\"}");
        (Self { seq, previous, hash }, line)
    }

    /// Reads a line and checks it against its own hash.
    pub fn read(line: &str) -> Result<Self, ChainError> {
        let split = line.len().checked_sub(TAIL).ok_or(ChainError::Malformed)?;
        let (body, tail) = line.split_at_checked(split).ok_or(ChainError::Malformed)?;
        let hash = tail.strip_prefix(HASH_MEMBER).and_then(|rest| rest.strip_suffix("\"}"));
        let hash: ChainHash = hash.and_then(|hash| hash.parse().ok()).ok_or(ChainError::Malformed)?;
        let (seq, rest) = body
            .strip_prefix(SEQ_MEMBER)
            .and_then(|rest| rest.split_once(PREVIOUS_MEMBER))
            .ok_or(ChainError::Malformed)?;
        let previous =
            rest.get(..HASH_DIGITS).and_then(|previous| previous.parse().ok()).ok_or(ChainError::Malformed)?;
        let seq = seq.parse().map_err(|_| ChainError::Malformed)?;
        if ChainHash::of(format!("{body}}}").as_bytes()) != hash {
            return Err(ChainError::Changed);
        }
        Ok(Self { seq, previous, hash })
    }
}

/// Follows a chain line by line, the oldest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChainWalk {
    last: Option<Link>,
}

impl ChainWalk {
    /// Begins after a line whose hash is known.
    pub const fn after(last: Link) -> Self {
        Self { last: Some(last) }
    }

    /// The last line that was right.
    pub const fn last(&self) -> Option<Link> {
        self.last
    }

    pub fn step(&mut self, line: &str) -> Result<Link, ChainError> {
        let link = Link::read(line)?;
        if let Some(last) = self.last {
            let expected = last.seq.saturating_add(1);
            if link.seq != expected {
                return Err(ChainError::Missing { expected, found: link.seq });
            }
            if link.previous != last.hash {
                return Err(ChainError::Unlinked);
            }
        } else if link.seq == 1 && link.previous != ChainHash::ORIGIN {
            return Err(ChainError::Unlinked);
        }
        self.last = Some(link);
        Ok(link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(count: u64) -> Vec<String> {
        let mut previous = ChainHash::ORIGIN;
        (1..=count)
            .map(|seq| {
                let (link, line) = Link::write(seq, previous, &format!("\"n\":\"{seq}\\\"ä\""));
                previous = link.hash;
                line
            })
            .collect()
    }

    fn walk(lines: &[String]) -> Result<(), (usize, ChainError)> {
        let mut walk = ChainWalk::default();
        lines.iter().enumerate().try_for_each(|(at, line)| walk.step(line).map(drop).map_err(|why| (at, why)))
    }

    #[test]
    fn a_chain_is_whole_from_any_line_on() {
        let lines = chain(5);
        assert_eq!(walk(&lines), Ok(()));
        assert_eq!(walk(&lines[2..]), Ok(()));
        assert!(lines.iter().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    }

    #[test]
    fn what_was_changed_dropped_or_moved_is_found() {
        let lines = chain(5);
        let mut changed = lines.clone();
        changed[2] = changed[2].replacen("\"n\":\"3", "\"n\":\"4", 1);
        assert_eq!(walk(&changed), Err((2, ChainError::Changed)));
        let mut dropped = lines.clone();
        dropped.remove(3);
        assert_eq!(walk(&dropped), Err((3, ChainError::Missing { expected: 4, found: 5 })));
        let mut forged = lines.clone();
        forged[1] = Link::write(2, ChainHash::of(b"elsewhere"), "\"n\":1").1;
        assert_eq!(walk(&forged), Err((1, ChainError::Unlinked)));
        let mut rewritten = lines;
        rewritten[1] = Link::write(2, Link::read(&rewritten[0]).unwrap().hash, "\"n\":1").1;
        assert_eq!(walk(&rewritten), Err((2, ChainError::Unlinked)), "the next line gives it away");
        assert_eq!(walk(&[Link::write(1, ChainHash::of(b"x"), "\"n\":1").1]), Err((0, ChainError::Unlinked)));
    }

    #[test]
    fn any_changed_byte_is_seen() {
        let line = &chain(1)[0];
        for at in 0..line.len() {
            let mut bytes = line.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            assert!(ChainWalk::default().step(&text).is_err(), "{at}: {text}");
        }
        for cut in 0..line.len() {
            assert!(line.get(..cut).is_none_or(|text| Link::read(text).is_err()), "{cut}");
        }
    }
}
