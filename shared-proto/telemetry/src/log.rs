//! Lines for people on stderr, or as JSON on stdout; which ones can be changed while the process runs.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::str::FromStr;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry, reload};

use crate::{ACCESS, TRACE};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people where stderr is a terminal, as JSON elsewhere.
    #[default]
    Auto,
    Human,
    Json,
}

impl Format {
    pub const WORDS: [(&str, Self); 3] = [("auto", Self::Auto), ("human", Self::Human), ("json", Self::Json)];

    pub fn parse(text: &str) -> Option<Self> {
        Self::WORDS.into_iter().find_map(|(word, format)| (word == text).then_some(format))
    }

    fn is_json(self) -> bool {
        match self {
            Self::Json => true,
            Self::Human => false,
            Self::Auto => !io::stderr().is_terminal(),
        }
    }
}

/// Which lines are written: a level, or levels by target, such as `info,dataplane_service=debug,access=info`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a level (error, warn, info, debug, trace) or levels by target, such as info,access=info: {0}")]
pub struct InvalidFilter(String);

impl FromStr for Filter {
    type Err = InvalidFilter;

    fn from_str(text: &str) -> Result<Self, InvalidFilter> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidFilter("it is empty".to_owned()));
        }
        match text.parse::<Targets>() {
            // `Targets` takes any word for a target whose every line is wanted: `verbose` would be everything of nothing.
            Ok(_) if text.split(',').all(|part| part.contains('=') || is_level(part)) => Ok(Self(text.to_owned())),
            Ok(_) => Err(InvalidFilter(format!("{text:?} names no level"))),
            Err(error) => Err(InvalidFilter(error.to_string())),
        }
    }
}

fn is_level(word: &str) -> bool {
    word.trim().parse::<LevelFilter>().is_ok()
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose lines may go into detail. Libraries below tell of what they carry then: parameters of statements, headers with
/// credentials in them.
const DETAILED: [&str; 10] = [
    "controlplane_core",
    "controlplane_daemon",
    "dataplane_service",
    "hellojohn",
    "manifest",
    "oauth_core",
    "openraft",
    "telemetry",
    "transport",
    ACCESS,
];

impl Filter {
    fn targets(&self) -> Targets {
        let asked: Targets = self.0.parse().unwrap_or_default();
        let of_all = asked.default_level().unwrap_or(LevelFilter::OFF);
        Targets::new()
            .with_default(of_all.min(LevelFilter::INFO))
            .with_targets(DETAILED.map(|target| (target, of_all)))
            .with_target("openraft", of_all.min(LevelFilter::WARN))
            .with_target(ACCESS, of_all.min(LevelFilter::WARN))
            .with_targets(asked.iter().map(|(target, level)| {
                let ours = DETAILED.iter().any(|own| target.split("::").next() == Some(own));
                (target.to_owned(), if ours { level } else { level.min(LevelFilter::INFO) })
            }))
            // Spans for traces are no lines, whatever the level.
            .with_target(TRACE, LevelFilter::OFF)
    }
}

type Handle = reload::Handle<Targets, Registry>;

/// What is written at the moment.
#[derive(Clone)]
pub struct Lines {
    handle: Handle,
    filter: Arc<Mutex<Filter>>,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("filter", &self.filter.lock().0).finish_non_exhaustive()
    }
}

impl Lines {
    pub fn filter(&self) -> Filter {
        self.filter.lock().clone()
    }

    /// From now on.
    pub fn set(&self, filter: Filter) {
        let mut held = self.filter.lock();
        if let Err(error) = self.handle.reload(filter.targets()) {
            tracing::debug!(%error, "logging was set up by another");
        }
        *held = filter;
    }
}

pub(crate) fn layer(format: Format, filter: &Filter) -> (Lines, Box<dyn Layer<Registry> + Send + Sync>) {
    let (targets, handle) = reload::Layer::new(filter.targets());
    let lines = Lines { handle, filter: Arc::new(Mutex::new(filter.clone())) };
    (lines, writer(format).with_filter(targets).boxed())
}

fn writer<S>(format: Format) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let layer = tracing_subscriber::fmt::layer();
    if format.is_json() {
        // Whoever collects lines reads stdout.
        layer.json().flatten_event(true).with_current_span(false).with_span_list(false).with_writer(io::stdout).boxed()
    } else {
        layer.with_ansi(io::stderr().is_terminal()).with_writer(io::stderr).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    fn wants(filter: &str, target: &str, level: Level) -> bool {
        filter.parse::<Filter>().unwrap().targets().would_enable(target, &level)
    }

    #[test]
    fn a_level_is_for_everything_but_what_is_left_out() {
        assert!(wants("info", "dataplane_service::http", Level::INFO));
        assert!(!wants("info", "dataplane_service::http", Level::DEBUG));
        assert!(
            !wants("info", "openraft", Level::INFO) && wants("info,openraft=debug", "openraft::engine", Level::DEBUG)
        );
        assert!(!wants("error", "openraft", Level::WARN));
    }

    #[test]
    fn libraries_that_carry_secrets_never_go_into_detail() {
        for filter in ["trace", "debug,tokio_postgres=debug", "info,h2=trace"] {
            assert!(!wants(filter, "tokio_postgres::query", Level::DEBUG), "{filter}");
            assert!(!wants(filter, "h2::codec", Level::TRACE), "{filter}");
        }
        assert!(wants("trace", "tokio_postgres", Level::INFO));
        assert!(wants("dataplane_service=trace", "dataplane_service::http", Level::TRACE));
    }

    #[test]
    fn access_lines_are_asked_for_by_name() {
        assert!(!wants("info", ACCESS, Level::INFO) && wants("info", ACCESS, Level::WARN));
        assert!(!wants("debug", ACCESS, Level::INFO));
        assert!(wants("info,access=info", ACCESS, Level::INFO));
    }

    #[test]
    fn spans_for_traces_are_never_lines() {
        assert!(!wants("trace", TRACE, Level::TRACE));
    }

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for bad in ["", " ", "verbose", "info,loud", "info,x=loud"] {
            assert!(bad.parse::<Filter>().is_err(), "{bad:?}");
        }
    }
}
