//! A program's wall clock, which a test may set, by Debian's `faketime`.

use std::path::PathBuf;

use crate::process::Launch;

#[derive(Debug)]
pub struct WallClock {
    /// The program looks at this file whenever it looks at the clock.
    file: PathBuf,
}

impl WallClock {
    /// That program's from its next start on; right until it is set.
    pub fn of(launch: &mut Launch) -> Self {
        let clock = Self { file: launch.log.with_extension("clock") };
        clock.set("+0s");
        launch.env.extend(clock.variables().map(|(name, value)| (name.to_owned(), value)));
        clock
    }

    /// For the environment of another program that is to have it, too.
    pub fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", library().display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            // As with NTP or an operator's `date`: the monotonic clock is not touched.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }

    /// So far from what is right, such as `+1h` or `-20s`.
    pub fn set(&self, offset: &str) {
        let next = self.file.with_extension("next");
        std::fs::write(&next, offset).expect("the scratch folder is writable");
        std::fs::rename(&next, &self.file).expect("the scratch folder is writable");
    }
}

/// Built for every architecture's own folder.
fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut libraries = folders.map(|folder| folder.join("faketime/libfaketime.so.1"));
    libraries.find(|path| path.exists()).expect("libfaketime is installed (Debian: libfaketime)")
}
