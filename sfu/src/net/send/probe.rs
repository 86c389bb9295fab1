//! What this machine's kernel takes.

use super::{Flushed, SendArena, SendMode};
use crate::net::address::Destination;
use crate::net::socket::{LocalIndex, UdpSocket};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// A run with a short end.
const LENGTHS: [usize; 4] = [200, 200, 200, 90];

/// How long the loopback may take, which delivers within the send.
const PATIENCE: Duration = Duration::from_millis(200);

/// The best mode that works here: a run is sent to this machine itself and must come whole. Before
/// Linux 4.18 it comes as one datagram; sandboxes refuse in ways of their own. Where there is no
/// loopback, runs are taken to work, and the arena finds out.
#[must_use]
pub fn probe() -> SendMode {
    let modes = [SendMode::Gso, SendMode::Mmsg, SendMode::Single];
    let loopbacks = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let try_mode = |mode| {
        let mut addresses = loopbacks.iter().map(|&ip| SocketAddr::new(ip, 0));
        addresses.find_map(|address| try_loopback(address, mode))
    };
    modes
        .into_iter()
        .find_map(try_mode)
        .unwrap_or(SendMode::Gso)
}

/// The mode that brought everything over, `mode` or less; `None` when something was missing.
fn try_loopback(address: SocketAddr, mode: SendMode) -> Option<SendMode> {
    let receiver = std::net::UdpSocket::bind(address).ok()?;
    receiver.set_read_timeout(Some(PATIENCE)).ok()?;
    let socket = UdpSocket::bind(address, LocalIndex(0)).ok()?;
    let destination = Destination::from(receiver.local_addr().ok()?);
    let mut arena = SendArena::new(mode);
    for (len, number) in LENGTHS.into_iter().zip(0_u8..) {
        let place = arena.reserve(len)?;
        place.fill(number);
        arena.commit(len, &destination);
    }
    if arena.flush(&socket) == Flushed::Blocked || arena.counters().errors > 0 {
        return None;
    }
    let is_whole = LENGTHS.into_iter().zip(0_u8..).all(|(len, number)| {
        let mut bytes = [0; 1_024];
        let came = receiver.recv(&mut bytes).ok();
        came.and_then(|came| bytes.get(..came)) == Some(&vec![number; len][..])
    });
    is_whole.then(|| arena.mode())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_takes_runs() {
        assert_eq!(probe(), SendMode::Gso);
        let v6 = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 0);
        for mode in [SendMode::Gso, SendMode::Mmsg, SendMode::Single] {
            assert_eq!(try_loopback(v6, mode), Some(mode));
        }
    }

    #[test]
    fn an_address_that_is_not_here_tells_nothing() {
        let elsewhere = "192.0.2.250:0".parse().unwrap();
        assert_eq!(try_loopback(elsewhere, SendMode::Gso), None);
    }
}
