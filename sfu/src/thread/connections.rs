//! TCP connections on a shard's thread: those that come, what they bring, and their ends.

use super::{Arrival, Thread};
use crate::metrics::Refused;
use crate::net::socket::StreamKey;
use crate::wire::framing::Deframer;
use std::time::Instant;

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
        for stream in &ready {
            let streams = &mut self.shard.sink_mut().streams;
            let Some(key) = streams.of_token(stream.token) else {
                continue;
            };
            if stream.is_writable {
                streams.handle_writable(key);
            }
            if stream.is_readable
                && let Some((deframer, mut inlet, len)) = streams.read(key)
            {
                let bytes = inlet.get_mut(..len).unwrap_or_default();
                let (deframer, frames) = self.take_frames(now, key, deframer, bytes);
                let streams = &mut self.shard.sink_mut().streams;
                streams.give_back(inlet);
                streams.keep(key, deframer, frames);
            }
        }
        self.ready = ready;
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
