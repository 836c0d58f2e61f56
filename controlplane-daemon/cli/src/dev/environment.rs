//! `env` in the data folder: what another terminal needs to operate what runs here, for `. data/dev/env`.

use std::fmt::Write as _;
use std::path::Path;

use super::folder::Folder;
use super::layout::Layout;
use super::postgres::{Postgres, SUPERUSER};
use crate::private_file;

/// Beside the data.
pub(crate) const FILE: &str = "env";

/// Written anew at each start: ports may be others. It holds a password, so only its owner can read it.
pub(crate) fn write(layout: &Layout, folder: &Folder, postgres: &Postgres) -> anyhow::Result<()> {
    let program = std::env::current_exe()?;
    let credential = std::path::absolute(folder.secret_path("owner-credential"))?;
    let variables = [
        ("HJ_SERVER", layout.admin_url()),
        ("HJ_CREDENTIAL_FILE", credential.display().to_string()),
        ("PGHOST", "127.0.0.1".to_owned()),
        ("PGPORT", postgres.port().to_string()),
        ("PGUSER", SUPERUSER.to_owned()),
        ("PGPASSWORD", folder.secret("postgres-password")?),
    ];
    private_file::write(&folder.path().join(FILE), &render(program.parent(), &variables)?)
}

fn render(programs: Option<&Path>, variables: &[(&str, String)]) -> anyhow::Result<String> {
    let mut text = "# For a shell that is to operate this: `.` reads it.\n".to_owned();
    if let Some(programs) = programs {
        writeln!(text, "export PATH={}:\"$PATH\"", quoted(&programs.display().to_string()))?;
    }
    for (name, value) in variables {
        writeln!(text, "export {name}={}", quoted(value))?;
    }
    Ok(text)
}

/// As a POSIX shell takes it literally.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_the_values_as_they_are() {
        let text = render(Some(Path::new("/it's/bin")), &[("WHAT", "$HOME 'quoted'".to_owned())]).unwrap();
        let script = format!("{text}printf '%s|%s' \"$WHAT\" \"${{PATH%%:*}}\"");
        let said = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), "$HOME 'quoted'|/it's/bin");
    }
}
