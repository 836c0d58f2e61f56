//! The contract as a page: no script, nothing from elsewhere.

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::operations::{self, Operation};
use crate::admin::routes::{PREFIX, ROUTES, Row};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.3rem .6rem;\
border-bottom:1px solid #ccc}code{font-family:ui-monospace,monospace}@media(prefers-color-scheme:dark){\
body{background:#111;color:#ddd}a{color:#8bf}}";

#[derive(Template)]
#[template(
    ext = "html",
    source = "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>HelloJohn admin API</title>
<meta name=\"viewport\" content=\"width=device-width\"><style>{{ style|safe }}</style></head><body>
<h1>HelloJohn admin API {{ version }}</h1>
<p>Everything below <code>{{ prefix }}</code>, as JSON. For programs: <a href=\"openapi.json\">openapi.json</a>.</p>
<table><thead><tr><th>Request</th><th>What it does</th><th>Parameters</th><th>For</th></tr></thead><tbody>
{% for (row, operation) in rows %}<tr><td><code>{{ row.method }} {{ row.path }}</code></td><td>{{ operation.summary }}</td>
<td>{% for (name, meaning) in operation.query %}<code>{{ name }}</code> {{ meaning }}<br>{% endfor %}</td>
<td>{{ row.access.in_words() }}</td></tr>
{% endfor %}</tbody></table></body></html>
"
)]
struct Page {
    style: &'static str,
    version: &'static str,
    prefix: &'static str,
    rows: Vec<(&'static Row, &'static Operation)>,
}

pub(super) fn render() -> Result<String, askama::Error> {
    let rows = ROUTES.iter().filter_map(|row| Some((row, operations::of(&row.method, row.path)?))).collect();
    Page { style: STYLE, version: env!("CARGO_PKG_VERSION"), prefix: PREFIX, rows }.render()
}

/// What the page's policy lets through (CSP 3 §2.3.1).
pub(super) fn style_hash() -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(STYLE.as_bytes())))
}
