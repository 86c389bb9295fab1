//! What is noted of peers for who inspects their call, and what of it is told.

use super::{Shard, Sink};
use crate::control::{LimitedBy, ParticipantId, Quality};
use crate::core::layers::Target;
use crate::core::ring::{Choice, TEMPORAL_LAYERS};
use crate::inspect::record::{Loss, Moment, Note, Noted, Record, Second};
use crate::inspect::{
    Change, Changed, Inspect, LayerReport, MediaState, MediaSummary, ParticipantReport, PathReport,
    Protocol, PublicationReport, RoomReport, Sample, SentLayer, SubscriptionReport,
};
use crate::metrics::Counts;
use crate::net::socket::Local;
use crate::peer::Peer;
use crate::peer::slot::SendSlot;
use crate::peer::transport::Path;
use crate::table::{Key, Table};
use crate::track::{Layer, Track};
use crate::unit::{Bitrate, MediaKind, Mid};
use kaiwa_common::limits::CALL_REPORTED;
use kaiwa_common::time::UnixMs;
use std::time::Instant;

/// Seconds that wait to be taken: as many as a shard has participants at most. Nobody misses others.
const SECONDS_MAX: usize = 4_096;

/// What a slot is to send from now on, in place of what, and what stands against more.
pub(super) type LayerChange = (Option<Target>, Option<Target>, Option<LimitedBy>);

impl<S: Sink> Shard<S> {
    /// Says how participants of a call are. Of who is not in it nothing is said, nor of more than
    /// [`CALL_REPORTED`].
    #[must_use]
    pub fn inspect(&self, now: Instant, inspect: &Inspect) -> RoomReport {
        let room = self.by_room.get(&inspect.room);
        let asked = inspect.participants.iter().take(CALL_REPORTED);
        let peers = asked.filter_map(|participant| {
            let peer = self.peers.get(*self.by_participant.get(participant)?)?;
            (Some(&peer.room) == room).then_some(peer)
        });
        RoomReport {
            at: self.unix(now),
            participants: peers
                .map(|peer| self.report_of(now, peer, inspect.seconds))
                .collect(),
        }
    }

    /// A second of a peer ends: what was counted in it is kept.
    pub(super) fn sample(&mut self, now: Instant, key: Key<Peer>) {
        let Self {
            peers,
            tracks,
            counts,
            seconds,
            ..
        } = self;
        let Some(peer) = peers.get_mut(key) else {
            return;
        };
        let Some(mut record) = peer.record.take() else {
            return;
        };
        let freezes = end_second(now, peer, tracks, &mut record);
        counts.freezes += u64::from(freezes);
        let limited = count_limits(peer, counts);
        let moment = Moment {
            freezes,
            limited,
            ..moment(now, peer, tracks)
        };
        let second = record.take_second(now, &peer.tally(), &moment);
        if seconds.len() < SECONDS_MAX {
            seconds.push(second);
        }
        peer.record = Some(record);
    }

    /// The seconds of participants that have ended since the last time.
    pub(crate) fn take_seconds(&mut self) -> impl Iterator<Item = Second> {
        self.seconds.drain(..)
    }

    /// How many participants have which quality, by [`Quality::ALL`]; those who are connecting are not among them.
    pub(crate) fn qualities(&self) -> [usize; Quality::ALL.len()] {
        let mut qualities = [0; Quality::ALL.len()];
        for peer in self.peers.values() {
            if peer.transport.secure.is_some() {
                qualities[peer.meter.get() as usize] += 1;
            }
        }
        qualities
    }

    /// Something happened to a peer.
    pub(super) fn note(&mut self, now: Instant, key: Key<Peer>, what: Note) {
        let record = self
            .peers
            .get_mut(key)
            .and_then(|peer| peer.record.as_mut());
        if let Some(record) = record {
            record.note(now, what);
        }
    }

    /// What goes to a peer goes there from now on.
    pub(super) fn note_path(&mut self, now: Instant, key: Key<Peer>, path: Path) {
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let to = protocol(path.local);
        if let Some(from) = peer.protocol.replace(to)
            && from != to
        {
            self.note(now, key, Note::Protocol { from, to });
        }
    }

    fn unix(&self, at: Instant) -> UnixMs {
        self.ntp(at).unix()
    }

    fn report_of(&self, now: Instant, peer: &Peer, seconds: u8) -> ParticipantReport {
        let record = peer.record.as_deref();
        let path = peer
            .transport
            .destination()
            .map(|(local, remote)| PathReport {
                protocol: protocol(*local),
                local: self.sink.address(*local),
                remote: remote.address(),
            });
        let state = if peer.transport.is_connected() {
            MediaState::Connected
        } else if peer.transport.is_silent() {
            MediaState::Interrupted
        } else {
            MediaState::Connecting
        };
        let tracks = peer.tracks.iter();
        let tracks = tracks.filter_map(|(_, track)| self.tracks.get(*track));
        let kept = |record: &Record| -> Vec<Sample> {
            let seconds = record.seconds(seconds);
            let moment = |second: &Second| self.unix(record.moment(second.at_ms));
            seconds
                .map(|second| sample(moment(&second), &second))
                .collect()
        };
        let changes = |record: &Record| -> Vec<Change> {
            let change = |noted: Noted| Change {
                at: self.unix(record.moment(noted.at_ms)),
                what: changed(peer, noted.what),
            };
            record.changes().map(change).collect()
        };
        ParticipantReport {
            participant: peer.participant,
            state,
            path,
            samples: record.map(kept).unwrap_or_default(),
            publications: tracks.map(|track| self.publication(now, track)).collect(),
            subscriptions: peer
                .slots()
                .filter_map(|(_, slot)| self.subscription(peer.participant, peer, slot))
                .collect(),
            changes: record.map(changes).unwrap_or_default(),
            trace: peer.transport.recorder.trace(now),
        }
    }

    fn publication(&self, now: Instant, track: &Track) -> PublicationReport {
        let codec = track.sent_as.and_then(|pt| track.codec(pt));
        let layers = track.layers.iter();
        PublicationReport {
            id: track.id,
            source: track.source,
            codec: codec.map(|codec| codec.name()),
            is_muted: track.is_muted,
            loss: loss(&track.layers).share(),
            layers: layers
                .flat_map(|layer| {
                    let highest = layer.stream.highest_spatial(now);
                    (0..=highest).map(move |spatial| self.layer(now, layer, spatial))
                })
                .collect(),
        }
    }

    fn layer(&self, now: Instant, layer: &Layer, spatial: u8) -> LayerReport {
        let stream = &layer.stream;
        let size = stream.layer_resolution(now, spatial);
        let temporal = TEMPORAL_LAYERS - 1;
        let requests = u32::try_from(layer.keyframes.unanswered());
        LayerReport {
            rid: layer.rid,
            spatial,
            bitrate: stream.choice_bitrate(now, Choice { spatial, temporal }),
            fps: u8::try_from(stream.frame_rate(now)).unwrap_or(u8::MAX),
            size: (size.width, size.height),
            keyframe_at: stream.keyframe_at().map(|at| self.unix(at)),
            keyframe_requests: requests.unwrap_or(u32::MAX),
        }
    }

    fn subscription(
        &self,
        subscriber: ParticipantId,
        peer: &Peer,
        slot: &SendSlot,
    ) -> Option<SubscriptionReport> {
        let track = self.tracks.get(slot.track?)?;
        let publisher = self.peers.get(track.owner)?.participant;
        let room = self.rooms.get(peer.room)?;
        let wish = room.core.wish(subscriber, track.id).map(|(_, wish)| wish);
        let (layer, limited_by, since) = slot.watch.told();
        let is_video = slot.kind == MediaKind::Video;
        Some(SubscriptionReport {
            mid: slot.mid,
            publication: track.id,
            publisher,
            layer,
            target: slot.forwarder.target().map(sent),
            wanted: wish
                .filter(|wish| is_video && !wish.is_paused)
                .map_or((0, 0), |wish| (wish.width, wish.height)),
            limited_by,
            since: is_video.then(|| self.unix(since)),
            fps: slot.watch.fps(),
            is_frozen: slot.watch.is_frozen(),
        })
    }
}

impl Peer {
    /// Media can flow from now on, and what is wanted can come.
    pub(crate) fn begin_record(&mut self, now: Instant) {
        let tally = self.tally();
        let took = self.transport.waited(now);
        if let Some(record) = &mut self.record {
            record.handle_connected(now, &tally, took);
        }
        for slot in self.slots.iter_mut().flatten() {
            slot.watch.handle_connected(now);
        }
    }

    /// How their media was, if it was noted.
    pub(crate) fn summary(&self) -> Option<Box<MediaSummary>> {
        let record = self.record.as_ref()?;
        Some(Box::new(MediaSummary {
            protocol: self.protocol,
            ..record.summary()
        }))
    }

    /// A slot is to send another layer.
    pub(super) fn note_layer(&mut self, now: Instant, at: usize, (from, to, why): LayerChange) {
        if let (Some(record), Ok(slot)) = (&mut self.record, u8::try_from(at)) {
            let (from, to) = (from.map(sent), to.map(sent));
            record.note(
                now,
                Note::Layer {
                    slot,
                    from,
                    to,
                    why,
                },
            );
        }
    }

    fn mid_of(&self, slot: u8) -> Option<Mid> {
        let slot = self.slots.get(usize::from(slot))?.as_ref()?;
        Some(slot.mid)
    }
}

/// Each picture's second ends. Gives how many froze in it.
fn end_second(now: Instant, peer: &mut Peer, tracks: &Table<Track>, record: &mut Record) -> u8 {
    let mut freezes = 0_u8;
    for (at, slot) in (0_u8..).zip(&mut peer.slots) {
        let Some(slot) = slot.as_mut().filter(|slot| slot.kind == MediaKind::Video) else {
            continue;
        };
        let track = slot.track.and_then(|track| tracks.get(track));
        let came = track.and_then(|track| {
            let layers = track.layers.iter();
            layers.filter_map(|layer| layer.stream.media_at()).max()
        });
        let seen = slot.watch.end_second(now, came);
        if seen.freezes > 0 {
            freezes = freezes.saturating_add(seen.freezes);
            let (_, why, _) = slot.watch.told();
            record.note(now, Note::Freeze { slot: at, why });
        }
    }
    freezes
}

/// Counts a second of each picture that its subscriber is sent less of than they want. Gives those that their path is
/// too narrow for.
fn count_limits(peer: &Peer, counts: &mut Counts) -> u8 {
    let mut narrow = 0_u8;
    for (_, slot) in peer.slots() {
        if let (_, Some(by), _) = slot.watch.told() {
            counts.limited_s[by as usize] += 1;
            narrow = narrow.saturating_add(u8::from(by == LimitedBy::Bandwidth));
        }
    }
    narrow
}

fn moment(now: Instant, peer: &Peer, tracks: &Table<Track>) -> Moment {
    let is_heard = peer.transport.is_connected();
    let layers = || {
        let published = peer.tracks.iter();
        let published = published.filter_map(|(_, track)| tracks.get(*track));
        published.flat_map(|track| &track.layers)
    };
    let alive = layers().filter(|layer| is_heard && layer.stream.is_alive(now));
    let carrying = || peer.slots().filter(|(_, slot)| slot.track.is_some());
    let lost = carrying().map(|(_, slot)| slot.fraction_lost).max();
    Moment {
        estimate_kbps: kbps(peer.outflow.estimate()),
        allocated_kbps: kbps(peer.allocator.allocated()),
        in_loss: if is_heard {
            loss(layers())
        } else {
            Loss::default()
        },
        reported_loss: Loss::of(lost.unwrap_or_default().into(), 256),
        rtt: peer.rtt.measured(),
        jitter: alive.map(|layer| layer.stream.jitter()).max(),
        out_jitter: carrying().filter_map(|(_, slot)| slot.jitter).max(),
        queued: u16::try_from(peer.outflow.waiting()).unwrap_or(u16::MAX),
        ..Moment::default()
    }
}

/// What was lost of these layers between their last two reports.
fn loss<'a>(layers: impl IntoIterator<Item = &'a Layer>) -> Loss {
    let intervals = layers.into_iter().map(|layer| layer.stream.interval());
    let (all, lost) = intervals.fold((0, 0), |(all, lost), (more, more_lost)| {
        (all + more, lost + more_lost)
    });
    Loss::of(lost, all)
}

fn kbps(rate: Bitrate) -> u32 {
    u32::try_from(rate.0 / 1_000).unwrap_or(u32::MAX)
}

fn sample(at: UnixMs, second: &Second) -> Sample {
    let rate = |kbps: u32| Bitrate::kbps(kbps.into());
    Sample {
        at,
        incoming: rate(second.in_kbps),
        outgoing: rate(second.out_kbps),
        estimate: rate(second.estimate_kbps),
        allocated: rate(second.allocated_kbps),
        in_loss: second.in_loss.share(),
        out_loss: second.out_loss.share(),
        rtt: second.rtt(),
        jitter: second.jitter(),
        out_jitter: second.out_jitter(),
        freezes: second.freezes,
        keyframe_requests: second.keyframe_requests,
        keyframes_sent: second.keyframes_sent,
        nacks: second.nacks,
        queued: second.queued,
        dropped: second.dropped,
    }
}

fn changed(peer: &Peer, note: Note) -> Changed {
    match note {
        Note::Layer {
            slot,
            from,
            to,
            why,
        } => Changed::Layer {
            mid: peer.mid_of(slot),
            from,
            to,
            why,
        },
        Note::Freeze { slot, why } => Changed::Freeze {
            mid: peer.mid_of(slot),
            why,
        },
        Note::Protocol { from, to } => Changed::Protocol { from, to },
        Note::Interrupted => Changed::Interrupted,
        Note::Recovered => Changed::Recovered,
    }
}

/// As subscribers are told it: among encodings, or within the only one.
fn sent(target: Target) -> SentLayer {
    SentLayer {
        layer: target.layer + target.spatial,
        temporal: target.temporal,
    }
}

fn protocol(local: Local) -> Protocol {
    match local {
        Local::Udp(_) => Protocol::Udp,
        Local::Tcp(_) => Protocol::Tcp,
    }
}
