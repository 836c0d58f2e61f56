//! A problem document (RFC 9457) as the admin API and the data plane send it, read leniently: proxies answer, too.

use std::fmt;

use serde::Deserialize;
use vocab::{ErrorCode, Violation};

#[derive(Debug, Default)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    pub(crate) code: Option<ErrorCode>,
    pub(crate) title: String,
    pub(crate) detail: String,
    pub(crate) errors: Vec<Violation>,
}

/// What may stand in the body: a problem document, or an OAuth error (RFC 6749 §5.2).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    title: String,
    code: String,
    detail: String,
    errors: Vec<Violation>,
    error: String,
    error_description: String,
}

impl Problem {
    pub(crate) fn read(status: u16, body: &[u8]) -> Self {
        let Ok(body) = serde_json::from_slice::<Body>(body) else {
            let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
            return Self { status, title: format!("HTTP {status}"), detail: text.trim().to_owned(), ..Self::default() };
        };
        let code = ErrorCode::parse(&body.code);
        let title = [body.title, body.error].into_iter().find(|text| !text.is_empty());
        let title = title.unwrap_or_else(|| format!("HTTP {status}"));
        let detail = if body.detail.is_empty() { body.error_description } else { body.detail };
        Self { status, code, title, detail, errors: body.errors }
    }
}

/// Title, detail, then one line for each field that is wrong.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)?;
        if !self.detail.is_empty() && self.detail != self.title {
            write!(f, ": {}", self.detail)?;
        }
        match self.code {
            Some(code) => write!(f, " ({}, {code})", self.status)?,
            None if !self.title.starts_with("HTTP") => write!(f, " ({})", self.status)?,
            None => {}
        }
        for error in &self.errors {
            let place = if error.pointer.is_empty() { "(document)" } else { &error.pointer };
            write!(f, "\n  {place}: {}", error.detail)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_error_is_shown() {
        let body = br#"{"type":"about:blank","title":"The document breaks rules","status":422,"code":"validation_failed",
            "detail":"2 problems","errors":[{"pointer":"/slug","detail":"must be short"},{"pointer":"","detail":"no"}]}"#;
        assert_eq!(
            Problem::read(422, body).to_string(),
            "The document breaks rules: 2 problems (422, validation_failed)\n  /slug: must be short\n  (document): no"
        );
    }

    #[test]
    fn oauth_errors_and_other_bodies_are_shown_as_they_come() {
        let oauth = br#"{"error":"invalid_client","error_description":"wrong secret"}"#;
        assert_eq!(Problem::read(401, oauth).to_string(), "invalid_client: wrong secret (401)");
        assert_eq!(Problem::read(502, b"<h1>Bad Gateway</h1>").to_string(), "HTTP 502: <h1>Bad Gateway</h1>");
    }
}
