//! What a thread is started with.

use super::mailboxes::{Exchange, Mailbox};
use super::unreached::Unreached;
use super::{Door, LobbySetup, OrderQueue, Thread, listeners};
use crate::config::Config;
use crate::control::SfuEvents;
use crate::control::trace::{Protocol, Told};
use crate::core::ice::Credentials;
use crate::dtls::Identity;
use crate::metrics::{Arrivals, Series};
use crate::net::address::{Loopback, local_addresses};
use crate::net::poll::{Poller, SocketKey, Waker};
use crate::net::receive::ReceiveBatch;
use crate::net::send::{SendMode, probe};
use crate::net::socket::{BindError, LocalIndex, UdpSocket, bind_shards};
use crate::shard::{SEED_BYTES, Setup, Shard};
use crate::sockets::Sockets;
use crate::unit::{NTP_OFFSET_S, NtpTime};
use crate::wire::sdp::{Candidate, TCP_PREFERENCE_MAX};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Everything that a shard's thread takes with it.
pub(crate) struct ThreadSetup {
    shard: Setup,
    core: Option<usize>,
    poller: Poller,
    sockets: Vec<UdpSocket>,
    mode: SendMode,
    exchange: Exchange,
    arrivals: Arrivals,
    unreached: Arc<Unreached>,
}

/// Everything that was opened.
pub(crate) struct Opened {
    pub(crate) shards: Vec<ThreadSetup>,
    /// Where media is received by UDP, and by TCP.
    pub(crate) udp: Vec<SocketAddr>,
    pub(crate) tcp: Vec<SocketAddr>,
    /// Where clients are told to send to.
    pub(crate) told: Vec<Told>,
    /// Whoever checks with these is answered.
    pub(crate) probe: Credentials,
    /// Where TCP connections come in, unless it is off.
    pub(crate) lobby: Option<(LobbySetup, Door)>,
}

impl Opened {
    /// Binds all sockets.
    pub(crate) fn new(config: &Config) -> io::Result<Self> {
        let addresses = listen_addresses(config, &config.listen)?;
        let sets = bind_shards(&addresses, shards(config)).map_err(io::Error::other)?;
        let bound = sets.first().into_iter().flatten();
        let udp: Vec<SocketAddr> = bound.map(UdpSocket::address).collect();
        let expand = |wanted: &[SocketAddr]| listen_addresses(config, wanted);
        let listeners = listeners::open(config, &udp, expand)?;
        let tcp = listeners.as_ref().map(|l| l.addresses.clone());
        let tcp = tcp.unwrap_or_default();
        let arrivals = Arrivals::new();
        let lobby = listeners.map(|listeners| LobbySetup::open(listeners.own, arrivals.clone()));
        let candidates = candidates(config, &udp, &tcp);
        let probe = new_probe()?;
        Ok(Self {
            told: told(config, &udp, &tcp),
            shards: ThreadSetup::open(config, sets, (candidates, &probe), &arrivals)?,
            probe,
            udp,
            tcp,
            lobby: lobby.transpose()?,
        })
    }
}

/// A fragment's first letter has to lead to each.
fn shards(config: &Config) -> usize {
    config.shards.clamp(1, 64)
}

impl ThreadSetup {
    fn open(
        config: &Config,
        mut sets: Vec<Vec<UdpSocket>>,
        (candidates, nobody): (Vec<Candidate>, &Credentials),
        arrivals: &Arrivals,
    ) -> io::Result<Vec<Self>> {
        let shards = shards(config);
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
                inspect_s: config.inspect_s,
                assumed: config.assumed,
                video_codecs: config.video_codecs,
                identity: Arc::clone(&identity),
                candidates: candidates.clone(),
                probe: Some(nobody.clone()),
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
                arrivals: arrivals.clone(),
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

    /// What runs on the thread.
    pub(super) fn thread(self, orders: OrderQueue, events: Arc<dyn SfuEvents>) -> Thread {
        let (series, counts_due) = (Series::new(self.shard.index), self.shard.started);
        let sockets = Sockets::new(self.sockets, self.mode, counts_due);
        Thread {
            shard: Shard::new(self.shard, sockets),
            orders,
            events,
            waker: self.poller.waker(),
            poller: self.poller,
            batch: ReceiveBatch::new(),
            ready: Vec::new(),
            rota: super::connections::Rota::default(),
            exchange: self.exchange,
            undelivered: 0,
            series,
            arrivals: self.arrivals,
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

/// Credentials that nobody has by chance.
fn new_probe() -> io::Result<Credentials> {
    let mut random = [0; 24];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(Credentials::from_random(&random))
}

/// Addresses to bind: those given, an unspecified one replaced by the host's of its family. Binding each
/// one tells to which address a datagram came, which a browser expects the answer from.
fn listen_addresses(config: &Config, wanted: &[SocketAddr]) -> io::Result<Vec<SocketAddr>> {
    let loopback = if config.loopback {
        Loopback::Included
    } else {
        Loopback::Excluded
    };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    let port = wanted.first().map_or(0, SocketAddr::port);
    for wanted in wanted {
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

/// What clients are told to send to: what is advertised, else where the sockets are. Those of UDP come first.
fn candidates(config: &Config, udp: &[SocketAddr], tcp: &[SocketAddr]) -> Vec<Candidate> {
    let udp = preferred(config, udp, u16::MAX);
    let udp = udp.map(|(address, preference)| Candidate::host(address, preference));
    let tcp = preferred(config, tcp, TCP_PREFERENCE_MAX);
    let tcp = tcp.map(|(address, preference)| Candidate::host_tcp_passive(address, preference));
    udp.chain(tcp).collect()
}

/// The same for people.
fn told(config: &Config, udp: &[SocketAddr], tcp: &[SocketAddr]) -> Vec<Told> {
    let of = |protocol, bound: &[SocketAddr], most| {
        let addresses = preferred(config, bound, most);
        let told = addresses.map(|(address, _)| Told {
            protocol,
            address,
            is_bound: bound.contains(&address),
        });
        told.collect::<Vec<_>>()
    };
    let udp = of(Protocol::Udp, udp, u16::MAX);
    [udp, of(Protocol::Tcp, tcp, TCP_PREFERENCE_MAX)].concat()
}

/// Where clients are sent of those that are bound, the most preferred first, with preferences that fall from `most` on.
fn preferred(
    config: &Config,
    bound: &[SocketAddr],
    most: u16,
) -> impl Iterator<Item = (SocketAddr, u16)> {
    let mut addresses = bound.to_vec();
    if let Some(port) = bound.first().map(SocketAddr::port)
        && !config.advertise.is_empty()
    {
        let advertised = config.advertise.iter();
        addresses = advertised.map(|ip| SocketAddr::new(*ip, port)).collect();
    }
    let order = |address: &SocketAddr| match address.ip() {
        ip if ip.is_loopback() => 2,
        IpAddr::V4(_) => 1,
        IpAddr::V6(_) => 0,
    };
    addresses.sort_by_key(order);
    addresses.into_iter().zip((0..=most).rev())
}

fn ntp_now() -> NtpTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    NtpTime(u64::from(NTP_OFFSET_S) << 32).plus(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn udp_is_preferred_to_tcp_and_each_candidate_has_its_own_foundation_and_priority() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let udp = ["10.0.0.5:7000", "[fd00::5]:7000", "127.0.0.1:7000"].map(at);
        let tcp = ["10.0.0.5:443", "[fd00::5]:443"].map(at);
        let told = |config: &Config| -> Vec<String> {
            let candidates = candidates(config, &udp, &tcp);
            candidates.iter().map(Candidate::to_string).collect()
        };
        let all = told(&Config::default());
        assert_eq!(
            all,
            [
                "665535 1 udp 2130706431 fd00::5 7000 typ host",
                "465534 1 udp 2130706175 10.0.0.5 7000 typ host",
                "465533 1 udp 2130705919 127.0.0.1 7000 typ host",
                "t68191 1 tcp 1520435199 fd00::5 443 typ host tcptype passive",
                "t48190 1 tcp 1520434943 10.0.0.5 443 typ host tcptype passive",
            ]
        );
        let advertised = told(&Config {
            advertise: vec![at("203.0.113.5:1").ip()],
            ..Config::default()
        });
        assert_eq!(
            advertised,
            [
                "465535 1 udp 2130706431 203.0.113.5 7000 typ host",
                "t48191 1 tcp 1520435199 203.0.113.5 443 typ host tcptype passive",
            ]
        );
    }

    #[test]
    fn an_address_that_is_listed_and_not_this_machines_is_gone_without() {
        // As the kernel refuses a tentative one. RFC 5737: for documentation, and nobody's.
        assert!(!is_usable(SocketAddr::from(([192, 0, 2, 1], 0))));
        assert!(is_usable(SocketAddr::from(([127, 0, 0, 1], 0))));
    }
}
