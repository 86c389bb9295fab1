//! What a shard is started with.

use super::handover::{Handover, Mailbox};
use super::{Order, Scratch, Shard};
use crate::config::Config;
use crate::control::SfuEvents;
use crate::core::ice::Credentials;
use crate::dtls::Identity;
use crate::metrics::ShardCounts;
use crate::net::address::{Loopback, local_addresses};
use crate::net::affinity;
use crate::net::poll::{Poller, SocketKey, Waker};
use crate::net::receive::ReceiveBatch;
use crate::net::send::{SendMode, probe};
use crate::net::socket::{UdpSocket, bind_shards};
use crate::sockets::Sockets;
use crate::table::Table;
use crate::timers::Timers;
use crate::unit::{Bitrate, NtpTime};
use crate::wire::sdp::Candidate;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Seconds from NTP's epoch, 1900, to Unix's.
const NTP_OFFSET_S: u64 = 2_208_988_800;

/// What does not change while a shard runs.
pub(super) struct Fixed {
    pub(super) index: usize,
    pub(super) shards: usize,
    pub(super) core: Option<usize>,
    pub(super) audio_slots: u8,
    pub(super) is_paced: bool,
    pub(super) assumed: Bitrate,
    pub(super) identity: Arc<Identity>,
    pub(super) candidates: Vec<Candidate>,
    pub(super) waker: Waker,
    pub(super) started: Instant,
    pub(super) started_ntp: NtpTime,
}

impl Fixed {
    /// Puts the thread onto its core, if one is set.
    pub(super) fn pin(&self) {
        if let Some(core) = self.core
            && let Err(error) = affinity::pin_current_thread(core)
        {
            tracing::warn!(%error, core, "the thread can't be pinned");
        }
    }

    /// New ICE credentials whose fragment leads to this shard: see [`super::handover`].
    pub(super) fn credentials(&self) -> Credentials {
        loop {
            let credentials = Credentials::from_random(&random());
            if self.shard_of(credentials.ufrag().as_str()) == self.index {
                return credentials;
            }
        }
    }

    /// The shard that a fragment leads to.
    pub(super) fn shard_of(&self, ufrag: &str) -> usize {
        let first = ufrag.bytes().next().unwrap_or_default();
        usize::from(first) % self.shards
    }
}

/// Random bytes.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has randomness once it has started");
    bytes
}

/// Everything that a shard's thread takes with it.
pub(crate) struct ShardSetup {
    fixed: Fixed,
    poller: Poller,
    sockets: Vec<UdpSocket>,
    mode: SendMode,
    handover: Handover,
}

impl ShardSetup {
    /// Binds the sockets of all shards.
    pub(crate) fn open(config: &Config) -> io::Result<Vec<Self>> {
        // A fragment's first letter has to lead to each shard.
        let shards = config.shards.clamp(1, 64);
        let addresses = listen_addresses(config)?;
        let sets = bind_shards(&addresses, shards).map_err(io::Error::other)?;
        let mode = probe();
        tracing::info!(?mode, shards, "media sockets are open");
        let identity = Arc::new(Identity::generate().map_err(io::Error::other)?);
        let mut pollers = Vec::new();
        for _ in 0..shards {
            pollers.push(Poller::new()?);
        }
        let mailboxes: Vec<Arc<Mailbox>> = pollers
            .iter()
            .map(|poller| Arc::new(Mailbox::new(poller.waker())))
            .collect();
        let mut setups = Vec::new();
        for (index, (sockets, mut poller)) in sets.into_iter().zip(pollers).enumerate() {
            for (key, socket) in (0..).map(SocketKey).zip(&sockets) {
                poller.add(key, socket)?;
            }
            let fixed = Fixed {
                index,
                shards,
                core: config.first_core.map(|first| first + index),
                audio_slots: config.audio_slots,
                is_paced: config.is_paced,
                assumed: config.assumed,
                identity: Arc::clone(&identity),
                candidates: candidates(config, &sockets),
                waker: poller.waker(),
                started: Instant::now(),
                started_ntp: ntp_now(),
            };
            setups.push(Self {
                fixed,
                poller,
                sockets,
                mode,
                handover: Handover::new(index, mailboxes.clone()),
            });
        }
        Ok(setups)
    }

    pub(crate) fn index(&self) -> usize {
        self.fixed.index
    }

    pub(crate) fn waker(&self) -> Waker {
        self.fixed.waker.clone()
    }

    /// Where its sockets are bound.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(UdpSocket::address).collect()
    }
}

impl Shard {
    pub(super) fn new(
        setup: ShardSetup,
        orders: Receiver<Order>,
        events: Arc<dyn SfuEvents>,
    ) -> Self {
        let index = setup.fixed.index;
        let counts_due = setup.fixed.started;
        Self {
            fixed: setup.fixed,
            orders,
            events,
            poller: setup.poller,
            sockets: Sockets::new(setup.sockets, setup.mode),
            batch: Some(ReceiveBatch::new()),
            handover: setup.handover,
            peers: Table::default(),
            tracks: Table::default(),
            rooms: Table::default(),
            by_participant: HashMap::new(),
            by_room: HashMap::new(),
            by_path: HashMap::new(),
            by_ufrag: HashMap::new(),
            by_source: HashMap::new(),
            by_publication: HashMap::new(),
            timers: Timers::new(),
            room_timers: Timers::new(),
            touched: Vec::new(),
            focus: None,
            counts: ShardCounts::new(index),
            counts_due,
            scratch: Scratch::default(),
            next_id: 0,
            next_source: 0,
            is_stopping: false,
        }
    }
}

/// Addresses to bind: those given, an unspecified one replaced by the host's of its family. Binding each
/// one tells to which address a datagram came, which a browser expects the answer from.
fn listen_addresses(config: &Config) -> io::Result<Vec<SocketAddr>> {
    let loopback = if config.loopback {
        Loopback::Included
    } else {
        Loopback::Excluded
    };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for wanted in &config.listen {
        if !wanted.ip().is_unspecified() {
            addresses.push(*wanted);
            continue;
        }
        for found in local_addresses(loopback)? {
            if found.address.is_ipv4() == wanted.is_ipv4() {
                let mut address = found.address;
                address.set_port(wanted.port());
                addresses.push(address);
            }
        }
    }
    addresses.dedup();
    if addresses.is_empty() {
        // A machine without a network can still be tried.
        let port = config.listen.first().map_or(0, SocketAddr::port);
        addresses.push(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    Ok(addresses)
}

/// What clients are told to send to: what is advertised, else where the sockets are.
fn candidates(config: &Config, sockets: &[UdpSocket]) -> Vec<Candidate> {
    let bound = sockets.iter().map(UdpSocket::address);
    let port = bound.clone().next().map_or(0, |address| address.port());
    let advertised = config.advertise.iter().map(|ip| SocketAddr::new(*ip, port));
    let addresses: Vec<SocketAddr> = if config.advertise.is_empty() {
        bound.collect()
    } else {
        advertised.collect()
    };
    let preference = |at: usize| u16::MAX - u16::try_from(at).unwrap_or(u16::MAX);
    let order = |address: &SocketAddr| match address.ip() {
        ip if ip.is_loopback() => 2,
        IpAddr::V4(_) => 1,
        IpAddr::V6(_) => 0,
    };
    let mut sorted = addresses;
    sorted.sort_by_key(order);
    sorted
        .into_iter()
        .enumerate()
        .map(|(at, address)| Candidate::host(address, preference(at)))
        .collect()
}

fn ntp_now() -> NtpTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    NtpTime(NTP_OFFSET_S << 32).plus(since)
}
