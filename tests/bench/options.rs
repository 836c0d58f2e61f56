//! What is chosen on the command line: names of benches, and `key=value` for those who look into one of them.

use std::time::Duration;

/// `./hj bench writes rounds=5 writers=1,16 secs=10`
#[derive(Debug)]
pub(crate) struct Options {
    pub benches: Vec<String>,
    /// How often systems that are compared take turns; the middle one of their ratios counts.
    pub rounds: usize,
    /// Numbers of writers at once.
    pub writers: Vec<usize>,
    /// How long one system is measured at a time.
    pub measured: Duration,
    /// How often the leader is killed.
    pub kills: usize,
    /// Whether etcd stands beside.
    pub etcd: bool,
    /// How many tenants are many.
    pub tenants: u64,
}

impl Options {
    pub(crate) fn parse(arguments: impl Iterator<Item = String>, benches: &[&str]) -> Result<Self, String> {
        let mut options = Self {
            benches: Vec::new(),
            rounds: 3,
            writers: vec![1, 16, 64, 256],
            measured: Duration::from_secs(5),
            kills: 30,
            etcd: true,
            tenants: 10_000,
        };
        for argument in arguments {
            let number = |text: &str| text.parse().map_err(|why| format!("{argument}: {why}"));
            match argument.split_once('=') {
                Some(("rounds", text)) => options.rounds = number(text)?,
                Some(("writers", text)) => options.writers = text.split(',').map(number).collect::<Result<_, _>>()?,
                Some(("secs", text)) => options.measured = Duration::from_secs(number(text)? as u64),
                Some(("kills", text)) => options.kills = number(text)?,
                Some(("tenants", text)) => options.tenants = number(text)? as u64,
                Some(("etcd", "no")) => options.etcd = false,
                None if benches.contains(&argument.as_str()) => options.benches.push(argument),
                _ => return Err(format!("there is no bench or option {argument:?}; benches: {}", benches.join(", "))),
            }
        }
        if options.benches.is_empty() {
            options.benches = benches.iter().map(ToString::to_string).collect();
        }
        Ok(options)
    }
}
