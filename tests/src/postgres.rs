//! One real PostgreSQL for the test process, and a database with a role of its own for each who asks.

use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls};

use crate::pki::Authority;
use crate::process::{Launch, Process};
use crate::scratch;
use crate::wait::{PATIENCE, until};

const SUPERUSER: &str = "postgres";
const PASSWORD: &str = "only-for-tests";

#[derive(Debug)]
pub struct Postgres {
    port: u16,
    /// The file of the authority that certified the server.
    authority: String,
    _server: Process,
}

/// A database that only its own role may enter.
#[derive(Clone, Debug)]
pub struct Database {
    pub name: String,
    pub role: String,
    pub password: String,
    port: u16,
}

/// The server of this test process, started by who asks first.
pub async fn server() -> &'static Postgres {
    static SERVER: OnceCell<Postgres> = OnceCell::const_new();
    SERVER.get_or_init(Postgres::start).await
}

/// A port that nobody listens on, outside the range from which the kernel takes ports for outgoing connections: nobody
/// takes it by accident while its owner restarts.
pub fn free_port() -> u16 {
    /// Locked as long as this process lives: a port stays its own while nobody listens there, such as between two lives of
    /// a node.
    static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let folder = std::env::temp_dir().join("hellojohn-test-ports");
    std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
    loop {
        let port = rand::random_range(10_000..32_000);
        let file = File::create(folder.join(port.to_string())).expect("the temporary folder is writable");
        if file.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            HELD.lock().expect("nobody panics with it").push(file);
            return port;
        }
    }
}

impl Postgres {
    async fn start() -> Self {
        let folder = scratch::folder("postgres");
        let user = unprivileged_user();
        if let Some((user, group)) = user {
            std::os::unix::fs::chown(&folder, Some(user), Some(group)).expect("root may change owners");
        }
        let (data, password_file) = (folder.join("data"), folder.join("password"));
        std::fs::write(&password_file, PASSWORD).expect("the scratch folder is writable");
        let data_arg = data.display().to_string();
        let launch = |name: &str, program: &str, args: &[&str]| Launch {
            name: name.to_owned(),
            program: binary(program),
            args: args.iter().map(ToString::to_string).collect(),
            env: vec![("LC_ALL".to_owned(), "C.UTF-8".to_owned())],
            user,
            namespace: None,
            log: folder.join(format!("{name}.log")),
        };
        let init = launch(
            "initdb",
            "initdb",
            &[
                "--pgdata",
                &data_arg,
                "--username",
                SUPERUSER,
                "--pwfile",
                &password_file.display().to_string(),
                // In the clear, over loopback: SCRAM's four thousand rounds take an unoptimized client a tenth of a second.
                "--auth",
                "password",
                "--encoding",
                "UTF8",
                "--no-sync",
                "--no-instructions",
            ],
        );
        let finished = init.run(2 * PATIENCE).await;
        assert_eq!(finished.code, Some(0), "initdb failed:\n{}", finished.output);

        // Nothing here has to survive a power cut. In the file, not on the command line: a bench sets it otherwise.
        let config = std::fs::OpenOptions::new().append(true).open(data.join("postgresql.conf"));
        let careless = b"fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n";
        config.expect("initdb wrote it").write_all(careless).expect("the scratch folder is writable");

        let certified = Authority::new("postgres-authority").certify("postgres");
        let [certificate, key, authority] = &certified.files;
        // PostgreSQL takes a key that is its own and nobody else's to read.
        std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600)).expect("the key is ours");
        if let Some((user, group)) = user {
            std::os::unix::fs::chown(key, Some(user), Some(group)).expect("root may change owners");
        }
        let port = free_port();
        let settings = [
            "ssl=on",
            &format!("ssl_cert_file={certificate}"),
            &format!("ssl_key_file={key}"),
            "listen_addresses=127.0.0.1",
            &format!("port={port}"),
            "unix_socket_directories=",
            "max_connections=300",
            "shared_buffers=64MB",
        ];
        let mut args = vec!["-D", &data_arg];
        args.extend(settings.iter().flat_map(|setting| ["-c", setting]));
        let mut process = launch("postgres", "postgres", &args).start();
        until("PostgreSQL accepts connections", PATIENCE, async || {
            process.assert_running();
            connect(port, SUPERUSER, PASSWORD, "postgres").await.map(drop).map_err(|error| error.to_string())
        })
        .await;
        Self { port, authority: authority.clone(), _server: process }
    }

    /// The file of the authority that certified the server, for `sslrootcert`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// A new, empty database.
    pub async fn database(&self, name: &str) -> Database {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}_{}", name.replace('-', "_"), NEXT.fetch_add(1, Ordering::Relaxed));
        let database =
            Database { role: format!("{name}_role"), password: format!("{name}-password"), name, port: self.port };
        let Database { name, role, password, .. } = &database;
        self.execute(&format!("create role \"{role}\" login password '{password}'")).await;
        self.execute(&format!("create database \"{name}\" owner \"{role}\"")).await;
        self.execute(&format!("revoke connect on database \"{name}\" from public")).await;
        database
    }

    /// From now on the database refuses connections, and those that it had are cut.
    pub async fn take_down(&self, database: &Database) {
        let name = &database.name;
        self.execute(&format!("alter database \"{name}\" with allow_connections false")).await;
        self.execute(&format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")).await;
    }

    pub async fn bring_up(&self, database: &Database) {
        self.execute(&format!("alter database \"{}\" with allow_connections true", database.name)).await;
    }

    /// `kill -9` of the process that serves one of the database's connections: PostgreSQL then ends all of them at once
    /// and recovers from its log, as after the death of the whole.
    pub async fn crash(&self, database: &Database) {
        let (client, witness) = (database.connect().await, database.connect().await);
        // The tests' server commits without waiting for its disk; what is at stake is not whether that loses something.
        client.batch_execute("checkpoint").await.expect("the superuser may");
        let pid: i32 = client.query_one("select pg_backend_pid()", &[]).await.expect("it says").get(0);
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)
            .expect("it runs here");
        // It noticed: until then it takes connections that do not last.
        until("PostgreSQL ends all connections", PATIENCE, async || {
            if witness.is_closed() { Ok(()) } else { Err("one is open".to_owned()) }
        })
        .await;
        until("PostgreSQL is back", PATIENCE, async || {
            let connected = connect(self.port, SUPERUSER, PASSWORD, &database.name).await;
            connected.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }

    /// Runs statements as the superuser.
    pub async fn execute(&self, sql: &str) {
        let client = connect(self.port, SUPERUSER, PASSWORD, "postgres").await.expect("PostgreSQL accepts connections");
        client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
}

impl Database {
    pub fn dsn(&self) -> String {
        let Self { name, role, password, port } = self;
        format!("postgres://{role}:{password}@127.0.0.1:{port}/{name}")
    }

    /// The same by way of a [`Wire`](crate::wire::Wire) on that port.
    pub fn dsn_through(&self, port: u16) -> String {
        Self { port, ..self.clone() }.dsn()
    }

    /// Where the server listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection as the superuser, to look at what was stored.
    pub async fn connect(&self) -> Client {
        connect(self.port, SUPERUSER, PASSWORD, &self.name).await.expect("the database accepts connections")
    }

    /// A connection to any database as this one's role.
    pub async fn connect_as_role(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        connect(self.port, &self.role, &self.password, database).await
    }

    /// Every row of every table, as text: to look for what must not be there.
    pub async fn dump(&self) -> String {
        let client = self.connect().await;
        let tables = "select quote_ident(schemaname) || '.' || quote_ident(tablename) from pg_tables
             where schemaname not in ('pg_catalog', 'information_schema')";
        let mut dump = Vec::new();
        for table in client.query(tables, &[]).await.expect("the catalogue can be read") {
            let table: String = table.get(0);
            let rows =
                client.query(&format!("select t::text from {table} t"), &[]).await.expect("the table can be read");
            for row in rows {
                dump.push(format!("{table}: {}", row.get::<_, String>(0)));
            }
        }
        dump.join("\n")
    }
}

async fn connect(port: u16, user: &str, password: &str, database: &str) -> Result<Client, tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(port).user(user).password(password).dbname(database);
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Whom to run the server as: PostgreSQL refuses to be root.
fn unprivileged_user() -> Option<(u32, u32)> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let find = |name| nix::unistd::User::from_name(name).ok().flatten();
    let user = find("postgres").or_else(|| find("nobody")).expect("a system has the user `nobody`");
    Some((user.uid.as_raw(), user.gid.as_raw()))
}

/// A program of PostgreSQL's.
pub fn binary(name: &str) -> PathBuf {
    let mut versions: Vec<PathBuf> = Path::new("/usr/lib/postgresql")
        .read_dir()
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    let version = |folder: &PathBuf| {
        let number = folder.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        number.and_then(|text| text.parse::<u32>().ok())
    };
    versions.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named = std::env::var_os("HJ_POSTGRES_BIN").map(PathBuf::from);
    let mut folders = named.into_iter().chain(std::env::split_paths(&path)).chain(versions);
    let found = folders.find(|folder| folder.join(name).is_file());
    let folder = found.unwrap_or_else(|| panic!("PostgreSQL's `{name}` is missing: apt-get install postgresql"));
    folder.join(name)
}
