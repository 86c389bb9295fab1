//! Media out: what came in this turn to those who are subscribed, what waited to those whose path has
//! room, and what was lost to those who miss it.

use super::{Shard, Sink};
use crate::cache;
use crate::core::forward::{Decision, Rewrite};
use crate::core::keyframes::KeyframeUnderWay;
use crate::core::pacer::{Class, Enqueued, Output};
use crate::core::redundancy::{self, RedPlan};
use crate::core::retransmit::Resend;
use crate::core::ring::{Coding, Meta};
use crate::metrics::Counts;
use crate::packet::{Body, Described, Form, Outgoing, Pictures};
use crate::peer::Peer;
use crate::peer::outflow::Queued;
use crate::peer::slot::SendSlot;
use crate::table::{Key, Table};
use crate::track::{Fresh, Subscriber, Track};
use crate::unit::{ExtSeqNo, MediaKind, RtpTime};
use crate::wire::red::MAX_REDUNDANT;
use crate::wire::rtp;
use arrayvec::ArrayVec;
use std::time::{Duration, Instant};

/// Packets before it that go along with a payload as redundancy. Two bring one in ten losses down to one
/// in a thousand, for three times the bytes of a voice.
const REDUNDANT: usize = if MAX_REDUNDANT < 2 { MAX_REDUNDANT } else { 2 };

/// Padding of a packet that fills in a number, in bytes.
const FILL: u8 = 1;

/// Packets that wait although later ones of their slot have left: what came late on the publisher's path.
const OVERTAKEN: usize = 32;

/// What nobody answers is noticed no sooner, so whoever is attended to within that time need not be told of it.
const UNHEARD: Duration = Duration::from_millis(500);

/// Where packets go, and where they are counted.
struct Way<'a, S> {
    sink: &'a mut S,
    counts: &'a mut Counts,
    now: Instant,
}

impl<S: Sink> Shard<S> {
    /// Shows what came since the last time to those who are subscribed, but for what is held for the rest of its
    /// picture.
    pub fn forward(&mut self, now: Instant) {
        let mut touched = std::mem::take(&mut self.touched);
        self.held_until = None;
        touched.retain(|&key| {
            let until = self.tracks.get(key).and_then(|track| track.held_until(now));
            if let Some(until) = until {
                self.held_until = Some(self.held_until.map_or(until, |first| first.min(until)));
            } else {
                self.forward_track(now, key);
            }
            until.is_some()
        });
        self.touched = touched;
    }

    fn forward_track(&mut self, now: Instant, key: Key<Track>) {
        let Self {
            peers,
            tracks,
            sink,
            counts,
            timers,
            ..
        } = self;
        let Some(track) = tracks.get_mut(key) else {
            return;
        };
        self.focus = peers.get(track.owner).map(|owner| owner.room);
        let mut wanted = KeyframesWanted::default();
        let mut way = Way { sink, counts, now };
        if !track.is_muted {
            for (no, subscriber) in track.subscribers.iter().enumerate() {
                expect(peers, track, no);
                let Some(peer) = peers.get_mut(subscriber.peer) else {
                    continue;
                };
                peer.show(&mut way, subscriber.slot, track, &mut wanted);
                let due = if peer.outflow.waiting() > 0 {
                    peer.outflow.packet_due()
                } else if peer.scheduled.is_some_and(|at| at <= now + UNHEARD) {
                    None
                } else {
                    peer.outflow.estimate_due()
                };
                if let Some(due) = due {
                    timers.schedule(subscriber.peer, due, &mut peer.scheduled);
                }
            }
        }
        track.fresh.clear();
        wanted.apply(now, track);
        if !wanted.is_empty() {
            let owner = track.owner;
            self.schedule(owner, now);
        }
    }

    /// Sends what waited and may leave now.
    pub(super) fn drain(&mut self, now: Instant, key: Key<Peer>) {
        let Self {
            peers,
            tracks,
            sink,
            counts,
            ..
        } = self;
        let Some(peer) = peers.get_mut(key) else {
            return;
        };
        let mut way = Way { sink, counts, now };
        while let Some(output) = peer.outflow.poll(now) {
            match output {
                Output::Send { item, .. } => peer.send_queued(&mut way, tracks, &item),
                Output::Drop { class, item } => peer.give_up(&mut way, class, &item),
                Output::Pad { bytes } => peer.send_probes(&mut way, tracks, bytes),
            }
        }
    }

    /// What waits of a slot that sends nothing now does not leave.
    pub(super) fn abandon(&mut self, now: Instant, key: Key<Peer>, at: usize) {
        let Self {
            peers,
            sink,
            counts,
            ..
        } = self;
        if let Some(peer) = peers.get_mut(key) {
            peer.abandon(&mut Way { sink, counts, now }, at, None);
        }
    }

    /// A slot's publication was muted: what waits of it does not leave. Sound never waits, and goes on as
    /// one stream.
    pub(super) fn silence(&mut self, now: Instant, of: Subscriber) {
        let slots = self.peers.get_mut(of.peer).map(|peer| &mut peer.slots);
        let slot = slots.and_then(|slots| slots.get_mut(of.slot));
        if let Some(Some(slot)) = slot
            && slot.kind == MediaKind::Video
        {
            slot.forwarder.set_target(None);
            self.abandon(now, of.peer, of.slot);
        }
    }

    /// A subscriber misses packets of a slot.
    pub(super) fn resend(&mut self, now: Instant, key: Key<Peer>, resend: &Resend, slot: usize) {
        let Self {
            peers,
            tracks,
            sink,
            counts,
            ..
        } = self;
        let Some(peer) = peers.get_mut(key) else {
            return;
        };
        let item = Queued {
            slot,
            source: resend.source,
            layer: resend.layer,
            seq: resend.source_seq,
            rewrite: resend.rewrite,
            repair: Some(resend.rtx_seq),
        };
        let mut way = Way { sink, counts, now };
        let bytes = peer.size_of(tracks, &item).unwrap_or_default();
        match peer
            .outflow
            .enqueue(now, Class::Retransmission, bytes, item)
        {
            Enqueued::Now => peer.send_queued(&mut way, tracks, &item),
            Enqueued::Queued | Enqueued::Dropped => {}
        }
    }
}

/// Has what is known of the next subscribers brought near while this one is sent to: the peer first, then the slot that
/// it leads to, then what the slot leads to.
fn expect(peers: &Table<Peer>, track: &Track, no: usize) {
    let ahead = |by: usize| {
        let subscriber = track.subscribers.get(no + by)?;
        Some((peers.get(subscriber.peer)?, subscriber.slot))
    };
    if let Some((peer, _)) = ahead(3) {
        cache::expect(&peer.slots);
        peer.transport.expect_media();
        peer.outflow.expect();
    }
    if let Some((peer, at)) = ahead(2)
        && let Some(Some(slot)) = peer.slots.get(at)
    {
        slot.expect();
    }
    if let Some((peer, at)) = ahead(1)
        && let Some(Some(slot)) = peer.slots.get(at)
    {
        let packets = track.fresh.len();
        slot.history.expect(packets);
        peer.outflow.expect_packets(packets);
    }
}

/// Layers whose key frames subscriptions wait for.
#[derive(Debug, Default)]
pub(super) struct KeyframesWanted(u8);

impl KeyframesWanted {
    pub(super) fn add(&mut self, layer: Option<u8>) {
        self.0 |= layer.map_or(0, |layer| 1_u8.checked_shl(layer.into()).unwrap_or(0));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0 == 0
    }

    pub(super) fn apply(&self, now: Instant, track: &mut Track) {
        for (at, layer) in track.layers.iter_mut().enumerate() {
            if self.0 >> at & 1 == 1 {
                layer.keyframes.handle_request(now);
            }
        }
    }
}

impl Peer {
    /// Shows a track's packets of this turn to one of its slots.
    fn show(
        &mut self,
        way: &mut Way<'_, impl Sink>,
        at: usize,
        track: &Track,
        wanted: &mut KeyframesWanted,
    ) {
        if self.transport.secure.is_none() {
            return;
        }
        for (no, fresh) in track.fresh.iter().enumerate() {
            self.show_packet(way, at, track, fresh.layer, fresh.seq);
            // A key frame's later packets may have come before its first one.
            while let Some((layer, seq)) = self
                .slots
                .get_mut(at)
                .and_then(Option::as_mut)
                .and_then(|slot| slot.forwarder.poll_replay())
            {
                // One that came in this turn as well has its own turn, and no number goes out twice.
                let follows = |fresh: &Fresh| (fresh.layer, fresh.seq) == (layer, seq);
                if !track.fresh.iter().skip(no + 1).any(follows) {
                    self.show_packet(way, at, track, layer, seq);
                }
            }
        }
        if let Some(Some(slot)) = self.slots.get(at) {
            wanted.add(slot.forwarder.wanted_keyframe());
        }
    }

    fn show_packet(
        &mut self,
        way: &mut Way<'_, impl Sink>,
        at: usize,
        track: &Track,
        layer: u8,
        seq: ExtSeqNo,
    ) {
        let Some(stream) = track.layer(layer).map(|layer| &layer.stream) else {
            return;
        };
        let Some((meta, payload)) = stream.get(seq) else {
            return;
        };
        let Some(Some(slot)) = self.slots.get_mut(at) else {
            return;
        };
        if slot.kind == MediaKind::Video && slot.carry(track, meta.pt).is_none() {
            return;
        }
        let rewrite = match slot.forwarder.decide(layer, seq, meta) {
            Decision::Drop(_) => return,
            Decision::Fill(rewrite) => return self.fill(way, at, meta.level, &rewrite),
            Decision::Forward(rewrite) => rewrite,
        };
        if meta.is_keyframe {
            slot.keyframe.handle_begun(way.now, rewrite.time);
        }
        let item = Queued {
            slot: at,
            source: track.source_key,
            layer,
            seq,
            rewrite,
            repair: None,
        };
        let class = match slot.kind {
            MediaKind::Audio => Class::Audio,
            MediaKind::Video => Class::Video,
        };
        let bytes = self.bytes_of(at, payload.len() + usize::from(meta.descriptor_len));
        match self.outflow.enqueue(way.now, class, bytes, item) {
            Enqueued::Now => self.send(way, track, &item, meta, payload),
            Enqueued::Queued => {}
            Enqueued::Dropped => self.give_up(way, class, &item),
        }
    }

    /// A packet of a slot won't be sent: of video what follows is of no use before a key frame.
    fn give_up(&mut self, way: &mut Way<'_, impl Sink>, class: Class, item: &Queued) {
        self.counted.dropped += 1;
        let is_media = class == Class::Video && item.repair.is_none();
        if let Some(Some(slot)) = self.slots.get_mut(item.slot).filter(|_| is_media) {
            slot.forwarder.pause();
            slot.forwarder.resume();
            self.abandon(way, item.slot, Some(item));
        }
    }

    /// What waits of a slot that sends nothing now does not leave, nor does `last`, which has waited. Their
    /// numbers are given again, but for those that later ones have overtaken: they are filled.
    fn abandon(&mut self, way: &mut Way<'_, impl Sink>, at: usize, last: Option<&Queued>) {
        let Some(Some(slot)) = self.slots.get_mut(at) else {
            return;
        };
        slot.keyframe = KeyframeUnderWay::default();
        let unsent = slot.forwarder.take_back();
        let mut overtaken = ArrayVec::<Rewrite, OVERTAKEN>::new();
        let mut look = |queued: &Queued| {
            if queued.repair.is_none() && queued.rewrite.seq < unsent {
                // One too many leaves a hole, as if the network had lost it.
                let _ = overtaken.try_push(queued.rewrite);
            }
        };
        last.into_iter().for_each(&mut look);
        self.outflow.discard(at, look);
        for rewrite in overtaken {
            let rewrite = Rewrite {
                marker: false,
                ..rewrite
            };
            self.fill(way, at, None, &rewrite);
        }
    }

    /// The datagram's bytes for a payload.
    fn bytes_of(&self, at: usize, payload: usize) -> u16 {
        let overhead = self
            .transport
            .secure
            .as_ref()
            .map_or(0, |secure| secure.sealer.profile().rtp_overhead());
        let header = self
            .slots
            .get(at)
            .and_then(Option::as_ref)
            .map_or(0, |slot| slot.header.header_len());
        u16::try_from(header + payload + overhead).unwrap_or(u16::MAX)
    }

    fn size_of(&self, tracks: &Table<Track>, item: &Queued) -> Option<u16> {
        let slot = self.slots.get(item.slot)?.as_ref()?;
        let track = tracks.get(slot.track?)?;
        let (meta, _) = track.layer(item.layer)?.stream.get(item.seq)?;
        let descriptor = usize::from(meta.descriptor_len);
        Some(self.bytes_of(item.slot, descriptor + usize::from(meta.payload_len) + 2))
    }

    /// Sends a packet that waited, if it is still wanted; padding in its place if it is forgotten.
    fn send_queued(&mut self, way: &mut Way<'_, impl Sink>, tracks: &Table<Track>, item: &Queued) {
        let Some(Some(slot)) = self.slots.get(item.slot) else {
            return;
        };
        let track = slot.track.and_then(|key| tracks.get(key));
        let Some(track) = track.filter(|track| track.source_key == item.source) else {
            return;
        };
        let Some(layer) = track.layer(item.layer) else {
            return;
        };
        match layer.stream.get(item.seq) {
            Some((meta, payload)) => self.send(way, track, item, meta, payload),
            None if item.repair.is_none() => self.fill(way, item.slot, None, &item.rewrite),
            None => {}
        }
    }

    /// As many packets as make up so many bytes: one of padding is small (RFC 3550, section 5.1, has a
    /// byte for its length), and what is not sent shows nothing of the path.
    fn send_probes(&mut self, way: &mut Way<'_, impl Sink>, tracks: &Table<Track>, bytes: u16) {
        let mut left = bytes;
        while left > 0 {
            let Some(sent) = self.send_probe(way, tracks, left) else {
                return self.outflow.cancel_probe(way.now);
            };
            left = left.saturating_sub(sent.max(1));
        }
    }

    /// Something that the subscriber can do without, to see whether it gets through: the newest packet
    /// again over RTX where that is large enough, else padding there; without RTX, padding on a slot that
    /// carries no picture at present.
    fn send_probe(
        &mut self,
        way: &mut Way<'_, impl Sink>,
        tracks: &Table<Track>,
        bytes: u16,
    ) -> Option<u16> {
        let has_rtx = |slot: &Option<SendSlot>| slot.as_ref().is_some_and(|s| s.rtx.is_some());
        let Some(any) = self.slots.iter().position(has_rtx) else {
            return self.pad_idle(way, bytes);
        };
        let mut slots = self.slots.iter().enumerate();
        let carries = |slot: &SendSlot| slot.rtx.is_some() && slot.forwarder.sent().packets > 0;
        let sending = slots.find(|(_, slot)| slot.as_ref().is_some_and(carries));
        let at = sending.map_or(any, |(at, _)| at);
        let slot = self.slots.get_mut(at)?.as_mut()?;
        let item = slot.history.poll_probe().map(|resend| Queued {
            slot: at,
            source: resend.source,
            layer: resend.layer,
            seq: resend.source_seq,
            rewrite: resend.rewrite,
            repair: Some(resend.rtx_seq),
        });
        if let Some(item) = item {
            let size = self.size_of(tracks, &item).unwrap_or_default();
            if size * 2 >= bytes {
                self.send_queued(way, tracks, &item);
                return Some(size);
            }
            let (seq, time) = (item.repair.unwrap_or(item.seq), item.rewrite.time);
            return self.pad(way, at, (seq, time), bytes);
        }
        let seq = slot.history.take_padding();
        self.pad(way, at, (seq, RtpTime(0)), bytes)
    }

    /// Padding on the source of a slot for pictures that carries none at present.
    fn pad_idle(&mut self, way: &mut Way<'_, impl Sink>, bytes: u16) -> Option<u16> {
        let taken = self.slots.iter_mut().enumerate().find_map(|(at, slot)| {
            let slot = slot.as_mut().filter(|slot| slot.kind == MediaKind::Video)?;
            Some((at, slot.forwarder.take_padding()?))
        });
        let (at, number) = taken?;
        self.pad(way, at, number, bytes)
    }

    /// A packet of nothing but padding, of about so many bytes if it can be that long, on a slot's RTX
    /// source or its own if it has none. Returns its length.
    fn pad(
        &mut self,
        way: &mut Way<'_, impl Sink>,
        at: usize,
        (seq, time): (ExtSeqNo, RtpTime),
        bytes: u16,
    ) -> Option<u16> {
        let padding = bytes.saturating_sub(self.bytes_of(at, 0));
        let padding = u8::try_from(padding.max(1)).unwrap_or(u8::MAX);
        let bytes = self.bytes_of(at, padding.into());
        let slot = self.slots.get(at)?.as_ref()?;
        let (header, payload_type, ssrc) = match &slot.rtx {
            Some(rtx) => (&rtx.header, rtx.pt, rtx.ssrc),
            None => (&slot.header, slot.pt, slot.ssrc),
        };
        let number = self.outflow.on_sent(way.now, bytes.into());
        let packet = Outgoing {
            header,
            fields: rtp::Fields {
                payload_type,
                marker: false,
                seq: seq.wire(),
                time,
            },
            values: values(number, None),
            index: seq,
            ssrc,
            descriptor: None,
            body: Body::Padding(padding),
        };
        self.transport.send_media(way.sink, &packet)?;
        Some(bytes)
    }

    /// A packet of padding under a number that was left open.
    fn fill(
        &mut self,
        way: &mut Way<'_, impl Sink>,
        at: usize,
        level: Option<rtp::AudioLevel>,
        rewrite: &Rewrite,
    ) {
        let bytes = usize::from(self.bytes_of(at, usize::from(FILL)));
        let number = self.outflow.on_sent(way.now, bytes);
        let Some(Some(slot)) = self.slots.get_mut(at) else {
            return;
        };
        slot.forwarder.handle_filled(rewrite.seq);
        let packet = Outgoing {
            header: &slot.header,
            fields: fields(slot, rewrite),
            values: values(number, level),
            index: rewrite.seq,
            ssrc: slot.ssrc,
            descriptor: None,
            body: Body::Padding(FILL),
        };
        self.transport.send_media(way.sink, &packet);
    }

    /// Writes, seals and puts a packet where it will be sent from.
    fn send(
        &mut self,
        way: &mut Way<'_, impl Sink>,
        track: &Track,
        item: &Queued,
        meta: &Meta,
        payload: &[u8],
    ) {
        let descriptor_len = usize::from(meta.descriptor_len);
        let bytes = usize::from(self.bytes_of(item.slot, descriptor_len + payload.len()));
        let number = self.outflow.on_sent(way.now, bytes);
        let Some(Some(slot)) = self.slots.get_mut(item.slot) else {
            return;
        };
        let rewrite = &item.rewrite;
        slot.keyframe.handle_sent(way.now, rewrite.time);
        let pictures = pictures(meta, rewrite);
        let descriptor = described(track, item, &mut slot.tells_targets);
        let sent_as = slot.sends_as(track, meta.pt);
        let values = values(number, meta.level);
        if let Some(rtx_seq) = item.repair {
            let pt = sent_as.and_then(|sent_as| sent_as.rtx);
            let (Some(rtx), Some(payload_type)) = (&slot.rtx, pt) else {
                return;
            };
            let packet = Outgoing {
                header: &rtx.header,
                fields: rtp::Fields {
                    payload_type,
                    marker: rewrite.marker,
                    seq: rtx_seq.wire(),
                    time: rewrite.time,
                },
                values,
                index: rtx_seq,
                ssrc: rtx.ssrc,
                descriptor,
                body: Body::Repair(rewrite.seq.wire(), payload, pictures),
            };
            let sent = self.transport.send_media(way.sink, &packet);
            way.counts.repaired += u64::from(sent.is_some());
            return;
        }
        let body = match body(slot, track, item, meta, payload, pictures) {
            Some(body) => body,
            None => return,
        };
        let mut fields = fields(slot, rewrite);
        if let Some(sent_as) = sent_as.filter(|_| slot.kind == MediaKind::Video) {
            fields.payload_type = sent_as.pt;
        }
        // Sealed or not: a number is never given again that may have been.
        slot.forwarder.handle_sent(rewrite.seq, meta.payload_len);
        let packet = Outgoing {
            header: &slot.header,
            fields,
            values,
            index: rewrite.seq,
            ssrc: slot.ssrc,
            descriptor,
            body,
        };
        if self.transport.send_media(way.sink, &packet).is_some() {
            way.counts.forwarded += 1;
            if meta.starts_frame && meta.coding.spatial() == 0 {
                slot.watch.handle_frame(way.now);
            }
            slot.history
                .handle_sent(way.now, item.source, item.layer, item.seq, rewrite);
        }
    }
}

/// A packet's dependency descriptor as the subscriber sees it. Which decode targets are whole is told from when some
/// were not, and goes on being told: it holds until something else is (RTP Payload Format For AV1, A.8.3).
fn described<'a>(
    track: &'a Track,
    item: &Queued,
    tells_targets: &mut bool,
) -> Option<Described<'a>> {
    let frame = item.rewrite.frame?;
    let stream = &track.layer(item.layer)?.stream;
    let choice = item.rewrite.choice;
    let active = choice.and_then(|choice| stream.active(choice));
    *tells_targets |= active.is_some_and(|active| !active.is_all());
    Some(Described {
        bytes: stream.descriptor(item.seq),
        frame,
        active: active.filter(|_| *tells_targets),
    })
}

/// The numbers of a packet's picture as the subscriber sees them.
fn pictures(meta: &Meta, rewrite: &Rewrite) -> Option<Pictures> {
    let form = match meta.coding {
        Coding::Plain => return None,
        Coding::Vp8(_) => Form::Vp8,
        Coding::Layered(_) => Form::Vp9,
    };
    Some(Pictures {
        form,
        id: rewrite.picture_id?,
        tl0: rewrite.tl0.unwrap_or_default(),
    })
}

/// What follows the header of a slot's packet: for sound as the subscriber takes it.
fn body<'a>(
    slot: &SendSlot,
    track: &'a Track,
    item: &Queued,
    meta: &Meta,
    payload: &'a [u8],
    pictures: Option<Pictures>,
) -> Option<Body<'a>> {
    if slot.kind == MediaKind::Video {
        return Some(Body::Payload(payload, pictures));
    }
    if slot.red.is_none() {
        let primary = redundancy::primary(meta, payload).ok()?;
        return Some(Body::Payload(primary, None));
    }
    let stream = &track.layer(item.layer)?.stream;
    let plan = RedPlan {
        opus: slot.pt,
        redundant: REDUNDANT,
        oldest: slot.forwarder.oldest().unwrap_or(item.seq),
    };
    Some(Body::Red(stream, item.seq, plan))
}

fn fields(slot: &SendSlot, rewrite: &Rewrite) -> rtp::Fields {
    rtp::Fields {
        payload_type: slot.red.unwrap_or(slot.pt),
        marker: rewrite.marker,
        seq: rewrite.seq.wire(),
        time: rewrite.time,
    }
}

fn values(transport_seq: u16, level: Option<rtp::AudioLevel>) -> rtp::Values {
    rtp::Values {
        transport_seq,
        abs_send_time: 0,
        audio_level: level,
    }
}
