//! A panic within openraft ends the process. It takes one of Raft's tasks with it and leaves the others: a node without
//! its state machine leads on and applies nothing, and nobody is told.

use std::panic;

use crate::storage::stop_process;

/// From now on, in the whole process.
pub fn end_the_process() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        tell(info);
        if let Some(place) = info.location().filter(|place| is_of_raft(place.file())) {
            stop_process(&format_args!("Raft panicked at {place}"));
        }
    }));
}

fn is_of_raft(file: &str) -> bool {
    file.split(['/', '\\']).any(|folder| folder.starts_with("openraft-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_by_the_folder_of_its_source() {
        let at =
            |folder: &str| format!("/root/.cargo/registry/src/index.crates.io-1949/{folder}/src/core/sm/worker.rs");
        assert!(is_of_raft(&at("openraft-0.10.0-alpha.37")));
        assert!(!is_of_raft(&at("tokio-1.48.0")));
        assert!(!is_of_raft(file!()));
    }
}
