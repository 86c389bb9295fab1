//! Which layer each of a subscriber's pictures is sent in.

use super::Shard;
use super::forward::KeyframesWanted;
use crate::control::{LimitedBy, Slot, Source};
use crate::core::allocate::{
    Basis, Decision, Demand, Kind, LayerInfo, SPATIAL_MAX, TEMPORAL_MAX, Target,
};
use crate::core::congestion::Cause;
use crate::core::layers;
use crate::peer::Peer;
use crate::table::{Key, Table};
use crate::track::Track;
use crate::unit::{Bitrate, MediaKind};
use std::time::Instant;

/// What a voice is taken to need: Opus at 40 kbit/s with its redundancy and headers.
const VOICE: Bitrate = Bitrate::kbps(130);

/// A demand before it is lent to the allocator.
struct Wanted {
    slot: usize,
    order: usize,
    kind: Kind,
    size: (u16, u16),
    is_paused: bool,
    /// Smallest first, with the layer's place at its track.
    layers: [(u8, LayerInfo); SPATIAL_MAX],
    count: usize,
    key: Key<Track>,
}

/// What an estimate rests on.
pub(super) fn basis(cause: Cause) -> Basis {
    match cause {
        Cause::Probe => Basis::Probed,
        Cause::Delay | Cause::Loss | Cause::Silence => Basis::Measured,
    }
}

impl Shard {
    /// Divides what a subscriber's path carries among its pictures.
    pub(super) fn allocate(&mut self, now: Instant, key: Key<Peer>) {
        let wanted = self.wanted(now, key);
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let voices = peer
            .slots()
            .filter(|(_, slot)| slot.kind == MediaKind::Audio && slot.track.is_some())
            .count();
        let audio = Bitrate(VOICE.0 * voices as u64);
        let layers: Vec<Vec<LayerInfo>> = wanted
            .iter()
            .map(|wanted| {
                let known = wanted.layers.iter().take(wanted.count);
                known.map(|(_, info)| *info).collect()
            })
            .collect();
        let demands: Vec<Demand<'_, usize>> = wanted
            .iter()
            .zip(&layers)
            .map(|(wanted, layers)| Demand {
                id: wanted.slot,
                kind: wanted.kind,
                width: wanted.size.0,
                height: wanted.size.1,
                is_paused: wanted.is_paused,
                layers,
            })
            .collect();
        let estimate = peer.outflow.estimate();
        if !peer.outflow.has_feedback() {
            peer.allocator.handle_estimate(estimate, Basis::Measured);
        }
        let decisions = peer.allocator.allocate(now, audio, &demands).to_vec();
        let desired = peer.allocator.desired();
        peer.outflow.set_desired(now, desired);
        for decision in decisions {
            if let Some(wanted) = wanted.iter().find(|wanted| wanted.slot == decision.id) {
                self.apply(now, key, wanted, decision);
            }
        }
        self.tell_layers(now, key);
    }

    fn wanted(&self, now: Instant, key: Key<Peer>) -> Vec<Wanted> {
        let Some(peer) = self.peers.get(key) else {
            return Vec::new();
        };
        let Some(room) = self.rooms.get(peer.room) else {
            return Vec::new();
        };
        let videos = peer
            .slots()
            .filter(|(_, slot)| slot.kind == MediaKind::Video);
        let mut wanted: Vec<Wanted> = videos
            .filter_map(|(at, slot)| {
                let track_key = slot.track?;
                let track = self.tracks.get(track_key)?;
                let (order, wish) = room.core.wish(peer.participant, track.id)?;
                let (layers, count) = layer_infos(track, now);
                Some(Wanted {
                    slot: at,
                    order,
                    kind: match track.source {
                        Source::Screen => Kind::Screen,
                        Source::Camera | Source::Microphone | Source::ScreenAudio => Kind::Camera,
                    },
                    size: (wish.width, wish.height),
                    is_paused: wish.is_paused || track.is_muted,
                    layers,
                    count,
                    key: track_key,
                })
            })
            .collect();
        wanted.sort_by_key(|wanted| wanted.order);
        wanted
    }

    fn apply(&mut self, now: Instant, key: Key<Peer>, wanted: &Wanted, decision: Decision<usize>) {
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let Some(Some(slot)) = peer.slots.get_mut(wanted.slot) else {
            return;
        };
        let target = match decision.target {
            Target::Paused => None,
            Target::Layer { spatial, temporal } => {
                let layer = wanted.layers.get(usize::from(spatial));
                layer.map(|(layer, _)| layers::Target {
                    layer: *layer,
                    temporal,
                })
            }
        };
        slot.limited_by = decision.limited_by;
        if slot.forwarder.target() != target {
            slot.forwarder.set_target(target);
            if target.is_none() {
                peer.outflow.discard(wanted.slot);
            }
        }
        let mut keyframes = KeyframesWanted::default();
        let Some(Some(slot)) = peer.slots.get(wanted.slot) else {
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
        let Some(peer) = self.peers.get(key) else {
            return;
        };
        let (participant, room_key) = (peer.participant, peer.room);
        let told: Vec<Slot> = peer
            .slots()
            .filter(|(_, slot)| slot.kind == MediaKind::Video)
            .map(|(_, slot)| Slot {
                mid: slot.mid,
                publication: publication(&self.tracks, slot.track),
                layer: slot.forwarder.current_layer(),
                limited_by: match slot.track.and_then(|track| self.tracks.get(track)) {
                    Some(track) if track.is_muted => Some(LimitedBy::Muted),
                    Some(_) => slot.limited_by,
                    None => None,
                },
            })
            .collect();
        if let Some(room) = self.rooms.get_mut(room_key) {
            for slot in told {
                room.core.handle_layer(participant, slot);
            }
        }
        self.perform_room(now, room_key);
    }
}

fn publication(
    tracks: &Table<Track>,
    track: Option<Key<Track>>,
) -> Option<crate::control::PublicationId> {
    track
        .and_then(|track| tracks.get(track))
        .map(|track| track.id)
}

/// The layers of a track that come in at present, the smallest first.
fn layer_infos(track: &Track, now: Instant) -> ([(u8, LayerInfo); SPATIAL_MAX], usize) {
    let none = LayerInfo {
        width: 0,
        height: 0,
        rates: [Bitrate(0); TEMPORAL_MAX],
    };
    let mut infos = [(0, none); SPATIAL_MAX];
    let mut count = 0;
    for (at, layer) in (0_u8..).zip(&track.layers) {
        if !layer.stream.is_alive(now) {
            continue;
        }
        let size = layer.stream.resolution().unwrap_or_default();
        let mut rates = [Bitrate(0); TEMPORAL_MAX];
        let highest = layer.stream.highest_temporal(now);
        for (temporal, rate) in (0_u8..).zip(&mut rates) {
            if temporal <= highest {
                *rate = layer.stream.bitrate(now, temporal).max(Bitrate(1));
            }
        }
        if let Some(info) = infos.get_mut(count) {
            let info_of = LayerInfo {
                width: size.width,
                height: size.height,
                rates,
            };
            *info = (at, info_of);
            count += 1;
        }
    }
    let size = |(_, info): &(u8, LayerInfo)| {
        let most = info.rates.iter().max().copied().unwrap_or_default();
        (u32::from(info.width) * u32::from(info.height), most)
    };
    if let Some(known) = infos.get_mut(..count) {
        known.sort_by_key(size);
    }
    (infos, count)
}
