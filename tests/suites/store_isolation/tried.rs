//! That no function of a store is left out, by the sources of the stores.

/// What the tests above try. A new function of a store must be added here, with its attempt.
const TRIED: &[&str] = &[
    "access_tokens::find",
    "access_tokens::remove",
    "access_tokens::store",
    "challenges::put",
    "challenges::take",
    "change_mails::addressee",
    "ciba::approve",
    "ciba::begin",
    "ciba::deny",
    "ciba::pending",
    "ciba::pending_by_code",
    "ciba::put_mail_code",
    "codes::burn",
    "codes::find",
    "codes::issue",
    "codes::redeem",
    "consents::find",
    "consents::list",
    "consents::remember",
    "consents::revoke",
    "credentials::change",
    "credentials::of_user",
    "credentials::reset",
    "credentials::set_active",
    "denied::deny",
    "denied::is_denied",
    "device::approve",
    "device::begin",
    "device::deny",
    "device::find",
    "factors::add",
    "factors::codes_left",
    "factors::list",
    "factors::of_user",
    "factors::remove",
    "factors::remove_all",
    "factors::renew_codes",
    "factors::spend_code",
    "factors::spend_step",
    "factors::use_key",
    "federation::begin",
    "federation::create",
    "federation::find",
    "federation::link",
    "federation::take",
    "grants::create",
    "grants::live_user",
    "grants::newest_of_session",
    "grants::revoke",
    "identities::link",
    "identities::of_user",
    "identities::unlink",
    "interactions::authenticated",
    "interactions::begin",
    "interactions::find",
    "interactions::finish",
    "interactions::selected",
    "mail_links::ask",
    "mail_links::find",
    "mail_links::put_code",
    "mail_links::verify_email",
    "outbox::claim",
    "outbox::left",
    "outbox::postpone",
    "outbox::remove",
    "outright::redeem",
    "outright::rotate",
    "proofs::first_use",
    "pushed_requests::keep",
    "pushed_requests::open",
    "pushed_requests::use_up",
    "refresh::find",
    "refresh::keep",
    "refresh::rotate",
    "reseal::everything",
    "sessions::begin",
    "sessions::end",
    "sessions::end_all_of",
    "sessions::end_of_disabled",
    "sessions::find_live",
    "sessions::strengthen",
    "sessions::touch",
    "sign_ins::begin",
    "sign_ins::find",
    "sign_ins::finish",
    "users::create",
    "users::find",
    "users::find_active",
    "users::find_for_sign_in",
    "users::find_verified",
    "users::list",
    "waiting::ask",
    "waiting::take",
];

#[test]
fn every_function_is_tried() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../dataplane-service/src/store");
    let mut found = Vec::new();
    // Those are how stores reach a database at all.
    let means = ["connection.rs", "dsn.rs", "migrate.rs", "pool", "pool.rs"];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        if !means.contains(&file.as_str()) {
            let store = file.trim_end_matches(".rs");
            found.extend(functions(&path).into_iter().map(|name| format!("{store}::{name}")));
        }
    }
    found.sort();
    assert_eq!(found, TRIED);
}

/// Of a file, or of those in a folder.
fn functions(path: &std::path::Path) -> Vec<String> {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).expect("readable").map(|entry| entry.expect("readable").path());
        return entries.flat_map(|path| functions(&path)).collect();
    }
    let text = std::fs::read_to_string(path).expect("UTF-8");
    let functions = text.lines().filter_map(|line| line.strip_prefix("pub async fn "));
    functions.filter_map(|rest| rest.split(['(', '<']).next()).map(str::to_owned).collect()
}
