//! What a program says to whom started it at a shell. `println!` panics when nobody reads any more, in the middle of
//! whatever was under way.

use std::fmt::Display;
use std::io::{self, Write as _};

/// A line of the answer, on stdout. Whoever reads it may have read enough, as `head` has: what is done is the same
/// without him.
pub fn say(line: impl Display) -> io::Result<()> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        said => said,
    }
}

/// A line beside the answer, on stderr. Where that cannot be written, there is no other place to say so.
pub fn note(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
