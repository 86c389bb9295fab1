//! A publication on the media path: its layers, and who is subscribed.

use crate::control::{PublicationId, Source};
use crate::core::audio::VoiceIndex;
use crate::core::forward::SourceKey;
use crate::core::keyframes::{KeyframeThrottle, Spacing};
use crate::core::negotiate::{Codec, Payload, Receiving};
use crate::core::receive::{ReceiveConfig, ReceiveStream};
use crate::peer::Peer;
use crate::table::Key;
use crate::unit::{ClockRate, ExtSeqNo, MediaKind, PayloadType, Rid, Ssrc};
use crate::wire::sdp::Feedback;
use std::time::{Duration, Instant};

/// A slot of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub(crate) peer: Key<Peer>,
    /// Its place among the peer's slots.
    pub(crate) slot: usize,
}

/// One encoding.
pub(crate) struct Layer {
    pub(crate) rid: Option<Rid>,
    pub(crate) ssrc: Option<Ssrc>,
    pub(crate) stream: ReceiveStream,
    pub(crate) keyframes: KeyframeThrottle,
}

/// A packet that came in this turn of the shard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fresh {
    pub(crate) layer: u8,
    pub(crate) seq: ExtSeqNo,
}

/// What somebody publishes.
pub(crate) struct Track {
    pub(crate) id: PublicationId,
    /// Its name on the media path.
    pub(crate) source_key: SourceKey,
    pub(crate) owner: Key<Peer>,
    pub(crate) source: Source,
    payloads: Vec<Payload>,
    pub(crate) layers: Vec<Layer>,
    /// The payload type of what came last.
    pub(crate) sent_as: Option<PayloadType>,
    pub(crate) subscribers: Vec<Subscriber>,
    pub(crate) is_muted: bool,
    /// Among the room's voices.
    pub(crate) voice: Option<VoiceIndex>,
    /// What came in this turn, or is held for the rest of its picture, in the order in which it came.
    pub(crate) fresh: Vec<Fresh>,
    /// When the first of it came.
    pub(crate) fresh_since: Option<Instant>,
}

/// How long what came of a picture is held for the rest: as long as a packet takes on an uplink of some 20 Mbit/s, and
/// nothing beside what a jitter buffer adds.
pub(crate) const HELD: Duration = Duration::from_micros(500);

/// From so many subscribers on it pays.
pub(crate) const MANY: usize = 4;

/// Packets of one track in one turn for which room is kept.
const FRESH: usize = 64;

impl Track {
    pub(crate) fn new(
        id: PublicationId,
        source_key: SourceKey,
        owner: Key<Peer>,
        receiving: &Receiving,
    ) -> Self {
        let source = receiving.track.source;
        let is_repairable = receiving
            .payloads
            .iter()
            .any(|payload| payload.feedback.contains(Feedback::Nack));
        let config = ReceiveConfig {
            source,
            clock: clock(source.kind()),
            is_repairable,
        };
        let spacing = match source {
            Source::Screen => Spacing::SCREEN,
            Source::Camera | Source::Microphone | Source::ScreenAudio => Spacing::CAMERA,
        };
        let count = receiving
            .encodings
            .len()
            .max(receiving.sources.len().min(1))
            .max(1);
        let layers = (0..count).map(|at| Layer {
            rid: receiving.encodings.get(at).map(|encoding| encoding.rid),
            ssrc: None,
            stream: ReceiveStream::new(config),
            keyframes: KeyframeThrottle::new(spacing),
        });
        Self {
            id,
            source_key,
            owner,
            source,
            payloads: receiving.payloads.clone(),
            layers: layers.collect(),
            sent_as: None,
            subscribers: Vec::new(),
            is_muted: receiving.track.is_muted,
            voice: None,
            fresh: Vec::with_capacity(FRESH),
            fresh_since: None,
        }
    }

    /// The publisher has negotiated these payload types now. Packets on their way may still have others.
    pub(crate) fn handle_payloads(&mut self, payloads: &[Payload]) {
        let is_gone = |old: &Payload| !payloads.iter().any(|new| new.pt == old.pt);
        let gone = self.payloads.iter().copied().filter(is_gone);
        self.payloads = payloads.iter().copied().chain(gone).collect();
    }

    /// Until when what came is held, if it is. The packets of a picture come one after the other, and for each
    /// subscriber those that are sent together cost little more than one.
    pub(crate) fn held_until(&self, now: Instant) -> Option<Instant> {
        let is_worth_it = self.subscribers.len() >= MANY && self.fresh.len() < FRESH;
        if self.kind() == MediaKind::Audio || self.is_muted || !is_worth_it {
            return None;
        }
        let until = self.fresh_since? + HELD;
        let last = self.fresh.last()?;
        let (meta, _) = self.layer(last.layer)?.stream.get(last.seq)?;
        (!meta.marker && now < until).then_some(until)
    }

    /// Sound or pictures.
    pub(crate) fn kind(&self) -> MediaKind {
        self.source.kind()
    }

    /// The codec of a payload type.
    pub(crate) fn codec(&self, pt: PayloadType) -> Option<Codec> {
        let found = self.payloads.iter().find(|payload| payload.pt == pt);
        found.map(|payload| payload.codec)
    }

    /// The payload type whose retransmissions have this one.
    pub(crate) fn repaired(&self, rtx: PayloadType) -> Option<PayloadType> {
        let found = self
            .payloads
            .iter()
            .find(|payload| payload.rtx == Some(rtx));
        found.map(|payload| payload.pt)
    }

    /// Whether a payload type is that of retransmissions.
    pub(crate) fn is_rtx(&self, pt: PayloadType) -> bool {
        self.repaired(pt).is_some()
    }

    /// The layer of an encoding's name; the only one where there are no names.
    pub(crate) fn layer_of(&self, rid: Option<Rid>) -> Option<u8> {
        let at = match rid {
            Some(_) => self.layers.iter().position(|layer| layer.rid == rid),
            None => (self.layers.len() == 1).then_some(0),
        };
        at.and_then(|at| u8::try_from(at).ok())
    }

    /// A layer.
    pub(crate) fn layer(&self, layer: u8) -> Option<&Layer> {
        self.layers.get(usize::from(layer))
    }

    /// A layer, to change it.
    pub(crate) fn layer_mut(&mut self, layer: u8) -> Option<&mut Layer> {
        self.layers.get_mut(usize::from(layer))
    }
}

/// The clock of the formats of a kind.
pub(crate) fn clock(kind: MediaKind) -> ClockRate {
    match kind {
        MediaKind::Audio => ClockRate::OPUS,
        MediaKind::Video => ClockRate::VIDEO,
    }
}
