//! Why nodes that were asked did not take this one in, as far as it was said: it may stay so for long, and is told once.

use std::collections::BTreeMap;

use super::Seed;

/// The reason of each node that was said last.
#[derive(Debug, Default)]
pub(super) struct Told {
    reasons: BTreeMap<String, String>,
}

impl Told {
    /// Whether it is to be said: it was not, or another one was meanwhile.
    pub(super) fn is_news(&mut self, seed: &Seed, why: &str) -> bool {
        let before = self.reasons.insert(seed.to_string(), why.to_owned());
        before.is_none_or(|before| before != why)
    }

    /// There is no reason any more.
    pub(super) fn forget(&mut self, seed: &Seed) {
        self.reasons.remove(&seed.to_string());
    }

    /// DNS names others now and then: those that are asked no more are forgotten.
    pub(super) fn keep_only<'a>(&mut self, asked: impl Iterator<Item = &'a Seed>) {
        let asked: Vec<String> = asked.map(ToString::to_string).collect();
        self.reasons.retain(|seed, _| asked.contains(seed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_news_until_it_is_said_and_again_when_it_changes() {
        let (seed, other): (Seed, Seed) = ("cp-0:7200".parse().unwrap(), "cp-1:7200".parse().unwrap());
        let mut told = Told::default();
        assert!(told.is_news(&seed, "refused") && !told.is_news(&seed, "refused"));
        assert!(told.is_news(&other, "refused"));
        assert!(told.is_news(&seed, "unknown issuer") && !told.is_news(&seed, "unknown issuer"));
        assert!(told.is_news(&seed, "refused"));
        told.forget(&seed);
        assert!(told.is_news(&seed, "refused"));
        told.keep_only(std::iter::once(&other));
        assert!(told.is_news(&seed, "refused") && !told.is_news(&other, "refused"));
    }
}
