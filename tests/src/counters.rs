//! Counters as a monitoring system reads them.

use crate::web;

/// All metrics of a process at one moment.
#[derive(Debug)]
pub struct Page {
    text: String,
}

pub async fn page(ops_url: &str) -> Page {
    Page { text: web::send(web::client().get(format!("{ops_url}/metrics"))).await.expect(200).text }
}

impl Page {
    /// The sum of a metric's series that have all of these labels; 0 when there is none.
    #[must_use]
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let series = self.text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|(key, value)| line.contains(&format!("{key}=\"{value}\"")))
        });
        series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    }
}

/// What [`Page::count`] says now.
pub async fn count(ops_url: &str, name: &str, labels: &[(&str, &str)]) -> u64 {
    page(ops_url).await.count(name, labels)
}
