//! The composition root: the one place that knows every adapter.

use crate::cli::announce;
use crate::clips::{self, Started};
use crate::config::{Config, SignIn as SignInSetting};
use crate::data::DataDir;
use crate::notify::{self, Notify, Prepared};
use crate::{calls, telemetry, web};
use anyhow::Context as _;
use kaiwa_chat::adapters::sqlite::SqliteStore;
use kaiwa_chat::bus::Bus;
use kaiwa_chat::service::{Chat, ChatOptions};
use kaiwa_common::time::UnixMs;
use kaiwa_platform::dir_lock::DirLock;
use kaiwa_sfu::control::Sfu;
use kaiwa_sfu::engine::Engine;
use kaiwa_sfu::net::address::{Loopback, local_addresses};
use kaiwa_signaling::call::events::{Inbox, events};
use kaiwa_signaling::call::service::{Calls, Parts};
use kaiwa_signaling::edge::address::Addresses;
use kaiwa_signaling::edge::guard::Guard;
use kaiwa_signaling::edge::listener::Listener;
use kaiwa_signaling::edge::tls::{Certificates, Files};
use kaiwa_signaling::edge::{self, Edge, SignIn};
use kaiwa_signaling::hub::Hub;
use kaiwa_signaling::metrics::Metrics;
use kaiwa_signaling::session::Context;
use kaiwa_signaling::session::registry::Sessions;
use kaiwa_signaling::whip::service::Whip;
use metrics_exporter_prometheus::PrometheusHandle;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Connections that the kernel completes ahead of us: Linux's own bound (`somaxconn`). Ten thousand
/// clients that come back at once are met in waves of it.
const BACKLOG: u32 = 4096;

/// For the store's last commit and checkpoint. Longer than that is a disk that hangs.
const CLOSE_STORE: Duration = Duration::from_secs(5);

/// Runs the server until it is told to stop.
pub(crate) fn run(config: Config) -> anyhow::Result<()> {
    telemetry::start_logs(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime can't start")?;
    let served = runtime.block_on(serve(config));
    // A disk that hangs must not keep the process: what was acknowledged is on it.
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let prometheus = telemetry::start_metrics()?;
    tokio::spawn(telemetry::keep_up(prometheus.clone()));

    let data = DataDir::open(&config.data_dir)?;
    // Held until the end: two servers in one folder would each think that they own every room.
    let _lock = DirLock::acquire(data.path())?;
    let store = SqliteStore::open(&data.database())
        .with_context(|| format!("the database in {}", data.path().display()))?;
    let certificates = certificates(&config, &data)?;
    let tcp = bind(config.http.listen)?;
    let prepared = PreparedParts {
        notify: notify::prepare(&config, &data, &store).await?,
        clips: clips::prepare(&config, &data, &store, certificates.as_ref()).await?,
    };
    let address = tcp.local_addr().context("the listener has no address")?;
    let built = build((&config, address), &data, &store, prepared, prometheus)?;
    let Built {
        edge,
        sfu,
        notify,
        clips,
    } = built;
    let stop = CancellationToken::new();
    let listener = Listener {
        tcp,
        tls: certificates.as_ref().map(Certificates::server_config),
        addresses: Arc::clone(&edge.addresses),
        router: edge::router(Arc::clone(&edge)),
        media: sfu.as_ref().and_then(calls::media),
    };
    let accepting = tokio::spawn(listener.run(stop.clone()));
    if let Some(certificates) = certificates {
        tokio::spawn(certificates.watch());
    }
    // Before the announcement, so that whoever waits for it may signal at once.
    let mut stops = StopSignals::listen()?;
    let media = sfu
        .as_ref()
        .map(|sfu| calls::told(sfu, &config.calls.advertise));
    let mut facts = facts(&config, media, &clips);
    let others = elsewhere(address, config.has_tls(), &own_addresses());
    if !others.is_empty() {
        facts.insert(1, ("elsewhere", others.join(", ")));
    }
    announce(&url(address, config.has_tls()), &facts);

    stops.next().await;
    let drain = drain(
        (&edge, notify.as_deref(), &clips),
        &store,
        Duration::from_secs(config.drain_s),
        stop,
        accepting,
    );
    tokio::select! {
        () = drain => tracing::info!("stopped"),
        () = stops.next() => tracing::warn!("told again to stop: stopped at once"),
    }
    if let Some(sfu) = sfu {
        // Its threads are waited for: a moment, since media does not wait for anything.
        let _ = tokio::task::spawn_blocking(move || sfu.stop()).await;
    }
    Ok(())
}

/// The parts, put together.
struct Built {
    edge: Arc<Edge>,
    sfu: Option<Arc<Engine>>,
    notify: Option<Arc<Notify>>,
    clips: Started,
}

/// What was opened before chat is there.
struct PreparedParts {
    notify: Option<Prepared>,
    clips: clips::Prepared,
}

/// Puts the parts together; HTTP is served at the address.
fn build(
    (config, http): (&Config, SocketAddr),
    data: &DataDir,
    store: &SqliteStore,
    prepared: PreparedParts,
    prometheus: PrometheusHandle,
) -> anyhow::Result<Built> {
    let PreparedParts {
        notify: prepared,
        clips,
    } = prepared;
    let mut limits = config.limits.clone();
    let metrics = Metrics::new();
    let sessions = Arc::new(Sessions::new(limits.clone()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let hub = Hub::start(Arc::clone(&sessions), metrics.clone(), workers);
    let chat = start_chat(config, store, &hub);
    let announce = prepared.as_ref().map(Prepared::announce);
    let clips = clips.start(&chat, store, prepared.as_ref())?;
    limits.clip_bytes = clips.max_bytes();
    let parts = |engine: &Arc<Engine>, inbox| Parts {
        sfu: Arc::clone(engine) as Sfu,
        reach: engine.reach(),
        inbox,
        hub: Arc::clone(&hub),
        sessions: Arc::clone(&sessions),
        chat: chat.clone(),
        limits: limits.clone(),
        announce: announce.clone(),
        metrics: metrics.clone(),
        clock: UnixMs::now,
    };
    let sfu = start_calls(config, http, &metrics)?;
    let (calls, sfu) = sfu
        .map(|(engine, inbox)| (Calls::start(parts(&engine, inbox)), engine))
        .unzip();
    let notify = prepared.map(|prepared| Arc::new(prepared.start(store, &chat, &sessions)));
    let context = Arc::new(Context {
        chat,
        hub,
        calls,
        push: notify.as_ref().map(|notify| notify.push()),
        sessions,
        tokens: data.token_key(&config.auth)?,
        limits: limits.clone(),
        node: node_name(config),
        now: UnixMs::now,
        announce,
        metrics,
        draining: AtomicBool::new(false),
        drain_spread_ms: AtomicU32::new(0),
    });
    let draining = Arc::clone(&context);
    let edge = Arc::new(Edge {
        guard: guard(config),
        addresses: Addresses::new(limits.clone()),
        sign_in: sign_in(config),
        token_ttl: Duration::from_secs(config.auth.token_ttl_s),
        public_metrics: config.http.public_metrics,
        guests: clips.guests(),
        whip: Whip::start(&context),
        notify_admin: notify.as_ref().map(|notify| notify.admin()),
        assets: web::ASSETS,
        render_metrics: rendered(store.clone(), notify.clone(), prometheus),
        not_ready: Box::new(move || {
            let is_draining = draining.draining.load(Ordering::SeqCst);
            is_draining.then(|| "draining".to_owned())
        }),
        version: env!("CARGO_PKG_VERSION"),
        context,
    });
    Ok(Built {
        edge,
        sfu,
        notify,
        clips,
    })
}

/// Whom the edge lets in.
fn guard(config: &Config) -> Guard {
    Guard {
        hosts: config.http.hosts.clone(),
        origins: config.http.allowed_origins.clone(),
        trusted_proxies: config.http.trusted_proxies.clone(),
    }
}

/// The metrics as text, with those that are only looked up when somebody asks.
fn rendered(
    store: SqliteStore,
    notify: Option<Arc<Notify>>,
    prometheus: PrometheusHandle,
) -> Box<dyn Fn() -> String + Send + Sync> {
    Box::new(move || {
        telemetry::export_writer(&store.stats().snapshot());
        if let Some(notify) = &notify {
            notify.export();
        }
        prometheus.render()
    })
}

fn sign_in(config: &Config) -> SignIn {
    match config.auth.sign_in {
        SignInSetting::Loopback => SignIn::Loopback,
        SignInSetting::Anywhere => SignIn::Anywhere,
        SignInSetting::None => SignIn::None,
    }
}

fn start_chat(config: &Config, store: &SqliteStore, hub: &Arc<Hub>) -> Chat {
    let options = ChatOptions {
        limits: config.limits.clone(),
        ..ChatOptions::default()
    };
    let bus = Arc::clone(hub) as Arc<dyn Bus>;
    Chat::start(Arc::new(store.clone()), bus, options)
}

/// The SFU and what it tells, unless calls are switched off.
fn start_calls(
    config: &Config,
    http: SocketAddr,
    metrics: &Metrics,
) -> anyhow::Result<Option<(Arc<Engine>, Inbox)>> {
    if !config.calls.enabled {
        return Ok(None);
    }
    let (events, inbox) = events(metrics.clone());
    Ok(Some((calls::start(config, http, events)?, inbox)))
}

fn certificates(config: &Config, data: &DataDir) -> anyhow::Result<Option<Arc<Certificates>>> {
    let http = &config.http;
    let files = match (&http.tls_certificate, &http.tls_key) {
        (Some(certificate), Some(key)) => Files {
            certificate: certificate.clone(),
            key: key.clone(),
        },
        _ if http.tls_self_signed => data.self_signed(&http.listen.ip(), &http.hosts)?,
        _ => return Ok(None),
    };
    Ok(Some(Certificates::load(files)?))
}

fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let open = || -> std::io::Result<TcpListener> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        // A restart must not wait for the connections of the process before to be forgotten.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().with_context(|| {
        format!("{address} can't be listened on (is it in use? --listen takes another)")
    })
}

/// SIGTERM and SIGINT.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals can't be received");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Stops without losing anything: readiness goes, sessions are sent away, writes are answered, the
/// store is closed. Within the time given.
async fn drain(
    (edge, notify, clips): (&Edge, Option<&Notify>, &Started),
    store: &SqliteStore,
    within: Duration,
    stop: CancellationToken,
    accepting: JoinHandle<()>,
) {
    let deadline = Instant::now() + within;
    tracing::info!(sessions = edge.context.sessions.len(), "draining");
    edge.context.begin_drain();
    let orderly = async {
        // First: what clips have begun may have to be written to their rooms.
        clips.drain(within / 4).await;
        if tokio::time::timeout(within / 4, edge.context.chat.drain())
            .await
            .is_err()
        {
            tracing::warn!("writes are still waiting for the store");
        }
        // Beside each other: both wait for others.
        let told = async {
            if let Some(notify) = notify {
                notify.drain(within / 4).await;
            }
        };
        tokio::join!(edge.context.drain(within / 2), told);
        // Encoders and players have nobody who tells them when to come back: they go last, at once.
        if let Some(whip) = &edge.whip {
            whip.drain();
        }
        stop.cancel();
        let _ = accepting.await;
        edge.addresses.all_gone().await;
    };
    if tokio::time::timeout_at(deadline, orderly).await.is_err() {
        tracing::warn!(
            open = edge.addresses.open(),
            "connections were left at the deadline"
        );
    }
    let store = store.clone();
    let closing = tokio::task::spawn_blocking(move || store.close());
    if !matches!(tokio::time::timeout(CLOSE_STORE, closing).await, Ok(Ok(()))) {
        tracing::error!("the store was not closed; it recovers at the next start");
    }
}

fn node_name(config: &Config) -> String {
    if !config.node.is_empty() {
        return config.node.clone();
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    if host.is_empty() {
        "kaiwa".to_owned()
    } else {
        host.to_owned()
    }
}

fn url(address: SocketAddr, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    let host = match address.ip() {
        ip if ip.is_unspecified() => "localhost".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    format!("{scheme}://{host}:{}/", address.port())
}

/// What to open on other machines, such as a phone, where the server listens at all of this one's addresses.
fn elsewhere(address: SocketAddr, tls: bool, own: &[IpAddr]) -> Vec<String> {
    if !address.ip().is_unspecified() {
        return Vec::new();
    }
    // A link-local one needs a scope that no address bar takes.
    let is_reached = |ip: &&IpAddr| match ip {
        IpAddr::V4(_) => true,
        IpAddr::V6(v6) => address.is_ipv6() && !v6.is_unicast_link_local(),
    };
    let reached = own.iter().filter(is_reached);
    reached
        .map(|ip| url(SocketAddr::new(*ip, address.port()), tls))
        .collect()
}

/// Those of this machine that others may reach.
fn own_addresses() -> Vec<IpAddr> {
    let found = local_addresses(Loopback::Excluded).unwrap_or_default();
    found.iter().map(|found| found.address.ip()).collect()
}

fn facts(config: &Config, media: Option<String>, clips: &Started) -> Vec<(&'static str, String)> {
    let web = if web::ASSETS.0.is_empty() {
        "not in this binary: `make run` builds it"
    } else {
        "open the address above, in two windows to chat with yourself"
    };
    let sign_in = match config.auth.sign_in {
        SignInSetting::Loopback => "by name, from this machine",
        SignInSetting::Anywhere => "by name, from ANYWHERE: whoever reaches it is whoever they say",
        SignInSetting::None => "with tokens only",
    };
    vec![
        ("app", web.to_owned()),
        ("sign-in", sign_in.to_owned()),
        ("calls", media.unwrap_or_else(|| "off".to_owned())),
        ("clips", clips.told()),
        ("data", config.data_dir.display().to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_all_addresses_says_what_a_phone_can_open() {
        let own: Vec<IpAddr> = ["10.0.0.5", "fd00::5", "fe80::5"]
            .map(|ip| ip.parse().expect("an address"))
            .to_vec();
        let at = |listen: &str| elsewhere(listen.parse().expect("an address"), true, &own);
        assert_eq!(at("0.0.0.0:8443"), ["https://10.0.0.5:8443/"]);
        assert_eq!(
            at("[::]:8443"),
            ["https://10.0.0.5:8443/", "https://[fd00::5]:8443/"]
        );
        assert!(at("127.0.0.1:8443").is_empty());
        assert!(at("10.0.0.5:8443").is_empty(), "it is printed already");
    }
}
