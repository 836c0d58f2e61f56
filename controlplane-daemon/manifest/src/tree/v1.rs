//! HelloJohn v1's resources in today's members. What has no place today is told, member by member.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::LeftOut;
use crate::document::Part;

const NO_PLACE: &str = "has no place here";

/// v1 kept them as scopes of each tenant; today every tenant has them (OpenID Connect Core 1.0 §5.4, §11).
const BUILT_IN: [&str; 6] = ["openid", "profile", "email", "address", "phone", "offline_access"];

pub(super) fn is_built_in(scope: &Map<String, Value>) -> bool {
    scope.get("name").and_then(Value::as_str).is_some_and(|name| BUILT_IN.contains(&name))
}

pub(super) fn tenant(part: Part) -> (Part, Vec<LeftOut>) {
    let mut to = Rewriting::of(part);
    to.passes_over(&["id", "createdAt", "updatedAt", "created_at", "updated_at"]);
    to.moves(&["display_name", "displayName", "name"], "display_name");
    to.moves(&["slug"], "slug");
    // v1's display name stood beside a name that nobody was shown.
    to.passes_over(&["name"]);
    let settings = to.takes("settings");
    let own_file = "is read from a file of its own";
    for name in ["clients", "scopes"] {
        to.leaves_out(name, own_file);
    }
    let (mut part, mut left_out) = to.done("");
    if let Some(Value::Object(settings)) = settings {
        let (settings, more) = self::settings(settings);
        left_out.extend(more);
        part.body.insert("settings".to_owned(), settings.into());
    }
    (part, left_out)
}

fn settings(settings: Map<String, Value>) -> (Map<String, Value>, Vec<LeftOut>) {
    let mut to = Rewriting::of(Part { body: settings, lines: BTreeMap::new() });
    let mode = to.takes("issuerMode");
    let host = to.takes("issuerOverride").as_ref().and_then(Value::as_str).and_then(host_of).map(str::to_owned);
    match (mode.as_ref().and_then(Value::as_str), host) {
        (Some("domain"), Some(host)) => {
            to.part.body.insert("issuer_mode".to_owned(), "host".into());
            to.part.body.insert("hosts".to_owned(), json!([host]));
        }
        (Some("path"), None) => {}
        (mode, _) => {
            let mode = mode.unwrap_or("global");
            let detail = format!("the issuer of v1's mode {mode:?} is another one here: it will be by path");
            to.left_out.push(("/issuerMode".to_owned(), detail));
        }
    }
    if let Some(Value::Object(database)) = to.takes("userDb") {
        let driver = database.get("driver").and_then(Value::as_str).unwrap_or("postgres");
        if ["pg", "postgres", "postgresql"].contains(&driver) {
            to.part.body.insert("database".to_owned(), json!({}));
        } else {
            let detail = format!("a database of the kind {driver:?} cannot be used; PostgreSQL can");
            to.left_out.push(("/userDb".to_owned(), detail));
        }
    }
    branding(&mut to);
    if let Some(Value::Object(mut security)) = to.takes("security") {
        let mut oauth = Map::new();
        match security.remove("mfaRequired") {
            Some(Value::Bool(true)) => drop(oauth.insert("mfa".to_owned(), "required".into())),
            None | Some(Value::Bool(false) | Value::Null) => {}
            Some(_) => to.left_out.push(("/security/mfaRequired".to_owned(), "is neither true nor false".to_owned())),
        }
        match security.remove("passwordMinLength").as_ref().map(Value::as_u64) {
            Some(Some(length @ 9..=64)) => drop(oauth.insert("password_min_length".to_owned(), length.into())),
            // Here nobody has fewer.
            None | Some(Some(0..=8)) => {}
            Some(_) => to.left_out.push(("/security/passwordMinLength".to_owned(), "is no number up to 64".to_owned())),
        }
        if !oauth.is_empty() {
            to.part.body.insert("oauth".to_owned(), oauth.into());
        }
        to.left_out.extend(security.keys().map(|name| (format!("/security/{name}"), NO_PLACE.to_owned())));
    }
    let (part, left_out) = to.done("/settings");
    (part.body, left_out)
}

fn branding(to: &mut Rewriting) {
    let mut branding = Map::new();
    for (old, new) in [("logoUrl", "logo_uri"), ("brandColor", "accent_color")] {
        match to.takes(old) {
            Some(Value::String(value)) if new == "accent_color" && !is_color(&value) => {
                to.left_out.push((format!("/{old}"), "is no colour such as #2346c4".to_owned()));
            }
            Some(Value::String(value)) if !value.is_empty() => drop(branding.insert(new.to_owned(), value.into())),
            _ => {}
        }
    }
    if !branding.is_empty() {
        to.part.body.insert("branding".to_owned(), branding.into());
    }
}

fn is_color(text: &str) -> bool {
    text.strip_prefix('#').is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|it| it.is_ascii_hexdigit()))
}

/// Of `https://login.example/path`: what issuers by host name are told apart by.
fn host_of(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', ':']).next().filter(|host| !host.is_empty())
}

pub(super) fn client(part: Part) -> (Part, Vec<LeftOut>) {
    let mut to = Rewriting::of(part);
    to.passes_over(&["id", "tenantId", "createdAt", "updatedAt"]);
    to.moves(&["clientId", "client_id"], "client_id");
    for (old, new) in [
        ("name", "name"),
        ("enabled", "enabled"),
        ("redirectUris", "redirect_uris"),
        ("postLogoutUris", "post_logout_redirect_uris"),
        ("allowedOrigins", "allowed_origins"),
        ("grantTypes", "grant_types"),
        ("scopes", "scopes"),
        ("audiences", "audiences"),
    ] {
        to.moves(&[old, new], new);
    }
    let kind = to.takes("type");
    let method = match kind.as_ref().and_then(Value::as_str) {
        Some("confidential") => "client_secret_basic",
        Some("public") | None => "none",
        Some(_) => {
            to.left_out.push(("/type".to_owned(), "is neither public nor confidential: it will be public".to_owned()));
            "none"
        }
    };
    to.part.body.insert("token_endpoint_auth_method".to_owned(), method.into());
    // Sealed with v1's key; a new one is made.
    to.passes_over(&["secretEnc", "secret"]);
    to.done("")
}

pub(super) fn scope(part: Part) -> (Part, Vec<LeftOut>) {
    let mut to = Rewriting::of(part);
    to.passes_over(&["id", "tenantId", "createdAt", "updatedAt", "system"]);
    for name in ["name", "description", "claims"] {
        to.moves(&[name], name);
    }
    to.done("")
}

/// From one object to another, with nothing lost silently.
struct Rewriting {
    old: Map<String, Value>,
    old_lines: BTreeMap<String, usize>,
    part: Part,
    left_out: Vec<LeftOut>,
}

impl Rewriting {
    fn of(old: Part) -> Self {
        let root = old.lines.get("").map(|line| (String::new(), *line));
        let part = Part { body: Map::new(), lines: root.into_iter().collect() };
        Self { old: old.body, old_lines: old.lines, part, left_out: Vec::new() }
    }

    /// The first of `names` that is there becomes `new`; `null` and an empty text say what leaving out says.
    fn moves(&mut self, names: &[&str], new: &str) {
        let Some((old, value)) = names.iter().find_map(|name| Some((*name, self.old.remove(*name)?))) else { return };
        if value.is_null() || value == "" {
            return;
        }
        let (from, to) = (format!("/{old}"), format!("/{new}"));
        let moved = self.old_lines.iter().filter_map(|(pointer, line)| {
            let rest = pointer.strip_prefix(&from)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| (format!("{to}{rest}"), *line))
        });
        self.part.lines.extend(moved);
        self.part.body.insert(new.to_owned(), value);
    }

    fn takes(&mut self, name: &str) -> Option<Value> {
        self.old.remove(name)
    }

    fn passes_over(&mut self, names: &[&str]) {
        for name in names {
            self.old.remove(*name);
        }
    }

    fn leaves_out(&mut self, name: &str, why: &str) {
        if self.old.remove(name).is_some() {
            self.left_out.push((format!("/{name}"), why.to_owned()));
        }
    }

    fn done(mut self, at: &str) -> (Part, Vec<LeftOut>) {
        let unknown = self.old.keys().map(|name| (format!("/{name}"), NO_PLACE.to_owned()));
        self.left_out.extend(unknown);
        for (pointer, _) in &mut self.left_out {
            pointer.insert_str(0, at);
        }
        (self.part, self.left_out)
    }
}
