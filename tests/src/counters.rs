//! Counters as a monitoring system reads them.

use crate::web;

/// The sum of a metric's series that have all of these labels; 0 when there is none.
pub async fn count(ops_url: &str, name: &str, labels: &[(&str, &str)]) -> u64 {
    let page = web::send(web::client().get(format!("{ops_url}/metrics"))).await.expect(200).text;
    let series = page.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|(key, value)| line.contains(&format!("{key}=\"{value}\"")))
    });
    series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}
