//! Media out: what came in this turn to those who are subscribed, what waited to those whose path has
//! room, and what was lost to those who miss it.

mod probes;
mod write;

use super::{Shard, Sink};
use crate::cache;
use crate::core::forward::{Decision, Rewrite};
use crate::core::keyframes::KeyframeUnderWay;
use crate::core::pacer::{Class, Enqueued, Output};
use crate::core::retransmit::Resend;
use crate::metrics::Counts;
use crate::peer::Peer;
use crate::peer::outflow::Queued;
use crate::table::{Key, Table};
use crate::track::{Fresh, Subscriber, Track};
use crate::unit::{ExtSeqNo, MediaKind};
use arrayvec::ArrayVec;
use std::time::{Duration, Instant};

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
}
