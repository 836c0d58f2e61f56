//! A master key is replaced: seeds that nobody uses move to the new one, too, and the old one can go.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tests::browser::Browser;
use tests::process::Finished;
use tests::tenant::Tenant;
use tests::wait::PATIENCE;
use tests::world::World;

use super::{enrolled, show_code, show_password};

const STOP: Duration = Duration::from_secs(20);

fn set_key(env: &mut Vec<(String, String)>, keys: &str) {
    env.retain(|(name, _)| name != "SECRETBOX_MASTER_KEY");
    env.push(("SECRETBOX_MASTER_KEY".to_owned(), keys.to_owned()));
}

async fn restart_with(world: &mut World, keys: &str) {
    world.pods[0].stop(STOP).await;
    set_key(&mut world.pods[0].launch_mut().env, keys);
    world.pods[0].start_again().await;
    world.pods[0].ready().await;
    let node = &mut world.cluster.nodes[0];
    assert_eq!(node.stop(STOP).await, Some(0));
    set_key(&mut node.launch_mut().env, keys);
    node.start().await;
    node.ready().await;
}

/// `dataplane-service reseal`, beside the pod at work.
async fn reseal(world: &mut World, keys: &str, args: &[&str]) -> Finished {
    let mut launch = world.pods[0].launch_mut().clone();
    set_key(&mut launch.env, keys);
    launch.set("--state-dir", &tests::scratch::folder("reseal-state").display().to_string());
    launch.log = tests::scratch::folder("reseal").join("log");
    launch.args.insert(0, "reseal".to_owned());
    launch.args.extend(args.iter().map(ToString::to_string));
    launch.run(PATIENCE).await
}

/// The ids of the keys that seeds are sealed with, and how many.
async fn keys_of_seeds(tenant: &Tenant) -> Vec<(String, i64)> {
    let sql = "select split_part(sealed, '.', 2), count(*) from second_factors group by 1 order by 2, 1";
    let rows = tenant.database.connect().await.query(sql, &[]).await.expect("a table");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn seeds_that_nobody_uses_move_to_the_new_master_key() {
    let mut world = World::start(1, 1).await;
    let (old, new) = (world.cluster.secrets.master_key.clone(), STANDARD.encode(rand::random::<[u8; 32]>()));
    let tenant = Tenant::create(&world, "moved").await;
    let alice = tenant.user("alice").await;
    let (_, app, _) = enrolled(&tenant, &alice).await;
    let before = keys_of_seeds(&tenant).await;
    // More than fit one page, of users who never come: copies of what is there, and one that nobody can open.
    let many = "insert into users (id, email, email_normalized, email_verified, claims, created_at, updated_at) \
             select gen_random_uuid(), 'u' || n, 'u' || n, false, '{}', now(), now() from generate_series(1, 1201) n; \
         insert into second_factors (id, user_id, kind, sealed, created_at) \
             select gen_random_uuid(), u.id, 'totp', f.sealed, now() from users u, second_factors f where u.id <> f.user_id; \
         update second_factors set sealed = 'hjs1.00000000.' || split_part(sealed, '.', 3) \
             where user_id = (select id from users where email = 'u1')";
    tenant.database.connect().await.batch_execute(many).await.expect("the tables are as they are");
    let old_id = before[0].0.clone();
    assert_eq!(before, [(old_id.clone(), 1)]);

    for keys in [format!("{old},{new}"), format!("{new},{old}")] {
        restart_with(&mut world, &keys).await;
    }
    let both = format!("{new},{old}");
    let owner = world.cluster.admin(0).await;
    let _ = owner.post("/keys/reseal?wait=fleet&timeout=20s", &json!({})).await.expect(200);
    let unknown = reseal(&mut world, &both, &["--tenant", "nobody"]).await;
    assert!(
        unknown.code == Some(1) && unknown.output.contains("nobody: there is no such tenant"),
        "{}",
        unknown.output
    );
    assert_eq!(keys_of_seeds(&tenant).await.last(), Some(&(old_id.clone(), 1201)), "nothing is moved yet");

    // One is left, and who looks at the output or the exit code learns of it, and why.
    let first = reseal(&mut world, &both, &[]).await;
    let line = format!("{}: failed: 1201 sealed anew, 1 left; 1: sealed with master key 00000000", tenant.slug);
    assert!(first.code == Some(1) && first.output.contains(&line), "{:?} {}", first.code, first.output);
    assert!(!first.output.contains("hjs1."), "{}", first.output);
    let gone = "delete from second_factors where sealed like 'hjs1.00000000.%'";
    tenant.database.connect().await.batch_execute(gone).await.expect("a table");
    let second = reseal(&mut world, &both, &["--tenant", tenant.slug.as_str()]).await;
    let line = format!("{}: 0 sealed anew, 0 left", tenant.slug);
    assert!(second.code == Some(0) && second.output.contains(&line), "{:?} {}", second.code, second.output);
    let after = keys_of_seeds(&tenant).await;
    assert!(after.len() == 1 && after[0].0 != old_id && after[0].1 == 1201, "{after:?}");

    restart_with(&mut world, &new).await;
    let (browser, attempt) = (Browser::new(), tenant.backend.attempt());
    let page = show_password(&browser, &attempt.url, &alice).await;
    let _ = show_code(&browser, &page, &app.code()).await.expect_callback();
}
