//! A user as JSON: read with every problem named, written without anything secret.

use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;
use vocab::{ErrorCode, Timestamp, Violations};

use crate::email::Email;
use crate::password::{Demands, Password};
use crate::problem::Problem;
use crate::store::users::UserRow;
use crate::tenant::TenantContext;

/// Claims are copied into every userinfo answer and ID token that asks for them.
const MAX_CLAIMS_BYTES: usize = 16 * 1024;

#[derive(Serialize)]
pub(super) struct UserDocument {
    id: Uuid,
    email: String,
    email_verified: bool,
    status: String,
    claims: Map<String, Value>,
    created_at: String,
    updated_at: String,
}

impl From<UserRow> for UserDocument {
    fn from(row: UserRow) -> Self {
        Self {
            id: row.user.id,
            email: row.user.email,
            email_verified: row.user.email_verified,
            status: row.status,
            claims: row.user.claims,
            created_at: rfc3339(row.created_at),
            updated_at: rfc3339(row.user.updated_at),
        }
    }
}

pub(super) fn rfc3339(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.millis()).map(|time| time.to_string()).unwrap_or_default()
}

#[derive(Debug)]
pub(super) struct NewUserDocument {
    pub(super) email: Email,
    /// `None`: the user cannot sign in with a password.
    pub(super) password: Option<Password>,
    pub(super) email_verified: bool,
    pub(super) claims: Map<String, Value>,
}

impl NewUserDocument {
    pub(super) fn parse(tenant: &TenantContext, body: &[u8]) -> Result<Self, Problem> {
        let mut fields = object(body)?;
        let mut problems = Violations::new();
        let email = email(fields.remove("email"), &mut problems);
        let demands = tenant.password_demands(email.as_ref().map(Email::as_written).as_slice());
        let password = password(fields.remove("password"), &demands, &mut problems);
        let email_verified = match fields.remove("email_verified") {
            None => false,
            Some(Value::Bool(verified)) => verified,
            Some(_) => {
                problems.add("/email_verified", "must be true or false");
                false
            }
        };
        let claims = claims(fields.remove("claims"), &mut problems);
        for name in fields.keys() {
            problems.add(format!("/{}", pointer(name)), "is not a field of a user");
        }
        match (email, problems.into_result()) {
            (Some(email), Ok(())) => Ok(Self { email, password, email_verified, claims }),
            (_, Err(problems)) => Err(Problem::invalid(problems)),
            // Not reached: without an address there is a problem.
            (None, Ok(())) => Err(Problem::new(ErrorCode::InvalidRequest, "the email is missing")),
        }
    }
}

pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(Problem::new(ErrorCode::InvalidRequest, "the body must be a JSON object")),
    }
}

fn email(value: Option<Value>, problems: &mut Violations) -> Option<Email> {
    match value {
        Some(Value::String(text)) => match Email::parse(&text) {
            Ok(email) => return Some(email),
            Err(problem) => problems.add("/email", problem.to_string()),
        },
        None => problems.add("/email", "is missing"),
        Some(_) => problems.add("/email", "must be a string"),
    }
    None
}

pub(super) fn password(value: Option<Value>, demands: &Demands<'_>, problems: &mut Violations) -> Option<Password> {
    match value {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) => match Password::chosen(text, demands) {
            Ok(password) => return Some(password),
            Err(problem) => problems.add("/password", problem.to_string()),
        },
        Some(_) => problems.add("/password", "must be a string"),
    }
    None
}

fn claims(value: Option<Value>, problems: &mut Violations) -> Map<String, Value> {
    let claims = match value {
        None => return Map::new(),
        Some(Value::Object(claims)) => claims,
        Some(_) => {
            problems.add("/claims", "must be an object");
            return Map::new();
        }
    };
    for name in claims.keys().filter(|name| vocab::claims::is_reserved(name)) {
        problems.add(format!("/claims/{}", pointer(name)), "is set by the server itself");
    }
    let text = serde_json::to_string(&claims).unwrap_or_default();
    problems.require(text.len() <= MAX_CLAIMS_BYTES, "/claims", || format!("must be at most {MAX_CLAIMS_BYTES} bytes"));
    // Postgres keeps no NUL in text (jsonb included).
    problems.require(!text.contains("\\u0000"), "/claims", || "must not contain the character NUL".to_owned());
    claims
}

/// RFC 6901 §3.
pub(super) fn pointer(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::ResponseError as _;
    use actix_web::body::MessageBody as _;

    use crate::fixture;

    #[test]
    fn a_good_document() {
        let body =
            br#"{"email":"Ada@Example.com","password":"correct horse","email_verified":true,"claims":{"name":"Ada"}}"#;
        let new = NewUserDocument::parse(&fixture::tenant(), body).unwrap();
        assert_eq!(new.email.normalized(), "ada@example.com");
        assert!(new.email_verified && new.password.is_some());
        assert_eq!(new.claims["name"], "Ada");
    }

    #[test]
    fn every_problem_is_named_and_no_password_is() {
        let body = br#"{"email":"x","password":"short1","email_verified":"yes","claims":{"sub":"1","a":"\u0000"},"role":1,"a/b":2}"#;
        let problem = NewUserDocument::parse(&fixture::tenant(), body).unwrap_err();
        let body = problem.error_response().into_body().try_into_bytes().unwrap();
        let text = std::str::from_utf8(&body).unwrap();
        for pointer in ["/email", "/password", "/email_verified", "/claims/sub", "/claims", "/role", "/a~1b"] {
            assert!(text.contains(&format!("\"pointer\":\"{pointer}\"")), "{pointer} in {text}");
        }
        assert!(!text.contains("short1"));
    }

    #[test]
    fn what_is_no_object_is_unreadable() {
        for body in ["", "[]", "null", "{\"email\":"] {
            assert_eq!(
                NewUserDocument::parse(&fixture::tenant(), body.as_bytes()).unwrap_err().code(),
                ErrorCode::InvalidRequest
            );
        }
    }
}
