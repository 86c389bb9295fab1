//! A slot of a subscriber on the media path: what is written into its packets' headers, and what was.

use crate::cache;
use crate::control::LimitedBy;
use crate::core::forward::{Forwarder, ForwarderConfig, SourceKey};
use crate::core::keyframes::KeyframeUnderWay;
use crate::core::negotiate::{Codec, ExtensionIds, Payload, Sending, payload_for};
use crate::core::retransmit::SentHistory;
use crate::inspect::watch::Watch;
use crate::table::Key;
use crate::track::{Track, clock};
use crate::unit::{MediaKind, Mid, PayloadType, Ssrc};
use crate::wire::rtp;
use std::time::{Duration, Instant};

/// Where retransmissions of a slot go (RFC 4588).
pub(crate) struct RtxWire {
    pub(crate) ssrc: Ssrc,
    pub(crate) pt: PayloadType,
    pub(crate) header: rtp::HeaderWriter,
}

/// Payload types of a picture's packets towards a subscriber.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SentAs {
    pub(crate) pt: PayloadType,
    /// Of their retransmissions.
    pub(crate) rtx: Option<PayloadType>,
}

#[derive(Debug, Clone, Copy)]
struct Carried {
    track: SourceKey,
    /// The publisher's.
    pt: PayloadType,
    as_what: Option<SentAs>,
}

/// One receiving m-line of a subscriber.
pub(crate) struct SendSlot {
    pub(crate) mid: Mid,
    pub(crate) kind: MediaKind,
    pub(crate) ssrc: Ssrc,
    /// Of the codec itself: of pictures, of what is sent at present.
    pub(crate) pt: PayloadType,
    /// Of Opus with redundancy, if the subscriber takes it.
    pub(crate) red: Option<PayloadType>,
    pub(crate) header: rtp::HeaderWriter,
    pub(crate) rtx: Option<RtxWire>,
    /// All that the subscriber can decode.
    payloads: Vec<Payload>,
    /// The payload types for what the publisher sends at present.
    carried: Option<Carried>,
    pub(crate) forwarder: Forwarder,
    pub(crate) history: SentHistory,
    pub(crate) keyframe: KeyframeUnderWay,
    pub(crate) track: Option<Key<Track>>,
    /// Of the last report: 256ths of packets lost.
    pub(crate) fraction_lost: u8,
    /// The same: of arrivals there.
    pub(crate) jitter: Option<Duration>,
    /// Of pictures.
    pub(crate) watch: Watch,
    /// Why less is sent than was wished for.
    pub(crate) limited_by: Option<LimitedBy>,
    /// Of layers, which are sent is told in dependency descriptors.
    pub(crate) tells_targets: bool,
}

impl SendSlot {
    /// As it was negotiated; `None` if there is no payload type that we could send with.
    pub(crate) fn new(
        mid: Mid,
        kind: MediaKind,
        sending: &Sending,
        random: [u8; 8],
        now: Instant,
    ) -> Option<Self> {
        let primary = sending
            .payloads
            .iter()
            .find(|payload| payload.codec != Codec::Red)?;
        let red = sending.payloads.iter().find(|p| p.codec == Codec::Red);
        let ids = extension_ids(&sending.extensions);
        let carried = rtp::Carried {
            mid: Some(mid),
            rid: None,
            rrid: None,
            transport_seq: ids.transport_cc.is_some(),
            abs_send_time: false,
            audio_level: kind == MediaKind::Audio,
        };
        let ssrc = sending.sources.primary;
        let any_rtx = sending.payloads.iter().find_map(|payload| payload.rtx);
        let rtx = sending.sources.rtx.zip(any_rtx).map(|(ssrc, pt)| RtxWire {
            ssrc,
            pt,
            header: rtp::HeaderWriter::new(ssrc, &ids, &carried),
        });
        let [a, b, c, d, e, f, g, h] = random;
        let forwarder = ForwarderConfig {
            kind,
            clock: clock(kind),
            seq: u16::from_be_bytes([a, b]) & 0x7fff,
            time: u32::from_be_bytes([c, d, e, f]),
            picture_id: u16::from_be_bytes([g, h]),
            tl0: h,
        };
        Some(Self {
            mid,
            kind,
            ssrc,
            pt: primary.pt,
            red: red.map(|payload| payload.pt),
            header: rtp::HeaderWriter::new(ssrc, &ids, &carried),
            rtx,
            payloads: sending.payloads.clone(),
            carried: None,
            forwarder: Forwarder::new(forwarder),
            history: SentHistory::new(now, u16::from_be_bytes([b, g]) & 0x7fff),
            keyframe: KeyframeUnderWay::default(),
            track: None,
            fraction_lost: 0,
            jitter: None,
            watch: Watch::new(now),
            limited_by: None,
            tells_targets: false,
        })
    }

    /// The subscriber has negotiated these payload types now.
    pub(crate) fn handle_payloads(&mut self, payloads: &[Payload]) {
        self.payloads = payloads.to_vec();
        self.carried = None;
    }

    /// What a picture's packet is sent as that came with this payload type of the track's publisher; `None` if the
    /// subscriber can't decode it.
    pub(crate) fn sends_as(&self, track: &Track, pt: PayloadType) -> Option<SentAs> {
        match self.carried {
            Some(carried) if (carried.track, carried.pt) == (track.source_key, pt) => {
                carried.as_what
            }
            Some(_) | None => {
                let payload = payload_for(track.codec(pt)?, &self.payloads)?;
                Some(SentAs {
                    pt: payload.pt,
                    rtx: payload.rtx,
                })
            }
        }
    }

    /// The same for what is shown now, which is remembered.
    pub(crate) fn carry(&mut self, track: &Track, pt: PayloadType) -> Option<SentAs> {
        let as_what = self.sends_as(track, pt);
        self.carried = Some(Carried {
            track: track.source_key,
            pt,
            as_what,
        });
        if let Some(SentAs { pt, rtx }) = as_what {
            self.pt = pt;
            if let Some((wire, pt)) = self.rtx.as_mut().zip(rtx) {
                wire.pt = pt;
            }
        }
        as_what
    }

    /// Packets will be sent soon.
    pub(crate) fn expect(&self) {
        cache::expect(&self.header);
        cache::expect(&self.forwarder);
        cache::expect(&self.history);
        cache::expect(&self.ssrc);
    }

    /// Takes up what the same SSRC has sent: its numbers and times go on. With numbers that came before
    /// the receiver would refuse what follows, and SRTP's keystream would be used twice (RFC 7714,
    /// section 8.1).
    pub(crate) fn go_on_from(&mut self, before: Self) {
        self.forwarder = before.forwarder;
        self.history = before.history;
    }
}

/// As the wire has them.
pub(crate) fn extension_ids(ids: &ExtensionIds) -> rtp::ExtensionIds {
    rtp::ExtensionIds {
        mid: ids.mid,
        rid: ids.rid,
        repaired_rid: ids.repaired_rid,
        audio_level: ids.audio_level,
        abs_send_time: ids.abs_send_time,
        transport_cc: ids.transport_cc,
        dependency_descriptor: ids.dependency_descriptor,
    }
}
