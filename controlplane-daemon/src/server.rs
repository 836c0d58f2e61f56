//! Puts the node together, and takes it apart in order. Long, but decides nothing.
//!
//! ```text
//!   bind every listener ─▶ start the node (raft, watch) ─▶ admin, ops ─▶ addresses file ─▶ bootstrap … signal
//!   not ready ◀─ hand over leadership ◀─ stop admin ◀─ bootstrap ◀─ node (watch, peers, raft, storage) ◀─ ops
//! ```

mod listening;
mod tasks;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};
use metrics_exporter_prometheus::PrometheusHandle;
use telemetry::Telemetry;
use tokio::signal::unix::{SignalKind, signal};
use transport::credentials::Credentials;
use transport::listener::{self, Limits};
use transport::material::Unusable;
use vocab::{Clock, SystemClock};

use self::listening::{Bound, Listening, reachable};
use self::tasks::Tasks;
use crate::admin::declarative::Applier;
use crate::admin::{self, Api, Listeners, VerifiedTokens};
use crate::bootstrap::unprinted::Unprinted;
use crate::bootstrap::{self, FirstOwner};
use crate::control_plane::{self, ControlPlane, NodeConfig, StartError};
use crate::discovery::{self, Joiner};
use crate::gitops::Gitops;
use crate::oidc::Oidc;
use crate::ops::{self, Ops};
use crate::projection;
use crate::raft::offline::Unannounced;
use crate::raft::panics;
use crate::recorder;
use crate::seals;
use crate::settings::{EXIT_CONFIG, Settings};
use crate::sinks::{Place, Sink};
use crate::steward::{self, Keeper};
use crate::storage::StorageError;
use crate::tls::{self, CertificateEnds, Tls};

const ADMIN_WORKERS: u32 = 2;
const SHUTDOWN_SECS: u64 = 5;
const LIMITS: Limits =
    Limits { handshake: Duration::from_secs(5), head: Duration::from_secs(10), keep_alive: Duration::from_secs(5) };

/// Why the process ends other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("--{setting} {address}: {}", listening::hint(*address, source, setting))]
    Bind { setting: &'static str, address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("--addresses-file {}: cannot be written: {source}", path.display())]
    AddressesFile { path: PathBuf, source: io::Error },
    #[error("{what}: {source}")]
    Io { what: &'static str, source: io::Error },
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Certificate(#[from] Unusable),
    #[error("metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    #[error(transparent)]
    Traces(#[from] telemetry::StartError),
}

impl ServerError {
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Start(error) => error.exit_code(),
            Self::Storage(error) => error.exit_code(),
            Self::AddressesFile { .. } | Self::Certificate(_) => EXIT_CONFIG,
            _ => 1,
        }
    }
}

/// Serves until SIGTERM or SIGINT.
pub fn run(mut settings: Settings) -> Result<(), ServerError> {
    // Raft, peers and pods share the threads of this runtime; the HTTP servers bring their own.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| ServerError::Io { what: "the runtime", source })?;
    runtime.block_on(async {
        let telemetry = start_telemetry(&settings)?;
        telemetry::dumps::forbid();
        panics::end_the_process();
        let metrics = recorder::start()?;
        let served = loop {
            match serve(&settings, &telemetry, metrics.clone()).await {
                // Where it was found before.
                Ok(Ended::ToStartAnew(at)) => {
                    settings.raft_addr = at.raft;
                    settings.watch_addr = at.watch;
                    settings.admin_addr = at.admin;
                    settings.ops_addr = at.ops;
                }
                Ok(Ended::Told) => break Ok(()),
                Err(why) => break Err(why),
            }
        };
        telemetry.stop();
        served
    })
}

fn start_telemetry(settings: &Settings) -> Result<Telemetry, ServerError> {
    Ok(Telemetry::start(telemetry::Settings {
        format: settings.log_format,
        filter: settings.log_level.clone(),
        traces: settings.traces.clone(),
        service: telemetry::Service {
            name: "controlplane-daemon",
            version: env!("CARGO_PKG_VERSION"),
            instance: settings.node_id.to_string(),
        },
    })?)
}

/// Why the node has stopped in order.
enum Ended {
    /// By a signal.
    Told,
    /// It was in a cluster that came to nothing, and is a new node now.
    ToStartAnew(Listening),
}

async fn serve(settings: &Settings, telemetry: &Telemetry, metrics: PrometheusHandle) -> Result<Ended, ServerError> {
    let io = |what| move |source| ServerError::Io { what, source };
    // Before anything else, so that a signal while starting is not lost.
    let mut terminate = signal(SignalKind::terminate()).map_err(io("SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(io("SIGINT"))?;

    // A start reads all of the log before it serves: what is going on should be seen meanwhile.
    let (version, data) = (env!("CARGO_PKG_VERSION"), settings.data_dir.display());
    tracing::info!(node = %settings.node_id, version, %data, "starting");

    let bound = Bound::of(settings)?;
    let listening = bound.addresses()?;
    warn_of_gaps(settings);

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let certificates = CertificateEnds::default();
    let tls = settings.tls.as_ref().map(|tls| Tls::load(tls, Arc::clone(&clock), &certificates)).transpose()?;
    let admin_tls = settings.admin_tls.clone();
    let admin_tls = admin_tls.map(|files| tls::admin(files, Arc::clone(&clock), &certificates)).transpose()?;
    let credentials = tls.iter().map(Tls::credentials).chain(&admin_tls).cloned().collect();
    let node = node_config(settings, &listening, (bound.raft, bound.watch), tls);
    let oidc = settings.admin_oidc.clone().map(Oidc::new).transpose().map_err(|why| {
        ServerError::Start(StartError::Config(format!("the administrators' issuer (--admin-oidc-…): {why}")))
    })?;
    let sinks = settings.audit_sinks.iter().cloned().map(Sink::new).collect::<Result<Vec<_>, _>>();
    let sinks = sinks.map_err(io("--audit-http-url"))?;
    let control = control_plane::start(node, settings.keyring.clone(), Arc::clone(&clock)).await?;
    let applier = Applier { control: control.clone(), keyring: settings.keyring.clone(), clock: Arc::clone(&clock) };
    let gitops = settings.gitops.clone().map(|settings| Gitops::new(settings, applier));
    let listeners = Listeners::new(settings.events_heartbeat);
    let leaving = Arc::<AtomicBool>::default();
    let api = web::Data::new(Api {
        control: control.clone(),
        keyring: settings.keyring.clone(),
        clock: Arc::clone(&clock),
        follower_writes: settings.follower_writes,
        throttle: admin::Throttle::default(),
        uses: admin::Uses::default(),
        oidc,
        trusted_proxies: settings.trusted_proxies.clone(),
        tokens: VerifiedTokens::default(),
        gitops: gitops.as_ref().map(Gitops::status),
        audit_token: settings.audit_api_token.clone(),
        listeners: listeners.clone(),
        certificates,
        leaving: Arc::clone(&leaving),
    });
    let ops = Ops::new(control.clone(), metrics, settings.data_dir.clone(), telemetry.lines().clone());
    let uses_of = api.clone();
    let admin_server = serve_admin(bound.admin, api, admin_tls).map_err(io("the admin API"))?;
    let ops_server = serve_ops(bound.ops, ops.clone()).map_err(io("the ops API"))?;
    let (admin_handle, ops_handle) = (admin_server.handle(), ops_server.handle());
    let admin_task = tokio::spawn(admin_server);
    let ops_task = tokio::spawn(ops_server);
    let mut tasks = Tasks::default();
    tasks.spawn("certificates", |stop| transport::watcher::run(credentials, stop));
    let reporting = control.clone();
    tasks.spawn("the uses of credentials", |stop| async move {
        admin::report_uses(reporting, &uses_of.uses, stop).await;
    });
    if let Some(gitops) = gitops {
        tasks.spawn("gitops", |stop| gitops.run(stop));
    }
    for sink in sinks {
        let control = control.clone();
        tasks.spawn("the delivery of the audit", |stop| sink.run(control, stop));
    }
    mind(settings, &control, &clock, &mut tasks)?;
    let mut seals_task = tokio::spawn(seals::mind(control.clone(), tasks.stop_token()));

    if let Some(path) = &settings.addresses_file
        && let Err(source) = listening.write(path)
    {
        control.shutdown().await;
        return Err(ServerError::AddressesFile { path: path.clone(), source });
    }
    tracing::info!(node = %settings.node_id, raft = %listening.raft, watch = %listening.watch, admin = %listening.admin, ops = %listening.ops, "serving");

    let ended = tokio::select! {
        unusable = &mut seals_task => match unusable.ok().and_then(Result::err) {
            Some(unusable) => Err(unusable),
            None => Ok(Ended::Told),
        },
        () = control.came_to_nothing() => Ok(Ended::ToStartAnew(listening)),
        _ = terminate.recv() => {
            tracing::info!("SIGTERM: stopping");
            Ok(Ended::Told)
        }
        _ = interrupt.recv() => {
            tracing::info!("SIGINT: stopping");
            Ok(Ended::Told)
        }
    };
    ops.stopping();
    leaving.store(true, Ordering::Relaxed);
    // First of all: requests that are under way can still be forwarded to the successor.
    control.hand_over().await;
    let drain = if matches!(ended, Ok(Ended::ToStartAnew(_))) { Duration::ZERO } else { settings.drain };
    tokio::select! {
        () = tokio::time::sleep(drain) => {}
        // Told again: at once.
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    // Streams have no end of their own.
    listeners.close();
    admin_handle.stop(true).await;
    tasks.stop();
    control.shutdown().await;
    ops_handle.stop(false).await;
    for (what, ended) in [("the admin API", admin_task.await), ("the ops API", ops_task.await)] {
        ended.map_err(io::Error::other).and_then(|served| served).map_err(io(what))?;
    }
    tasks.joined().await?;
    tracing::info!("stopped");
    Ok(ended?)
}

/// Starts what looks after the cluster and this node's place in it.
fn mind(
    settings: &Settings,
    control: &ControlPlane,
    clock: &Arc<dyn Clock>,
    tasks: &mut Tasks,
) -> Result<(), ServerError> {
    if let Some(dir) = settings.fs_projection.clone() {
        tasks.spawn("projection", |stop| projection::run(control.clone(), dir, stop));
    }
    let owner = match settings.bootstrap_admin_credential.clone() {
        Some(credential) => FirstOwner::Given(credential),
        None => FirstOwner::Generated(Unprinted::open(&settings.data_dir, settings.keyring.clone(), &**clock)?),
    };
    let owed = Unannounced::find(&settings.data_dir)?;
    let sinks = settings.audit_sinks.iter().map(Place::name).collect();
    let keeper = Keeper { keyring: settings.keyring.clone(), sinks };
    let (bootstrapped, told) = (control.clone(), keeper.clone());
    tasks.spawn("bootstrap", |stop| async move {
        if let Some(owed) = owed {
            bootstrap::tell(&bootstrapped, owed, &told, &stop).await;
        }
        bootstrap::run(bootstrapped, owner, &mut io::stdout(), stop).await;
    });
    tasks.spawn("the steward", |stop| steward::run(control.clone(), Arc::clone(clock), keeper, stop));
    let (discovery, joiner, bootstrap) = (settings.discovery.clone(), joiner(settings), settings.bootstrap);
    tasks.spawn("discovery", |stop| discovery::run(control.clone(), discovery, joiner, bootstrap, stop));
    Ok(())
}

fn node_config(
    settings: &Settings,
    listening: &Listening,
    (raft_listener, watch_listener): (TcpListener, TcpListener),
    tls: Option<Tls>,
) -> NodeConfig {
    let in_peers = settings.peers.get(&settings.node_id).cloned();
    let admin_scheme = if settings.admin_tls.is_some() { "https" } else { "http" };
    let advertise_addr = settings.advertise_addr.clone().or(in_peers);
    NodeConfig {
        node_id: settings.node_id,
        raft_listener,
        watch_listener,
        advertise_addr: advertise_addr.unwrap_or_else(|| reachable(listening.raft).to_string()),
        advertise_admin_url: settings
            .advertise_admin_url
            .clone()
            // An unspecified address says nothing of where others find us.
            .or_else(|| {
                (!listening.admin.ip().is_unspecified()).then(|| format!("{admin_scheme}://{}", listening.admin))
            }),
        bootstrap: settings.bootstrap,
        admission: settings.admission,
        peers: settings.peers.clone(),
        data_dir: settings.data_dir.clone(),
        hmac_secrets: settings.cluster_hmac_secrets.clone(),
        watch_token: settings.watch_token.clone(),
        tls,
        heartbeat: settings.heartbeat,
        election_timeout_min: settings.election_timeout_min,
        election_timeout_max: settings.election_timeout_max,
        snapshot_every: settings.snapshot_every,
    }
}

fn joiner(settings: &Settings) -> Joiner {
    let scheme = if settings.admin_tls.is_some() { "https" } else { "http" };
    Joiner { scheme, authorities: settings.tls.as_ref().map(|tls| tls.authorities.clone()) }
}

fn warn_of_gaps(settings: &Settings) {
    if settings.watch_token.is_none() && settings.tls.is_none() {
        tracing::warn!("neither --watch-token nor --tls-ca-file: no data-plane pod can connect");
    }
}

fn serve_admin(listener: TcpListener, api: web::Data<Api>, tls: Option<Credentials>) -> io::Result<Server> {
    let app = move || {
        App::new()
            .app_data(api.clone())
            .configure(admin::routes::configure)
            .default_service(web::to(admin::routes::no_such_path))
    };
    metrics::gauge!("hj_cp_http_workers").set(f64::from(ADMIN_WORKERS));
    let workers = ADMIN_WORKERS as usize;
    let server = Server::build().workers(workers).disable_signals().shutdown_timeout(SHUTDOWN_SECS);
    let server = match tls {
        Some(credentials) => listener::tls(server, listener, LIMITS, tls::admin_port(credentials), app, |_, _| {})?,
        None => listener::plain(server, listener, LIMITS, app)?,
    };
    Ok(server.run())
}

fn serve_ops(listener: TcpListener, ops: Ops) -> io::Result<Server> {
    let configure = ops::configure(ops);
    let server = HttpServer::new(move || App::new().configure(configure.clone())).workers(1).disable_signals();
    Ok(server.listen(listener)?.run())
}
