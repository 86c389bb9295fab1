//! Datagrams read many at a time: what a server sends is not made dearer by receivers that take it out
//! slowly. Each stays a datagram of its own, as without UDP_GRO.

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrLike, SockaddrStorage, recvmmsg};
use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;

/// Datagrams of one call: a burst of pictures, and some.
const BATCH: usize = 16;

/// The longest datagram that is read: beyond any Ethernet's.
const DATAGRAM: usize = 2_048;

/// Room for datagrams, used again for each call.
pub(super) struct Batch {
    bytes: Box<[[u8; DATAGRAM]; BATCH]>,
    /// Kept by family: the kernel writes an address's length over the room that there was for it.
    v4: MultiHeaders<SockaddrStorage>,
    v6: MultiHeaders<SockaddrStorage>,
    arrived: [Option<(SocketAddr, usize)>; BATCH],
    count: usize,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            bytes: Box::new([[0; DATAGRAM]; BATCH]),
            v4: MultiHeaders::preallocate(BATCH, None),
            v6: MultiHeaders::preallocate(BATCH, None),
            arrived: [None; BATCH],
            count: 0,
        }
    }

    /// Takes what waits at the socket, as far as there is room, in place of what there was.
    pub(super) fn receive(&mut self, socket: &UdpSocket, is_v6: bool) {
        self.count = 0;
        let headers = if is_v6 { &mut self.v6 } else { &mut self.v4 };
        let mut places = self.bytes.each_mut().map(|place| [IoSliceMut::new(place)]);
        let flags = MsgFlags::MSG_DONTWAIT;
        let Ok(messages) = recvmmsg(socket.as_raw_fd(), headers, &mut places, flags, None) else {
            // Nothing there, or what was sent met a closed port: the next call shows.
            return;
        };
        for (message, arrived) in messages.zip(&mut self.arrived) {
            *arrived = message
                .address
                .and_then(address)
                .map(|from| (from, message.bytes));
            self.count += 1;
        }
    }

    /// Whether there may be more.
    pub(super) fn is_full(&self) -> bool {
        self.count == BATCH
    }

    /// What was taken, each with its source.
    pub(super) fn datagrams(&mut self) -> impl Iterator<Item = (SocketAddr, &mut [u8])> {
        let arrived = self.arrived.iter().take(self.count);
        arrived
            .zip(self.bytes.iter_mut())
            .filter_map(|(arrived, bytes)| {
                let (from, len) = (*arrived)?;
                Some((from, bytes.get_mut(..len)?))
            })
    }
}

fn address(storage: SockaddrStorage) -> Option<SocketAddr> {
    if storage.len() == 0 {
        return None;
    }
    let v4 = storage
        .as_sockaddr_in()
        .map(|&v4| SocketAddr::V4(v4.into()));
    v4.or_else(|| {
        storage
            .as_sockaddr_in6()
            .map(|&v6| SocketAddr::V6(v6.into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(address: &str) -> UdpSocket {
        let socket = UdpSocket::bind(address).expect("a port of loopback");
        socket.set_nonblocking(true).expect("a mode of sockets");
        socket
    }

    #[test]
    fn each_datagram_comes_once_with_its_source_in_either_family() {
        let mut batch = Batch::new();
        // One after the other on the same room: a short address must not cut the long ones that follow.
        for (host, is_v6) in [
            ("127.0.0.1:0", false),
            ("[::1]:0", true),
            ("127.0.0.1:0", false),
        ] {
            let (receiver, sender) = (bound(host), bound(host));
            let to = receiver.local_addr().expect("its address");
            let from = sender.local_addr().expect("its address");
            let sent: Vec<Vec<u8>> = (1..=20_u8).map(|n| vec![n; usize::from(n)]).collect();
            for datagram in &sent {
                sender.send_to(datagram, to).expect("loopback takes it");
            }
            let mut came = Vec::new();
            loop {
                batch.receive(&receiver, is_v6);
                if batch.count == 0 {
                    break;
                }
                came.extend(batch.datagrams().map(|(source, bytes)| {
                    assert_eq!(source, from);
                    bytes.to_vec()
                }));
            }
            assert_eq!(came, sent);
        }
    }
}
