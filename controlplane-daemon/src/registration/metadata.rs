//! Client metadata (RFC 7591 §2) as a client's spec and back.
//!
//! Not field by field: what a client may say of itself is what has a name in IANA's registry *and* a field in
//! [`ClientSpec`], found by that name. A field of ours without a name there is for operators only, and a client that
//! names it is not heard (RFC 7591 §2: what is not understood is ignored).

use std::collections::BTreeSet;

use controlplane_core::Client;
use controlplane_core::validate::STANDARD_SCOPES;
use serde::Deserialize;
use serde::de::value::Error as Stop;
use serde::de::{Deserializer, Error as _, Visitor};
use serde_json::{Map, Value, json};
use vocab::client::{AuthMethod, ClientSpec, GrantType, LOCALIZABLE};
use vocab::registration::{RegistrationPolicy, USUAL_SCOPES};
use vocab::{ScopeName, Timestamp, Violations};

use super::{Refusal, broken};

/// IANA's "OAuth Dynamic Client Registration Metadata", less what has a form of its own below.
const REGISTRABLE: &[&str] = &[
    "application_type",
    "authorization_details_types",
    "authorization_encrypted_response_alg",
    "authorization_encrypted_response_enc",
    "authorization_signed_response_alg",
    "backchannel_authentication_request_signing_alg",
    "backchannel_client_notification_endpoint",
    "backchannel_logout_session_required",
    "backchannel_logout_uri",
    "backchannel_token_delivery_mode",
    "backchannel_user_code_parameter",
    "client_uri",
    "contacts",
    "default_acr_values",
    "default_max_age",
    "dpop_bound_access_tokens",
    "frontchannel_logout_session_required",
    "frontchannel_logout_uri",
    "grant_types",
    "id_token_encrypted_response_alg",
    "id_token_encrypted_response_enc",
    "id_token_signed_response_alg",
    "initiate_login_uri",
    "introspection_encrypted_response_alg",
    "introspection_encrypted_response_enc",
    "introspection_signed_response_alg",
    "jwks",
    "jwks_uri",
    "logo_uri",
    "policy_uri",
    "post_logout_redirect_uris",
    "redirect_uris",
    "request_object_encryption_alg",
    "request_object_encryption_enc",
    "request_object_signing_alg",
    "request_uris",
    "require_auth_time",
    "require_pushed_authorization_requests",
    "require_signed_request_object",
    "sector_identifier_uri",
    "software_id",
    "software_version",
    "subject_type",
    "tls_client_auth_san_dns",
    "tls_client_auth_san_email",
    "tls_client_auth_san_ip",
    "tls_client_auth_san_uri",
    "tls_client_auth_subject_dn",
    "tls_client_certificate_bound_access_tokens",
    "token_endpoint_auth_method",
    "token_endpoint_auth_signing_alg",
    "tos_uri",
    "use_mtls_endpoint_aliases",
    "userinfo_encrypted_response_alg",
    "userinfo_encrypted_response_enc",
    "userinfo_signed_response_alg",
];

/// The document, which must be one object.
pub(super) fn object(document: &[u8]) -> Result<Map<String, Value>, Refusal> {
    serde_json::from_slice(document).map_err(|_| Refusal::Metadata("The metadata must be a JSON object.".to_owned()))
}

/// What a client becomes that says this of itself. `current`: what it is now, of which all that only operators write
/// stays, and nothing else (RFC 7592 §2.2).
pub(super) fn read(
    said: Map<String, Value>,
    policy: &RegistrationPolicy,
    current: Option<&ClientSpec>,
    is_tenant_scope: impl Fn(&ScopeName) -> bool,
) -> Result<ClientSpec, Refusal> {
    let known = fields_of::<ClientSpec>();
    let mut violations = Violations::new();
    let mut fields = beside(current, policy);
    let mut localized = Map::new();
    for (name, value) in said.into_iter().filter(|(_, value)| !value.is_null()) {
        match name.as_str() {
            "client_name" => drop(fields.insert("name".to_owned(), value)),
            "scope" => match value.as_str() {
                Some(scope) => {
                    // Each once, in the order they came.
                    let mut seen = BTreeSet::new();
                    let scopes: Vec<&str> = scope.split(' ').filter(|it| !it.is_empty() && seen.insert(*it)).collect();
                    fields.insert("scopes".to_owned(), json!(scopes));
                }
                None => violations.add("/scope", "must be a string of scopes with spaces between them"),
            },
            "response_types" if !known.contains(&"response_types") => {
                check_response_types(&value, &mut violations);
                fields.insert("response_types".to_owned(), value);
            }
            registered if REGISTRABLE.contains(&registered) && known.contains(&registered) => {
                fields.insert(name, value);
            }
            other if other.split_once('#').is_some_and(|(member, _)| LOCALIZABLE.contains(&member)) => {
                localized.insert(name, value);
            }
            _ => {}
        }
    }
    if !localized.is_empty() {
        fields.insert("localized".to_owned(), Value::Object(localized));
    }
    let response_types = fields.remove("response_types");
    // RFC 7591 §2: what is meant when these are left out.
    fields.entry("grant_types").or_insert_with(|| json!([GrantType::AuthorizationCode.as_str()]));
    if fields.get("name").is_none_or(|name| name == "") {
        fields.insert("name".to_owned(), name_for(&fields));
    }
    if !fields.contains_key("scopes") {
        fields.insert("scopes".to_owned(), usual_scopes(policy, is_tenant_scope));
    }
    let spec = match crate::admin::read_rest::<ClientSpec>(fields) {
        Ok(spec) if violations.is_empty() => with_origins(spec, current),
        Ok(_) => return Err(broken(&violations)),
        Err(found) => {
            for (pointer, detail) in found {
                violations.add(pointer, detail);
            }
            return Err(broken(&violations));
        }
    };
    // RFC 7591 §2.1: the two lists must fit each other.
    let asks_for_code =
        response_types.is_some_and(|types| types.as_array().is_some_and(|it| it.contains(&json!("code"))));
    if asks_for_code && !spec.grant_types.contains(&GrantType::AuthorizationCode) {
        return Err(Refusal::Metadata("response_types: code needs the grant type authorization_code".to_owned()));
    }
    Ok(spec)
}

fn check_response_types(value: &Value, violations: &mut Violations) {
    let Some(types) = value.as_array() else {
        violations.add("/response_types", "must be a list");
        return;
    };
    for (index, one) in types.iter().enumerate() {
        let known = one.as_str().is_some_and(|one| ["code", "none"].contains(&one));
        violations.require(known, &format!("/response_types/{index}"), || "must be code or none".to_owned());
    }
}

/// What stays of the client whatever it says.
fn beside(current: Option<&ClientSpec>, policy: &RegistrationPolicy) -> Map<String, Value> {
    let Some(current) = current else {
        return Map::from_iter([("require_consent".to_owned(), json!(!policy.skip_consent))]);
    };
    let mut fields = members(current);
    fields.retain(|name, _| {
        !REGISTRABLE.contains(&name.as_str()) && !["name", "scopes", "localized"].contains(&name.as_str())
    });
    fields
}

/// RFC 7591 §2: a server may choose what is shown of a client that does not say its name.
fn name_for(fields: &Map<String, Value>) -> Value {
    let first = fields.get("redirect_uris").and_then(|uris| uris.get(0)).or_else(|| fields.get("client_uri"));
    let host = first.and_then(Value::as_str).and_then(|uri| uri.parse::<http::Uri>().ok());
    let host = host.as_ref().and_then(http::Uri::host).unwrap_or("A client without a name");
    json!(host.chars().take(128).collect::<String>())
}

fn usual_scopes(policy: &RegistrationPolicy, is_tenant_scope: impl Fn(&ScopeName) -> bool) -> Value {
    if policy.scopes.is_empty() {
        return json!(USUAL_SCOPES);
    }
    // The tenant may have taken one away since.
    let there = |scope: &&ScopeName| STANDARD_SCOPES.contains(&scope.as_str()) || is_tenant_scope(scope);
    json!(policy.scopes.iter().filter(there).collect::<Vec<_>>())
}

/// A client in a browser must be able to read what it is answered. Its own pages are those that it is sent back to; an
/// operator's list stays.
fn with_origins(mut spec: ClientSpec, current: Option<&ClientSpec>) -> ClientSpec {
    let by_itself = current.is_none_or(|current| current.allowed_origins == origins(current));
    if by_itself && spec.token_endpoint_auth_method == AuthMethod::None {
        spec.allowed_origins = origins(&spec);
    }
    spec
}

fn origins(spec: &ClientSpec) -> Vec<String> {
    let origin = |uri: &String| {
        let uri: http::Uri = uri.parse().ok()?;
        let scheme = uri.scheme_str().filter(|scheme| ["http", "https"].contains(scheme))?;
        let authority = uri.authority()?.as_str();
        let own_port = if scheme == "http" { ":80" } else { ":443" };
        Some(format!("{scheme}://{}", authority.strip_suffix(own_port).unwrap_or(authority)))
    };
    let mut seen = BTreeSet::new();
    spec.redirect_uris.iter().filter_map(origin).filter(|origin| seen.insert(origin.clone())).collect()
}

/// What the client is told of itself (RFC 7591 §3.2.1).
pub(super) fn show(client: &Client) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("client_id".to_owned(), json!(client.client_id));
    shown.insert("client_id_issued_at".to_owned(), json!(client.created_at.secs()));
    if !client.secrets.is_empty() {
        // The one that lives longest; zero stands for no end.
        let ends = client.secrets.iter().map(|secret| secret.expires_at.map_or(i64::MAX, Timestamp::secs));
        let end = ends.max().filter(|end| *end != i64::MAX).unwrap_or(0);
        shown.insert("client_secret_expires_at".to_owned(), json!(end));
    }
    let fields = members(&client.spec);
    let code = client.spec.grant_types.contains(&GrantType::AuthorizationCode);
    shown.insert("response_types".to_owned(), if code { json!(["code"]) } else { json!([]) });
    for (name, value) in fields {
        match name.as_str() {
            "name" => drop(shown.insert("client_name".to_owned(), value)),
            "scopes" => {
                let scopes: Vec<&str> = client.spec.scopes.iter().map(ScopeName::as_str).collect();
                shown.insert("scope".to_owned(), json!(scopes.join(" ")));
            }
            "localized" => shown.extend(value.as_object().cloned().unwrap_or_default()),
            "response_types" => drop(shown.insert(name, value)),
            registered if REGISTRABLE.contains(&registered) => drop(shown.insert(name, value)),
            _ => {}
        }
    }
    shown
}

/// A pointer into our document, by the client's names: `/scopes/0` is its `scope`.
pub(super) fn name_of(pointer: &str) -> String {
    let path = pointer.trim_start_matches('/').replace("~1", "/").replace("~0", "~");
    match path.split('/').next().unwrap_or_default() {
        "name" => "client_name".to_owned(),
        "scopes" => "scope".to_owned(),
        "localized" => path.split_once('/').map_or(path.clone(), |(_, member)| member.to_owned()),
        _ => path,
    }
}

fn members(spec: &ClientSpec) -> Map<String, Value> {
    match serde_json::to_value(spec) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

/// The names of a struct's fields, as its derived `Deserialize` tells them.
fn fields_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // It ends with an error as soon as the names are known.
    let _ = T::deserialize(Names(&mut names));
    names
}

struct Names<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Stop;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Stop> {
        *self.0 = fields;
        Err(Stop::custom("these are the names"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        Err(Stop::custom("not a struct"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(value: Value) -> Map<String, Value> {
        let Value::Object(members) = value else { panic!("an object") };
        members
    }

    fn register(value: Value) -> Result<ClientSpec, Refusal> {
        read(said(value), &RegistrationPolicy::default(), None, |_| false)
    }

    #[test]
    fn what_is_left_out_means_what_the_rfc_says() {
        let spec = register(json!({"redirect_uris": ["https://app.example/cb"]})).unwrap();
        assert_eq!(spec.token_endpoint_auth_method, AuthMethod::ClientSecretBasic);
        assert_eq!(spec.grant_types, [GrantType::AuthorizationCode]);
        assert_eq!(spec.name, "app.example");
        assert!(spec.require_consent);
        assert_eq!(spec.scopes.len(), USUAL_SCOPES.len());
    }

    #[test]
    fn what_only_operators_write_is_not_heard() {
        let spec = register(json!({
            "redirect_uris": ["https://app.example/cb"],
            "require_consent": false,
            "enabled": false,
            "audiences": ["https://api.example"],
            "allowed_origins": ["https://evil.example"],
            "name": "Not the name",
            "scopes": ["hj:users.write"],
            "unheard_of": {"x": 1},
        }))
        .unwrap();
        assert!(spec.require_consent && spec.enabled && spec.audiences.is_empty() && spec.allowed_origins.is_empty());
        assert_eq!(spec.name, "app.example");
        // Whatever fields there will be: what is neither registrable nor mapped keeps its default.
        let default = members(&ClientSpec { require_consent: true, ..ClientSpec::default() });
        for (name, value) in members(&spec) {
            let mapped = ["name", "scopes", "localized"].contains(&name.as_str());
            assert!(mapped || REGISTRABLE.contains(&name.as_str()) || default.get(&name) == Some(&value), "{name}");
        }
    }

    #[test]
    fn what_was_registered_is_shown_by_the_same_names() {
        let document = json!({
            "redirect_uris": ["https://app.example/cb"],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "client_name": "App",
            "client_name#fr": "Appli",
            "client_uri": "https://app.example",
            "logo_uri": "https://app.example/logo.png",
            "contacts": ["ops@app.example"],
            "software_id": "app", "software_version": "1",
            "application_type": "native",
            "scope": "openid  email openid",
        });
        let spec = register(document.clone()).unwrap();
        assert_eq!(spec.allowed_origins, ["https://app.example"]);
        let at = Timestamp::from_secs(7);
        let client = Client {
            tenant_id: vocab::TenantId::from_uuid(uuid::Uuid::nil()),
            client_id: "c".parse().unwrap(),
            spec,
            secrets: Vec::new(),
            created_at: at,
            updated_at: at,
            revision: vocab::Revision(1),
            managed_by: None,
            registration: None,
        };
        let mut shown = show(&client);
        assert_eq!(shown.remove("scope"), Some(json!("openid email")));
        for (name, value) in said(document).into_iter().filter(|(name, _)| name != "scope") {
            assert_eq!(shown.get(&name), Some(&value), "{name}");
        }
        assert_eq!((shown["client_id_issued_at"].clone(), shown.get("client_secret_expires_at")), (json!(7), None));
    }

    #[test]
    fn an_update_replaces_what_the_client_said_and_keeps_what_operators_wrote() {
        let mut current =
            register(json!({"redirect_uris": ["https://a.example/cb"], "client_uri": "https://a.example"})).unwrap();
        current.audiences = vec!["https://api.example".to_owned()];
        let document = said(json!({"client_id": "c", "redirect_uris": ["https://b.example/cb"], "client_name": null}));
        let spec = read(document, &RegistrationPolicy::default(), Some(&current), |_| false).unwrap();
        assert_eq!((spec.audiences.len(), spec.client_uri), (1, None));
        assert_eq!(
            (spec.name.as_str(), spec.redirect_uris.as_slice()),
            ("b.example", &["https://b.example/cb".to_owned()][..])
        );
    }

    #[test]
    fn each_is_refused_by_its_name() {
        for (document, name) in [
            (json!({"grant_types": ["implicit"]}), "grant_types/0"),
            (json!({"grant_types": "authorization_code"}), "grant_types"),
            (json!({"token_endpoint_auth_method": "secret_handshake"}), "token_endpoint_auth_method"),
            (json!({"response_types": ["id_token token"]}), "response_types/0"),
            (json!({"scope": ["openid"]}), "scope"),
            (json!({"scope": "a\"b"}), "scope"),
            (json!({"contacts": [1]}), "contacts/0"),
            (json!({"client_name": {"en": "x"}}), "client_name"),
            (json!({"response_types": ["code"], "grant_types": ["client_credentials"]}), "response_types"),
        ] {
            let refused = register(document.clone()).unwrap_err();
            let Refusal::Metadata(text) = &refused else { panic!("{document}: {refused:?}") };
            assert!(text.starts_with(&format!("{name}: ")), "{document}: {text}");
        }
        assert!(matches!(object(b"[]"), Err(Refusal::Metadata(_))));
    }
}
