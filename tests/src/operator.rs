//! `hellojohn` as an operator's scripts run it.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use crate::cluster::Cluster;
use crate::programs;
use crate::scratch;

/// A shell of an operator's: a home of its own, a server, a credential.
#[derive(Debug)]
pub struct Cli {
    pub home: PathBuf,
    pub server: String,
    /// `None`: it relies on a profile.
    pub credential: Option<String>,
}

impl Cli {
    /// The owner, at the first node.
    pub fn new(cluster: &Cluster) -> Self {
        Self::at(&cluster.nodes[0].admin_url(), &cluster.secrets.owner)
    }

    pub fn at(server: &str, credential: &str) -> Self {
        Self { home: scratch::folder("home"), server: server.to_owned(), credential: Some(credential.to_owned()) }
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(programs::hellojohn());
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &self.home).args(args);
        command.env("XDG_CONFIG_HOME", self.home.join("config")).env("NO_COLOR", "1");
        if let Some(credential) = &self.credential {
            command.env("HJ_SERVER", &self.server).env("HJ_CREDENTIAL", credential);
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("hellojohn runs")
    }

    #[track_caller]
    pub fn text(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let mut args = args.to_vec();
        args.extend(["-o", "json"]);
        let text = self.text(&args);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
    }

    #[track_caller]
    pub fn fails(&self, args: &[&str], code: Option<i32>) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), code, "{args:?}: {output:?}");
        assert!(output.stdout.is_empty(), "nothing half done on standard output: {output:?}");
        String::from_utf8(output.stderr).expect("UTF-8")
    }
}
