//! What is going on: a spinner on a terminal, a line for each step elsewhere. On stderr; stdout is the summary's.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::ProgressBar;

use crate::output::note;

#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { bar: std::io::stderr().is_terminal().then(ProgressBar::new_spinner) }
    }

    pub(crate) fn step(&self, what: &str) {
        match &self.bar {
            Some(bar) => {
                bar.enable_steady_tick(Duration::from_millis(100));
                bar.set_message(format!("{what} …"));
            }
            None => note(format_args!("{what} …")),
        }
    }

    /// Something to know that stays on the screen.
    pub(crate) fn note(&self, what: &str) {
        match &self.bar {
            Some(bar) => bar.println(what),
            None => note(what),
        }
    }

    pub(crate) fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.disable_steady_tick();
            bar.finish_and_clear();
        }
    }
}
