//! The flags for a tenant's own mail server. Its password comes from a file or the environment, never from the command
//! line, which other users of the machine can read.

use std::path::PathBuf;

use clap::Args;

use crate::document::Fields;
use crate::failure::Failure;
use crate::private_file;

const PASSWORD: &str = "HJ_TENANT_SMTP_PASSWORD";

#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "flags are named after them")]
pub(super) struct SmtpFlags {
    /// The mail server that takes the tenant's mail, in place of the pods'
    #[arg(long, value_name = "HOST")]
    smtp_host: Option<String>,
    /// Where the usual port of the security is not it
    #[arg(long, value_name = "PORT")]
    smtp_port: Option<u16>,
    #[arg(long, value_parser = ["starttls", "tls", "none"])]
    smtp_security: Option<String>,
    /// The address that mail is from
    #[arg(long, value_name = "ADDRESS")]
    smtp_from: Option<String>,
    /// Its password is in HJ_TENANT_SMTP_PASSWORD, which is read with any of these flags, or in a file
    #[arg(long, value_name = "NAME")]
    smtp_username: Option<String>,
    /// A file that holds the password
    #[arg(long, value_name = "FILE")]
    smtp_password_file: Option<PathBuf>,
}

impl SmtpFlags {
    /// `environment` gives a variable's value.
    pub(super) fn fields(self, environment: impl Fn(&str) -> Option<String>) -> Result<Fields, Failure> {
        let from_file = self.smtp_password_file.as_deref().map(private_file::read).transpose()?;
        let flags = Fields::default()
            .set("host", self.smtp_host)
            .set("port", self.smtp_port)
            .set("security", self.smtp_security)
            .set("from", self.smtp_from)
            .set("username", self.smtp_username)
            .set("password", from_file);
        // Left in the shell for one tenant, it is not meant for every change of another.
        let from_environment = if flags.is_empty() || flags.has("password") { None } else { environment(PASSWORD) };
        Ok(flags.set("password", from_environment.filter(|password| !password.is_empty())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use serde_json::{Value, json};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: SmtpFlags,
    }

    fn fields(args: &[&str], password: Option<&str>) -> Value {
        let line = Line::try_parse_from([&["hellojohn"], args].concat()).unwrap();
        line.flags.fields(|name| password.filter(|_| name == PASSWORD).map(str::to_owned)).unwrap().into()
    }

    #[test]
    fn a_password_comes_by_the_environment_with_another_flag_alone() {
        assert_eq!(fields(&[], Some("s3cret")), json!({}));
        assert_eq!(fields(&["--smtp-port", "25"], None), json!({ "port": 25 }));
        assert_eq!(fields(&["--smtp-username", "acme"], Some("")), json!({ "username": "acme" }));
        let both = json!({ "username": "acme", "password": "s3cret" });
        assert_eq!(fields(&["--smtp-username", "acme"], Some("s3cret")), both);
    }

    #[test]
    fn a_file_goes_before_the_environment_and_the_command_line_takes_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "from the file\n").unwrap();
        let args = ["--smtp-password-file", file.to_str().unwrap()];
        assert_eq!(fields(&args, Some("s3cret")), json!({ "password": "from the file" }));
        assert!(Line::try_parse_from(["hellojohn", "--smtp-password", "s3cret"]).is_err());
    }
}
