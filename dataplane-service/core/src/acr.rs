//! Authentication context classes (OIDC Core §2 `acr`): how well a user signed in, as one word that clients can ask
//! for.

use serde::Deserialize;
use vocab::oauth::Mfa;

/// The classes that are known here, the weaker first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(from = "String")]
pub enum Acr {
    /// One factor: a password, or what stands for one.
    SingleFactor,
    /// Two factors of different kinds (RFC 8176 `mfa`).
    MultiFactor,
}

impl Acr {
    /// The classes that users of such a tenant can reach: discovery names these.
    pub const fn reachable(mfa: Mfa) -> &'static [Self] {
        match mfa {
            Mfa::Off => &[Self::SingleFactor],
            Mfa::Optional | Mfa::Required => &[Self::SingleFactor, Self::MultiFactor],
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SingleFactor => "urn:hellojohn:acr:1fa",
            Self::MultiFactor => "urn:hellojohn:acr:2fa",
        }
    }

    /// The class of a sign-in by these methods (RFC 8176).
    pub fn of(amr: &[String]) -> Self {
        if amr.iter().any(|method| method == "mfa") { Self::MultiFactor } else { Self::SingleFactor }
    }

    /// Whether this sign-in is what any of `values` asks for; a better one will do for a weaker class.
    pub fn satisfies<S: AsRef<str>>(self, values: &[S]) -> bool {
        [Self::SingleFactor, Self::MultiFactor]
            .into_iter()
            .any(|class| class <= self && values.iter().any(|value| value.as_ref() == class.as_str()))
    }

    /// What to say to a client that asked for `values`: the class it named, when a weaker one was asked for and met.
    pub fn told<S: AsRef<str>>(self, values: &[S]) -> &'static str {
        let named = |class: &Self| values.iter().any(|value| value.as_ref() == class.as_str());
        if named(&self) {
            return self.as_str();
        }
        [Self::MultiFactor, Self::SingleFactor]
            .into_iter()
            .find(|class| *class < self && named(class))
            .unwrap_or(self)
            .as_str()
    }
}

/// As in a token of ours; a word that is not known stands for the weakest.
impl From<String> for Acr {
    fn from(text: String) -> Self {
        if text == Self::MultiFactor.as_str() { Self::MultiFactor } else { Self::SingleFactor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const ONE: &str = "urn:hellojohn:acr:1fa";
    const TWO: &str = "urn:hellojohn:acr:2fa";

    #[rstest]
    #[case(&["pwd"], &[ONE], true, ONE)]
    #[case(&["pwd"], &[TWO], false, ONE)]
    #[case(&["pwd"], &[TWO, ONE], true, ONE)]
    #[case(&["pwd", "otp", "mfa"], &[ONE], true, ONE)]
    #[case(&["pwd", "otp", "mfa"], &[ONE, TWO], true, TWO)]
    #[case(&["pwd"], &["0"], false, ONE)]
    #[case(&["pwd"], &[], false, ONE)]
    fn classes(#[case] amr: &[&str], #[case] values: &[&str], #[case] satisfied: bool, #[case] told: &str) {
        let amr: Vec<String> = amr.iter().map(|method| (*method).to_owned()).collect();
        assert_eq!(Acr::of(&amr).satisfies(values), satisfied);
        assert_eq!(Acr::of(&amr).told(values), told);
    }
}
