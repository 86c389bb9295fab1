//! What a thread is started with.

use super::mailboxes::{Exchange, Mailbox};
use super::unreached::Unreached;
use super::{OrderQueue, Thread};
use crate::config::Config;
use crate::control::SfuEvents;
use crate::dtls::Identity;
use crate::metrics::Series;
use crate::net::address::{Loopback, local_addresses};
use crate::net::poll::{Poller, SocketKey, Waker};
use crate::net::receive::ReceiveBatch;
use crate::net::send::{SendMode, probe};
use crate::net::socket::{BindError, LocalIndex, UdpSocket, bind_shards};
use crate::shard::{SEED_BYTES, Setup, Shard};
use crate::sockets::Sockets;
use crate::unit::NtpTime;
use crate::wire::sdp::Candidate;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Seconds from NTP's epoch, 1900, to Unix's.
const NTP_OFFSET_S: u64 = 2_208_988_800;

/// Everything that a shard's thread takes with it.
pub(crate) struct ThreadSetup {
    shard: Setup,
    core: Option<usize>,
    poller: Poller,
    sockets: Vec<UdpSocket>,
    mode: SendMode,
    exchange: Exchange,
    unreached: Arc<Unreached>,
}

impl ThreadSetup {
    /// Binds the sockets of all shards.
    pub(crate) fn open(config: &Config) -> io::Result<Vec<Self>> {
        // A fragment's first letter has to lead to each shard.
        let shards = config.shards.clamp(1, 64);
        let addresses = listen_addresses(config)?;
        let mut sets = bind_shards(&addresses, shards).map_err(io::Error::other)?;
        let mode = probe();
        // Without, a datagram counts as come when its turn begins.
        let sockets = sets.iter_mut().flatten();
        let unstamped = sockets.filter_map(|socket| (!socket.enable_stamps()).then_some(()));
        let has_stamps = unstamped.count() == 0;
        tracing::info!(?mode, shards, has_stamps, "media sockets are open");
        let identity = Arc::new(Identity::generate().map_err(io::Error::other)?);
        let mut pollers = Vec::new();
        for _ in 0..shards {
            pollers.push(Poller::new()?);
        }
        let mailboxes: Vec<Arc<Mailbox>> = pollers
            .iter()
            .map(|poller| Arc::new(Mailbox::new(poller.waker())))
            .collect();
        let unreached = Arc::new(Unreached::default());
        let mut setups = Vec::new();
        for (index, (sockets, mut poller)) in sets.into_iter().zip(pollers).enumerate() {
            for (key, socket) in (0..).map(SocketKey).zip(&sockets) {
                poller.add(key, socket)?;
            }
            let shard = Setup {
                index,
                shards,
                audio_slots: config.audio_slots,
                is_paced: config.is_paced,
                assumed: config.assumed,
                video_codecs: config.video_codecs,
                identity: Arc::clone(&identity),
                candidates: candidates(config, &sockets),
                started: Instant::now(),
                started_ntp: ntp_now(),
                seed: seed()?,
            };
            setups.push(Self {
                shard,
                core: config.first_core.map(|first| first + index),
                poller,
                sockets,
                mode,
                exchange: Exchange::new(index, mailboxes.clone()),
                unreached: Arc::clone(&unreached),
            });
        }
        Ok(setups)
    }

    pub(crate) fn index(&self) -> usize {
        self.shard.index
    }

    pub(crate) fn waker(&self) -> Waker {
        self.poller.waker()
    }

    /// The core that its thread is to be on, if one is set.
    pub(super) fn core(&self) -> Option<usize> {
        self.core
    }

    /// Where its sockets are bound.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(UdpSocket::address).collect()
    }

    /// What runs on the thread.
    pub(super) fn thread(self, orders: OrderQueue, events: Arc<dyn SfuEvents>) -> Thread {
        let (series, counts_due) = (Series::new(self.shard.index), self.shard.started);
        Thread {
            shard: Shard::new(self.shard, Sockets::new(self.sockets, self.mode)),
            orders,
            events,
            waker: self.poller.waker(),
            poller: self.poller,
            batch: ReceiveBatch::new(),
            exchange: self.exchange,
            undelivered: 0,
            series,
            unreached: self.unreached,
            told_unreached: 0,
            counts_due,
            is_stopping: false,
        }
    }
}

/// The system's randomness, once for each shard.
fn seed() -> io::Result<[u8; SEED_BYTES]> {
    let mut seed = [0; SEED_BYTES];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    Ok(seed)
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
            if found.address.is_ipv4() == wanted.is_ipv4() && is_usable(found.address) {
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
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        tracing::warn!(
            %address,
            "this machine has no other address: nobody else can call; addresses that come later \
             are used after a restart"
        );
        addresses.push(address);
    }
    Ok(addresses)
}

/// An IPv6 address whose uniqueness is not established yet (RFC 4862, section 5.4), as in the seconds after
/// an interface came up, is listed and can't be bound. Whoever did not ask for it by name goes without.
fn is_usable(address: SocketAddr) -> bool {
    let mut any_port = address;
    any_port.set_port(0);
    let bound = UdpSocket::bind(any_port, LocalIndex(0));
    if matches!(bound, Err(BindError::NotLocal(_))) {
        tracing::warn!(address = %address.ip(), "can't be bound yet: calls go without it until a restart");
        return false;
    }
    true
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_listed_and_not_this_machines_is_gone_without() {
        // As the kernel refuses a tentative one. RFC 5737: for documentation, and nobody's.
        assert!(!is_usable(SocketAddr::from(([192, 0, 2, 1], 0))));
        assert!(is_usable(SocketAddr::from(([127, 0, 0, 1], 0))));
    }
}
