//! `controlplane-daemon hand-over`: what a container runs before it is stopped, while clients still reach it.
//!
//! The node gives leadership away when it is told to stop, too. Asked earlier, requests that balancers go on sending for
//! some seconds find a node that forwards them to a leader that stays.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use telemetry::console::say;

/// At the ops listener.
pub const PATH: &str = "/hand-over";
/// More than handing over may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks the node whose ops listener is there, then waits.
pub fn run(ops: SocketAddr, linger: Duration) -> Result<(), HandOverError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(HandOverError::Runtime)?;
    let leader = runtime.block_on(ask(here(ops)))?;
    let said = say(leader);
    std::thread::sleep(linger);
    said.map_err(HandOverError::Answer)
}

#[derive(Debug, thiserror::Error)]
pub enum HandOverError {
    #[error("the runtime: {0}")]
    Runtime(std::io::Error),
    #[error("the node that should run here does not answer: {0}")]
    Silent(#[from] reqwest::Error),
    #[error("the node refuses: {0}")]
    Refused(String),
    #[error("the answer cannot be written: {0}")]
    Answer(std::io::Error),
}

async fn ask(ops: SocketAddr) -> Result<String, HandOverError> {
    // Ops listeners speak no TLS: authorities are not needed, and the system may have none.
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(TIMEOUT).build()?;
    let answer = client.post(format!("http://{ops}{PATH}")).send().await?;
    let (status, text) = (answer.status(), answer.text().await?);
    if status.is_success() { Ok(text) } else { Err(HandOverError::Refused(format!("{status} {text}"))) }
}

/// The listener as this machine calls it: by its own address, or loopback where it listens on all.
fn here(mut ops: SocketAddr) -> SocketAddr {
    if ops.ip().is_unspecified() {
        ops.set_ip(if ops.is_ipv4() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { IpAddr::V6(Ipv6Addr::LOCALHOST) });
    }
    ops
}
