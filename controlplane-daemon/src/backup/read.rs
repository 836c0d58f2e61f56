//! Reading an export: every byte and every record, before anything is done with any of them.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read as _};

use controlplane_core::model::KeyOwner;
use controlplane_core::mutation::Restored;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use vocab::{AdminId, TenantId};

use super::{MAGIC, VERSION};
use crate::sealed;

/// No resource comes near it.
const LINE_BYTES: u64 = 4 << 20;

/// Why a file is no export, or not a whole one.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the file cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("line {line}: {problem}")]
    Line { line: usize, problem: String },
    #[error("export of version {found}; this build reads version {VERSION}: run a newer build")]
    NewerVersion { found: u32 },
    #[error("the file is cut short: there is no last line of kind \"end\"")]
    CutShort,
    #[error("the file is damaged: its checksum does not match")]
    Checksum,
}

/// What a whole file holds, as far as it must be known beforehand.
#[derive(Debug, Default)]
pub struct Survey {
    pub tenants: BTreeSet<TenantId>,
    pub admins: BTreeSet<AdminId>,
    /// Master keys that its secrets are sealed with.
    pub key_ids: BTreeSet<String>,
    pub records: usize,
}

#[derive(Deserialize)]
struct Header {
    export: String,
    version: u32,
}

#[derive(Deserialize)]
struct End {
    records: usize,
    sha256: String,
}

#[derive(Deserialize)]
struct Kind<'a> {
    kind: &'a str,
}

/// Reads it all, hands on each record with its line, and checks the frame: header, order, end, checksum.
pub fn records(
    mut input: impl BufRead,
    mut each: impl FnMut(usize, Restored, &str) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let mut hasher = Sha256::new();
    let mut text = String::new();
    let (mut line, mut count) = (0, 0);
    let mut order = Order::default();
    loop {
        line += 1;
        text.clear();
        let wrong = |problem: String| ReadError::Line { line, problem };
        if (&mut input).take(LINE_BYTES).read_line(&mut text).map_err(|why| wrong(why.to_string()))? == 0 {
            return Err(ReadError::CutShort);
        }
        if !text.ends_with('\n') {
            return Err(if text.len() as u64 == LINE_BYTES {
                wrong("it is too long".to_owned())
            } else {
                ReadError::CutShort
            });
        }
        if line == 1 {
            check_header(&text)?;
            hasher.update(text.as_bytes());
            continue;
        }
        if serde_json::from_str::<Kind<'_>>(&text).is_ok_and(|it| it.kind == "end") {
            let end: End = serde_json::from_str(&text).map_err(|why| wrong(why.to_string()))?;
            let sum = super::hex(&hasher.finalize());
            if end.sha256 != sum || end.records != count {
                return Err(ReadError::Checksum);
            }
            let more = input.fill_buf()?.len();
            return if more == 0 {
                Ok(())
            } else {
                Err(ReadError::Line { line: line + 1, problem: "the file goes on after its end".to_owned() })
            };
        }
        hasher.update(text.as_bytes());
        let record: Restored = serde_json::from_str(&text).map_err(|why| wrong(why.to_string()))?;
        order.check(&record).map_err(wrong)?;
        count += 1;
        each(line, record, &text)?;
    }
}

/// The first reading.
pub fn survey(input: impl BufRead) -> Result<Survey, ReadError> {
    let mut survey = Survey::default();
    records(input, |line, record, text| {
        let twice = |what: String| Err(ReadError::Line { line, problem: format!("{what} stands there twice") });
        survey.records += 1;
        for id in sealed::key_ids(text) {
            if !survey.key_ids.contains(id) {
                survey.key_ids.insert(id.to_owned());
            }
        }
        match record {
            Restored::Tenant(tenant) if !survey.tenants.insert(tenant.id) => twice(format!("tenant {}", tenant.slug)),
            Restored::Admin(admin) if !survey.admins.insert(admin.id) => twice(format!("administrator {}", admin.id)),
            _ => Ok(()),
        }
    })?;
    Ok(survey)
}

fn check_header(text: &str) -> Result<(), ReadError> {
    let not_ours = |problem: String| ReadError::Line { line: 1, problem };
    let header: Header = serde_json::from_str(text).map_err(|why| not_ours(format!("no export: {why}")))?;
    if header.export != MAGIC {
        return Err(not_ours(format!("no export of ours: it says {:?}", header.export)));
    }
    if header.version > VERSION {
        return Err(ReadError::NewerVersion { found: header.version });
    }
    Ok(())
}

/// Owners before what they own, and everything of a tenant together.
#[derive(Default)]
struct Order {
    tenant: Option<TenantId>,
    past_keys: bool,
}

impl Order {
    fn check(&mut self, record: &Restored) -> Result<(), String> {
        let (owner, is_key) = match record {
            Restored::Tenant(tenant) => {
                *self = Self { tenant: Some(tenant.id), past_keys: false };
                return Ok(());
            }
            Restored::Key(key) => match key.owner {
                KeyOwner::Global => (None, true),
                KeyOwner::Tenant(id) => (Some(id), true),
            },
            Restored::Scope(scope) => (Some(scope.tenant_id), false),
            Restored::Client(client) => (Some(client.tenant_id), false),
            Restored::Admin(_) | Restored::Settings(_) => {
                *self = Self { tenant: None, past_keys: true };
                return Ok(());
            }
        };
        if owner != self.tenant {
            return Err("it does not stand behind its tenant".to_owned());
        }
        if is_key && self.past_keys && owner.is_some() {
            return Err("a tenant's keys stand right behind it".to_owned());
        }
        self.past_keys |= !is_key;
        Ok(())
    }
}
