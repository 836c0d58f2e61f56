//! The fuzz targets' entry points, for a moment: random bytes, and what is nearly right. `./hj fuzz` goes on for longer.

#[path = "../fuzz/entries.rs"]
mod entries;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const CASES: u32 = 2_000;
/// Of what takes a private key a millisecond, and unoptimized some more.
const CASES_WITH_KEYS: u32 = 100;

/// What is close to something that is read.
const SEEDS: [&str; 16] = [
    r#"{"userinfo":{"email":null,"a":{"essential":true,"values":["x"]}},"id_token":{"acr":{"value":"1"}}}"#,
    "a=1&b=x+y%21&resource=r1&resource=r2&&c",
    "client_id=web&redirect_uri=https%3A%2F%2Fapp.example%2Fcb&response_type=code&scope=openid&state=x",
    "scope=openid&state=%0d%0a&prompt=none+login&max_age=-1&claims=%7B%7D&response_mode=form_post",
    "code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256&nonce=n",
    "https://app.example/cb",
    "http://127.0.0.1:49152/cb?x=1",
    "http://127.0.0.1:80@evil.example/cb?x=1",
    "http://[::1]:65535/",
    "com.example.app:/cb",
    "eyJhbGciOiJFUzI1NiIsInR5cCI6ImRwb3Arand0IiwiandrIjp7Imt0eSI6IkVDIn19.eyJqdGkiOiJ4In0.AAAA",
    "eyJhbGciOiJub25lIn0.e30.",
    "eyJhbGciOiJFUzI1NiIsInR5cCI6Im9hdXRoLWF1dGh6LXJlcStqd3QifQ.eyJpc3MiOiJ3ZWIifQ.AAAA",
    "Bearer abc.def-_~+/==",
    "openid email offline_access",
    "hjr_00000000000000000000000000000007_secret",
];

/// A seed with a stretch of it replaced, or bytes of any kind.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let any_bytes = || prop::collection::vec(any::<u8>(), 0..40);
    let spoilt = (prop::sample::select(SEEDS.to_vec()), any::<prop::sample::Index>(), 0..20_usize, any_bytes());
    let spoilt = spoilt.prop_map(|(seed, at, length, with)| {
        let bytes = seed.as_bytes();
        let from = at.index(bytes.len());
        let to = (from + length).min(bytes.len());
        [&bytes[..from], &with, &bytes[to..]].concat()
    });
    let text = "[a-z0-9%&=+:/?#@.\\[\\]_ -]{0,80}".prop_map(String::into_bytes);
    prop_oneof![3 => spoilt, 1 => prop::collection::vec(any::<u8>(), 0..300), 1 => text]
}

#[test]
fn every_entry_holds_for_a_moment() {
    for (name, entry) in entries::ENTRIES {
        for seed in SEEDS {
            entry(seed.as_bytes());
        }
        // The same inputs each time: a test is no lottery.
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let cases = if name == "encrypted_request" { CASES_WITH_KEYS } else { CASES };
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        let outcome = TestRunner::new_with_rng(config, rng).run(&input(), |bytes| {
            entry(&bytes);
            Ok(())
        });
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
    }
}

/// Each has a target of its own, so that `./hj fuzz` runs all of them.
#[test]
fn every_entry_has_its_target() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).expect("the fuzz targets' manifest");
    for (name, _) in entries::ENTRIES {
        assert!(folder.join(format!("fuzz_targets/{name}.rs")).is_file(), "{name} has no target");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in the manifest");
    }
}
