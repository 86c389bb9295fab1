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
/// Linux 4.18 it would come as one datagram. Where there is no loopback, runs are taken to work and
/// the arena finds out.
#[must_use]
pub fn probe() -> SendMode {
    let loopbacks = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let found = loopbacks
        .into_iter()
        .find_map(|ip| try_loopback(SocketAddr::new(ip, 0)));
    found.unwrap_or(SendMode::Gso)
}

/// `None` when nothing can be sent there at all.
fn try_loopback(address: SocketAddr) -> Option<SendMode> {
    let receiver = std::net::UdpSocket::bind(address).ok()?;
    receiver.set_read_timeout(Some(PATIENCE)).ok()?;
    let socket = UdpSocket::bind(address, LocalIndex(0)).ok()?;
    let destination = Destination::from(receiver.local_addr().ok()?);
    let mut arena = SendArena::new(SendMode::Gso);
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
    let mode = arena.mode();
    let is_ignored = mode == SendMode::Gso && !is_whole;
    Some(if is_ignored { SendMode::Mmsg } else { mode })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_takes_runs() {
        assert_eq!(probe(), SendMode::Gso);
        let v6 = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 0);
        assert_eq!(try_loopback(v6), Some(SendMode::Gso));
    }

    #[test]
    fn an_address_that_is_not_here_tells_nothing() {
        assert_eq!(try_loopback("192.0.2.250:0".parse().unwrap()), None);
    }
}
