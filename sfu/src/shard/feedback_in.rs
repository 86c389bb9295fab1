//! RTCP in: what publishers say of their clocks, and subscribers of what reaches them.

use super::forward::KeyframesWanted;
use super::{Shard, Sink};
use crate::control::Event;
use crate::core::report::Sample;
use crate::core::report::{SenderLine, round_trip};
use crate::peer::Peer;
use crate::peer::inbound::Carries;
use crate::peer::transport::Path;
use crate::table::Key;
use crate::track::clock;
use crate::unit::{SeqNo, Ssrc};
use crate::wire::rtcp::{Nack, Packet, Packets, ReportBlock, SenderReport, TransportFeedback};
use std::time::Instant;

/// Numbers of one NACK that are looked at. What is missing beyond needs a key frame.
const NACKS: usize = 256;

/// Bytes up to which a datagram hardly has transport-wide feedback of more than a few packets: a receiver report of one
/// block (RFC 3550, section 6.4.2) takes 32, SRTCP with its index and GCM's tag 20 more. A wrong guess costs time alone.
const SHORT: usize = 56;

impl<S: Sink> Shard<S> {
    /// Takes an RTCP datagram of a peer. False when it is of no use.
    pub(super) fn take_rtcp(
        &mut self,
        now: Instant,
        key: Key<Peer>,
        path: Path,
        bytes: &mut [u8],
    ) -> bool {
        let Some(peer) = self.peers.get_mut(key) else {
            return false;
        };
        let Some(secure) = &mut peer.transport.secure else {
            return false;
        };
        if bytes.len() > SHORT {
            // It is brought near while the packet is opened.
            peer.outflow.expect_feedback();
        }
        let Ok(len) = secure.opener.open_rtcp(bytes) else {
            return false;
        };
        peer.transport.handle_authentic(now, path);
        let plain = bytes.get(..len).unwrap_or_default();
        for packet in Packets::new(plain) {
            match packet {
                Ok(packet) => self.take_packet(now, key, &packet),
                Err(_) => self.counts.refused += 1,
            }
        }
        self.schedule_news(now, key);
        true
    }

    /// Most of what subscribers report changes nothing that could not wait until they are attended to anyway.
    fn schedule_news(&mut self, now: Instant, key: Key<Peer>) {
        let Some(peer) = self.peers.get(key) else {
            return;
        };
        if peer.transport.is_stirred() {
            return self.schedule(key, now);
        }
        let news = if peer.outflow.has_news() {
            Some(now)
        } else {
            peer.outflow.estimate_due()
        };
        // A repair that was asked for may wait for its time, and that is soon.
        let repair = peer.outflow.packet_due();
        let due = [news.map(|due| self.coarse(due)), repair];
        if let Some(due) = due.into_iter().flatten().min() {
            self.schedule(key, due);
        }
    }

    fn take_packet(&mut self, now: Instant, key: Key<Peer>, packet: &Packet<'_>) {
        match packet {
            Packet::SenderReport(report) => self.take_sender_report(now, key, report),
            Packet::ReceiverReport(report) => {
                for block in report.blocks.clone() {
                    self.take_block(now, key, &block);
                }
            }
            Packet::Nack(nack) => self.take_nack(now, key, nack),
            Packet::Pli(pli) => self.want_keyframe(now, key, pli.media),
            Packet::Fir(fir) => {
                for entry in fir.entries() {
                    self.want_keyframe(now, key, entry.media);
                }
            }
            Packet::TransportFeedback(feedback) => self.take_feedback(now, key, feedback),
            // REMB is no estimate of ours; streams end by signalling.
            Packet::Remb(_) | Packet::Bye(_) | Packet::Other { .. } => {}
        }
    }

    fn take_sender_report(&mut self, now: Instant, key: Key<Peer>, report: &SenderReport<'_>) {
        let ntp = self.ntp(now);
        for block in report.blocks.clone() {
            self.take_block(now, key, &block);
        }
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let Some(Carries::Media(track, layer)) = peer.inbound.find(report.ssrc) else {
            return;
        };
        peer.clock.handle_sender_report(ntp, report.info.ntp);
        let line = SenderLine {
            ntp: report.info.ntp,
            time: report.info.time,
        };
        let track = self.tracks.get_mut(track);
        if let Some(layer) = track.and_then(|track| track.layer_mut(layer)) {
            layer.stream.handle_sender_report(now, line);
        }
    }

    /// What a subscriber says of one of its slots.
    fn take_block(&mut self, now: Instant, key: Key<Peer>, block: &ReportBlock) {
        let ntp = self.ntp(now);
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        if let Some(rtt) = round_trip(ntp, block.last_sr, block.delay_since_last_sr) {
            peer.rtt.handle_measured(rtt);
            peer.outflow.handle_rtt(rtt);
        }
        if let Some(slot) = peer.slot_of(block.ssrc) {
            slot.fraction_lost = block.fraction_lost;
            if slot.ssrc == block.ssrc {
                slot.jitter = Some(clock(slot.kind).span(block.jitter));
            }
        }
    }

    fn take_nack(&mut self, now: Instant, key: Key<Peer>, nack: &Nack<'_>) {
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let rtt = peer.rtt.get();
        let Some(at) = peer
            .slots()
            .find(|(_, slot)| slot.ssrc == nack.media)
            .map(|(at, _)| at)
        else {
            return;
        };
        let mut numbers = std::mem::take(&mut self.scratch.nacks);
        numbers.clear();
        numbers.extend(nack.numbers().take(NACKS));
        peer.counted.nacks += u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        for &number in &numbers {
            self.resend_missing(now, key, at, (rtt, number));
        }
        self.scratch.nacks = numbers;
    }

    fn resend_missing(
        &mut self,
        now: Instant,
        key: Key<Peer>,
        at: usize,
        (rtt, number): (std::time::Duration, SeqNo),
    ) {
        let peer = self.peers.get_mut(key);
        let slot = peer.and_then(|peer| peer.slots.get_mut(at)?.as_mut());
        // Without RTX it could only be sent again bit for bit, and it is not kept as it was sealed.
        let Some(slot) = slot.filter(|slot| slot.rtx.is_some()) else {
            return;
        };
        if let Some(resend) = slot.history.handle_nack(now, rtt, number) {
            self.resend(now, key, &resend, at);
        }
    }

    /// A subscriber can't go on without a key frame.
    fn want_keyframe(&mut self, now: Instant, key: Key<Peer>, media: Ssrc) {
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let Some(at) = peer.place_of(media) else {
            return;
        };
        peer.counted.keyframe_requests += 1;
        let rtt = peer.rtt.get();
        let Some(Some(slot)) = peer.slots.get(at) else {
            return;
        };
        let mut wanted = KeyframesWanted::default();
        wanted.add(slot.forwarder.wanted_keyframe());
        if !slot.keyframe.is_under_way(now, rtt) {
            wanted.add(slot.forwarder.current_layer());
        }
        let track = slot.track;
        if let Some(track) = track.and_then(|track| self.tracks.get_mut(track)) {
            wanted.apply(now, track);
            let owner = track.owner;
            self.schedule(owner, now);
        }
    }

    fn take_feedback(&mut self, now: Instant, key: Key<Peer>, feedback: &TransportFeedback<'_>) {
        if let Some(peer) = self.peers.get_mut(key)
            && peer.outflow.handle_feedback(now, feedback).is_err()
        {
            self.counts.refused += 1;
        }
    }

    /// How well a peer's media gets through, both ways; told when it changed.
    pub(super) fn judge(&mut self, now: Instant, key: Key<Peer>) {
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let lost_down = peer
            .slots()
            .filter(|(_, slot)| slot.track.is_some())
            .map(|(_, slot)| slot.fraction_lost)
            .max();
        let jitter = {
            let layers = peer.tracks.iter().filter_map(|(_, track)| {
                let track = self.tracks.get(*track).filter(|track| !track.is_muted)?;
                track.layers.iter().find(|l| l.stream.is_alive(now))
            });
            layers.map(|layer| layer.stream.jitter()).max()
        };
        let sample = Sample {
            fraction_lost: lost_down.unwrap_or_default().max(peer.lost_up),
            rtt: peer.rtt.measured(),
            jitter: jitter.unwrap_or_default(),
            is_silent: peer.transport.is_silent(),
        };
        let Some(quality) = peer.meter.handle_sample(sample) else {
            return;
        };
        let participant = peer.participant;
        let Some(room) = self.rooms.get(peer.room) else {
            return;
        };
        self.tell(Event::Quality {
            room: room.core.id().clone(),
            participant,
            quality,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::hostile::Stand;
    use crate::control::ParticipantId;
    use crate::core::forward::{Rewrite, SourceKey};
    use crate::core::pacer::{Class, Enqueued};
    use crate::peer::outflow::Queued;
    use crate::unit::{ExtSeqNo, RtpTime};

    /// Other packets to the same subscriber would have it leave too, but there may be none: a still screen.
    #[test]
    fn a_repair_that_waits_for_its_time_leaves_then_though_nothing_else_is_sent() {
        let mut stand = Stand::new(1);
        stand.publish(1, "r_1");
        let now = stand.now;
        stand.shard.handle_timeout(now);
        let key = stand.shard.by_participant[&ParticipantId(1)];
        let peer = stand.shard.peers.get_mut(key).expect("it is there");
        peer.outflow.set_has_feedback(true);
        let repair = Queued {
            slot: 0,
            source: SourceKey(0),
            layer: 0,
            seq: ExtSeqNo(1),
            rewrite: Rewrite {
                seq: ExtSeqNo(1),
                time: RtpTime(1),
                marker: false,
                picture_id: None,
                tl0: None,
                frame: None,
                choice: None,
            },
            repair: Some(ExtSeqNo(1)),
        };
        let mut ask = |bytes| {
            let class = Class::Retransmission;
            peer.outflow.enqueue(now, class, bytes, repair)
        };
        assert_eq!([ask(5_000), ask(1_000)], [Enqueued::Now, Enqueued::Queued]);
        let due = peer.outflow.packet_due();
        assert!(due.is_some() && peer.scheduled > due, "not by itself");
        stand.shard.schedule_news(now, key);
        let peer = stand.shard.peers.get(key).expect("it is there");
        assert_eq!(peer.scheduled, due);
    }
}
