//! TCP connections on a shard's thread: those that come, what they bring, and their ends.

use super::{Arrival, Thread};
use crate::metrics::Refused;
use crate::net::socket::StreamKey;
use crate::wire::framing::Deframer;
use std::time::Instant;

/// Frames of all connections in one turn, and what the last one that was read has more. Who comes after them is read in
/// the next turn, so that what came by UDP goes out first.
const FRAMES_PER_TURN: u64 = 1_024;

/// Who is read first: whoever was not in the turn before.
#[derive(Debug, Default)]
pub(super) struct Rota {
    first: usize,
}

impl Rota {
    /// Places of so many that are ready, in the order of this turn.
    fn turn(&self, count: usize) -> impl Iterator<Item = usize> + use<> {
        let first = self.first.checked_rem(count).unwrap_or(0);
        (first..count).chain(0..first)
    }

    /// The turn had time for so many.
    fn end(&mut self, count: usize, read: usize) {
        let first = self.first.checked_rem(count).unwrap_or(0);
        self.first = first + read;
    }
}

impl Thread {
    /// Keeps a connection if its first check is a peer's and authentic; else it is closed. What else came with the
    /// check is taken as well.
    pub(super) fn admit(&mut self, now: Instant, arrival: Arrival) {
        let Arrival { socket, mut bytes } = arrival;
        let Some(key) = self.shard.sink_mut().streams.insert(socket) else {
            return self.arrivals.refused(Refused::Busy);
        };
        let streams = &self.shard.sink_mut().streams;
        let Some((token, socket)) = streams.socket(key) else {
            return;
        };
        if let Err(error) = self.poller.add_stream(token, socket) {
            tracing::error!(%error, "a media connection can't be watched");
            return self.shard.sink_mut().streams.close(key);
        }
        let (deframer, frames) = self.take_frames(now, key, Deframer::default(), &mut bytes);
        if frames.is_none() {
            self.arrivals.refused(Refused::Unauthentic);
        }
        let streams = &mut self.shard.sink_mut().streams;
        streams.keep(key, deframer, frames);
    }

    /// Reads and writes what is ready.
    pub(super) fn serve_connections(&mut self, now: Instant) {
        let ready = std::mem::take(&mut self.ready);
        let (mut read, mut frames) = (0, 0);
        for stream in self.rota.turn(ready.len()).filter_map(|at| ready.get(at)) {
            let streams = &mut self.shard.sink_mut().streams;
            let Some(key) = streams.of_token(stream.token) else {
                continue;
            };
            if stream.is_writable {
                streams.handle_writable(key);
            }
            if frames < FRAMES_PER_TURN {
                read += 1;
                if stream.is_readable {
                    frames += self.read_connection(now, key);
                }
            }
        }
        self.rota.end(ready.len(), read);
        self.ready = ready;
    }

    /// Reads a connection once; how many frames there were.
    fn read_connection(&mut self, now: Instant, key: StreamKey) -> u64 {
        let streams = &mut self.shard.sink_mut().streams;
        let Some((deframer, mut inlet, len)) = streams.read(key) else {
            return 0;
        };
        let bytes = inlet.get_mut(..len).unwrap_or_default();
        let (deframer, frames) = self.take_frames(now, key, deframer, bytes);
        let streams = &mut self.shard.sink_mut().streams;
        streams.give_back(inlet);
        streams.keep(key, deframer, frames);
        frames.unwrap_or_default()
    }

    /// Hands frames to the shard; how many there were, or `None` when the connection is to be closed: it is nobody's
    /// path, or sends what is no frame.
    fn take_frames(
        &mut self,
        now: Instant,
        key: StreamKey,
        mut deframer: Deframer,
        bytes: &mut [u8],
    ) -> (Deframer, Option<u64>) {
        let Some(path) = self.shard.sink_mut().streams.path(key) else {
            return (deframer, None);
        };
        let (mut frames, mut is_path) = (0, true);
        let taken = deframer.take(bytes, |frame| {
            frames += 1;
            is_path = is_path && self.shard.handle_frame(now, path, frame);
        });
        let frames = (taken.is_ok() && is_path).then_some(frames);
        (deframer, frames)
    }

    pub(super) fn flush_connections(&mut self) {
        let Self { poller, shard, .. } = self;
        shard.sink_mut().streams.flush(|token, socket, is_full| {
            if let Err(error) = poller.await_stream(token, socket, is_full) {
                tracing::error!(%error, "a full connection can't be watched");
            }
        });
    }

    /// Tells the shard of connections that have ended: they are no paths any more.
    pub(super) fn forget_connections(&mut self, now: Instant) {
        while let Some(path) = self.shard.sink_mut().streams.take_ended() {
            self.shard.handle_closed(now, path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_read_in_turn_though_each_turn_has_time_for_a_few() {
        let mut rota = Rota::default();
        for count in [1, 7, 512] {
            let mut read = vec![0; count];
            for _ in 0..count {
                for at in rota.turn(count).take(3) {
                    read[at] += 1;
                }
                rota.end(count, 3.min(count));
                assert_eq!(rota.turn(count).count(), count);
            }
            assert!(read.iter().all(|turns| (1..=3).contains(turns)), "{read:?}");
        }
        rota.end(0, 0);
        assert_eq!(rota.turn(0).count(), 0);
    }
}
