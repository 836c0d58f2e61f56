//! Who is asking: client authentication at the token endpoint (RFC 6749 §2.3).

pub mod assertion;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::{Choice, ConstantTimeEq as _};
use vocab::{SecretDigest, Timestamp};

use self::assertion::{Assertion, Audience, NotProven, Once};
use crate::certificate::ClientCertificate;
use crate::client::{AuthMethod, Client};
use crate::confirmation::Confirmation;
use crate::error::OAuthError;
use crate::form::{self, Form};
use crate::jose::ClientKeys;

/// Longest `Authorization` header that is looked at.
const MAX_HEADER_BYTES: usize = 4 * 1024;

/// The proof that a client is who it says, by the one method it is registered for. A public client has shown nothing
/// but its name. Only [`authenticate`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct AuthenticatedClient<'c> {
    client: &'c Client,
    confirmation: Option<Confirmation>,
}

impl<'c> AuthenticatedClient<'c> {
    const fn new(client: &'c Client) -> Self {
        Self { client, confirmation: None }
    }

    pub const fn client(&self) -> &'c Client {
        self.client
    }

    /// What the request proved to have, and every token that it gets is therefore bound to.
    pub const fn confirmation(&self) -> Option<Confirmation> {
        self.confirmation
    }

    /// The same client, its tokens to be bound.
    #[must_use]
    pub const fn bound_to(self, confirmation: Option<Confirmation>) -> Self {
        Self { confirmation, ..self }
    }

    /// What a refresh token is bound to. A confidential client's is bound by its authentication already (RFC 9449 §5,
    /// RFC 8705 §4).
    pub fn refresh_confirmation(&self) -> Option<Confirmation> {
        self.confirmation.filter(|_| self.client.is_public())
    }

    /// Whether the request proved to have what a refresh token was bound to.
    pub fn confirms(&self, bound: Option<Confirmation>) -> bool {
        bound.is_none() || bound == self.confirmation
    }

    /// For tests of what comes after.
    #[cfg(test)]
    pub(crate) const fn proven(client: &'c Client) -> Self {
        Self::new(client)
    }
}

/// What the request presented, and by which method.
struct Credentials<'a> {
    client_id: Cow<'a, str>,
    method: AuthMethod,
    secret: Cow<'a, str>,
}

/// Parameters of a token request that must never stand in a URL, where they end up in logs (RFC 6749 §2.3.1, §3.2).
const NEVER_IN_QUERY: [&str; 13] = [
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "grant_type",
    "code",
    "code_verifier",
    "refresh_token",
    "scope",
    "username",
    "password",
    "access_token",
    "token",
];

/// Refuses a request that put its parameters into the URL.
pub fn refuse_query_parameters(query: &str) -> Result<(), OAuthError> {
    if query.is_empty() {
        return Ok(());
    }
    let query = Form::parse(query.as_bytes())?;
    if query.iter().any(|(name, _)| NEVER_IN_QUERY.contains(&name)) {
        return Err(OAuthError::invalid_request("Parameters belong into the body, not into the URL."));
    }
    Ok(())
}

/// Authenticates the client of a token request. An unknown client, a disabled one, one that used another method than
/// it is registered for and one with a wrong secret get the same answer after the same work.
pub fn authenticate<'c>(
    now: Timestamp,
    authorization: Option<&[u8]>,
    form: &Form<'_>,
    find_client: impl FnOnce(&str) -> Option<&'c Client>,
) -> Result<AuthenticatedClient<'c>, OAuthError> {
    let presented = presented(authorization, form)?;
    let client = find_client(&presented.client_id);
    let proven = proves(now, client, &presented);
    client.filter(|client| proven && client.spec.enabled).map(AuthenticatedClient::new).ok_or(FAILED)
}

/// The client that a request names, proven or not: whom [`Assertion`], certificate or [`authenticate`] would have to prove.
/// `None`: nobody, or two.
pub fn named(authorization: Option<&[u8]>, form: &Form<'_>) -> Option<String> {
    if let Some(assertion) = Assertion::of(authorization, form).ok()? {
        return Some(assertion.client_id().to_owned());
    }
    presented(authorization, form).ok().map(|presented| presented.client_id.into_owned())
}

/// The one answer of those that do not prove who they are.
pub const FAILED: OAuthError = OAuthError::invalid_client("Client authentication failed.");

/// The client that a request names and nothing else proves, if it is one that shows a certificate.
pub fn to_show_a_certificate<'c>(
    authorization: Option<&[u8]>,
    form: &Form<'_>,
    find_client: impl FnOnce(&str) -> Option<&'c Client>,
) -> Option<&'c Client> {
    if authorization.is_some() || form.get("client_secret").is_some() {
        return None;
    }
    find_client(form.get("client_id")?).filter(|client| client.spec.token_endpoint_auth_method.uses_certificate())
}

/// By mutual TLS (RFC 8705 §2).
pub fn by_certificate<'c>(
    now: Timestamp,
    client: &'c Client,
    certificate: Option<&ClientCertificate>,
    keys: &ClientKeys,
) -> Result<AuthenticatedClient<'c>, OAuthError> {
    let missing = OAuthError::invalid_client("The request was not sent with a certificate.");
    let proven = certificate.ok_or(missing)?.proves(now, client, keys);
    if proven && client.spec.enabled { Ok(AuthenticatedClient::new(client)) } else { Err(FAILED) }
}

/// By a JWT that the client signed. The caller notes it, so that it counts once.
pub fn by_assertion<'c>(
    now: Timestamp,
    client: &'c Client,
    assertion: &Assertion<'_>,
    keys: &ClientKeys,
    audience: Audience<'_>,
) -> Result<(AuthenticatedClient<'c>, Once), NotProven> {
    if !client.spec.enabled {
        return Err(NotProven::Refused(FAILED));
    }
    let once = assertion.verify(now, client, keys, audience)?;
    Ok((AuthenticatedClient::new(client), once))
}

fn proves(now: Timestamp, client: Option<&Client>, presented: &Credentials<'_>) -> bool {
    let digest = SecretDigest::of(presented.secret.as_bytes());
    let secret_is_right = compared_with(now, client).fold(Choice::from(0), |found, (known, counts)| {
        found | (known.as_bytes().ct_eq(digest.as_bytes()) & Choice::from(u8::from(counts)))
    });
    match client.map(|client| client.spec.token_endpoint_auth_method) {
        // OIDC Core §9, RFC 7591 §2: the registered method and no other.
        Some(registered) if registered == presented.method => {
            registered == AuthMethod::None || bool::from(secret_is_right)
        }
        _ => false,
    }
}

/// As many as a client may have.
const COMPARED: usize = 2;
/// In the place of those that a client lacks. It opens nothing, whatever it may be the digest of.
const DECOY: SecretDigest = SecretDigest::from_bytes([0; 32]);

/// What a secret is held against, each with whether it counts: as many for a client with one secret, with none, and for
/// one that does not exist, so that the time tells nothing.
fn compared_with(now: Timestamp, client: Option<&Client>) -> impl Iterator<Item = (SecretDigest, bool)> {
    let secrets = client.map_or(&[][..], |client| &client.secrets);
    let decoys = std::iter::repeat_n((DECOY, false), COMPARED.saturating_sub(secrets.len()));
    secrets.iter().map(move |secret| (secret.digest, secret.is_valid_at(now))).chain(decoys)
}

/// RFC 6749 §2.3: one method per request.
fn presented<'a>(authorization: Option<&'a [u8]>, form: &'a Form<'_>) -> Result<Credentials<'a>, OAuthError> {
    match (authorization, form.get("client_secret")) {
        (Some(_), Some(_)) => Err(OAuthError::invalid_request("Client credentials came twice, in header and body.")),
        (Some(header), None) => {
            let credentials = basic(header).ok_or(FAILED)?;
            match form.get("client_id") {
                Some(other) if other != credentials.client_id => {
                    Err(OAuthError::invalid_request("The client_id differs from the one in the header."))
                }
                _ => Ok(credentials),
            }
        }
        (None, secret) => {
            let client_id =
                form.get("client_id").ok_or(OAuthError::invalid_client("The client did not say who it is."))?;
            let method = if secret.is_some() { AuthMethod::ClientSecretPost } else { AuthMethod::None };
            Ok(Credentials { client_id: client_id.into(), method, secret: secret.unwrap_or_default().into() })
        }
    }
}

/// `Basic` credentials (RFC 7617 §2), both halves form-encoded on top (RFC 6749 §2.3.1).
fn basic(header: &[u8]) -> Option<Credentials<'static>> {
    if header.len() > MAX_HEADER_BYTES {
        return None;
    }
    let (scheme, rest) = header.split_at_checked(6)?;
    // The scheme's case does not matter (RFC 9110 §11.1).
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = STANDARD.decode(rest.trim_ascii()).ok()?;
    let colon = decoded.iter().position(|b| *b == b':')?;
    let (id, secret) = decoded.split_at(colon);
    let secret = secret.strip_prefix(b":")?;
    Some(Credentials {
        client_id: form::decode(id).ok()?.into_owned().into(),
        method: AuthMethod::ClientSecretBasic,
        secret: form::decode(secret).ok()?.into_owned().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ClientSecret;
    use crate::client::tests::{client, client_with};
    use crate::error::Code;
    use proptest::prelude::*;
    use rstest::rstest;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);

    fn header(credentials: &str) -> String {
        format!("Basic {}", STANDARD.encode(credentials))
    }

    fn run(client: &Client, authorization: Option<&str>, body: &str) -> Result<(), OAuthError> {
        let form = Form::parse(body.as_bytes()).unwrap();
        authenticate(NOW, authorization.map(str::as_bytes), &form, |id| (id == "web").then_some(client))
            .map(|proof| assert_eq!(proof.client(), client))
    }

    #[rstest]
    #[case::good(Some(header("web:s3cret")), "", None)]
    #[case::same_id_in_body(Some(header("web:s3cret")), "client_id=web", None)]
    #[case::form_encoded(Some(header("w%65b:s3cr%65t")), "", None)]
    #[case::lower_case_scheme(Some(header("web:s3cret").replace("Basic", "basic")), "", None)]
    #[case::wrong_secret(Some(header("web:wrong")), "", Some(Code::InvalidClient))]
    #[case::unknown(Some(header("nobody:s3cret")), "", Some(Code::InvalidClient))]
    #[case::empty_secret(Some(header("web:")), "", Some(Code::InvalidClient))]
    #[case::no_colon(Some(header("web")), "", Some(Code::InvalidClient))]
    #[case::bad_base64(Some("Basic %%%".into()), "", Some(Code::InvalidClient))]
    #[case::empty(Some(String::new()), "", Some(Code::InvalidClient))]
    #[case::bearer(Some("Bearer x".into()), "client_id=web", Some(Code::InvalidClient))]
    #[case::huge(Some(header(&format!("web:{}", "x".repeat(32_768)))), "", Some(Code::InvalidClient))]
    #[case::nul(Some(header("web:s3cret%00")), "", Some(Code::InvalidClient))]
    #[case::bad_escape(Some(header("web:100%")), "", Some(Code::InvalidClient))]
    #[case::post_though_registered_for_basic(None, "client_id=web&client_secret=s3cret", Some(Code::InvalidClient))]
    #[case::name_only(None, "client_id=web", Some(Code::InvalidClient))]
    #[case::nothing(None, "", Some(Code::InvalidClient))]
    #[case::secret_only(None, "client_secret=s3cret", Some(Code::InvalidClient))]
    #[case::twice(Some(header("web:s3cret")), "client_secret=s3cret", Some(Code::InvalidRequest))]
    #[case::two_names(Some(header("web:s3cret")), "client_id=other", Some(Code::InvalidRequest))]
    fn a_client_of_basic(#[case] authorization: Option<String>, #[case] body: &str, #[case] refused: Option<Code>) {
        let result = run(&client(), authorization.as_deref(), body);
        assert_eq!(result.err().map(|error| error.code()), refused);
    }

    #[rstest]
    #[case(AuthMethod::ClientSecretPost, None, "client_id=web&client_secret=s3cret", true)]
    #[case(AuthMethod::ClientSecretPost, None, "client_id=web&client_secret=", false)]
    #[case(AuthMethod::ClientSecretPost, Some(header("web:s3cret")), "", false)]
    #[case(AuthMethod::None, None, "client_id=web", true)]
    #[case(AuthMethod::None, None, "client_id=web&client_secret=s3cret", false)]
    #[case(AuthMethod::None, Some(header("web:")), "", false)]
    fn the_registered_method_only(
        #[case] auth_method: AuthMethod,
        #[case] authorization: Option<String>,
        #[case] body: &str,
        #[case] accepted: bool,
    ) {
        let client = client_with(|spec| spec.token_endpoint_auth_method = auth_method);
        assert_eq!(run(&client, authorization.as_deref(), body).is_ok(), accepted);
    }

    #[test]
    fn unknown_disabled_and_wrong_are_told_the_same() {
        let disabled = client_with(|spec| spec.enabled = false);
        let errors = [
            run(&client(), Some(&header("web:wrong")), ""),
            run(&client(), Some(&header("nobody:s3cret")), ""),
            run(&client(), Some("Basic ="), ""),
            run(&client(), None, "client_id=web&client_secret=s3cret"),
            run(&disabled, Some(&header("web:s3cret")), ""),
        ];
        assert!(errors.iter().all(|result| *result == Err(FAILED)), "{errors:?}");
    }

    #[test]
    fn whoever_it_is_the_secret_is_compared_as_often() {
        let one = client();
        let secret = one.secrets.first().unwrap().clone();
        let two = Client { secrets: vec![secret.clone(), secret], ..client() };
        let public = Client { secrets: vec![], ..client() };
        for client in [None, Some(&public), Some(&one), Some(&two)] {
            assert_eq!(compared_with(NOW, client).count(), COMPARED);
        }
        assert!(compared_with(NOW, None).all(|(_, counts)| !counts));
    }

    #[test]
    fn either_secret_opens_until_it_expires() {
        let secret =
            |text: &str, expires_at| ClientSecret { digest: SecretDigest::of(text.as_bytes()), key: None, expires_at };
        let secrets = vec![secret("old", Some(NOW)), secret("leaving", Some(NOW.plus_secs(1))), secret("new", None)];
        let client = Client { secrets, ..client() };
        for (text, accepted) in [("old", false), ("leaving", true), ("new", true)] {
            assert_eq!(run(&client, Some(&header(&format!("web:{text}"))), "").is_ok(), accepted, "{text}");
        }
    }

    #[rstest]
    #[case("", true)]
    #[case("tenant=acme", true)]
    #[case("client_id=web&client_secret=s3cret", false)]
    #[case("client_secret=s3cret", false)]
    #[case("code=x", false)]
    #[case("a=%zz", false)]
    fn nothing_secret_in_the_url(#[case] query: &str, #[case] accepted: bool) {
        assert_eq!(refuse_query_parameters(query).is_ok(), accepted);
    }

    proptest! {
        #[test]
        fn never_panics(header in proptest::collection::vec(any::<u8>(), 0..60), tail in "[ -~]{0,40}") {
            let form = Form::parse(b"").unwrap();
            let client = client();
            let _ = authenticate(NOW, Some(&header), &form, |_| Some(&client));
            let _ = authenticate(NOW, Some(format!("Basic {tail}").as_bytes()), &form, |_| Some(&client));
        }
    }
}
