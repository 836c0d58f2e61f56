//! Files of the configuration that a test changed, as the import takes them.

use std::fmt::Write as _;

use serde_json::json;
use sha2::{Digest as _, Sha256};

/// `lines`: of an export, from its header to its last record, or to the end that it had, whose place another one takes.
pub fn sealed(lines: impl IntoIterator<Item = String>) -> String {
    let lines: Vec<String> = lines.into_iter().filter(|line| !line.starts_with("{\"kind\":\"end\"")).collect();
    let records = lines.len() - 1;
    let text = lines.join("\n") + "\n";
    let mut sum = String::new();
    for byte in Sha256::digest(text.as_bytes()) {
        write!(sum, "{byte:02x}").expect("a string takes it");
    }
    format!("{text}{}\n", json!({ "kind": "end", "records": records, "sha256": sum }))
}
