//! Pools and migrations on a real PostgreSQL: applied once, capped, closed when idle, and one dead database hurts only
//! its own tenant.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane_service::store::migrate::Mode;
use dataplane_service::store::pool::{Limits, PodPools};
use dataplane_service::store::{DbError, TenantDb};
use dataplane_service::sync::decode;
use futures::future::join_all;
use tests::pki::Authority;
use tests::postgres::{self, Database};
use tests::wait::{PATIENCE, until};
use vocab::{Keyring, MasterKey, TenantId};

fn pod(total: usize, migrate: Mode) -> Arc<PodPools> {
    let limits = Limits { per_tenant: 4, total, idle: Duration::from_secs(1) };
    PodPools::new(limits, keyring(), migrate)
}

fn tenant_id() -> TenantId {
    TenantId::from_uuid(uuid::Uuid::from_u128(1))
}

fn keyring() -> Keyring {
    Keyring::new(MasterKey::new([1; 32]), vec![])
}

fn tenant(pod: &Arc<PodPools>, dsn: &str) -> TenantDb {
    let dsn = keyring().seal(dsn.as_bytes(), [2; 24]);
    pod.database(tenant_id(), &"acme".parse().expect("a slug"), decode::Database { dsn, max_connections: 3 })
}

async fn count(database: &Database, sql: &str) -> i64 {
    database.connect().await.query_one(sql, &[]).await.expect("one row").get(0)
}

#[tokio::test]
async fn ten_pods_migrate_one_empty_database_once() {
    let database = postgres::server().await.database("migrate-once").await;
    let tenants: Vec<_> = (0..10).map(|_| tenant(&pod(10, Mode::Auto), &database.dsn())).collect();
    for outcome in join_all(tenants.iter().map(TenantDb::get)).await {
        let connection = outcome.unwrap();
        assert_eq!(connection.query_one("select count(*) from users", &[]).await.unwrap().get::<_, i64>(0), 0);
    }
    assert_eq!(count(&database, "select count(*) from hj_schema_history where version = 1").await, 1);
}

#[tokio::test]
async fn the_connection_is_encrypted_and_the_server_checked_when_the_dsn_asks() {
    let server = postgres::server().await;
    let database = server.database("tls").await;
    let (dsn, authority) = (database.dsn(), server.authority());
    let stranger = Authority::new("stranger").certify("nobody");
    let rows = [
        (dsn.clone(), Some(false)),
        (format!("{dsn}?sslmode=require"), Some(true)),
        (format!("{dsn}?sslmode=verify-full&sslrootcert={authority}"), Some(true)),
        (format!("{dsn}?sslmode=verify-full&sslrootcert={}", stranger.files[2]), None),
        // The system's authorities do not know it either.
        (format!("{dsn}?sslmode=verify-full"), None),
    ];
    for (dsn, encrypted) in rows {
        let tenant = tenant(&pod(4, Mode::Auto), &dsn);
        match tenant.get().await {
            Ok(connection) => {
                let row = connection.query_one("select ssl from pg_stat_ssl where pid = pg_backend_pid()", &[]).await;
                assert_eq!(Some(row.unwrap().get::<_, bool>(0)), encrypted, "{dsn}");
            }
            Err(error) => {
                assert_eq!((encrypted, error.code().http_status()), (None, 503), "{dsn}: {error}");
                assert!(!error.to_string().contains(&database.password), "no secret in {error}");
            }
        }
    }
}

#[tokio::test]
async fn a_schema_that_does_not_fit_is_refused() {
    let database = postgres::server().await.database("misfit").await;
    let careful = tenant(&pod(4, Mode::Off), &database.dsn());
    let error = careful.get().await.unwrap_err();
    assert!(error.to_string().contains("dataplane-service migrate"), "{error}");
    assert_eq!(error.code().http_status(), 503);
    let moved = careful.migrate().await.unwrap();
    assert_eq!((moved.from, careful.migrate().await.unwrap().from), (0, moved.to));
    drop(careful.get().await.unwrap());

    let newer = "insert into hj_schema_history (version, name) values (999, 'future')";
    database.connect().await.batch_execute(newer).await.unwrap();
    for mode in [Mode::Auto, Mode::Off] {
        let error = tenant(&pod(4, mode), &database.dsn()).get().await.unwrap_err();
        assert!(error.to_string().contains("newer than this build"), "{error}");
    }
}

/// While pods are replaced one by one, those of the release before start again and are added.
#[tokio::test]
async fn a_newer_schema_that_this_build_can_use_is_used() {
    let database = postgres::server().await.database("ahead").await;
    let moved = tenant(&pod(4, Mode::Auto), &database.dsn()).migrate().await.unwrap();
    let newer = "insert into hj_schema_history (version, name, readable_from) values (999, 'future', $1)";
    database.connect().await.execute(newer, &[&moved.to]).await.unwrap();
    for mode in [Mode::Auto, Mode::Off] {
        drop(tenant(&pod(4, mode), &database.dsn()).get().await.unwrap());
    }
    let again = tenant(&pod(4, Mode::Auto), &database.dsn()).migrate().await.unwrap();
    assert_eq!((again.from, again.to), (999, 999), "nothing is done to it");
}

#[tokio::test]
async fn the_pod_is_capped_and_idle_connections_make_room() {
    let server = postgres::server().await;
    let (one, other) = (server.database("cap-one").await, server.database("cap-other").await);
    let pod = pod(2, Mode::Auto);
    let (one, other) = (tenant(&pod, &one.dsn()), tenant(&pod, &other.dsn()));
    let held = (one.get().await.unwrap(), one.get().await.unwrap());
    assert!(matches!(other.get().await, Err(DbError::Exhausted)));
    drop(held);
    // What the first tenant left idle is closed in favour of the second.
    drop(other.get().await.unwrap());
}

#[tokio::test]
async fn a_tenant_is_capped() {
    let database = postgres::server().await.database("cap-tenant").await;
    let db = tenant(&pod(10, Mode::Auto), &database.dsn());
    let mut held = vec![];
    for _ in 0..3 {
        held.push(db.get().await.unwrap());
    }
    assert!(matches!(db.get().await, Err(DbError::Exhausted)));
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let database = postgres::server().await.database("idle").await;
    let pod = pod(4, Mode::Auto);
    let db = tenant(&pod, &database.dsn());
    drop(db.get().await.unwrap());
    let sweeper = tokio::spawn(Arc::clone(&pod).sweep());
    until("the idle connection is closed", PATIENCE, async || {
        let role = "select count(*) from pg_stat_activity where application_name = 'hellojohn' and datname = current_database()";
        match count(&database, role).await {
            0 => Ok(()),
            open => Err(format!("{open} are open")),
        }
    })
    .await;
    sweeper.abort();
    drop(db.get().await.unwrap());
}

#[tokio::test]
async fn a_dead_database_is_reported_fast_and_comes_back() {
    let server = postgres::server().await;
    let (dead, alive) = (server.database("dead").await, server.database("alive").await);
    let pod = pod(10, Mode::Auto);
    let (broken, healthy) = (tenant(&pod, &dead.dsn()), tenant(&pod, &alive.dsn()));
    drop(broken.get().await.unwrap());
    server.take_down(&dead).await;
    until("the loss is noticed", PATIENCE, async || match broken.get().await {
        Err(DbError::Unavailable(_)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let began = Instant::now();
    assert!(matches!(broken.get().await, Err(DbError::Unavailable(_))));
    assert!(began.elapsed() < Duration::from_secs(1));
    drop(healthy.get().await.unwrap());
    server.bring_up(&dead).await;
    until("the database is used again", PATIENCE, async || broken.get().await.map(drop).map_err(|e| e.to_string()))
        .await;
}

#[tokio::test]
async fn errors_never_show_the_password() {
    let pod = pod(1, Mode::Auto);
    for dsn in [
        "postgres://u:s3cret@127.0.0.1:1/x",
        "postgres://u:s3cret@[::1/x",
        "postgres://u:s3cret@127.0.0.1:1/x?sslmode=no",
    ] {
        let error = tenant(&pod, dsn).get().await.unwrap_err();
        assert!(matches!(&error, DbError::Unavailable(_)), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    }
}

/// The frontend side of it only: it accepts and never says a word.
async fn black_hole() -> (tokio::net::TcpListener, u16) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("the loopback interface works");
    let port = listener.local_addr().expect("the loopback interface works").port();
    (listener, port)
}

#[tokio::test]
async fn a_database_that_never_answers_costs_its_own_tenant_a_bounded_wait_and_others_nothing() {
    let alive = postgres::server().await.database("beside-a-hole").await;
    let (_listener, port) = black_hole().await;
    let pod = pod(20, Mode::Auto);
    let hole = tenant(&pod, &format!("postgres://u:p@127.0.0.1:{port}/x"));
    let healthy = tenant(&pod, &alive.dsn());
    drop(healthy.get().await.unwrap());
    let began = Instant::now();
    let lost = async { (join_all((0..8).map(|_| hole.get())).await, Instant::now()) };
    let served = async {
        for _ in 0..10 {
            drop(healthy.get().await.unwrap());
        }
        Instant::now()
    };
    let ((lost, given_up), served) = tokio::join!(lost, served);
    assert!(served < given_up, "the other tenant waited as long");
    assert!(
        lost.iter().all(|outcome| matches!(outcome, Err(DbError::Unavailable(_) | DbError::Exhausted))),
        "{lost:?}"
    );
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_statement_that_hangs_is_given_up() {
    let database = postgres::server().await.database("hanging").await;
    let db = tenant(&pod(10, Mode::Auto), &database.dsn());
    let connection = db.get().await.unwrap();
    let began = Instant::now();
    let error = connection.query_one("select pg_sleep(60)", &[]).await.unwrap_err();
    assert!(matches!(error, DbError::Unavailable(_)), "{error:?}");
    assert!(began.elapsed() < Duration::from_mins(1));
    drop(connection);
    let active = "select count(*) from pg_stat_activity \
                  where query like '%pg_sleep(60)%' and state = 'active' and pid <> pg_backend_pid()";
    until("the server has given it up, too", PATIENCE, async || match count(&database, active).await {
        0 => Ok(()),
        many => Err(many.to_string()),
    })
    .await;
    drop(db.get().await.unwrap());
}

#[tokio::test]
async fn a_request_that_went_away_leaves_no_statement_behind_for_the_next() {
    let database = postgres::server().await.database("cancelled").await;
    let db = tenant(&pod(10, Mode::Auto), &database.dsn());
    for _ in 0..5 {
        let connection = db.get().await.unwrap();
        let waited = tokio::time::timeout(Duration::from_millis(50), connection.query_one("select pg_sleep(4)", &[]));
        assert!(waited.await.is_err());
        drop(connection);
        let (connection, began) = (db.get().await.unwrap(), Instant::now());
        assert_eq!(connection.query_one("select 1", &[]).await.unwrap().get::<_, i32>(0), 1);
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    }
}
