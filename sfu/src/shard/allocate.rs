//! Which layer each of a subscriber's pictures is sent in.

use super::forward::KeyframesWanted;
use super::{Shard, Sink};
use crate::control::{LimitedBy, Slot, Source};
use crate::core::allocate::{
    Basis, Decision, Demand, Kind, LayerInfo, SPATIAL_MAX, TEMPORAL_MAX, Target,
};
use crate::core::congestion::Cause;
use crate::core::layers;
use crate::core::receive::ReceiveStream;
use crate::core::ring::Choice;
use crate::core::room::VIDEO_SLOTS;
use crate::inspect::watch::Pace;
use crate::peer::slot::SendSlot;
use crate::peer::{Peer, Subscription};
use crate::table::{Key, Table};
use crate::track::Track;
use crate::unit::{Bitrate, MediaKind};
use arrayvec::ArrayVec;
use std::time::{Duration, Instant};

/// Pictures of one subscriber that layers are chosen of: as many as there are slots for.
const PICTURES: usize = VIDEO_SLOTS as usize;

/// Between two allocations for a subscriber whose estimate stays: while layers come, go or are changed, and when
/// nothing of that has happened for a while.
const ALLOCATION_INTERVAL: Duration = Duration::from_millis(200);
const SETTLED_INTERVAL: Duration = Duration::from_millis(500);
const SETTLED_AFTER: Duration = Duration::from_secs(3);

/// The most that a voice needs: Opus at 40 kbit/s with its redundancy and headers.
const VOICE: Bitrate = Bitrate::kbps(130);

/// Times that a payload is sent at most, redundancy included.
const COPIES: u64 = 3;

/// A picture that is wished for, before it is lent to the allocator.
pub(super) struct Wanted {
    subscription: Subscription,
    order: usize,
    kind: Kind,
    size: (u16, u16),
    is_paused: bool,
    /// Smallest first.
    layers: ArrayVec<LayerInfo, SPATIAL_MAX>,
    /// The places of the same at their track.
    places: ArrayVec<Place, SPATIAL_MAX>,
    key: Key<Track>,
}

/// What an estimate rests on.
pub(super) fn basis(cause: Cause) -> Basis {
    match cause {
        Cause::Probe => Basis::Probed,
        Cause::Delay | Cause::Loss | Cause::Silence | Cause::NewPath => Basis::Measured,
    }
}

impl<S: Sink> Shard<S> {
    /// Divides what a subscriber's path carries among its pictures.
    pub(super) fn allocate(&mut self, now: Instant, key: Key<Peer>) {
        let mut wanted = std::mem::take(&mut self.scratch.wanted);
        self.find_wanted(now, key, &mut wanted);
        let decisions = self.decide(now, key, &wanted);
        for decision in decisions {
            if let Some(wanted) = wanted
                .iter()
                .find(|wanted| wanted.subscription == decision.id)
            {
                self.apply(now, key, wanted, decision);
            }
        }
        self.scratch.wanted = wanted;
        self.tell_layers(now, key);
    }

    fn decide(
        &mut self,
        now: Instant,
        key: Key<Peer>,
        wanted: &[Wanted],
    ) -> ArrayVec<Decision<Subscription>, PICTURES> {
        let Some(peer) = self.peers.get_mut(key) else {
            return ArrayVec::new();
        };
        let audio = voices(peer, &self.tracks, now);
        let demands: ArrayVec<Demand<'_, Subscription>, PICTURES> = wanted
            .iter()
            .take(PICTURES)
            .map(|wanted| Demand {
                id: wanted.subscription,
                kind: wanted.kind,
                width: wanted.size.0,
                height: wanted.size.1,
                is_paused: wanted.is_paused,
                layers: &wanted.layers,
            })
            .collect();
        // What it begins with, and what is assumed without feedback, is told by nobody else.
        let basis = if peer.outflow.is_assumed() {
            Basis::Assumed
        } else {
            Basis::Measured
        };
        peer.allocator
            .handle_estimate(peer.outflow.estimate(), basis);
        let decisions = peer.allocator.allocate(now, audio, &demands);
        let decisions = decisions.iter().take(PICTURES).copied().collect();
        let desired = peer.allocator.desired();
        peer.outflow.set_desired(now, desired);
        // Within its interval the allocator answers as before, and says when to come again.
        let again = peer.allocator.poll_timeout();
        let layers = wanted.iter().map(|wanted| wanted.layers.len()).sum();
        if std::mem::replace(&mut peer.layers_seen, layers) != layers {
            peer.unsettled_at = now;
        }
        let is_settled = now >= peer.unsettled_at + SETTLED_AFTER;
        let usual = now
            + if is_settled {
                SETTLED_INTERVAL
            } else {
                ALLOCATION_INTERVAL
            };
        peer.next_allocation = again.map_or(usual, |again| again.clamp(now, usual));
        decisions
    }

    fn find_wanted(&self, now: Instant, key: Key<Peer>, wanted: &mut Vec<Wanted>) {
        wanted.clear();
        let Some(peer) = self.peers.get(key) else {
            return;
        };
        let Some(room) = self.rooms.get(peer.room) else {
            return;
        };
        let videos = peer
            .slots()
            .filter(|(_, slot)| slot.kind == MediaKind::Video);
        wanted.extend(videos.filter_map(|(at, slot)| {
            let track_key = slot.track?;
            let track = self.tracks.get(track_key)?;
            let (order, wish) = room.core.wish(peer.participant, track.id)?;
            let (layers, places) = layer_infos(track, now);
            Some(Wanted {
                subscription: (at, track.source_key),
                order,
                kind: match track.source {
                    Source::Screen => Kind::Screen,
                    Source::Camera | Source::Microphone | Source::ScreenAudio => Kind::Camera,
                },
                size: (wish.width, wish.height),
                is_paused: wish.is_paused || track.is_muted || !is_decodable(slot, track),
                layers,
                places,
                key: track_key,
            })
        }));
        wanted.sort_unstable_by_key(|wanted| wanted.order);
    }

    fn apply(
        &mut self,
        now: Instant,
        key: Key<Peer>,
        wanted: &Wanted,
        decision: Decision<Subscription>,
    ) {
        let at = wanted.subscription.0;
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let Some(Some(slot)) = peer.slots.get_mut(at) else {
            return;
        };
        let target = match decision.target {
            Target::Paused => None,
            Target::Layer { spatial, temporal } => {
                let layer = wanted.places.get(usize::from(spatial));
                layer.map(|place| layers::Target {
                    layer: place.layer,
                    spatial: place.spatial,
                    temporal,
                })
            }
        };
        slot.limited_by = decision.limited_by;
        if wanted.layers.is_empty() && !wanted.is_paused {
            // The publisher has stalled: to go on afterwards takes no key frame if nothing was changed.
            return;
        }
        let pace = match wanted.kind {
            Kind::Camera => Pace::Steady,
            Kind::Screen => Pace::AsItChanges,
        };
        slot.watch.handle_wanted(now, !wanted.is_paused, pace);
        let before = slot.forwarder.target();
        if before != target {
            let participant = peer.participant;
            tracing::debug!(%participant, slot = at, ?target, "target layer");
            slot.forwarder.set_target(target);
            let change = (before, target, decision.limited_by);
            peer.note_layer(now, at, change);
            peer.unsettled_at = now;
            peer.next_allocation = peer.next_allocation.min(now + ALLOCATION_INTERVAL);
            if target.is_none() {
                self.abandon(now, key, at);
            }
        }
        let mut keyframes = KeyframesWanted::default();
        let slot = self.peers.get(key).and_then(|peer| peer.slots.get(at));
        let Some(Some(slot)) = slot else {
            return;
        };
        keyframes.add(slot.forwarder.wanted_keyframe());
        if !keyframes.is_empty()
            && let Some(track) = self.tracks.get_mut(wanted.key)
        {
            keyframes.apply(now, track);
            let owner = track.owner;
            self.schedule(owner, now);
        }
    }

    /// Tells the room what each slot sends.
    fn tell_layers(&mut self, now: Instant, key: Key<Peer>) {
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let (participant, room_key) = (peer.participant, peer.room);
        let Some(room) = self.rooms.get_mut(room_key) else {
            return;
        };
        for slot in peer.slots.iter_mut().flatten() {
            if slot.kind == MediaKind::Audio {
                continue;
            }
            let track = slot.track.and_then(|track| self.tracks.get(track));
            let told = Slot {
                mid: slot.mid,
                publication: track.map(|track| track.id),
                layer: told_layer(slot),
                limited_by: match track {
                    Some(track) if track.is_muted => Some(LimitedBy::Muted),
                    Some(track) if !is_decodable(slot, track) => Some(LimitedBy::Codec),
                    Some(_) => slot.limited_by,
                    None => None,
                },
            };
            slot.watch.handle_told(now, told.layer, told.limited_by);
            room.core.handle_layer(participant, told);
        }
        self.perform_room(now, room_key);
    }
}

/// What a subscriber's voices take. One that pauses or is muted takes next to nothing, and in most
/// calls most are: to keep a talker's rate for each would leave none for pictures.
fn voices(peer: &Peer, tracks: &Table<Track>, now: Instant) -> Bitrate {
    let voices = peer
        .slots()
        .filter(|(_, slot)| slot.kind == MediaKind::Audio);
    let tracks = voices.filter_map(|(_, slot)| tracks.get(slot.track?));
    let rates = tracks.filter(|track| !track.is_muted).map(|track| {
        let comes = track.layer(0).map(|layer| layer.stream.bitrate(now, 0));
        (comes.unwrap_or_default().0 * COPIES).min(VOICE.0)
    });
    Bitrate(rates.sum())
}

/// Whether a slot's subscriber can decode what its publication sends at present.
fn is_decodable(slot: &SendSlot, track: &Track) -> bool {
    let sent_as = track.sent_as;
    sent_as.is_none_or(|pt| slot.sends_as(track, pt).is_some())
}

/// The layer that is sent as subscribers are told it: among encodings, or within the only one.
fn told_layer(slot: &SendSlot) -> Option<u8> {
    let layer = slot.forwarder.current_layer()?;
    let spatial = slot
        .forwarder
        .current_choice()
        .map_or(0, |choice| choice.spatial);
    Some(layer + spatial)
}

/// Where a layer is: in which encoding, and which spatial layer of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    layer: u8,
    spatial: u8,
}

/// A track's layers for the allocator, and their places.
type Layers = (
    ArrayVec<LayerInfo, SPATIAL_MAX>,
    ArrayVec<Place, SPATIAL_MAX>,
);

/// The layers of a track that come in at present, the smallest first.
fn layer_infos(track: &Track, now: Instant) -> Layers {
    let mut found = ArrayVec::<(Place, LayerInfo), SPATIAL_MAX>::new();
    let mut layers = track.layers.iter();
    // Beside layers whose rates are known a new one waits until its own is.
    let has_steady = layers.any(|layer| layer.stream.is_alive(now) && layer.stream.is_steady(now));
    for (at, layer) in (0_u8..).zip(&track.layers) {
        let is_known = layer.stream.is_steady(now) || !has_steady;
        if !layer.stream.is_alive(now) || !is_known {
            continue;
        }
        for spatial in 0..=layer.stream.highest_spatial(now) {
            let place = Place { layer: at, spatial };
            // Beyond those that are used others are left.
            let _ = found.try_push((place, layer_info(&layer.stream, now, spatial)));
        }
    }
    found.sort_by_key(|(_, info)| {
        let most = info.rates.iter().max().copied().unwrap_or_default();
        (u32::from(info.width) * u32::from(info.height), most)
    });
    let places = found.iter().map(|(place, _)| *place).collect();
    (found.into_iter().map(|(_, info)| info).collect(), places)
}

/// A spatial layer of a stream, which goes with those below.
fn layer_info(stream: &ReceiveStream, now: Instant, spatial: u8) -> LayerInfo {
    let size = stream.layer_resolution(now, spatial);
    let highest = stream.highest_temporal(now);
    let mut rates = [Bitrate(0); TEMPORAL_MAX];
    for (temporal, rate) in (0_u8..).zip(&mut rates) {
        if temporal <= highest {
            let choice = Choice { spatial, temporal };
            *rate = stream.choice_bitrate(now, choice).max(Bitrate(1));
        }
    }
    LayerInfo {
        width: size.width,
        height: size.height,
        rates,
    }
}
