//! Where a shard's datagrams go.

use crate::net::address::Destination;
use crate::net::socket::{Local, StreamKey};
use std::net::SocketAddr;

/// Takes datagrams in the order in which they are to leave. They are written in place, so that a packet
/// is copied once on its way through the shard.
pub trait Sink {
    /// Lets `write` fill a place of `max_len` bytes, of which it gives the length that it used, or
    /// `None` to leave it. Gives that length; `None` also when there is no room.
    fn put(
        &mut self,
        to: &(Local, Destination),
        max_len: usize,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<usize>;

    /// The address of our end of a path, where it is known.
    fn address(&self, _: Local) -> Option<SocketAddr> {
        None
    }

    /// What is sent to a TCP connection that is nobody's any more is of no use: it is closed, after what it was given.
    fn close(&mut self, _: StreamKey) {}

    /// Takes a datagram that is ready; whether there was room.
    fn send(&mut self, to: &(Local, Destination), datagram: &[u8]) -> bool {
        let copy = |place: &mut [u8]| {
            place.get_mut(..datagram.len())?.copy_from_slice(datagram);
            Some(datagram.len())
        };
        self.put(to, datagram.len(), copy).is_some()
    }
}
