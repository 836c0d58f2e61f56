//! The configuration as a file of JSON lines, and back.
//!
//! ```text
//!   {"export":"hellojohn configuration","version":1,"cluster_id":…,"revision":…}
//!   {"kind":"settings",…}  {"kind":"key",…} (global)
//!   {"kind":"tenant",…}  its keys  its scopes  its clients       … tenant after tenant
//!   {"kind":"admin",…}
//!   {"kind":"end","records":N,"sha256":…}                         of every byte before it
//! ```
//!
//! Records are those of the mutation `restore`: ids, digests and sealed secrets as they are. A tenant is followed by what
//! belongs to it, so that both ends need one tenant at a time.
//!
//! An import reads its file three times: [`read`] checks every byte and record, then every mutation that it will come to is
//! applied to a copy of the state, and only then is anything proposed. Each mutation puts what stands there whole, so an
//! import that broke off is run again and goes on where it ended. What is not there yet is put on the condition that it
//! still is not; for that the `restore` stands in a `batch`.

pub mod import;
pub mod read;
pub mod steps;
pub mod write;

use std::fmt::Write as _;

const MAGIC: &str = "hellojohn configuration";
const VERSION: u32 = 1;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
