//! One participant: their transport, what they send, what they are sent.

pub(crate) mod inbound;
pub(crate) mod outflow;
pub(crate) mod slot;
pub(crate) mod trace;
pub(crate) mod transport;

use crate::control::ParticipantId;
use crate::core::allocate::Allocator;
use crate::core::forward::SourceKey;
use crate::core::negotiate::Negotiator;
use crate::core::report::{PublisherClock, QualityMeter, RoundTrip};
use crate::inspect::Protocol;
use crate::inspect::record::{Record, Tally};
use crate::shard::rooms::RoomState;
use crate::table::Key;
use crate::track::Track;
use crate::unit::{MediaKind, Mid, Ssrc};
use inbound::Inbound;
use outflow::Outflow;
use slot::SendSlot;
use std::time::Instant;
use transport::Transport;

/// One participant of a call, on the shard that has the room.
pub(crate) struct Peer {
    pub(crate) participant: ParticipantId,
    pub(crate) room: Key<RoomState>,
    pub(crate) transport: Transport,
    pub(crate) negotiator: Negotiator,
    /// Of their tracks, by m-line.
    pub(crate) tracks: Vec<(Mid, Key<Track>)>,
    pub(crate) inbound: Inbound,
    /// By the places that subscriptions keep; a slot that is no more leaves its place empty.
    pub(crate) slots: Vec<Option<SendSlot>>,
    /// Of m-lines that do not receive at present. There are not more than m-lines.
    pub(crate) retired: Vec<SendSlot>,
    pub(crate) outflow: Outflow,
    /// Puts their streams' times on our clock.
    pub(crate) clock: PublisherClock,
    /// From what they report of their slots. Never of who only publishes: they report nothing of ours, and
    /// what else would tell (RFC 3611, section 4.4) browsers do not offer.
    pub(crate) rtt: RoundTrip,
    /// Who we are in RTCP.
    pub(crate) our_ssrc: Ssrc,
    pub(crate) meter: QualityMeter,
    /// What is counted of them; see [`Self::tally`].
    pub(crate) counted: Tally,
    /// Over what media goes to them, or went last.
    pub(crate) protocol: Option<Protocol>,
    /// What is kept for who inspects their call.
    pub(crate) record: Option<Box<Record>>,
    /// Of the last report about what they send: 256ths of packets lost.
    pub(crate) lost_up: u8,
    /// Divides what their path carries among their slots, by place and what is in it.
    pub(crate) allocator: Allocator<Subscription>,
    pub(crate) cname: String,
    /// The earliest entry of this peer among the shard's timers.
    pub(crate) scheduled: Option<Instant>,
    pub(crate) next_report: Instant,
    pub(crate) next_allocation: Instant,
    /// The layers that their pictures came in at the last allocation, and when those or what is sent of them
    /// changed last.
    pub(crate) layers_seen: usize,
    pub(crate) unsettled_at: Instant,
}

/// A slot's place, and what it carries.
pub(crate) type Subscription = (usize, SourceKey);

impl Peer {
    /// Its slots that are in use, with their places.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (usize, &SendSlot)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(at, slot)| slot.as_ref().map(|slot| (at, slot)))
    }

    /// Whether there are pictures to choose layers of.
    pub(crate) fn has_video(&self) -> bool {
        self.slots()
            .any(|(_, slot)| slot.kind == MediaKind::Video && slot.track.is_some())
    }

    /// The same, or there were at the last allocation: what was wanted then would be probed for on and on.
    pub(crate) fn needs_allocation(&self) -> bool {
        self.has_video() || !self.allocator.is_idle()
    }

    /// All that is counted of them.
    pub(crate) fn tally(&self) -> Tally {
        let (told, lost) = self.outflow.fates();
        Tally {
            sent_bytes: self.outflow.sent_bytes(),
            told,
            lost,
            ..self.counted
        }
    }

    /// The place of the slot of an m-line.
    pub(crate) fn slot_at(&self, mid: Mid) -> Option<usize> {
        self.slots()
            .find(|(_, slot)| slot.mid == mid)
            .map(|(at, _)| at)
    }

    /// The place of the slot that has this SSRC, or has it for retransmissions.
    pub(crate) fn place_of(&self, ssrc: Ssrc) -> Option<usize> {
        let is_it = |slot: &SendSlot| {
            slot.ssrc == ssrc || slot.rtx.as_ref().is_some_and(|rtx| rtx.ssrc == ssrc)
        };
        let found = self.slots().find(|(_, slot)| is_it(slot));
        found.map(|(at, _)| at)
    }

    /// The slot there.
    pub(crate) fn slot_of(&mut self, ssrc: Ssrc) -> Option<&mut SendSlot> {
        let at = self.place_of(ssrc)?;
        self.slots.get_mut(at)?.as_mut()
    }
}
