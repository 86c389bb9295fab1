//! Where a shard's datagrams go instead of sockets.

use kaiwa_sfu::net::address::Destination;
use kaiwa_sfu::net::socket::Local;
use kaiwa_sfu::shard::Sink;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Datagrams as the shard gives them out, and to whom.
#[derive(Default)]
pub(crate) struct Wire {
    pub(crate) out: VecDeque<(SocketAddr, Vec<u8>)>,
}

impl Sink for Wire {
    fn put(
        &mut self,
        to: &(Local, Destination),
        max_len: usize,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<usize> {
        let mut place = vec![0; max_len];
        let len = write(&mut place)?;
        place.truncate(len);
        self.out.push_back((to.1.address(), place));
        Some(len)
    }
}
