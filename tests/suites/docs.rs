//! The pages of `docs/` and the README say what the code does: generated parts are fresh, tables are complete, links lead
//! somewhere, examples are accepted by the programs.
//!
//! `UPDATE_DOCS=1 cargo test --workspace --test docs` writes the generated parts anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use controlplane_daemon::admin::routes::ROUTES;
use telemetry::metric::{Kind, reference};
use tests::pages::blocks;
use tests::programs;
use vocab::ErrorCode;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn pages() -> Vec<String> {
    let docs = std::fs::read_dir(root().join("docs")).expect("docs/ is there");
    let files = docs.map(|entry| PathBuf::from(entry.expect("a readable folder").file_name()));
    let pages = files.filter(|file| file.extension().is_some_and(|extension| extension == "md"));
    let pages = pages.map(|file| format!("docs/{}", file.display()));
    let mut pages: Vec<_> = pages.chain(["README.md".to_owned()]).collect();
    pages.sort();
    pages
}

/// Compares what stands between the markers of `name` with what the code says, or writes it.
fn assert_fresh(page: &str, name: &str, generated: &str) {
    let text = read(page);
    let begin = format!("<!-- generated: {name} -->\n");
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{page} has no {begin}"));
    let (stands, after) = rest.split_once("<!-- end -->\n").unwrap_or_else(|| panic!("{page}: {name} has no end"));
    let generated = format!("\n{}\n\n", generated.trim());
    if stands == generated {
        return;
    }
    assert!(
        std::env::var_os("UPDATE_DOCS").is_some(),
        "{page}: {name} is stale: run UPDATE_DOCS=1 cargo test --workspace --test docs"
    );
    let fresh = format!("{before}{begin}{generated}<!-- end -->\n{after}");
    std::fs::write(root().join(page), fresh).expect("the page is written");
}

#[test]
fn the_settings_are_those_of_the_programs() {
    let page = "docs/configuration.md";
    assert_fresh(page, "controlplane-daemon", &controlplane_daemon::settings::reference());
    assert_fresh(page, "dataplane-service", &dataplane_service::settings::reference());
}

#[test]
fn the_routes_are_those_of_the_table() {
    let rows = ROUTES.iter().map(|row| format!("| {} | `{}` | {} |", row.method, row.path, row.access.in_words()));
    let head = ["| method | path | roles |".to_owned(), "|---|---|---|".to_owned()];
    let table = head.into_iter().chain(rows).collect::<Vec<_>>().join("\n");
    assert_fresh("docs/admin-api.md", "routes", &table);
}

/// The page's row of a code begins with code and status, as the code has them.
#[test]
fn every_error_code_has_its_row() {
    let page = read("docs/admin-api.md");
    for code in ErrorCode::ALL {
        let row = format!("| `{code}` | {} |", code.http_status());
        let rows: Vec<_> = page.lines().filter(|line| line.starts_with(&row)).collect();
        let [row] = rows[..] else { panic!("docs/admin-api.md needs one row {row}") };
        assert_eq!(row.matches(" | ").count(), 3, "code, status, cause and remedy: {row}");
    }
}

#[test]
fn every_oauth_error_code_has_its_row() {
    let page = read("docs/data-plane.md");
    for code in oauth_core::error::Code::ALL {
        let row = format!("| `{}` | {} |", code.as_str(), code.status());
        let is_whole = |line: &str| line.starts_with(&row) && line.matches(" | ").count() == 3;
        assert!(page.lines().any(is_whole), "docs/data-plane.md needs a row of code, status, when, what to do: {row}");
    }
}

/// The table of endpoints has each path with its methods, and no other.
#[test]
fn the_endpoints_are_those_of_the_data_plane() {
    let page = read("docs/data-plane.md");
    let table =
        page.split_once("\n## Endpoints\n").and_then(|(_, rest)| rest.split_once("\n## ")).expect("a section").0;
    let mut listed = BTreeSet::new();
    for row in table.lines().filter(|line| line.starts_with("| `/")) {
        let cells: Vec<_> = row.split(" | ").collect();
        for path in cells[0].split('`').skip(1).step_by(2) {
            listed.extend(cells[1].split(", ").map(|method| (path.to_owned(), method.to_owned())));
        }
    }
    // The page says in words what may stand behind a path.
    let served = tests::routes::tenant_routes().into_iter().filter(|(_, path)| !path.contains("{resource"));
    let served: BTreeSet<_> = served.map(|(method, path)| (path, method.to_string())).collect();
    assert_eq!(listed, served, "docs/data-plane.md (left) and the routes (right)");
}

/// The command line's own help, for every command.
#[test]
fn the_commands_are_those_of_the_program() {
    let mut text = String::new();
    describe(&[], &mut text);
    assert_fresh("docs/cli.md", "commands", &text);
}

fn describe(path: &[&str], text: &mut String) {
    let output = Command::new(programs::hellojohn()).args(path).arg("--help").env_clear().output().expect("it runs");
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    // Of no use a hundred times; the first has them.
    let shown =
        if path.is_empty() { help.as_str() } else { help.split("\nGlobal options:").next().unwrap_or_default() };
    let shown: Vec<&str> = shown.lines().map(str::trim_end).filter(|line| !line.contains("Print version")).collect();
    let title = ["hellojohn"].into_iter().chain(path.iter().copied()).collect::<Vec<_>>().join(" ");
    let _ = write!(text, "## {title}\n\n```text\n{}\n```\n\n", shown.join("\n").trim());
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // What stands deeper goes on with the line before.
    let commands = commands.filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    for command in commands.filter_map(|line| line.split_whitespace().next()).filter(|command| *command != "help") {
        describe(&[path, &[command]].concat(), text);
    }
}

/// The book has every page once, and no other.
#[test]
fn the_book_lists_every_page() {
    let summary = read("docs/SUMMARY.md");
    let links = summary.match_indices("](").filter_map(|(at, _)| summary.split_at(at + 2).1.split_once(')'));
    let mut listed: Vec<String> = links.map(|(page, _)| format!("docs/{page}")).collect();
    listed.sort();
    let all: Vec<String> =
        pages().into_iter().filter(|page| page != "README.md" && page != "docs/SUMMARY.md").collect();
    assert_eq!(listed, all, "docs/SUMMARY.md (left) and the folder (right)");
    assert!(read("docs/book.toml").contains("\nsrc = \".\"\n"), "the pages lie beside the book's settings");
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_metrics_are_those_of_the_programs() {
    let page = "docs/metrics.md";
    assert_fresh(page, "controlplane-daemon", &reference(controlplane_daemon::recorder::METRICS));
    assert_fresh(page, "dataplane-service", &reference(dataplane_service::recorder::METRICS));
}

/// How the `metrics` macros are called in `text`: kind, name, labels in the order of the alphabet.
fn metrics_of(text: &str) -> BTreeSet<(&'static str, String, Vec<String>)> {
    let mut found = BTreeSet::new();
    for kind in [Kind::Counter, Kind::Gauge, Kind::Histogram].map(Kind::as_str) {
        let call = format!("{kind}!(");
        for (at, _) in text.match_indices(&call) {
            let rest = text.split_at(at + call.len()).1;
            let mut depth = 1;
            let arguments = rest.split(|c| {
                depth += i32::from(c == '(') - i32::from(c == ')');
                depth == 0
            });
            let arguments = arguments.into_iter().next().expect("split has a first part").trim_start();
            let name = arguments.strip_prefix('"').and_then(|rest| rest.split_once('"'));
            let (name, labels) = name.unwrap_or_else(|| panic!("a metric's name is a literal: {arguments}"));
            // What stands before an arrow, in quotes.
            let parts: Vec<&str> = labels.split(" =>").collect();
            let before = parts.split_last().map(|(_, before)| before).unwrap_or_default();
            let mut labels: Vec<_> =
                before.iter().filter_map(|part| Some(part.rsplit('"').nth(1)?.to_owned())).collect();
            labels.sort();
            found.insert((kind, name.to_owned(), labels));
        }
    }
    found
}

/// In the source, on every path, whether a test comes along it or not. What processes expose is compared in the suite of
/// telemetry.
#[test]
fn every_metric_has_its_row_and_every_row_its_metric() {
    for (folder, table) in [
        ("controlplane-daemon", controlplane_daemon::recorder::METRICS),
        ("dataplane-service", dataplane_service::recorder::METRICS),
    ] {
        let rows: BTreeSet<_> = table
            .iter()
            .map(|metric| {
                let mut labels: Vec<_> = metric.labels.iter().map(|label| label.name.to_owned()).collect();
                labels.sort();
                (metric.kind.as_str(), metric.name.to_owned(), labels)
            })
            .collect();
        assert_eq!(rows.len(), table.len(), "{folder}: a row stands there twice");
        let mut files = Vec::new();
        sources(&root().join(folder), &mut files);
        let emitted: BTreeSet<_> = files
            .iter()
            .flat_map(|path| metrics_of(&std::fs::read_to_string(path).expect("sources are readable")))
            .collect();
        assert_eq!(rows, emitted, "the table of {folder} (left) and its source (right)");
    }
}

/// The suite of manifests asks the same of alerts and dashboard.
#[test]
fn metrics_that_pages_name_exist() {
    let tables = [controlplane_daemon::recorder::METRICS, dataplane_service::recorder::METRICS].concat();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for file in pages() {
        let text = read(&file);
        let words = text.split(|c| !is_word(c));
        let words = words.filter(|word| ["hj_cp_", "hj_dp_"].iter().any(|plane| word.starts_with(plane)));
        for word in words {
            let known = tables.iter().any(|metric| {
                // `hj_cp_gitops_…`: all of them.
                if word.ends_with('_') && metric.name.starts_with(word) {
                    return true;
                }
                let suffix = word.strip_prefix(metric.name);
                suffix == Some("")
                    || (metric.kind == Kind::Histogram
                        && suffix.is_some_and(|it| ["_bucket", "_sum", "_count"].contains(&it)))
            });
            assert!(known, "{file}: there is no metric {word}");
        }
    }
}

/// Links between pages and into the tree; with an anchor, a heading of that page.
#[test]
fn links_lead_somewhere() {
    for page in pages() {
        let text = read(&page);
        let folder = Path::new(&page).parent().expect("a page has a folder");
        for (_, rest) in text.match_indices("](").map(|(at, _)| text.split_at(at + 2)) {
            let target = rest.split(')').next().unwrap_or_default();
            if target.contains("://") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if path.is_empty() { PathBuf::from(&page) } else { folder.join(path) };
            assert!(root().join(&path).exists(), "{page}: {target} leads nowhere");
            if !anchor.is_empty() {
                let there = read(path.to_str().expect("UTF-8"));
                assert!(there.lines().any(|line| slug(line).as_deref() == Some(anchor)), "{page}: no heading {target}");
            }
        }
    }
}

/// A heading's anchor, as GitHub makes it.
fn slug(line: &str) -> Option<String> {
    let title = line.strip_prefix('#')?.trim_start_matches('#').trim().to_lowercase();
    Some(title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-"))
}

#[test]
fn lines_are_short_outside_tables_and_examples() {
    for page in pages() {
        let mut inside = false;
        for (number, line) in read(&page).lines().enumerate() {
            inside ^= line.trim_start().starts_with("```");
            let free = inside || line.trim_start().starts_with('|') || line.contains("](");
            assert!(free || line.chars().count() <= 120, "{page}:{} is longer than 120", number + 1);
        }
        assert!(!inside, "{page}: an example does not end");
    }
}

/// Words in angle brackets outside code would be taken for HTML, and vanish.
#[test]
fn pages_have_no_html() {
    for page in pages() {
        let text = read(&page);
        let prose = text.split("\n```").step_by(2).collect::<String>();
        let prose = prose.split('`').step_by(2).collect::<String>();
        let tag = prose
            .match_indices('<')
            .map(|(at, _)| prose.split_at(at + 1).1)
            .find(|rest| !prose.is_empty() && rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/'));
        assert_eq!(tag.and_then(|rest| rest.lines().next()), None, "{page}: HTML, or a word that needs backticks");
    }
}

/// Paths of this repository that pages name in backticks.
#[test]
fn named_files_exist() {
    let tops =
        ["controlplane-daemon/", "dataplane-service/", "shared-proto/", "migrations/", "tests/", "docs/", "k8s/"];
    for page in pages() {
        let text = read(&page);
        for name in text.split('`').skip(1).step_by(2) {
            let is_path = tops.iter().any(|top| name.starts_with(top)) && !name.contains([' ', '*', '\n']);
            assert!(!is_path || root().join(name).exists(), "{page} names {name}, which is not there");
        }
    }
}

fn program_path(program: &str) -> PathBuf {
    match program {
        "controlplane-daemon" => programs::controlplane_daemon(),
        "dataplane-service" => programs::dataplane_service(),
        _ => programs::hellojohn(),
    }
}

#[test]
fn json_examples_are_json() {
    for page in pages() {
        for block in blocks(&page, "json") {
            let read = serde_json::from_str::<serde_json::Value>(&block);
            assert!(read.is_ok(), "{page}: {read:?} in\n{block}");
        }
    }
}

/// Each program takes its example file: with the files of /etc/hellojohn in a folder of ours.
#[test]
fn toml_examples_are_accepted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let etc = folder.path();
    std::fs::create_dir(etc.join("tls")).expect("a folder");
    let pem = "-----BEGIN CERTIFICATE-----\n";
    for (name, text) in [
        ("master-key", STANDARD.encode([7; 32])),
        ("cluster-hmac-secret", "h".repeat(32)),
        ("watch-token", "w".repeat(32)),
        ("tls/node.pem", pem.to_owned()),
        ("tls/node.key", pem.to_owned()),
        ("tls/ca.pem", pem.to_owned()),
    ] {
        std::fs::write(etc.join(name), text).expect("a file");
    }
    let mut seen = 0;
    for block in blocks("docs/configuration.md", "toml") {
        let program = ["controlplane-daemon", "dataplane-service"]
            .into_iter()
            .find(|program| {
                block.contains(&format!("/etc/hellojohn/{}.toml", program.split('-').next().expect("a word")))
            })
            .expect("an example names its file");
        let file = etc.join("example.toml");
        std::fs::write(&file, block.replace("/etc/hellojohn", etc.to_str().expect("UTF-8"))).expect("a file");
        let output = Command::new(program_path(program))
            .args(["config", "--print", "--config"])
            .arg(&file)
            .env_clear()
            .output()
            .expect("the program runs");
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        seen += 1;
    }
    assert_eq!(seen, 2);
}

/// Every flag after `hellojohn`, `controlplane-daemon` or `dataplane-service` in a shell example is one of the program's.
#[test]
fn shell_examples_use_flags_that_exist() {
    let programs = ["hellojohn", "controlplane-daemon", "dataplane-service"];
    for page in pages() {
        for block in blocks(&page, "sh") {
            for line in block.replace("\\\n", " ").lines() {
                let line = line.split(" #").next().unwrap_or_default();
                let words: Vec<&str> = line.split_whitespace().collect();
                let is_program = |word: &&str| programs.contains(&word.rsplit('/').next().unwrap_or(word));
                if words.first().is_some_and(|first| ["kubectl", "docker", "kind"].contains(first)) {
                    continue;
                }
                let Some(at) = words.iter().position(is_program) else { continue };
                let (program, arguments) = (words[at].rsplit('/').next().expect("a word"), &words[at + 1..]);
                let path: Vec<&str> =
                    arguments.iter().copied().take_while(|word| word.chars().all(char::is_lowercase)).collect();
                let mut help = String::new();
                // A word may be an argument, not a subcommand: then the help of what stands before it counts.
                for depth in (0..=path.len()).rev() {
                    let output = Command::new(program_path(program))
                        .args(&path[..depth])
                        .arg("--help")
                        .output()
                        .expect("it runs");
                    if output.status.success() {
                        help = String::from_utf8_lossy(&output.stdout).into_owned();
                        break;
                    }
                }
                for flag in arguments.iter().filter(|word| word.starts_with("--")) {
                    let name = flag.split('=').next().unwrap_or(flag);
                    let known = help.split(|c: char| c.is_whitespace() || "[]=,".contains(c)).any(|word| word == name);
                    assert!(known, "{page}: {program} {} has no {name}: {line}", path.join(" "));
                }
            }
        }
    }
}
