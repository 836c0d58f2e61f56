use std::fs;

use serde_json::json;

use super::*;

fn written(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn bodies(tree: &Tree) -> Vec<(Kind, Value)> {
    tree.documents.iter().map(|it| (it.kind, it.body.clone().into())).collect()
}

#[test]
fn what_is_shown_is_stated_without_what_nobody_writes() {
    let root = written(&[
        (
            "tenants/acme/tenant.json",
            r#"{"revision": 7, "tenant": {"id": "x", "slug": "acme", "display_name": "A", "revision": 3, "created_at": "",
                "settings": {"database": {"configured": true, "max_connections": 5}}}}"#,
        ),
        (
            "tenants/acme/clients.json",
            r#"{"revision": 7, "clients": [{"client_id": "web", "secrets": [], "revision": 2}]}"#,
        ),
        ("tenants/acme/clients.json.tmp", "half of"),
        ("keys/acme/k1.json", "not looked at"),
    ]);
    let tree = tree(root.path()).unwrap();
    let tenant = json!({"slug": "acme", "display_name": "A", "settings": {"database": {"max_connections": 5}}});
    let client = json!({"tenant": "acme", "client_id": "web"});
    assert_eq!(bodies(&tree), [(Kind::Tenant, tenant), (Kind::Client, client)]);
    assert!(tree.left_out.is_empty(), "{:?}", tree.left_out);
}

#[test]
fn v1_is_translated_and_what_has_no_place_is_told_by_line() {
    let root = written(&[
        (
            "tenants/acme/tenant.yaml",
            "id: x\nname: Acme\nslug: acme\nsettings:\n  issuerMode: domain\n  issuerOverride: https://login.acme.example/\n  \
             smtp: {host: m}\n  userDb: {driver: postgres, dsnEnc: sealed}\n  logoUrl: https://acme.example/logo.svg\n  \
             brandColor: '#ff8800'\n  security: {mfaRequired: true, passwordMinLength: '10', other: 1}\n",
        ),
        (
            "tenants/acme/clients.yaml",
            "- clientId: web\n  name: Web\n  type: confidential\n  redirectUris:\n    - https://a.example\n  secretEnc: s\n  \
             providers: [google]\n",
        ),
        ("tenants/acme/scopes.yaml", "- {name: openid, system: true}\n- {name: orders, description: Yours}\n"),
        ("tenants/gone/scopes.yaml", "- {name: orders}\n"),
        ("tenants/gone/tenant.deleted.17.yaml", "name: Gone\n"),
        ("raft/log", "not looked at"),
    ]);
    let tree = tree(root.path()).unwrap();
    let tenant = json!({"slug": "acme", "display_name": "Acme",
        "settings": {"issuer_mode": "host", "hosts": ["login.acme.example"], "database": {}, "oauth": {"mfa": "required"},
            "branding": {"logo_uri": "https://acme.example/logo.svg", "accent_color": "#ff8800"}}});
    let scope = json!({"tenant": "acme", "name": "orders", "description": "Yours"});
    let client = json!({"tenant": "acme", "client_id": "web", "name": "Web",
        "token_endpoint_auth_method": "client_secret_basic", "redirect_uris": ["https://a.example"]});
    assert_eq!(bodies(&tree), [(Kind::Tenant, tenant), (Kind::Scope, scope), (Kind::Client, client)]);
    let web = tree.documents.last().unwrap();
    assert_eq!(web.line_of("/redirect_uris/0"), Some(5));
    let told: Vec<String> = tree.left_out.iter().map(ToString::to_string).collect();
    let wanted = [
        "tenant.yaml:11: /settings/security/passwordMinLength",
        "tenant.yaml:11: /settings/security/other",
        "tenant.yaml:7: /settings/smtp",
        "clients.yaml:7: /0/providers",
        "gone: has no file",
    ];
    assert_eq!(told.len(), wanted.len(), "{told:?}");
    for (told, wanted) in told.iter().zip(wanted) {
        assert!(told.contains(wanted), "{wanted} in {told}");
    }
    assert!(!told.join("").contains("sealed"), "{told:?}");
}

#[test]
fn everything_wrong_with_a_tree_is_told_at_once() {
    let root = written(&[
        ("tenants/a/tenant.yaml", "name: A\nslug: b\n"),
        ("tenants/c/tenant.json", "{"),
        ("tenants/d/tenant.yaml", "name: D\n"),
        ("tenants/d/tenant.json", "{}"),
        ("tenants/e/tenant.yaml", "name: E\n"),
        ("tenants/e/clients.yaml", "web: {}\n"),
        ("tenants/e/scopes.yaml", "- orders\n- {name: a, name: b}\n"),
        ("tenants/f/tenant.yaml", "- name: F\n"),
        ("tenants/g/tenant.yaml", "name: G\n---\nname: H\n"),
    ]);
    let faults = tree(root.path()).unwrap_err();
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let wanted = [
        "a/tenant.yaml:2: /slug",
        "c/tenant.json:1: not JSON",
        "d/tenant.yaml: stands beside",
        "e/clients.yaml:1: must be a list of clients",
        "e/scopes.yaml:2: the member \"name\"",
        "f/tenant.yaml:1: must be an object",
        "g/tenant.yaml:3: must hold one document",
    ];
    for wanted in wanted {
        assert!(told.iter().any(|it| it.contains(wanted)), "{wanted} in {told:#?}");
    }
    assert!(tree(&root.path().join("nowhere")).is_err());
    assert!(tree(written(&[("tenants/README", "x")]).path()).is_err());
}
