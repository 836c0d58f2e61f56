//! The checked-in code is what the `.proto` files say.

#[path = "proto/files.rs"]
mod files;

use std::path::{Path, PathBuf};

fn generate(out: &Path) {
    // Vec<u8> → Bytes, so that opaque payloads are not copied on their way through.
    tonic_prost_build::configure().bytes(".").out_dir(out).compile_fds(files::compiled()).expect("code is generated");
}

#[test]
fn generated_code_is_fresh() {
    let checked_in = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/gen");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        generate(&checked_in);
    }
    let fresh = tempfile::tempdir().expect("a temporary directory");
    generate(fresh.path());
    for entry in std::fs::read_dir(fresh.path()).expect("a readable directory") {
        let path = entry.expect("a directory entry").path();
        let name = path.file_name().expect("a file has a name");
        let (want, have) = (std::fs::read_to_string(&path), std::fs::read_to_string(checked_in.join(name)));
        assert_eq!(
            want.expect("generated code is readable"),
            have.unwrap_or_default(),
            "{} is stale: run UPDATE_GENERATED=1 cargo test -p shared-proto",
            name.display()
        );
    }
}
