//! A shard's sockets: where datagrams wait until the kernel takes them. Frames for TCP are with their [`Streams`].

use crate::net::address::Destination;
use crate::net::send::{Flushed, SendArena, SendMode};
use crate::net::socket::{Local, LocalIndex, StreamKey, UdpSocket};
use crate::shard::Sink;
use crate::streams::Streams;
use std::net::SocketAddr;
use std::time::Instant;

struct Link {
    socket: UdpSocket,
    arena: SendArena,
    is_blocked: bool,
}

/// The sockets of one shard, one for each local address.
pub(crate) struct Sockets {
    links: Vec<Link>,
    pub(crate) streams: Streams,
}

impl Sockets {
    pub(crate) fn new(sockets: Vec<UdpSocket>, mode: SendMode, now: Instant) -> Self {
        let links = sockets.into_iter().map(|socket| Link {
            socket,
            arena: SendArena::new(mode),
            is_blocked: false,
        });
        Self {
            links: links.collect(),
            streams: Streams::new(now),
        }
    }

    /// One of them.
    pub(crate) fn socket(&self, local: LocalIndex) -> Option<&UdpSocket> {
        self.links
            .get(usize::from(local.0))
            .map(|link| &link.socket)
    }

    /// Hands everything to the kernel. Calls `blocked` with each socket that became full or free again.
    pub(crate) fn flush(&mut self, mut changed: impl FnMut(usize, &UdpSocket, bool)) {
        for (at, link) in self.links.iter_mut().enumerate() {
            if link.arena.waiting() == 0 && !link.is_blocked {
                continue;
            }
            let is_blocked = link.arena.flush(&link.socket) == Flushed::Blocked;
            if is_blocked != link.is_blocked {
                link.is_blocked = is_blocked;
                changed(at, &link.socket, is_blocked);
            }
        }
    }

    /// What went out, over all.
    pub(crate) fn sent(&self) -> (u64, u64, u64) {
        self.links
            .iter()
            .fold((0, 0, 0), |(datagrams, bytes, lost), link| {
                let counters = link.arena.counters();
                (
                    datagrams + counters.datagrams,
                    bytes + counters.bytes,
                    lost + counters.errors + counters.dropped,
                )
            })
    }
}

impl Sink for Sockets {
    fn put(
        &mut self,
        to: &(Local, Destination),
        max_len: usize,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<usize> {
        let local = match to.0 {
            Local::Udp(local) => local,
            Local::Tcp(key) => return self.streams.put(key, max_len, write),
        };
        let link = self.links.get_mut(usize::from(local.0))?;
        let place = link.arena.reserve_or_flush(&link.socket, max_len)?;
        let len = write(place)?;
        link.arena.commit(len, &to.1);
        Some(len)
    }

    fn address(&self, local: Local) -> Option<SocketAddr> {
        match local {
            Local::Udp(local) => self.socket(local).map(UdpSocket::address),
            Local::Tcp(key) => self.streams.socket(key)?.1.local_addr().ok(),
        }
    }

    fn close(&mut self, key: StreamKey) {
        self.streams.close(key);
    }
}
