//! What stands in the pages of the documentation.

use std::fs;

use crate::programs;

/// The fenced blocks of a language, in order; also those in lists, without their indentation.
pub fn blocks(page: &str, language: &str) -> Vec<String> {
    let path = programs::repository().join(page);
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{page}: {error}"));
    let mut found = Vec::new();
    let mut current: Option<(usize, Vec<String>)> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        current = match current {
            None if line.trim() == format!("```{language}") => Some((indent, Vec::new())),
            None => None,
            Some((_, lines)) if line.trim() == "```" => {
                found.push(lines.join("\n"));
                None
            }
            Some((indent, mut lines)) => {
                lines.push(line.get(indent..).unwrap_or_default().to_owned());
                Some((indent, lines))
            }
        };
    }
    assert!(current.is_none(), "{page}: a block does not end");
    found
}
