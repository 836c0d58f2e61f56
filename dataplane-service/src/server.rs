//! Constructs the pod, runs it, and takes it down in order. Decides nothing.
//!
//! ```text
//!   settings → certificates → state file → listeners → sync + sweeper + courier → servers → addresses file → … signal …
//!   → not ready → public server (finishes requests) → sync (writes its state) → pools → ops server
//! ```

mod jobs;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Extensions, Server};
use actix_web::middleware::from_fn;
use actix_web::{HttpServer, web};
use anyhow::Context as _;
use rustls::ServerConnection;
use telemetry::Telemetry;
use telemetry::console::{note, say};
use telemetry::started_with::conceal;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use transport::credentials::Credentials;
use transport::listener::{self, Limits};
use transport::material::Unusable;
use transport::server::{asking_for_certificate, server_only};
use transport::watcher;
use url::Url;
use vocab::{Clock, Slug, SystemClock};

use crate::app::App;
use crate::client_certificates::ClientCertificates;
use crate::directory::LiveDirectory;
use crate::fetch::Fetcher;
use crate::http;
use crate::mail::{Mailer, Mailers};
use crate::ops::{self, Ops};
use crate::outbox::{Courier, Outbox};
use crate::recorder;
use crate::registrar::Registrar;
use crate::settings::{self, EX_CONFIG, Invocation, Job, Refusal, Settings};
use crate::store::pool::PodPools;
use crate::sync::Sync;
use crate::sync::keeper::Files;
use crate::sync::mirror::Surroundings;
use crate::sync::state_file::{LoadError, Loaded};
use crate::sync::status::Status;
use crate::sync::subscription::PodIdentity;
use crate::tls;

const LIMITS: Limits =
    Limits { handshake: Duration::from_secs(5), head: Duration::from_secs(10), keep_alive: Duration::from_secs(75) };
/// How long requests may take to finish when the pod is told to stop.
const DRAIN_SECS: u64 = 10;

/// The whole program.
pub fn main() -> ExitCode {
    let invocation = match Invocation::from_process() {
        Ok(invocation) => invocation,
        // `--help` and `--version` are no errors.
        Err(Refusal::CommandLine(error)) if !error.use_stderr() => error.exit(),
        Err(refusal) => return fail(EX_CONFIG, &refusal.to_string()),
    };
    let outcome = match invocation {
        Invocation::PrintConfig(text) => {
            return say(text.trim_end()).map_or_else(|error| fail(1, &error.to_string()), |()| ExitCode::SUCCESS);
        }
        Invocation::Serve(settings) => match conceal("dataplane-service", settings::variables_of_secrets()) {
            Ok(()) => start(*settings, None),
            Err(why) => Err(why.into()),
        },
        Invocation::Once { job, settings, tenant } => start(*settings, Some((job, tenant))),
    };
    match outcome {
        Ok(code) => code,
        Err(error) if error.downcast_ref::<LoadError>().is_some() => fail(EX_CONFIG, &format!("{error:#}")),
        Err(error) if error.downcast_ref::<Unusable>().is_some() => fail(EX_CONFIG, &format!("{error:#}")),
        Err(error) => fail(1, &format!("{error:#}")),
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    note(format_args!("dataplane-service: {}", message.trim_end()));
    ExitCode::from(code)
}

fn start(settings: Settings, once: Option<(Job, Option<Slug>)>) -> anyhow::Result<ExitCode> {
    // Requests run on actix's workers; this runtime carries the watch, the sweeper and the state file.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let code = runtime.block_on(async {
        let telemetry = start_telemetry(&settings)?;
        telemetry::dumps::forbid();
        let done = match once {
            None => serve(settings, telemetry.clone()).await.map(|()| ExitCode::SUCCESS),
            Some((job, only)) => jobs::run(settings, job, only).await,
        };
        telemetry.stop();
        done
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

fn start_telemetry(settings: &Settings) -> anyhow::Result<Telemetry> {
    Ok(Telemetry::start(telemetry::Settings {
        format: settings.log.format,
        filter: settings.log.filter.clone(),
        traces: settings.traces.clone(),
        service: telemetry::Service {
            name: "dataplane-service",
            version: env!("CARGO_PKG_VERSION"),
            instance: settings.pod_name.to_string(),
        },
    })?)
}

/// What serving and jobs have in common: the configuration, kept up to date.
struct Pod {
    directory: Arc<LiveDirectory>,
    status: Arc<Status>,
    pools: Arc<PodPools>,
    registrar: Arc<Registrar>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Pod {
    fn start(settings: &mut Settings, public_url: Url, address: String) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let pools = PodPools::new(settings.pools, settings.keyring.clone(), settings.migrate);
        let watch = settings.watch_tls.take().map(|files| tls::load(files, Arc::clone(&clock))).transpose()?;
        let (files, loaded) = load_state(settings)?;
        let mut pod = Self {
            directory: Arc::default(),
            status: Arc::default(),
            pools: Arc::clone(&pools),
            registrar: Arc::default(),
            clock: Arc::clone(&clock),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let identity = PodIdentity {
            pod_id: settings.pod_name.clone(),
            address,
            token: settings.watch_token.take(),
            tls: watch.clone().map(|credentials| Arc::new(tls::to_control_plane(credentials))),
        };
        let endpoints = std::mem::take(&mut settings.control_plane);
        pod.registrar = Arc::new(Registrar::new(&endpoints, &identity));
        let sync = Sync {
            endpoints,
            identity,
            directory: Arc::clone(&pod.directory),
            status: Arc::clone(&pod.status),
            clock,
            surroundings: Surroundings { keyring: settings.keyring.clone(), public_url, pools: Arc::clone(&pools) },
            files,
            loaded,
        };
        pod.tasks.spawn(sync.run(pod.stop.clone()));
        pod.tasks.spawn(pod.stop.clone().run_until_cancelled_owned(pools.sweep()));
        pod.tasks.spawn(watcher::run(watch.into_iter().collect(), pod.stop.clone()));
        Ok(pod)
    }

    async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.pools.close();
    }
}

/// A file that is damaged is of no use, but no harm either; one that the master key does not open stops the start.
fn load_state(settings: &Settings) -> anyhow::Result<(Option<Files>, Option<Loaded>)> {
    let Some(dir) = &settings.state_dir else { return Ok((None, None)) };
    let files = Files::in_dir(dir).with_context(|| format!("state-dir {}", dir.display()))?;
    let loaded = match files.state.load(&settings.keyring) {
        Ok(loaded) => loaded,
        Err(error @ LoadError::WrongKey { .. }) => return Err(error.into()),
        Err(error @ LoadError::Unusable { .. }) => {
            tracing::error!(%error, "starting without the state on disk");
            None
        }
    };
    Ok((Some(files), loaded))
}

async fn serve(mut settings: Settings, telemetry: Telemetry) -> anyhow::Result<()> {
    let metrics = recorder::start(settings.metrics_tenants)?;
    let public = bind("http-addr", settings.http_addr)?;
    let ops = bind("ops-addr", settings.ops_addr)?;
    let (http_addr, ops_addr) = (public.local_addr()?, ops.local_addr()?);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;

    let public_url = public_url(&settings, http_addr.port())?;
    let pod = Pod::start(&mut settings, public_url, reachable(http_addr).to_string())?;
    let outbound = &settings.outbound;
    let fetcher = Fetcher::new(outbound.reachable.clone(), &outbound.authorities).context("outbound requests")?;
    let fetcher = Arc::new(fetcher);
    let mailer = settings.smtp.as_ref().map(|server| Mailer::new(server, &outbound.authorities));
    let mailer = mailer.transpose().context("mail")?.map(Arc::new);
    let (outbox, signals) = Outbox::new();
    let courier = Courier {
        directory: Arc::clone(&pod.directory),
        fetcher: Arc::clone(&fetcher),
        mailers: Mailers::new(mailer, outbound.authorities.clone()),
        clock: Arc::clone(&pod.clock),
        signals,
        every: settings.outbox_every,
    };
    pod.tasks.spawn(courier.run(pod.stop.clone()));
    let mut app = App::new(
        &settings,
        Arc::clone(&pod.directory),
        Arc::clone(&pod.status),
        Arc::clone(&pod.clock),
        fetcher,
        outbox,
    )?;
    app.registrar = Arc::clone(&pod.registrar);
    let app = web::Data::new(app);
    let public_tls =
        settings.public_tls.take().map(|tls| PublicTls::bind(tls, settings.mutual_tls.listener, &pod)).transpose()?;
    let tls_addr = public_tls.as_ref().map(|tls| tls.listener.local_addr()).transpose()?;
    let public = public_server(public, public_tls, app.clone())?;
    let ops = ops_server(
        ops,
        web::Data::new(Ops {
            directory: Arc::clone(&pod.directory),
            status: Arc::clone(&pod.status),
            pools: Arc::clone(&pod.pools),
            metrics,
            lines: telemetry.lines().clone(),
            app,
        }),
    )?;
    let (public_handle, ops_handle) = (public.handle(), ops.handle());
    let (public, ops) = (tokio::spawn(public), tokio::spawn(ops));
    if let Some(path) = &settings.addresses_file {
        write_addresses(path, reachable(http_addr), tls_addr.map(reachable), reachable(ops_addr))
            .with_context(|| format!("addresses-file {}", path.display()))?;
    }
    tracing::info!(http = %http_addr, tls = ?tls_addr, ops = %ops_addr, pod = %settings.pod_name, "listening");

    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!(drain = ?settings.drain, "stopping");
    pod.status.stop();
    tokio::select! {
        () = tokio::time::sleep(settings.drain) => {}
        // Told again: at once.
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    public_handle.stop(true).await;
    public.await??;
    pod.stop().await;
    ops_handle.stop(false).await;
    ops.await??;
    tracing::info!("stopped");
    Ok(())
}

/// The public listener over TLS.
struct PublicTls {
    listener: TcpListener,
    credentials: Credentials,
    client_certificate: settings::ClientCertificate,
}

impl PublicTls {
    fn bind(
        settings: settings::PublicTls,
        client_certificate: settings::ClientCertificate,
        pod: &Pod,
    ) -> anyhow::Result<Self> {
        let credentials = tls::load(settings.files, Arc::clone(&pod.clock))?;
        pod.tasks.spawn(watcher::run(vec![credentials.clone()], pod.stop.clone()));
        Ok(Self { listener: bind("tls-addr", settings.addr)?, credentials, client_certificate })
    }
}

fn public_server(listener: TcpListener, tls: Option<PublicTls>, app: web::Data<App>) -> io::Result<Server> {
    let certificates = app.client_certificates.clone();
    // As many as actix makes of itself.
    let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    metrics::gauge!("hj_dp_http_workers").set(f64::from(u32::try_from(workers).unwrap_or(u32::MAX)));
    let serve = move || {
        actix_web::App::new().app_data(app.clone()).wrap(from_fn(http::pin_directory)).configure(http::configure)
    };
    let server = Server::build().workers(workers).shutdown_timeout(DRAIN_SECS).disable_signals();
    let server = listener::plain(server, listener, LIMITS, serve.clone())?;
    let server = match tls {
        Some(PublicTls { listener, credentials, client_certificate }) => {
            let config = match client_certificate {
                settings::ClientCertificate::NotAskedFor => server_only(credentials),
                settings::ClientCertificate::AskedFor => asking_for_certificate(credentials),
            };
            let note = move |connection: &ServerConnection, extensions: &mut Extensions| {
                note_certificate(&certificates, connection, extensions);
            };
            listener::tls(server, listener, LIMITS, tls::public_port(config), serve, note)?
        }
        None => server,
    };
    Ok(server.run())
}

/// Reads the client's certificate, if it showed one, once for all requests of the connection.
fn note_certificate(certificates: &ClientCertificates, connection: &ServerConnection, extensions: &mut Extensions) {
    let shown = connection.peer_certificates();
    if let Some(certificate) = shown.and_then(|chain| certificates.of_connection(chain)) {
        extensions.insert(Arc::new(certificate));
    }
}

fn ops_server(listener: TcpListener, ops: web::Data<Ops>) -> io::Result<Server> {
    let server = HttpServer::new(move || actix_web::App::new().app_data(ops.clone()).configure(ops::configure));
    Ok(server.workers(1).client_request_timeout(LIMITS.head).disable_signals().listen(listener)?.run())
}

fn bind(setting: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = socket(address);
    let choose = || format!("choose another with --{setting} (port 0 takes any free one)");
    match bound {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Err(anyhow::anyhow!("{setting}: {address} is in use by another process; {}", choose()))
        }
        Err(error) => Err(anyhow::anyhow!("{setting}: cannot listen on {address}: {error}; {}", choose())),
    }
}

/// std's own `bind` queues only 128 connections.
fn socket(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
    // A restarted pod takes its port over from connections in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(2048)?.into_std()
}

/// An address that can be connected to from the same machine.
fn reachable(bound: SocketAddr) -> SocketAddr {
    match bound {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => ([127, 0, 0, 1], v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => ([0, 0, 0, 0, 0, 0, 0, 1_u16], v6.port()).into(),
        other => other,
    }
}

fn public_url(settings: &Settings, port: u16) -> anyhow::Result<Url> {
    match &settings.public_url {
        Some(url) => Ok(url.clone()),
        None => Ok(format!("http://localhost:{port}").parse()?),
    }
}

fn write_addresses(path: &Path, http: SocketAddr, tls: Option<SocketAddr>, ops: SocketAddr) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut document = serde_json::json!({ "http": http.to_string(), "ops": ops.to_string() });
    if let Some(tls) = tls {
        document["tls"] = tls.to_string().into();
    }
    std::fs::write(&temporary, document.to_string())?;
    std::fs::rename(&temporary, path)
}
