//! `hellojohn apply` and `hellojohn diff`: what files say is made so, or shown how it differs.
//!
//! Files are read here, and so are the secrets that they refer to; the server plans and carries out. Whatever it finds
//! wrong is told by file and line.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use manifest::{Document, Fault, Format, Plain, References, Reserved};
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{Answer, Api, Change};
use crate::failure::Failure;
use crate::output::{Output, say};

#[derive(Debug, Args)]
pub(crate) struct Documents {
    /// A file, a folder of files, or `-` for stdin; repeat for more, all of which are applied together
    #[arg(short, long = "file", value_name = "FILE|DIR|-", required = true)]
    files: Vec<PathBuf>,
    /// The name of this set of documents: what it makes is its own
    #[arg(long, value_name = "NAME", default_value = "default")]
    set: String,
    /// Delete what this set made and no longer states
    #[arg(long)]
    prune: bool,
    /// Take over what another set manages
    #[arg(long)]
    take_over: bool,
    /// Accept secrets that stand in the documents as plain text
    #[arg(long)]
    allow_plain_secrets: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    documents: Documents,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn apply(api: &Api, args: ApplyArgs) -> Result<(), Failure> {
    let answer = send(api, &args.documents, args.dry_run).await?;
    show(api.output, &answer.body)?;
    answer.check_fleet()
}

/// As diff(1): 0 when nothing differs, 1 when something does, more when it could not be found out.
pub(crate) async fn diff(api: &Api, documents: Documents) -> Result<(), Failure> {
    let answer = send(api, &documents, true).await?;
    show(api.output, &answer.body)?;
    let summary = |action: &str| answer.body["summary"][action].as_u64().unwrap_or(0);
    if summary("create") + summary("update") + summary("delete") > 0 { Err(Failure::Different) } else { Ok(()) }
}

async fn send(api: &Api, args: &Documents, dry_run: bool) -> Result<Answer, Failure> {
    let plain = if args.allow_plain_secrets { Plain::Allow } else { Plain::Refuse };
    let documents = read(&args.files, plain)?;
    let documents: Vec<&Document> = documents.iter().collect();
    apply_documents(api, &documents, &args.set, &flags(args, dry_run)).await
}

fn flags(args: &Documents, dry_run: bool) -> Vec<&'static str> {
    let all = [("dry_run", dry_run), ("prune", args.prune), ("take_over", args.take_over)];
    all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
}

/// Sends documents whose secrets are in place. What the server finds wrong comes back with file and line.
pub(crate) async fn apply_documents(
    api: &Api,
    documents: &[&Document],
    set: &str,
    flags: &[&str],
) -> Result<Answer, Failure> {
    let bodies: Vec<Value> = documents
        .iter()
        .map(|document| {
            let mut body = document.body.clone();
            body.insert("kind".to_owned(), document.kind.as_str().into());
            body.into()
        })
        .collect();
    // They were references until a moment ago, and are sealed where they arrive.
    let mut query = vec![("set".to_owned(), set.to_owned()), ("plain_secrets".to_owned(), "true".to_owned())];
    query.extend(flags.iter().map(|flag| ((*flag).to_owned(), "true".to_owned())));
    let body = Some(json!({ "documents": bodies }));
    let change = Change { method: Method::POST, path: &["apply"], body, if_match: None };
    api.change_with(&query, change).await.map_err(|failure| placed(failure, documents))
}

/// Everything below the paths, or everything that is wrong with it.
fn read(paths: &[PathBuf], plain: Plain) -> Result<Vec<Document>, Failure> {
    let (mut documents, mut faults) = (Vec::new(), Vec::new());
    for path in paths {
        for (name, text) in texts(path)? {
            match manifest::read(&name, &text, Format::of(&name)) {
                Ok(found) => documents.extend(found),
                Err(found) => faults.extend(found),
            }
        }
    }
    // The operator's own: whatever they may read.
    let nothing = Reserved::default();
    let references = References::Follow(&nothing);
    faults.extend(documents.iter_mut().flat_map(|document| manifest::resolve(document, plain, references)));
    if !faults.is_empty() {
        return Err(Failure::Usage(faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n")));
    }
    if documents.is_empty() {
        return Err(Failure::Usage("the files hold no documents".to_owned()));
    }
    Ok(documents)
}

fn texts(path: &Path) -> Result<Vec<(String, String)>, Failure> {
    let cannot =
        |path: &Path, error: &std::io::Error| Failure::Usage(format!("cannot read {}: {error}", path.display()));
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|error| cannot(Path::new("stdin"), &error))?;
        return Ok(vec![("stdin".to_owned(), text)]);
    }
    let files = manifest::files(path).map_err(|error| cannot(path, &error))?;
    let read = |file: PathBuf| {
        let text = manifest::text(&file).map_err(|error| cannot(&file, &error))?;
        Ok((file.display().to_string(), text))
    };
    files.into_iter().map(read).collect()
}

/// `/documents/3/clients/0/name` as the file, line and place that it came from.
fn placed(failure: Failure, documents: &[&Document]) -> Failure {
    let Failure::Problem(mut problem) = failure else { return failure };
    for error in &mut problem.errors {
        let Some(rest) = error.pointer.strip_prefix("/documents/") else { continue };
        let (number, pointer) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let Some(document) = number.parse().ok().and_then(|number: usize| documents.get(number)) else { continue };
        let line = document.line_of(pointer).map(|line| format!(":{line}")).unwrap_or_default();
        let place = format!("{}{line}", document.file);
        error.pointer = if pointer.is_empty() { place } else { format!("{place}: {pointer}") };
    }
    Failure::Problem(problem)
}

pub(crate) fn show(output: Output, body: &Value) -> Result<(), Failure> {
    if !output.is_table() {
        return output.document(body);
    }
    for change in body["changes"].as_array().into_iter().flatten() {
        let text = |name: &str| change[name].as_str().unwrap_or_default();
        let sign = match text("action") {
            "create" => '+',
            "update" => '~',
            "delete" => '-',
            _ => continue,
        };
        let name = [text("tenant"), text("name")].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        say(format_args!("{sign} {} {}", text("kind").to_lowercase(), name.join("/")))?;
        for difference in change["differences"].as_array().into_iter().flatten() {
            let pointer = difference["pointer"].as_str().unwrap_or_default().trim_start_matches('/');
            // JSON's escapes keep what somebody else wrote from steering the terminal.
            if let Some(before) = difference.get("before") {
                say(format_args!("    - {pointer}: {before}"))?;
            }
            if let Some(after) = difference.get("after") {
                say(format_args!("    + {pointer}: {after}"))?;
            }
        }
    }
    let count = |action: &str| body["summary"][action].as_u64().unwrap_or(0);
    let counts = ["create", "update", "delete"].map(|action| format!("{} {action}d", count(action)));
    let would = if body["dry_run"] == true { " (not done: dry run)" } else { "" };
    say(format_args!("{}, {} unchanged{would}", counts.join(", "), count("unchanged")))?;
    Ok(())
}
