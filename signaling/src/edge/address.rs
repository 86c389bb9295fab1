//! Where requests come from, and how much one address may have.

use crate::session::core::bucket::TokenBucket;
use axum::http::HeaderMap;
use dashmap::DashMap;
use ipnet::IpNet;
use kaiwa_common::address::subscriber;
use kaiwa_common::limits::Limits;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Addresses whose rates are remembered at once. Past it those that owe nothing are forgotten, and
/// a new one is refused when all owe: an attack from so many is the firewall's.
const REMEMBERED: usize = 100_000;

/// Headers that a proxy adds.
const FORWARDING: [&str; 7] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "via",
    "cf-connecting-ip",
];

/// Who sent a request.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The other end of the TCP connection.
    pub direct: IpAddr,
    /// The address that counts: the direct one, or what a trusted proxy says.
    pub client: IpAddr,
    /// A proxy stands between, trusted or not.
    pub is_forwarded: bool,
    /// The listener is bound to loopback.
    pub on_loopback: bool,
}

impl Peer {
    /// The request comes from a program on this machine, through nobody.
    #[must_use]
    pub fn is_this_machine(&self) -> bool {
        self.direct.to_canonical().is_loopback() && !self.is_forwarded
    }
}

/// Finds out who sent a request.
#[must_use]
pub fn peer(direct: IpAddr, on_loopback: bool, headers: &HeaderMap, trusted: &[IpNet]) -> Peer {
    let direct = direct.to_canonical();
    let is_forwarded = FORWARDING.iter().any(|name| headers.contains_key(*name));
    let client = forwarded_for(direct, headers, trusted).unwrap_or(direct);
    Peer {
        direct,
        client,
        is_forwarded,
        on_loopback,
    }
}

/// The last address in `X-Forwarded-For` that is no trusted proxy's own, if a trusted one told it.
fn forwarded_for(direct: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    if !is_trusted(direct) {
        return None;
    }
    let values = headers.get_all("x-forwarded-for");
    let list: Vec<&str> = values
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .collect();
    let mut client = None;
    for entry in list.iter().rev() {
        let address: IpAddr = entry.trim().parse().ok()?;
        let address = address.to_canonical();
        client = Some(address);
        if !is_trusted(address) {
            break;
        }
    }
    client
}

/// What each address has.
pub struct Addresses {
    limits: Limits,
    total: AtomicU32,
    connections: DashMap<IpAddr, u32>,
    rates: DashMap<IpAddr, TokenBucket>,
    swept: Mutex<Option<Instant>>,
    /// Told when the last connection goes.
    gone: Notify,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The process has as many connections as it can bear.
    Process,
    /// The address has as many as one may.
    Address,
}

impl Addresses {
    /// Nobody is here yet.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            total: AtomicU32::new(0),
            connections: DashMap::new(),
            rates: DashMap::new(),
            swept: Mutex::new(None),
            gone: Notify::new(),
        })
    }

    /// Takes a place for a connection; it is given back when the slot is dropped.
    ///
    /// # Errors
    /// [`Full`].
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Result<Slot, Full> {
        let address = subscriber(address);
        if self.total.fetch_add(1, Ordering::Relaxed) >= self.limits.connections {
            self.total.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::Process);
        }
        let mut count = self.connections.entry(address).or_insert(0);
        if *count >= self.limits.connections_per_address {
            self.total.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::Address);
        }
        *count += 1;
        Ok(Slot {
            addresses: Arc::clone(self),
            address,
        })
    }

    /// Counts a sign-in or an upgrade.
    ///
    /// # Errors
    /// How long to wait.
    pub fn take_request(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let address = subscriber(address);
        if let Some(mut bucket) = self.rates.get_mut(&address) {
            return bucket.take(now);
        }
        if self.rates.len() >= REMEMBERED && !self.make_room(now) {
            return Err(Duration::from_secs(1));
        }
        let rate = (self.limits.requests_per_s, self.limits.request_burst);
        let bucket = self.rates.entry(address);
        bucket
            .or_insert_with(|| TokenBucket::new(rate.0, rate.1, now))
            .take(now)
    }

    /// Forgets those that owe nothing, once a second at most; whether there is room then.
    fn make_room(&self, now: Instant) -> bool {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.is_none_or(|at| now.duration_since(at) >= Duration::from_secs(1)) {
            *swept = Some(now);
            self.rates.retain(|_, bucket| !bucket.is_full(now));
        }
        self.rates.len() < REMEMBERED
    }

    /// Waits until no connection is left.
    pub async fn all_gone(&self) {
        loop {
            let gone = self.gone.notified();
            if self.open() == 0 {
                return;
            }
            gone.await;
        }
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.total.load(Ordering::Relaxed)
    }
}

/// A connection's place.
pub struct Slot {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.addresses.total.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.addresses.gone.notify_waiters();
        }
        if let Some(mut count) = self.addresses.connections.get_mut(&self.address) {
            *count -= 1;
        }
        self.addresses
            .connections
            .remove_if(&self.address, |_, count| *count == 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn headers(forwarded_for: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", forwarded_for.parse().expect("a value"));
        headers
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let trusted: Vec<IpNet> = vec!["192.0.2.0/24".parse().expect("a net")];
        let said = headers("203.0.113.9, 198.51.100.7, 192.0.2.5");
        let stranger = peer(ip("198.51.100.1"), false, &said, &trusted);
        assert_eq!(stranger.client, ip("198.51.100.1"));
        assert!(stranger.is_forwarded);
        let proxied = peer(ip("192.0.2.1"), false, &said, &trusted);
        assert_eq!(
            proxied.client,
            ip("198.51.100.7"),
            "what the client itself claims is not"
        );
        let garbage = peer(ip("192.0.2.1"), false, &headers("localhost"), &trusted);
        assert_eq!(garbage.client, ip("192.0.2.1"));
    }

    #[test]
    fn a_forwarded_request_is_not_this_machines_even_from_loopback() {
        let local = peer(ip("127.0.0.1"), true, &HeaderMap::new(), &[]);
        assert!(local.is_this_machine());
        assert!(peer(ip("::ffff:127.0.0.1"), true, &HeaderMap::new(), &[]).is_this_machine());
        for name in FORWARDING {
            let mut headers = HeaderMap::new();
            headers.insert(name, "127.0.0.1".parse().expect("a value"));
            assert!(
                !peer(ip("127.0.0.1"), true, &headers, &[]).is_this_machine(),
                "{name}"
            );
        }
    }

    #[test]
    fn places_are_bounded_by_address_and_in_all_and_given_back() {
        let limits = Limits {
            connections: 3,
            connections_per_address: 2,
            ..Limits::default()
        };
        let addresses = Addresses::new(limits);
        let first = addresses.take(ip("2001:db8::1")).expect("a place");
        let _second = addresses.take(ip("2001:db8::2")).expect("a place");
        assert_eq!(addresses.take(ip("2001:db8::3")).err(), Some(Full::Address));
        let _other = addresses.take(ip("2001:db8:1::1")).expect("a place");
        assert_eq!(addresses.take(ip("192.0.2.1")).err(), Some(Full::Process));
        drop(first);
        assert!(addresses.take(ip("2001:db8::4")).is_ok());
        assert_eq!(addresses.open(), 2);
    }
}
