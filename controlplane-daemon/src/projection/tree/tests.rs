use controlplane_core::model::{KeyFamily, TenantSettings, TenantSpec, TenantStatus};
use controlplane_core::{Actor, Command, Entry, FreshKey, Mutation, Stamp, apply};
use uuid::Uuid;
use vocab::Timestamp;

use super::*;

/// Creates a tenant with the id given, at the revision of that number.
fn create(state: &mut State, slug: &str, id: u64) {
    let spec =
        TenantSpec { display_name: slug.to_owned(), status: TenantStatus::Active, settings: TenantSettings::default() };
    change(state, Mutation::TenantCreate { slug: slug.parse().unwrap(), spec }, id);
}

fn delete(state: &mut State, slug: &str) {
    change(state, Mutation::TenantDelete { slug: slug.parse().unwrap() }, 1_000);
}

fn change(state: &mut State, mutation: Mutation, id: u64) {
    let key = |family: KeyFamily| FreshKey {
        kid: format!("key-{id}").parse().unwrap(),
        family,
        public_jwk: "{}".to_owned(),
        private_key: format!("hjs1.0a1b2c3d.{}", "A".repeat(64)).parse().unwrap(),
    };
    let keys = mutation.fresh_keys(state).into_iter().map(key).collect();
    let stamp = Stamp::new(Timestamp::from_secs(1), Uuid::from_u128(id.into()), keys);
    apply(state, Revision(id), Entry::new(Command::new(Actor::System, mutation), stamp)).unwrap();
}

/// Every file below the folder but the marker.
fn listing(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in children(&folder).unwrap() {
            if is_folder(&path) {
                folders.push(path);
            } else if !path.ends_with(MARKER) {
                found.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

fn of(slug: &str, id: u64) -> [String; 2] {
    [format!("keys/{slug}/key-{id}.json"), format!("tenants/{slug}/tenant.json")]
}

fn both([first_key, first]: [String; 2], [second_key, second]: [String; 2]) -> [String; 4] {
    [first_key, second_key, first, second]
}

#[test]
fn a_name_that_passes_to_a_tenant_with_a_smaller_id_keeps_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut tree = Tree::new(dir.path().to_owned());
    let (mut younger, mut older) = (State::default(), State::default());
    create(&mut younger, "acme", 7);
    create(&mut older, "acme", 3);
    tree.write(Revision(7), younger).unwrap();
    assert_eq!(listing(dir.path()), of("acme", 7));
    // As after the import of a backup, in the place of what was made since.
    tree.write(Revision(8), older).unwrap();
    assert_eq!(listing(dir.path()), of("acme", 3));
    let text = fs::read_to_string(dir.path().join("tenants/acme/tenant.json")).unwrap();
    let shown: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(shown["tenant"]["id"], Uuid::from_u128(3).to_string());
}

#[test]
fn what_is_in_the_way_is_removed_and_links_are_not_followed() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |name: &str| dir.path().join(name);
    let mut state = State::default();
    create(&mut state, "acme", 3);
    Tree::new(dir.path().to_owned()).write(Revision(3), state.clone()).unwrap();
    fs::write(elsewhere.path().join("tenant.json"), "somebody's own").unwrap();

    fs::remove_dir_all(at("keys")).unwrap();
    fs::write(at("keys"), "a file").unwrap();
    fs::write(at("tenants/beta"), "a file").unwrap();
    fs::create_dir_all(at("tenants/acme/deep/deeper")).unwrap();
    fs::write(at("tenants/acme/deep/deeper/file"), "").unwrap();
    fs::remove_file(at("tenants/acme/tenant.json")).unwrap();
    fs::create_dir(at("tenants/acme/tenant.json")).unwrap();
    fs::create_dir_all(at("tenants/ghost")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), at("tenants/linked")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), at("tenants/acme/linked")).unwrap();
    create(&mut state, "beta", 4);
    Tree::new(dir.path().to_owned()).write(Revision(4), state).unwrap();
    assert_eq!(listing(dir.path()), both(of("acme", 3), of("beta", 4)));
    assert!(!at("tenants/ghost").exists());
    assert_eq!(fs::read_to_string(elsewhere.path().join("tenant.json")).unwrap(), "somebody's own");
}

#[test]
fn what_a_write_that_failed_had_made_does_not_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut tree = Tree::new(dir.path().to_owned());
    let mut state = State::default();
    create(&mut state, "zeta", 3);
    tree.write(Revision(3), state.clone()).unwrap();
    // The first of the two is written, the second cannot be.
    fs::write(dir.path().join("tenants/beta"), "in the way").unwrap();
    create(&mut state, "alpha", 4);
    create(&mut state, "beta", 5);
    tree.write(Revision(5), state.clone()).unwrap_err();
    assert!(listing(dir.path()).contains(&of("alpha", 4)[1]));
    delete(&mut state, "alpha");
    tree.write(Revision(6), state).unwrap();
    assert_eq!(listing(dir.path()), both(of("beta", 5), of("zeta", 3)));
}
