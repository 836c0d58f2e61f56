//! The published schema takes what the server takes: the worked example, and what the API shows as a document.

use std::fs;

use boon::{Compiler, Schemas};
use serde::Deserialize as _;
use serde_json::{Value, json};
use tests::programs;

/// Why the schema refuses a document; `None`: it takes it.
pub(super) fn refusal(document: &Value) -> Option<String> {
    let path = programs::repository().join("docs/declarative.schema.json");
    let text = fs::read_to_string(path).expect("the schema");
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("urn:hellojohn:document", schema).expect("a resource");
    let index = compiler.compile("urn:hellojohn:document", &mut schemas).expect("a schema by its draft");
    schemas.validate(document, index).err().map(|error| format!("{error:#}"))
}

#[track_caller]
fn takes(document: &Value) {
    assert_eq!(refusal(document), None, "{document:#}");
}

#[test]
fn the_worked_example_is_as_the_schema_says() {
    let mut documents = 0;
    for (name, text) in super::example() {
        for document in serde_yaml_ng::Deserializer::from_str(&text) {
            let document = Value::deserialize(document).unwrap_or_else(|error| panic!("{name}: {error}"));
            takes(&document);
            documents += 1;
        }
    }
    assert!(documents >= 3, "{documents}");
}

#[test]
fn what_nobody_knows_is_refused_wherever_it_stands() {
    let tenant = |settings: Value| json!({"kind": "Tenant", "slug": "a", "display_name": "A", "settings": settings});
    let staleness = json!({"warn_after_secs": 1, "refuse_after_secs": 2, "fail_mode": "serve"});
    let rotation = json!({"max_age_secs": 3600, "clock_skew_secs": 60});
    takes(&tenant(json!({"staleness": staleness, "key_rotation": rotation, "lifetimes": {"jwks_cache_secs": 60}})));
    takes(&tenant(json!({"staleness": null, "key_rotation": {"max_age_secs": null}})));
    takes(&tenant(json!({"rate_limit": {"requests_per_second": 100, "burst": 200}})));
    takes(&tenant(json!({"rate_limit": null})));
    let password = json!({"from_env": "SMTP_PASSWORD"});
    takes(&tenant(json!({"smtp": {"host": "mx", "from": "a@b.example", "username": "a", "password": password}})));
    let mail = json!({"subject": "Hi", "text": "{{ link }}", "html": null});
    takes(&tenant(json!({"branding": {"logo_uri": "https://a.example/l", "mails": {"verify_email": mail}}})));
    let provider = |secret: Value| {
        tenant(json!({"oauth": {"identity_providers": [{
            "id": "corp", "display_name": "Corp", "issuer": "https://id.example", "client_id": "us",
            "token_endpoint_auth_method": "client_secret_post", "client_secret": secret,
            "email_verified_claim": "xms_edov",
        }]}}))
    };
    takes(&provider(json!({"from_file": "corp.secret"})));
    takes(&json!({"kind": "Settings", "key_rotation": rotation, "staleness": staleness, "gone_pods_kept_secs": 60}));
    takes(&json!({"kind": "Settings", "audit": {"max_age_secs": null, "max_bytes": 1_000_000_000_000_u64}}));
    let wrong = [
        tenant(json!({"hsts": []})),
        tenant(json!({"branding": {"accent_color": "red"}})),
        tenant(json!({"branding": {"mails": {"welcome": mail}}})),
        tenant(json!({"database": {"dsn": "postgres://u:p@db/x"}})),
        tenant(json!({"staleness": {"fail_mode": "perhaps"}})),
        tenant(json!({"staleness": {"after": 1}})),
        tenant(json!({"rate_limit": {"burst": 1}})),
        tenant(json!({"smtp": {"host": "mx", "from": "a@b.example", "username": "a", "password": "plain"}})),
        provider(json!("plain")),
        tenant(json!({"key_rotation": {"max_age": 1}})),
        tenant(json!({"lifetimes": {"jwks_cache_secs": -1}})),
        json!({"kind": "Settings", "retention": {}}),
        json!({"kind": "Settings", "audit": {"max_bytes": "1 GiB"}}),
        json!({"kind": "Settings", "tenant_key_rotation": {"max_age_secs": "1h"}}),
        json!({"kind": "Settings", "revision": 3}),
        json!({"kind": "Realm"}),
    ];
    for document in wrong {
        assert!(refusal(&document).is_some(), "{document:#}");
    }
}
