//! Where the server is and who we are: flags, then environment, then the user's profile file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use etcetera::BaseStrategy as _;
use serde::{Deserialize, Serialize};
use vocab::Secret;

use crate::args::Connection;
use crate::failure::Failure;
use crate::private_file;
use crate::session::Session;

const DEFAULT_SERVER: &str = "http://127.0.0.1:7200";
const DEFAULT_PROFILE: &str = "default";

/// `profiles.toml` in the user's configuration directory, mode 0600.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Profiles {
    /// The one used when `--profile` is not given.
    current: Option<String>,
    profiles: BTreeMap<String, Profile>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    server: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credential: Option<String>,
    /// Of `hellojohn login --oidc`, instead of a credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<Session>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_file: Option<PathBuf>,
}

/// What a command needs to talk to a server.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) server: String,
    pub(crate) proof: Proof,
    /// Whom to trust instead of the system's authorities.
    pub(crate) ca_file: Option<PathBuf>,
}

/// How somebody proves who he is.
#[derive(Debug)]
pub(crate) enum Proof {
    Credential(Secret<String>),
    Session(Box<Session>),
}

impl Profiles {
    pub(crate) fn path() -> anyhow::Result<PathBuf> {
        if let Some(directory) = std::env::var_os("HJ_CONFIG_DIR") {
            return Ok(PathBuf::from(directory).join("profiles.toml"));
        }
        let base = etcetera::choose_base_strategy().context("cannot find the home directory")?;
        Ok(base.config_dir().join("hellojohn").join("profiles.toml"))
    }

    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).with_context(|| format!("{} is not readable", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Keeps `target` under `name` and makes it the current profile.
    pub(crate) fn store(&mut self, path: &Path, name: Option<&str>, target: &Target) -> anyhow::Result<String> {
        let name = name.unwrap_or(DEFAULT_PROFILE).to_owned();
        // Where it is, whichever folder the next command is given in.
        let ca_file = target.ca_file.as_deref().map(std::path::absolute).transpose()?;
        let (credential, session) = match &target.proof {
            Proof::Credential(credential) => (Some(credential.expose().clone()), None),
            Proof::Session(session) => (None, Some(Session::clone(session))),
        };
        let profile = Profile { server: target.server.clone(), credential, session, ca_file };
        self.profiles.insert(name.clone(), profile);
        self.current = Some(name.clone());
        if let Some(directory) = path.parent() {
            private_file::create_dir(directory)?;
        }
        private_file::write(path, &toml::to_string_pretty(self)?)?;
        Ok(name)
    }

    /// The name of the profile that a command uses.
    pub(crate) fn name<'a>(&'a self, given: Option<&'a str>) -> &'a str {
        given.or(self.current.as_deref()).unwrap_or(DEFAULT_PROFILE)
    }

    fn find(&self, name: Option<&str>) -> Result<Option<&Profile>, Failure> {
        let wanted = self.name(name);
        match (self.profiles.get(wanted), name) {
            (None, Some(name)) => {
                let known: Vec<&str> = self.profiles.keys().map(String::as_str).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Err(Failure::Usage(format!(
                    "there is no profile '{name}' (known: {known}); `hellojohn login` makes one"
                )))
            }
            (profile, _) => Ok(profile),
        }
    }

    /// The server of a command: `--server`, else the profile's, else this machine's.
    pub(crate) fn server(&self, connection: &Connection) -> String {
        if let Some(server) = &connection.server {
            return server.clone();
        }
        // A profile that `login` is about to make is no error here.
        let profile = self.find(connection.profile.as_deref()).ok().flatten();
        profile.map_or_else(|| DEFAULT_SERVER.to_owned(), |profile| profile.server.clone())
    }

    /// The authorities of a command: `--ca-file`, else those that the profile names for the same server.
    pub(crate) fn ca_file(&self, connection: &Connection) -> Option<PathBuf> {
        let profile = self.find(connection.profile.as_deref()).ok().flatten();
        let own = profile.filter(|profile| profile.server == self.server(connection));
        connection.ca_file.clone().or_else(|| own?.ca_file.clone())
    }

    pub(crate) fn target(&self, connection: &Connection) -> Result<Target, Failure> {
        let given = connection.credential()?;
        let profile = match self.find(connection.profile.as_deref()) {
            Ok(profile) => profile,
            Err(_) if given.is_some() && connection.server.is_some() => None,
            Err(failure) => return Err(failure),
        };
        let server = self.server(connection);
        let proof = match (given, profile) {
            (Some(given), _) => Proof::Credential(given),
            // The profile's credential is for the profile's server; another one is not to see it.
            (None, Some(Profile { server: its, credential: Some(credential), .. })) if *its == server => {
                Proof::Credential(Secret::new(credential.clone()))
            }
            (None, Some(Profile { server: its, session: Some(session), .. })) if *its == server => {
                Proof::Session(Box::new(session.clone()))
            }
            _ => {
                return Err(Failure::Usage(format!(
                    "no credential for {server}: run `hellojohn login --server {server}`, or give --credential or HJ_CREDENTIAL"
                )));
            }
        };
        let ca_file = self.ca_file(connection);
        Ok(Target { server, proof, ca_file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(server: Option<&str>, credential: Option<&str>, profile: Option<&str>) -> Connection {
        Connection {
            server: server.map(ToOwned::to_owned),
            credential: credential.map(ToOwned::to_owned),
            profile: profile.map(ToOwned::to_owned),
            ..Connection::default()
        }
    }

    #[test]
    fn a_profile_is_kept_and_found_again_and_its_credential_goes_to_its_own_server_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new").join("profiles.toml");
        let proof = Proof::Credential(Secret::new("hja_1".to_owned()));
        let target = Target { server: "https://a".to_owned(), proof, ca_file: Some("/ca.pem".into()) };
        Profiles::default().store(&path, Some("prod"), &target).unwrap();
        let profiles = Profiles::load(&path).unwrap();
        let found = profiles.target(&connection(None, None, None)).unwrap();
        assert_eq!(found.server, "https://a");
        assert_eq!(found.ca_file.as_deref(), Some(Path::new("/ca.pem")));
        assert!(matches!(found.proof, Proof::Credential(credential) if credential.expose() == "hja_1"));
        assert!(profiles.target(&connection(Some("https://b"), None, None)).is_err());
        assert!(profiles.target(&connection(None, None, Some("other"))).is_err());
        assert!(
            profiles.target(&connection(Some("https://b"), Some("hja_2"), Some("other"))).unwrap().ca_file.is_none()
        );
    }
}
