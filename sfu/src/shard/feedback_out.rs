//! What a peer is attended to for: reports, requests for what is missing, and what is due.

use super::{Shard, Sink};
use crate::peer::Peer;
use crate::table::Key;
use crate::unit::{NtpTime, Ssrc};
use crate::wire::rtcp::{
    MAX_REPORT_BLOCKS, Pli, ReportBlock, write_cname, write_nack, write_pli, write_receiver_report,
    write_sender_report,
};
use arrayvec::ArrayVec;
use std::time::{Duration, Instant};

/// Between two rounds of reports (RFC 3550, section 6.2, allows less than 5 s where the bandwidth is
/// there; browsers take a second as well).
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The round trip that a look at what is missing is timed by before one is measured.
pub(super) const NACK_RTT: Duration = Duration::from_millis(100);

/// RTCP written into one datagram: what fits every path.
const DATAGRAM: usize = 1_200;

impl<S: Sink> Shard<S> {
    /// Does what is due for a peer, and says when it is to be attended to again.
    pub(super) fn attend(&mut self, now: Instant, key: Key<Peer>) {
        let peer = self.peers.get(key);
        if peer.is_none_or(|peer| peer.transport.is_due(now)) && !self.follow_transport(now, key) {
            return;
        }
        let is_connected = self
            .peers
            .get(key)
            .is_some_and(|peer| peer.transport.is_connected());
        if is_connected {
            self.ask_publisher(now, key);
            self.report(now, key);
            self.adapt(now, key);
            self.drain(now, key);
        } else {
            self.judge_silent(now, key);
        }
        if let Some(due) = self.next_due(now, key, is_connected) {
            self.schedule(key, due);
        }
    }

    fn next_due(&self, now: Instant, key: Key<Peer>, is_connected: bool) -> Option<Instant> {
        let peer = self.peers.get(key)?;
        let transport = peer.transport.next_due();
        if !is_connected {
            let judged = peer.transport.is_silent().then_some(peer.next_report);
            return [transport, judged].into_iter().flatten().min();
        }
        let rtt = peer.rtt.measured().unwrap_or(NACK_RTT);
        let layers = peer
            .tracks
            .iter()
            .filter_map(|(_, key)| self.tracks.get(*key));
        let layers = layers.flat_map(|track| &track.layers);
        let asks = layers
            .flat_map(|layer| [layer.stream.next_due(rtt), layer.keyframes.next_due()])
            .flatten()
            .min();
        let allocation = peer.needs_allocation().then_some(peer.next_allocation);
        let coarse = [
            transport,
            peer.outflow.estimate_due(),
            allocation,
            Some(peer.next_report),
        ];
        let coarse = coarse.into_iter().flatten().min();
        let due = [
            asks,
            peer.inbound.feedback_due(),
            peer.outflow.packet_due(),
            coarse.map(|due| self.coarse(due)),
        ];
        // What is due already was done: it comes again in a moment, not at once for ever.
        let soon = now + Duration::from_millis(1);
        due.into_iter().flatten().min().map(|due| due.max(soon))
    }

    /// Asks a publisher for what is missing, and tells it what has come.
    fn ask_publisher(&mut self, now: Instant, key: Key<Peer>) {
        let Self {
            peers,
            tracks,
            sink,
            scratch,
            counts,
            ..
        } = self;
        let Some(peer) = peers.get_mut(key) else {
            return;
        };
        if peer.tracks.is_empty() && peer.inbound.feedback_due().is_none() {
            return;
        }
        let ours = peer.our_ssrc;
        let rtt = peer.rtt.measured().unwrap_or(NACK_RTT);
        let out = &mut scratch.bytes;
        begin(out, ours);
        let empty = out.len();
        for (_, track) in &peer.tracks {
            let Some(track) = tracks.get_mut(*track) else {
                continue;
            };
            for layer in &mut track.layers {
                let Some(media) = layer.ssrc else {
                    continue;
                };
                scratch.nacks.clear();
                layer.stream.poll_nacks(now, rtt, &mut scratch.nacks);
                let mut numbers = scratch.nacks.as_slice();
                while !numbers.is_empty() {
                    let told = write_nack(out, ours, media, numbers).max(1);
                    numbers = numbers.get(told..).unwrap_or_default();
                }
                if layer.stream.take_wants_keyframe() {
                    layer.keyframes.handle_request(now);
                }
                if layer.keyframes.poll(now) {
                    counts.keyframe_requests += 1;
                    write_pli(
                        out,
                        Pli {
                            sender: ours,
                            media,
                        },
                    );
                }
            }
        }
        peer.inbound.poll_feedback(now, ours, out);
        if out.len() > empty {
            peer.transport.send_rtcp(sink, out);
        }
    }

    /// Tells a peer, once a second, what came of its streams and what was sent on its slots.
    pub(super) fn report(&mut self, now: Instant, key: Key<Peer>) {
        let ntp = self.ntp(now);
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        if now < peer.next_report {
            return;
        }
        peer.next_report = now + REPORT_INTERVAL;
        let mut lost_up = 0;
        let mut blocks = ArrayVec::<ReportBlock, MAX_REPORT_BLOCKS>::new();
        let out = &mut self.scratch.bytes;
        for (_, track) in &peer.tracks {
            let Some(track) = self.tracks.get_mut(*track) else {
                continue;
            };
            for layer in &mut track.layers {
                layer.stream.release_if_idle(now);
                let report = layer
                    .ssrc
                    .and_then(|ssrc| layer.stream.reception_report(now, ssrc));
                if let Some(report) = report {
                    lost_up = lost_up.max(report.fraction_lost);
                    // More layers than blocks: the others have their turn when these have ended.
                    let _ = blocks.try_push(report);
                }
            }
        }
        peer.lost_up = lost_up;
        if !blocks.is_empty() {
            out.clear();
            write_receiver_report(out, peer.our_ssrc, &blocks);
            write_cname(out, peer.our_ssrc, &peer.cname);
            peer.transport.send_rtcp(&mut self.sink, out);
        }
        self.report_slots(now, ntp, key);
        self.count_layers(now, key);
        self.sample(now, key);
        self.judge(now, key);
    }

    /// Of an interrupted peer there is nothing to report but that.
    fn judge_silent(&mut self, now: Instant, key: Key<Peer>) {
        if let Some(peer) = self.peers.get_mut(key)
            && peer.transport.is_silent()
            && now >= peer.next_report
        {
            peer.next_report = now + REPORT_INTERVAL;
            self.sample(now, key);
            self.judge(now, key);
        }
    }

    /// Tells the room in how many encodings a peer's pictures come. What has stopped altogether keeps its
    /// number: it may go on.
    fn count_layers(&mut self, now: Instant, key: Key<Peer>) {
        let Some(peer) = self.peers.get(key) else {
            return;
        };
        let room_key = peer.room;
        let Some(room) = self.rooms.get_mut(room_key) else {
            return;
        };
        for (_, track) in &peer.tracks {
            let Some(track) = self.tracks.get(*track) else {
                continue;
            };
            let alive = track.layers.iter().filter(|l| l.stream.is_alive(now));
            let alive = u8::try_from(alive.count()).unwrap_or(u8::MAX);
            if alive > 0 && track.layers.len() > 1 {
                room.core.handle_layers(track.id, alive);
            }
        }
        self.perform_room(now, room_key);
    }

    fn report_slots(&mut self, now: Instant, ntp: NtpTime, key: Key<Peer>) {
        let slots = self.peers.get(key).map_or(0, |peer| peer.slots.len());
        let mut out = std::mem::take(&mut self.scratch.bytes);
        out.clear();
        for at in 0..slots {
            let Some(peer) = self.peers.get(key) else {
                break;
            };
            let Some(Some(slot)) = peer.slots.get(at) else {
                continue;
            };
            let track = slot.track.and_then(|track| self.tracks.get(track));
            let publisher = track.and_then(|track| self.peers.get(track.owner));
            let shift = publisher.and_then(|publisher| publisher.clock.shift());
            if let Some(info) = slot.forwarder.sender_report(now, ntp, shift) {
                write_sender_report(&mut out, slot.ssrc, &info, &[]);
                write_cname(&mut out, slot.ssrc, &peer.cname);
            }
            if out.len() > DATAGRAM {
                if let Some(peer) = self.peers.get_mut(key) {
                    peer.transport.send_rtcp(&mut self.sink, &mut out);
                }
                out.clear();
            }
        }
        if !out.is_empty()
            && let Some(peer) = self.peers.get_mut(key)
        {
            peer.transport.send_rtcp(&mut self.sink, &mut out);
        }
        self.scratch.bytes = out;
    }

    /// Follows the estimate of a subscriber's path with the layers that it is sent.
    fn adapt(&mut self, now: Instant, key: Key<Peer>) {
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        peer.outflow.handle_timeout(now);
        let mut is_due = now >= peer.next_allocation;
        while let Some(changed) = peer.outflow.poll_estimate(now) {
            let (kbps, cause) = (changed.estimate.0 / 1_000, changed.cause);
            tracing::debug!(participant = %peer.participant, kbps, ?cause, "estimate");
            peer.allocator
                .handle_estimate(changed.estimate, super::allocate::basis(changed.cause));
            is_due = true;
        }
        if is_due && peer.needs_allocation() {
            self.allocate(now, key);
        }
    }
}

/// A compound begins with a report (RFC 3550, section 6.1), here one of nothing.
fn begin(out: &mut Vec<u8>, ours: Ssrc) {
    out.clear();
    write_receiver_report(out, ours, &[]);
}
