//! What stands in the tokens: access tokens as JWTs (RFC 9068) and ID tokens (OIDC Core §2).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use uuid::Uuid;
use vocab::{SigningAlgorithm, Timestamp};

use crate::acr::Acr;
use crate::authorization_details::AuthorizationDetails;
use crate::client::Client;
use crate::confirmation::Confirmation;
use crate::grant::Grant;
use crate::scope::is_issuers_own;

/// The JOSE header's `typ` of an access token (RFC 9068 §2.1).
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";
/// And of an ID token (RFC 7519 §5.1).
pub const ID_TOKEN_TYPE: &str = "JWT";

/// The claims of an access token (RFC 9068 §2.2).
#[derive(Debug, Serialize)]
pub struct AccessToken<'a> {
    pub iss: &'a str,
    /// The user, or the client itself when there is no user.
    pub sub: &'a str,
    pub aud: Audience<'a>,
    pub client_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub scope: &'a str,
    pub iat: i64,
    pub exp: i64,
    pub jti: Uuid,
    /// What whoever presents the token must prove to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
    /// Who acts for the subject (RFC 8693 §4.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<&'a Value>,
    /// Who alone may come to act for it (RFC 8693 §4.4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub may_act: Option<Party<'a>>,
    /// RFC 9396 §9.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_details: Option<&'a AuthorizationDetails>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserPart>,
}

/// Somebody, by the name that a `sub` would have.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Party<'a> {
    pub sub: &'a str,
}

/// What only the tokens of users have.
#[derive(Debug, Serialize)]
pub struct UserPart {
    pub auth_time: i64,
    /// How well the user signed in (RFC 9470 §6.1).
    pub acr: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<Uuid>,
    /// The grant behind the token: once it is revoked, userinfo and the user API refuse the token.
    pub hj_grant: Uuid,
}

impl UserPart {
    pub fn of(grant: &Grant) -> Self {
        let acr = Acr::of(&grant.amr).as_str();
        Self { auth_time: grant.auth_time.secs(), acr, sid: grant.sid, hj_grant: grant.id }
    }
}

/// Whom a token is for; one is written as a string, several as a list (RFC 7519 §4.1.3).
#[derive(Debug, PartialEq, Eq)]
pub enum Audience<'a> {
    One(&'a str),
    Many(Vec<&'a str>),
}

impl<'a> Audience<'a> {
    /// The resources asked for, or else the client's first audience, or else the issuer; and the issuer in any case
    /// when the scope is for the issuer's own endpoints, which otherwise would have to refuse the token (RFC 9068 §4).
    pub fn of<S: AsRef<str>>(resources: &'a [S], client: &'a Client, scope: &str, issuer: &'a str) -> Self {
        let default = client.spec.audiences.first().map_or(issuer, String::as_str);
        let for_issuer = scope.split(' ').any(is_issuers_own);
        match resources {
            [] if !for_issuer || default == issuer => Self::One(default),
            [] => Self::Many(vec![default, issuer]),
            [one] if !for_issuer || one.as_ref() == issuer => Self::One(one.as_ref()),
            several => {
                let mut all: Vec<&str> = several.iter().map(AsRef::as_ref).collect();
                if for_issuer && !all.contains(&issuer) {
                    all.push(issuer);
                }
                Self::Many(all)
            }
        }
    }
}

impl Serialize for Audience<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(one) => serializer.serialize_str(one),
            Self::Many(all) => {
                let mut list = serializer.serialize_seq(Some(all.len()))?;
                for one in all {
                    list.serialize_element(one)?;
                }
                list.end()
            }
        }
    }
}

/// The claims of an ID token (OIDC Core §2, §3.1.3.6). What scopes release about the user is for userinfo (§5.4); what
/// was asked for one by one may be for here (§5.5).
#[derive(Debug, Serialize)]
pub struct IdToken<'a> {
    pub iss: &'a str,
    pub sub: &'a str,
    pub aud: &'a str,
    pub iat: i64,
    pub exp: i64,
    pub auth_time: i64,
    /// As the authorization request had it; left out after a refresh (§12.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<&'a str>,
    pub amr: &'a [String],
    pub acr: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<Uuid>,
    pub at_hash: String,
    /// About the user; none of the names above.
    #[serde(flatten)]
    pub about_user: Map<String, Value>,
}

/// The `typ` of a logout token (OIDC Back-Channel Logout 1.0 §2.4).
pub const LOGOUT_TOKEN_TYPE: &str = "logout+jwt";
/// §2.4: "at most two minutes in the future".
const LOGOUT_TOKEN_SECS: u32 = 120;

/// The claims of a logout token. It has no `nonce`, so that nobody takes it for an ID token.
#[derive(Debug, Serialize)]
pub struct LogoutToken<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    jti: Uuid,
    events: Events,
    sid: Uuid,
}

#[derive(Debug, Serialize)]
struct Events {
    #[serde(rename = "http://schemas.openid.net/event/backchannel-logout")]
    logout: Empty,
}

#[derive(Debug, Serialize)]
struct Empty {}

impl<'a> LogoutToken<'a> {
    /// Tells `aud` that the session `sid` of `sub` ended. Each attempt has a `jti` of its own.
    pub fn new(iss: &'a str, sub: &'a str, aud: &'a str, sid: Uuid, jti: Uuid, now: Timestamp) -> Self {
        let events = Events { logout: Empty {} };
        Self { iss, sub, aud, iat: now.secs(), exp: expiry(now, LOGOUT_TOKEN_SECS), jti, events, sid }
    }
}

/// When a token that is issued now ends.
pub fn expiry(now: Timestamp, lifetime_secs: u32) -> i64 {
    now.plus_secs(i64::from(lifetime_secs)).secs()
}

/// The left half of the access token's hash, by the hash function of the ID token's own signature (OIDC Core §3.1.3.6).
pub fn at_hash(algorithm: SigningAlgorithm, access_token: &str) -> String {
    match algorithm {
        SigningAlgorithm::Es256 | SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256 => {
            left_half(&Sha256::digest(access_token))
        }
        SigningAlgorithm::Es384 => left_half(&Sha384::digest(access_token)),
        // Ed25519 hashes with SHA-512 itself (RFC 8032 §5.1).
        SigningAlgorithm::EdDsa => left_half(&Sha512::digest(access_token)),
    }
}

fn left_half(hash: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(hash.split_at(hash.len() / 2).0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::tests::{client, client_with};
    use rstest::rstest;

    const ISSUER: &str = "https://id.example";

    #[rstest]
    #[case(&[], "orders", r#""https://api.example""#)]
    #[case(&[], "orders openid", r#"["https://api.example","https://id.example"]"#)]
    #[case(&["https://other.example"], "orders", r#""https://other.example""#)]
    #[case(&["https://other.example"], "hj:users.read", r#"["https://other.example","https://id.example"]"#)]
    #[case(&["https://id.example"], "openid", r#""https://id.example""#)]
    #[case(&["a", "b"], "orders", r#"["a","b"]"#)]
    fn audiences(#[case] resources: &[&str], #[case] scope: &str, #[case] json: &str) {
        let client = client();
        let audience = Audience::of(resources, &client, scope, ISSUER);
        assert_eq!(serde_json::to_string(&audience).unwrap(), json);
    }

    #[test]
    fn without_audiences_a_token_is_for_the_issuer() {
        let client = client_with(|spec| spec.audiences.clear());
        assert_eq!(Audience::of::<&str>(&[], &client, "openid", ISSUER), Audience::One(ISSUER));
        assert_eq!(Audience::of::<&str>(&[], &client, "", ISSUER), Audience::One(ISSUER));
    }

    #[test]
    fn a_clients_token_has_no_user_part() {
        let claims = AccessToken {
            iss: ISSUER,
            sub: "web",
            aud: Audience::One("a"),
            client_id: "web",
            scope: "",
            iat: 1,
            exp: 2,
            jti: Uuid::nil(),
            cnf: None,
            act: None,
            may_act: None,
            authorization_details: None,
            user: None,
        };
        assert_eq!(
            serde_json::to_string(&claims).unwrap(),
            r#"{"iss":"https://id.example","sub":"web","aud":"a","client_id":"web","iat":1,"exp":2,"jti":"00000000-0000-0000-0000-000000000000"}"#
        );
    }

    /// The expected values were computed with Python's hashlib.
    #[rstest]
    #[case(SigningAlgorithm::Es256, "BhpKxOE-Vcaj4xuUJrlndg")]
    #[case(SigningAlgorithm::Rs256, "BhpKxOE-Vcaj4xuUJrlndg")]
    #[case(SigningAlgorithm::Ps256, "BhpKxOE-Vcaj4xuUJrlndg")]
    #[case(SigningAlgorithm::Es384, "GNvvIKfa4ISDvJ6x9hOcDH4_zn0eNRzv")]
    #[case(SigningAlgorithm::EdDsa, "01ZtquSCcUtq2rgvsuLBbDaoUaRC-fePR3RqO_YfDY0")]
    fn at_hash_is_half_of_the_hash(#[case] algorithm: SigningAlgorithm, #[case] expected: &str) {
        assert_eq!(at_hash(algorithm, "jHkWEdUXMU1BwAsC4vtUsZwnvTvxEIG0z9K3vx5KF_Q"), expected);
    }
}
