//! The configuration of one node brought into another one by the command line, as an operator moves it.

use std::fs;
use std::time::{Duration, Instant};

use tests::cluster::Cluster;
use tests::operator::Cli;
use tests::{memory, scratch};

use super::settled;
use crate::load::float;

/// What it costs.
pub(super) struct Transfer {
    pub export: Duration,
    pub file_mib: f64,
    pub import: Duration,
    /// The most that the node with the new configuration had in memory, and what it has left of it.
    pub peak_mib: f64,
    pub resident_mib: f64,
}

/// Into a fresh node with the master key that the secrets are sealed with; at least so many `resources`.
pub(super) async fn transfer(from: &Cluster, resources: u64) -> Transfer {
    let file = scratch::folder("transfer").join("export.jsonl");
    let path = file.to_str().expect("it is text");
    let begin = Instant::now();
    let _ = Cli::new(from).text(&["export", path]);
    let export = begin.elapsed();

    let mut fresh = Cluster::prepare(1, &[]);
    let env = &mut fresh.nodes[0].launch_mut().env;
    let key = env.iter_mut().filter(|(name, _)| name == "SECRETBOX_MASTER_KEY");
    key.for_each(|(_, value)| value.clone_from(&from.secrets.master_key));
    fresh.start_all().await;
    fresh.ready().await;
    // Its first owner comes a moment after it is ready.
    let _ = fresh.admin(0).await;
    let begin = Instant::now();
    let report = Cli::new(&fresh).json(&["import", path]);
    let import = begin.elapsed();
    let created = report["summary"]["created"].as_u64();
    assert!(created >= Some(resources), "{resources} resources are to be made: {report:#}");

    let node = fresh.nodes[0].process_id();
    settled(node).await;
    let mib = |kib: u64| float(kib) / 1024.0;
    Transfer {
        export,
        file_mib: float(fs::metadata(&file).expect("it was written").len()) / float(1 << 20),
        import,
        peak_mib: mib(memory::peak_kib(node)),
        resident_mib: mib(memory::resident_kib(node)),
    }
}
