//! `application/x-www-form-urlencoded`, read strictly: the parameters of a query or of a request body.

use std::borrow::Cow;

use crate::error::{Code, OAuthError};

/// Longest form that is read at all; the shell's body limit is the same.
/// A value of 64 KiB fits, so that who sends one as a code or a token hears that it is none.
pub const MAX_BYTES: usize = 128 * 1024;
/// Most parameters in one form.
pub const MAX_PARAMETERS: usize = 64;

/// Parameters that may come more than once (RFC 8707 §2, RFC 8693 §2.1).
const REPEATABLE: [&str; 2] = ["resource", "audience"];

/// The parameters of one request. Each name stands at most once, no value holds a NUL, all is UTF-8.
#[derive(Clone, PartialEq, Eq)]
pub struct Form<'a> {
    parameters: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// Values may be secrets; names are not.
impl std::fmt::Debug for Form<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.parameters.iter().map(|(name, _)| name)).finish()
    }
}

/// Why a form was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    #[error("the form is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("the form has more than {MAX_PARAMETERS} parameters")]
    TooManyParameters,
    #[error("a percent sign is not followed by two hexadecimal digits")]
    BadEscape,
    #[error("the form is not UTF-8")]
    NotUtf8,
    #[error("the form contains a NUL character")]
    Nul,
    /// RFC 6749 §3.1, §3.2: "parameters MUST NOT be included more than once".
    #[error("the parameter {0} is repeated")]
    Repeated(String),
}

impl From<FormError> for OAuthError {
    fn from(error: FormError) -> Self {
        Self::quoting(Code::InvalidRequest, &error.to_string())
    }
}

impl<'a> Form<'a> {
    /// Reads a query string or body. Values without escapes are borrowed, not copied.
    pub fn parse(input: &'a [u8]) -> Result<Self, FormError> {
        if input.len() > MAX_BYTES {
            return Err(FormError::TooLong);
        }
        let mut parameters: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::with_capacity(8);
        for pair in input.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
            if parameters.len() == MAX_PARAMETERS {
                return Err(FormError::TooManyParameters);
            }
            let mut halves = pair.splitn(2, |b| *b == b'=');
            let name = decode(halves.next().unwrap_or_default())?;
            let value = decode(halves.next().unwrap_or_default())?;
            if parameters.iter().any(|(seen, _)| *seen == name) && !REPEATABLE.contains(&&*name) {
                return Err(FormError::Repeated(name.into_owned()));
            }
            parameters.push((name, value));
        }
        Ok(Self { parameters })
    }

    /// Of parameters that came otherwise: in a request object (RFC 9101). They keep to the same rules.
    pub fn of(given: impl IntoIterator<Item = (String, String)>) -> Result<Form<'static>, FormError> {
        let mut parameters: Vec<(Cow<'static, str>, Cow<'static, str>)> = Vec::new();
        for (name, value) in given {
            if parameters.len() == MAX_PARAMETERS {
                return Err(FormError::TooManyParameters);
            }
            if name.contains('\0') || value.contains('\0') {
                return Err(FormError::Nul);
            }
            if parameters.iter().any(|(seen, _)| *seen == name) && !REPEATABLE.contains(&&*name) {
                return Err(FormError::Repeated(name));
            }
            parameters.push((name.into(), value.into()));
        }
        Ok(Form { parameters })
    }

    /// The value of a parameter. One without a value counts as left out (RFC 6749 §3.1).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, value)| *n == name && !value.is_empty()).map(|(_, value)| value)
    }

    /// Every value of a parameter that may be repeated.
    pub fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.parameters.iter().filter(move |(n, v)| n == name && !v.is_empty()).map(|(_, v)| &**v)
    }

    /// The resources that are asked for (RFC 8707 §2), each once.
    pub fn resources(&self) -> Vec<&str> {
        let mut once = Vec::new();
        for resource in self.all("resource") {
            if !once.contains(&resource) {
                once.push(resource);
            }
        }
        once
    }

    /// Names and values, as they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parameters.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// One name or value: `+` is a space, `%XX` a byte, the result UTF-8 without NUL (RFC 6749 Appendix B).
///
/// Also the decoding of the two halves of Basic credentials (RFC 6749 §2.3.1).
pub fn decode(raw: &[u8]) -> Result<Cow<'_, str>, FormError> {
    if raw.contains(&0) {
        return Err(FormError::Nul);
    }
    if !raw.iter().any(|b| matches!(b, b'+' | b'%')) {
        return std::str::from_utf8(raw).map(Cow::Borrowed).map_err(|_| FormError::NotUtf8);
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => match (rest.next().copied().and_then(hex), rest.next().copied().and_then(hex)) {
                (Some(0), Some(0)) => return Err(FormError::Nul),
                (Some(high), Some(low)) => high << 4 | low,
                _ => return Err(FormError::BadEscape),
            },
            other => *other,
        });
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| FormError::NotUtf8)
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("a=1&a=1", FormError::Repeated("a".into()))]
    #[case("a=&a=1", FormError::Repeated("a".into()))]
    #[case("a=1&%61=2", FormError::Repeated("a".into()))]
    #[case("a=%", FormError::BadEscape)]
    #[case("a=%4", FormError::BadEscape)]
    #[case("a=%+1", FormError::BadEscape)]
    #[case("a=%zz", FormError::BadEscape)]
    #[case("a=%00", FormError::Nul)]
    #[case("a=\0", FormError::Nul)]
    #[case("a=%ff", FormError::NotUtf8)]
    fn refused(#[case] input: &str, #[case] error: FormError) {
        assert_eq!(Form::parse(input.as_bytes()), Err(error));
    }

    #[test]
    fn limits() {
        let many = (0..=MAX_PARAMETERS).map(|i| format!("p{i}=1")).collect::<Vec<_>>().join("&");
        assert_eq!(Form::parse(many.as_bytes()), Err(FormError::TooManyParameters));
        assert_eq!(Form::parse(&vec![b'a'; MAX_BYTES + 1]), Err(FormError::TooLong));
    }

    #[test]
    fn read() {
        let form = Form::parse(b"a=1&b=x+y%21&empty=&resource=r1&resource=r2&&c").unwrap();
        assert_eq!(form.get("a"), Some("1"));
        assert_eq!(form.get("b"), Some("x y!"));
        assert_eq!((form.get("empty"), form.get("c"), form.get("none")), (None, None, None));
        assert_eq!(form.all("resource").collect::<Vec<_>>(), ["r1", "r2"]);
        assert_eq!(Form::parse(b"resource=b&resource=a&resource=b").unwrap().resources(), ["b", "a"]);
        assert!(!format!("{form:?}").contains("x y!"));
    }

    proptest! {
        #[test]
        fn never_panics(input in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Form::parse(&input);
        }

        #[test]
        fn reads_what_others_write(value in "[^\0]*") {
            let written: String = form_urlencoded::Serializer::new(String::new()).append_pair("v", &value).finish();
            let form = Form::parse(written.as_bytes()).unwrap();
            prop_assert_eq!(form.get("v").unwrap_or_default(), value);
        }
    }
}
