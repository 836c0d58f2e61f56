//! Gathers what was given: flag before environment before file, and for secrets also the files that hold them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::catalogue::{self, Setting};

/// A setting's text and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) text: String,
    pub(super) origin: String,
}

/// What was given of each setting, by flag, before anything is judged.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) values: BTreeMap<&'static str, Given>,
    /// Where secrets were read from.
    pub(super) secret_files: Vec<PathBuf>,
    pub(super) problems: Vec<String>,
}

/// The environment, as a function so that tests need not touch the process's own.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

pub(super) fn gather(flags: &dyn Fn(&str) -> Option<String>, env: Environment<'_>) -> Gathered {
    let mut all = Gathered::default();
    let config = flags("config").or_else(|| all.variable(env, "HJ_CONFIG"));
    let mut file = config.map(|path| all.file(Path::new(&path))).unwrap_or_default();
    for setting in catalogue::ALL {
        let candidates = [
            all.by_flag(setting, flags),
            all.by_variable(setting, env),
            all.by_file(setting, &mut file),
            setting.default.map(|text| Given { text: text.to_owned(), origin: "default".to_owned() }),
        ];
        if let Some(given) = candidates.into_iter().flatten().next() {
            all.values.insert(setting.flag, given);
        }
    }
    for (key, origin) in file.origins() {
        all.problems.push(format!("{key}: no such setting ({origin})"));
    }
    all
}

impl Gathered {
    fn by_flag(&mut self, setting: &Setting, flags: &dyn Fn(&str) -> Option<String>) -> Option<Given> {
        let flag = setting.flag;
        let direct = flags(flag).map(|text| Given { text, origin: format!("--{flag}") });
        let by_file = setting.file_flag.and_then(|flag| Some((flags(flag)?, format!("--{flag}"))));
        self.one_of(direct, by_file)
    }

    fn by_variable(&mut self, setting: &Setting, env: Environment<'_>) -> Option<Given> {
        for name in setting.variables() {
            let direct = self.variable(env, &name).map(|text| Given { text, origin: name.clone() });
            let file_name = format!("{name}_FILE");
            let by_file = if setting.is_secret() { self.variable(env, &file_name) } else { None };
            if let Some(given) = self.one_of(direct, by_file.map(|path| (path, file_name))) {
                return Some(given);
            }
        }
        None
    }

    fn by_file(&mut self, setting: &Setting, file: &mut ConfigFile) -> Option<Given> {
        let key = setting.key();
        let direct = file.take(&key, &mut self.problems);
        let file_key = format!("{key}_file");
        let by_file = if setting.is_secret() { file.take(&file_key, &mut self.problems) } else { None };
        self.one_of(direct, by_file.map(|given| (given.text, given.origin)))
    }

    /// The value itself, or what stands in the file that is named instead; both at once is a mistake.
    fn one_of(&mut self, direct: Option<Given>, by_file: Option<(String, String)>) -> Option<Given> {
        match (direct, by_file) {
            (Some(direct), Some((_, origin))) => {
                self.problems.push(format!("{} and {origin}: give one of them", direct.origin));
                Some(direct)
            }
            (Some(direct), None) => Some(direct),
            (None, Some((path, origin))) => self.secret_file(&path, origin),
            (None, None) => None,
        }
    }

    fn secret_file(&mut self, path: &str, origin: String) -> Option<Given> {
        self.secret_files.push(PathBuf::from(path));
        match std::fs::read_to_string(path) {
            Ok(text) => Some(Given { text: text.trim_end_matches(['\r', '\n']).to_owned(), origin }),
            Err(error) => {
                self.problems.push(format!("{origin}: {path} cannot be read: {error}"));
                None
            }
        }
    }

    /// An empty variable is an absent one: that is how compose files and charts leave a variable out.
    fn variable(&mut self, env: Environment<'_>, name: &str) -> Option<String> {
        let Ok(text) = env(name)?.into_string() else {
            self.problems.push(format!("{name}: is not UTF-8"));
            return None;
        };
        (!text.is_empty()).then_some(text)
    }

    fn file(&mut self, path: &Path) -> ConfigFile {
        // Secrets may stand in it themselves.
        self.secret_files.push(path.to_owned());
        let read = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"));
        // Without the offending line that toml's Display shows: it may hold a secret.
        let parsed = read.and_then(|text| {
            text.parse::<toml::Table>().map_err(|error| {
                let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
                format!("is not TOML: line {}: {}", before.lines().count().max(1), error.message())
            })
        });
        match parsed {
            Ok(table) => ConfigFile { path: path.to_owned(), table },
            Err(why) => {
                self.problems.push(format!("--config {}: {why}", path.display()));
                ConfigFile::default()
            }
        }
    }
}

#[derive(Default)]
struct ConfigFile {
    path: PathBuf,
    table: toml::Table,
}

impl ConfigFile {
    fn take(&mut self, key: &str, problems: &mut Vec<String>) -> Option<Given> {
        let origin = format!("{key} in {}", self.path.display());
        let text = match self.table.remove(key)? {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(flag) => flag.to_string(),
            other => {
                problems.push(format!("{origin}: must be a string or a number, not {}", other.type_str()));
                return None;
            }
        };
        Some(Given { text, origin })
    }

    /// What nobody took: keys that are no settings.
    fn origins(&self) -> impl Iterator<Item = (&String, String)> {
        self.table.keys().map(|key| (key, format!("in {}", self.path.display())))
    }
}
