//! `hellojohn import`. A file is what `hellojohn export` wrote, see [`backup`]. `hellojohn import DIR`: the tenants,
//! clients and scopes of a folder, brought over as documents are, in [`pieces`] where they are many.
//!
//! Such a folder holds no secrets that could be used here. Clients that are made get new ones, shown once; those that are
//! there keep theirs. A database's DSN is given by `--dsn`, or is the one that the tenant has already.

mod pieces;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use manifest::{Document, Fault, Kind};
use serde_json::{Value, json};

use self::pieces::{Order, Sent};
use crate::api::Lasting;
use crate::apply::show;
use crate::failure::Failure;
use crate::output::{Output, note, say};
use crate::{backup, fleet, private_file, random};

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// A file of `hellojohn export`; or a folder that has `tenants/<slug>/tenant.json` (or `.yaml`), and `clients` and
    /// `scopes` beside it
    #[arg(value_name = "FILE|DIR")]
    from: PathBuf,
    /// Of a file: what becomes of what is there already [default: add]
    #[arg(long, value_enum, conflicts_with_all = ["set", "take_over", "dsn"])]
    mode: Option<backup::Mode>,
    /// Of a folder: the set whose own the tenants become, as of `hellojohn apply` [default: default]
    #[arg(long, value_name = "NAME")]
    set: Option<String>,
    /// Of a folder: take over what another set manages
    #[arg(long)]
    take_over: bool,
    /// Of a folder: a tenant's database, as a file that holds its DSN; repeat for more
    #[arg(long, value_name = "SLUG=FILE", value_parser = dsn_file)]
    dsn: Vec<(String, PathBuf)>,
    /// Check everything and show what would be done
    #[arg(long)]
    dry_run: bool,
}

impl ImportArgs {
    fn set(&self) -> &str {
        self.set.as_deref().unwrap_or("default")
    }
}

fn dsn_file(text: &str) -> Result<(String, PathBuf), String> {
    let (slug, file) = text.split_once('=').ok_or("must be SLUG=FILE")?;
    Ok((slug.to_owned(), file.into()))
}

pub(crate) async fn run(server: &mut Lasting<'_>, args: ImportArgs) -> Result<(), Failure> {
    let wrong = |flags: &str, what: &str| Err(Failure::Usage(format!("{flags}: {} is a {what}", args.from.display())));
    let for_folders = args.set.is_some() || args.take_over || !args.dsn.is_empty();
    match args.from.is_dir() {
        true if args.mode.is_some() => wrong("--mode is for files", "folder"),
        true => folder(server, args).await,
        false if for_folders => wrong("--set, --take-over and --dsn are for folders", "file"),
        false => backup::import(server.api().await?, &args.from, args.mode.unwrap_or_default(), args.dry_run).await,
    }
}

async fn folder(server: &mut Lasting<'_>, args: ImportArgs) -> Result<(), Failure> {
    let tree = manifest::tree(&args.from).map_err(|faults| Failure::Usage(told(&faults)))?;
    let (mut documents, mut left_out) = (tree.documents, tree.left_out);
    give_databases(server, &mut documents, &args.dsn, &mut left_out).await?;
    keep_mail_servers(server, &mut documents, &mut left_out).await?;
    keep_identity_providers(server, &mut documents, &mut left_out).await?;
    let mut secrets = give_secrets(server, &mut documents, &args).await?;

    let flags = [("dry_run", args.dry_run), ("take_over", args.take_over)];
    let flags: Vec<&str> = flags.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect();
    // Nobody else has them: they are told before what may be the last that is heard of a client.
    let tell = |places: &[usize]| {
        for Made { tenant, client_id, secret, .. } in
            secrets.iter().filter(|it| places.binary_search(&it.place).is_ok())
        {
            note(format_args!("If {tenant}/{client_id} is made, its secret is {secret}"));
        }
    };
    let order = Order { documents: &documents, set: args.set(), flags: &flags };
    let Sent { answer, documents: taken, in_doubt, failure } = pieces::send(server, order, tell).await;
    secrets.retain(|made| made.place < taken && !args.dry_run);
    let Some(failure) = failure else {
        let Some(answer) = answer else { return Ok(()) };
        report(server.output(), &answer.body, &secrets, &left_out)?;
        return answer.check_fleet();
    };
    let made = answer.filter(|_| !args.dry_run);
    if let Some(answer) = &made {
        report(server.output(), &answer.body, &secrets, &left_out)?;
        let (of, revision) = (documents.len(), &answer.body["revision"]);
        note(format_args!(
            "This was {taken} of {of} documents, up to revision {revision}; import again to go on with the rest."
        ));
    }
    let doubtful = documents.get(taken..taken + in_doubt).unwrap_or_default();
    if let (Some(first), Some(last)) = (doubtful.first().map(name), doubtful.last().map(name)) {
        note(format_args!("Whether {in_doubt} documents are made is not known: from {first} to {last}."));
    }
    if let Some(revision) = made.and_then(|answer| answer.body["revision"].as_u64()) {
        fleet::note_reached(server, revision).await;
    }
    Err(failure)
}

fn name(document: &Document) -> String {
    let kind = document.kind.as_str().to_lowercase();
    let own = ["client_id", "name"].map(|member| text(document, member));
    match document.kind {
        Kind::Tenant | Kind::Settings => format!("{kind} {}", text(document, "slug")),
        Kind::Client => format!("{kind} {}/{}", text(document, "tenant"), own[0]),
        Kind::Scope => format!("{kind} {}/{}", text(document, "tenant"), own[1]),
    }
}

fn told(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n")
}

fn text<'a>(document: &'a Document, name: &str) -> &'a str {
    document.body.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Every tenant that says that it has a database gets its DSN, keeps the one it has, or goes without, and that is told.
async fn give_databases(
    server: &mut Lasting<'_>,
    documents: &mut [Document],
    files: &[(String, PathBuf)],
    left_out: &mut Vec<Fault>,
) -> Result<(), Failure> {
    let mut files: BTreeMap<&str, &Path> = files.iter().map(|(slug, file)| (slug.as_str(), file.as_path())).collect();
    for document in documents.iter_mut().filter(|document| document.kind == Kind::Tenant) {
        let slug = text(document, "slug").to_owned();
        let dsn = files.remove(slug.as_str()).map(private_file::read).transpose()?;
        let stated = document.body.get("settings").and_then(|settings| settings.get("database"));
        let stated = stated.is_some_and(Value::is_object);
        if let Some(dsn) = dsn {
            let settings = document.body.entry("settings").or_insert_with(|| json!({}));
            if !stated && let Some(settings) = settings.as_object_mut() {
                settings.insert("database".to_owned(), json!({}));
            }
            if let Some(database) = settings.get_mut("database").and_then(Value::as_object_mut) {
                database.insert("dsn".to_owned(), dsn.into());
            }
        } else if stated && !has(server, &slug, "/settings/database").await? {
            let why = format!("no DSN is in the files: give it with --dsn {slug}=FILE, or later with `tenant update`");
            left_out.push(document.fault("/settings/database", why));
            if let Some(settings) = document.body.get_mut("settings").and_then(Value::as_object_mut) {
                settings.remove("database");
            }
        }
    }
    match files.keys().next() {
        Some(slug) => Err(Failure::Usage(format!("--dsn {slug}=…: the folder has no tenant {slug}"))),
        None => Ok(()),
    }
}

/// The password of a mail server is not in the files: a tenant keeps the one it has, or goes without the server.
async fn keep_mail_servers(
    server: &mut Lasting<'_>,
    documents: &mut [Document],
    left_out: &mut Vec<Fault>,
) -> Result<(), Failure> {
    for document in documents.iter_mut().filter(|document| document.kind == Kind::Tenant) {
        let slug = text(document, "slug").to_owned();
        let account = document.body.get("settings").and_then(|settings| settings.pointer("/smtp/username"));
        if account.is_some_and(Value::is_string) && !has(server, &slug, "/settings/smtp/username").await? {
            let why = "no password is in the files: give the mail server later with `tenant update`";
            left_out.push(document.fault("/settings/smtp", why));
            if let Some(settings) = document.body.get_mut("settings").and_then(Value::as_object_mut) {
                settings.remove("smtp");
            }
        }
    }
    Ok(())
}

/// Nor is the client secret at an identity provider: where the tenant has that provider with one, it stays.
async fn keep_identity_providers(
    server: &mut Lasting<'_>,
    documents: &mut [Document],
    left_out: &mut Vec<Fault>,
) -> Result<(), Failure> {
    let list = "/oauth/identity_providers";
    for document in documents.iter_mut().filter(|document| document.kind == Kind::Tenant) {
        let stated =
            document.body.get("settings").and_then(|settings| settings.pointer(list)).and_then(Value::as_array);
        let stated = stated.cloned().unwrap_or_default();
        if !stated.iter().any(has_secret) {
            continue;
        }
        let there = shown(server, text(document, "slug")).await?;
        let there = there.pointer(&format!("/settings{list}")).and_then(Value::as_array).cloned().unwrap_or_default();
        let client = |of: &Value| ["id", "issuer", "client_id"].map(|name| of.get(name).cloned());
        let mut kept = Vec::new();
        for (index, provider) in stated.into_iter().enumerate() {
            let known = |other: &Value| has_secret(other) && client(other) == client(&provider);
            if !has_secret(&provider) || there.iter().any(known) {
                kept.push(provider);
                continue;
            }
            let why = "no client secret is in the files: give the identity provider later with `tenant update`";
            left_out.push(document.fault(&format!("/settings{list}/{index}"), why));
        }
        if let Some(place) = document.body.get_mut("settings").and_then(|settings| settings.pointer_mut(list)) {
            *place = kept.into();
        }
    }
    Ok(())
}

/// Whether the tenant authenticates there by a secret.
fn has_secret(provider: &Value) -> bool {
    let method = provider.get("token_endpoint_auth_method").and_then(Value::as_str);
    method.is_some_and(|method| method.starts_with("client_secret"))
}

async fn has(server: &mut Lasting<'_>, slug: &str, pointer: &str) -> Result<bool, Failure> {
    Ok(shown(server, slug).await?.pointer(pointer).is_some_and(|value| !value.is_null()))
}

/// The tenant as it is; null: there is none.
async fn shown(server: &mut Lasting<'_>, slug: &str) -> Result<Value, Failure> {
    let query = [("consistency".to_owned(), "linearizable".to_owned())];
    match server.api().await?.get_with(&["tenants", slug], &query).await {
        Ok(tenant) => Ok(tenant),
        Err(failure) if failure.is_not_found() => Ok(Value::Null),
        Err(failure) => Err(failure),
    }
}

/// A client's new secret.
struct Made {
    /// Of its document.
    place: usize,
    tenant: String,
    client_id: String,
    secret: String,
}

/// To the confidential clients that have none yet, which a plan tells. It also finds out everything that is wrong.
async fn give_secrets(
    server: &mut Lasting<'_>,
    documents: &mut [Document],
    args: &ImportArgs,
) -> Result<Vec<Made>, Failure> {
    let confidential = |document: &Document| {
        let method = document.body.get("token_endpoint_auth_method").and_then(Value::as_str);
        document.kind == Kind::Client && method != Some("none")
    };
    for document in documents.iter_mut().filter(|document| confidential(document)) {
        document.body.insert("secret".to_owned(), random::token().into());
    }
    let mut flags = vec!["dry_run"];
    flags.extend(args.take_over.then_some("take_over"));
    let plan = pieces::send(server, Order { documents, set: args.set(), flags: &flags }, |_| {}).await;
    if let Some(failure) = plan.failure {
        return Err(failure);
    }
    let plan = plan.answer.map(|answer| answer.body).unwrap_or_default();
    let changes = plan["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let needy: BTreeSet<usize> = changes.iter().filter(|change| needs_secret(change)).filter_map(place).collect();

    let mut made = Vec::new();
    for (place, document) in documents.iter_mut().enumerate().filter(|(_, document)| confidential(document)) {
        if needy.contains(&place) {
            let [tenant, client_id, secret] =
                ["tenant", "client_id", "secret"].map(|name| text(document, name).to_owned());
            made.push(Made { place, tenant, client_id, secret });
        } else {
            document.body.remove("secret");
        }
    }
    Ok(made)
}

fn place(change: &Value) -> Option<usize> {
    change["document"].as_u64().and_then(|number| usize::try_from(number).ok())
}

/// It is made, or is public so far.
fn needs_secret(change: &Value) -> bool {
    let was_public =
        |it: &Value| it["pointer"] == "/token_endpoint_auth_method" && it.get("before").is_some_and(|it| it == "none");
    change["kind"] == "Client"
        && (change["action"] == "create"
            || change["differences"].as_array().is_some_and(|it| it.iter().any(was_public)))
}

fn report(output: Output, body: &Value, secrets: &[Made], left_out: &[Fault]) -> Result<(), Failure> {
    const KEYS: &str = "Signing keys are not in such a folder: each tenant that was made has new ones.";
    if !output.is_table() {
        let mut body = body.clone();
        let made = |it: &Made| json!({"tenant": it.tenant, "client_id": it.client_id, "client_secret": it.secret});
        body["secrets"] = secrets.iter().map(made).collect();
        let told = |it: &Fault| json!({"file": it.file, "line": it.line, "pointer": it.pointer, "detail": it.detail});
        body["left_out"] = left_out.iter().map(told).collect();
        return output.document(&body);
    }
    show(output, body)?;
    if !left_out.is_empty() {
        say("\nNot brought over:")?;
        for fault in left_out {
            say(format_args!("  {fault}"))?;
        }
    }
    say(format_args!("\n{KEYS}"))?;
    if !secrets.is_empty() {
        say("Nor are clients' secrets; these are new:")?;
        for Made { tenant, client_id, secret, .. } in secrets {
            say(format_args!("  {tenant}/{client_id}  {secret}"))?;
        }
        note("Keep them: they are shown this once.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_secrets_are_for_clients_that_are_made_or_were_public() {
        let change = |action: &str, before: &str| {
            let difference = json!({"pointer": "/token_endpoint_auth_method", "before": before, "after": "x"});
            json!({"kind": "Client", "action": action, "differences": [difference]})
        };
        assert!(needs_secret(&change("create", "x")) && needs_secret(&change("update", "none")));
        assert!(!needs_secret(&change("update", "client_secret_post")));
        assert!(!needs_secret(&json!({"kind": "Client", "action": "unchanged", "differences": []})));
        assert!(!needs_secret(&json!({"kind": "Tenant", "action": "create", "differences": []})));
    }
}
