//! `X-Request-Id`, by which a request is found in logs and audit: one rule for what of a caller's is taken over.

/// The name of the header.
pub const HEADER: &str = "x-request-id";
const MAX_BYTES: usize = 128;

/// What was sent, when it is a word that is safe in logs, headers and file names.
pub fn taken_over(sent: &str) -> Option<&str> {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+/=".contains(&byte);
    ((1..=MAX_BYTES).contains(&sent.len()) && sent.bytes().all(safe)).then_some(sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_are_safe_everywhere() {
        assert_eq!(taken_over("a-1_b.c:d+e/f="), Some("a-1_b.c:d+e/f="));
        for bad in ["", "a b", "a\nb", "ä", "a\"b", &"x".repeat(129)] {
            assert_eq!(taken_over(bad), None, "{bad:?}");
        }
    }
}
