//! What the disk can do: append 1 KiB and fdatasync, one after the other.

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::load::float;

/// Durable appends per second, where the nodes keep their data, too.
pub(crate) fn appends_per_second() -> f64 {
    let path = tests::scratch::folder("disk").join("log");
    let mut file = File::create(path).expect("the scratch folder is writable");
    let begin = Instant::now();
    let mut appended = 0;
    while begin.elapsed() < Duration::from_secs(3) {
        file.write_all(&[7; 1024]).expect("the disk takes a write");
        file.sync_data().expect("the disk syncs");
        appended += 1;
    }
    float(appended) / begin.elapsed().as_secs_f64()
}
