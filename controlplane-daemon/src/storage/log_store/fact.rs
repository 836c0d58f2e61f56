//! What is kept beside the log, a few words each.

/// Facts kept beside the log. Opaque, too, but for the checksum that is stored behind each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    Vote,
    /// In the journal, not in `log.redb`: it changes with every batch.
    Committed,
    /// The last position removed from the front of the log.
    Purged,
    /// The number of the journal's next block when this was written: the journal never has fewer, unless it was cut.
    Blocks,
}

impl Fact {
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Vote => "vote",
            Self::Committed => "committed",
            Self::Purged => "purged",
            Self::Blocks => "blocks",
        }
    }
}

/// Before the checksum. What owners store is text, which has none of it; so what the first release stored, without a
/// checksum, is told apart.
const MARK: u8 = 0;

/// As it is stored.
pub(super) fn seal(value: &[u8]) -> Vec<u8> {
    let mut stored = value.to_vec();
    stored.push(MARK);
    stored.extend_from_slice(&crc32fast::hash(value).to_be_bytes());
    stored
}

/// As its owner knows it; `None` when it is not what was stored.
pub(super) fn open(mut stored: Vec<u8>) -> Option<Vec<u8>> {
    let Some((rest, checksum)) = stored.split_last_chunk::<4>() else { return Some(stored) };
    if rest.last() != Some(&MARK) {
        return (!stored.contains(&MARK)).then_some(stored);
    }
    let value = rest.len() - 1;
    let checksum = u32::from_be_bytes(*checksum);
    stored.truncate(value);
    (crc32fast::hash(&stored) == checksum).then_some(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_facts_are_read_and_damaged_new_ones_are_not() {
        assert_eq!(open(b"{\"term\":3}".to_vec()), Some(b"{\"term\":3}".to_vec()));
        assert_eq!(open(b"3".to_vec()), Some(b"3".to_vec()));
        let stored = seal(b"{\"term\":3}");
        assert_eq!(open(stored.clone()), Some(b"{\"term\":3}".to_vec()));
        for bit in 0..stored.len() * 8 {
            let mut damaged = stored.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // Without the mark it looks like an old one, whose owner does not understand the checksum behind it.
            let read = open(damaged).filter(|read| read.len() < stored.len());
            assert_eq!(read, None, "bit {bit}");
        }
    }
}
