//! One layer of a publisher as it arrives: one SSRC, one encoding.
//!
//! Every packet comes through here once: duplicates are dropped, late and repaired ones take their
//! place in the ring. What is counted on the way tells the publisher how well it gets through, the
//! allocator what the layer costs, and subscribers whether it is alive.

mod arrival;
mod choices;
mod dependencies;
mod feedback;
mod layers;
mod life;
mod meter;
mod stats;

pub use arrival::{Arrival, Resolution};
pub use meter::TEMPORAL_LAYERS;

use super::nack::NackGenerator;
use super::report::SenderLine;
use super::ring::{Choice, Coding, Layered, Meta, PayloadRing, RingError};
use crate::control::Source;
use crate::unit::{ClockRate, ExtSeqNo, NtpTime, RtpTime, SeqNo};
use crate::wire::dependency_descriptor::Active;
use choices::ChoiceMeter;
use dependencies::{Dependencies, Way};
use meter::RateMeter;
use stats::ReceptionStats;
use std::time::Instant;

/// A jump ahead by more than this is believed when a second packet follows it (RFC 3550, appendix A.1,
/// `MAX_DROPOUT`).
const MAX_DROPOUT: u64 = 3_000;

/// A packet behind by more than this is stray, or the stream began anew (RFC 3550, appendix A.1,
/// `MAX_MISORDER`, there 100; here as far back as a repair may reach).
const MAX_MISORDER: u64 = 1_024;

/// The first number lies in the second cycle, so that one before it has a place.
const FIRST_CYCLE: u64 = 1 << 16;

/// What kind of stream it is.
#[derive(Debug, Clone, Copy)]
pub struct ReceiveConfig {
    /// Where it comes from.
    pub source: Source,
    /// Of its timestamps.
    pub clock: ClockRate,
    /// The publisher answers NACKs.
    pub is_repairable: bool,
}

/// Why a packet goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// The ring does not take it.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// Its number is far from all others, and none followed it yet.
    #[error("the packet's number is far from the stream's")]
    Stray,
}

/// One layer's state.
#[derive(Debug)]
pub struct ReceiveStream {
    config: ReceiveConfig,
    ring: PayloadRing,
    nack: Option<NackGenerator>,
    stats: Option<ReceptionStats>,
    rates: RateMeter,
    /// Once there is a second spatial layer.
    choices: Option<Box<ChoiceMeter>>,
    /// Once a packet has brought a dependency descriptor with a structure.
    dependencies: Option<Box<Dependencies>>,
    line: Option<(SenderLine, Instant)>,
    /// The number that would confirm a jump.
    suspect: Option<SeqNo>,
    resolution: Option<Resolution>,
    keyframe_at: Option<Instant>,
    media_at: Option<Instant>,
    /// When something was kept last, padding included.
    kept_at: Option<Instant>,
    repaired: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Wire,
    Repair,
}

impl ReceiveStream {
    /// A stream of which nothing came yet. It takes memory with its first packet.
    #[must_use]
    pub fn new(config: ReceiveConfig) -> Self {
        Self {
            config,
            ring: PayloadRing::new(config.source.kind()),
            nack: config.is_repairable.then(NackGenerator::new),
            stats: None,
            rates: RateMeter::new(),
            choices: None,
            dependencies: None,
            line: None,
            suspect: None,
            resolution: None,
            keyframe_at: None,
            media_at: None,
            kept_at: None,
            repaired: 0,
        }
    }

    /// What a packet's dependency descriptor says is put to what its payload does, before the packet is taken.
    /// `descriptor` is empty where it has none.
    pub fn describe(&mut self, arrival: &mut Arrival, descriptor: &[u8]) {
        let highest = self.highest();
        let is_late = highest.is_some_and(|highest| highest.nearest(arrival.seq) < highest);
        let way = if is_late { Way::Late } else { Way::InTime };
        let Some(described) = Dependencies::read(&mut self.dependencies, descriptor, way) else {
            return;
        };
        arrival.starts_frame = described.starts_frame;
        arrival.keyframe = described.keyframe.map(|said| {
            let is_said = said != Resolution::default();
            if is_said {
                said
            } else {
                arrival.keyframe.unwrap_or_default()
            }
        });
        arrival.coding = Coding::Layered(Layered {
            picture_id: arrival.coding.picture_id(),
            tl0: arrival.coding.tl0(),
            ..described.frame
        });
    }

    /// Takes a packet of the stream itself. Gives its extended number, under which it is kept and is to
    /// be shown to subscriptions. These numbers are the stream's own: they are not SRTP's.
    ///
    /// # Errors
    /// [`Ignored`]: it goes no further.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        payload: &[u8],
    ) -> Result<ExtSeqNo, Ignored> {
        self.handle_described(now, arrival, payload, &[])
    }

    /// The same of one with a dependency descriptor, which is kept beside its payload.
    ///
    /// # Errors
    /// [`Ignored`]: it goes no further.
    pub fn handle_described(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        payload: &[u8],
        descriptor: &[u8],
    ) -> Result<ExtSeqNo, Ignored> {
        self.count(now, arrival);
        let seq = self.locate(arrival)?;
        self.keep(now, seq, arrival, (payload, descriptor), Origin::Wire)?;
        if let Some(stats) = &mut self.stats {
            stats.handle_received(now, seq, arrival.time);
        }
        Ok(seq)
    }

    /// Takes a packet that came by other means: by RTX (RFC 4588), under its original number, or out of
    /// the redundancy of a later one (RFC 2198). It does not count as received.
    ///
    /// # Errors
    /// [`Ignored`]: it goes no further; most often since it is known, as probes for bandwidth are.
    pub fn handle_repair(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        payload: &[u8],
    ) -> Result<ExtSeqNo, Ignored> {
        self.handle_described_repair(now, arrival, payload, &[])
    }

    /// The same of one with a dependency descriptor.
    ///
    /// # Errors
    /// [`Ignored`]: it goes no further.
    pub fn handle_described_repair(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        payload: &[u8],
        descriptor: &[u8],
    ) -> Result<ExtSeqNo, Ignored> {
        self.count(now, arrival);
        let highest = self.highest().ok_or(Ignored::Stray)?;
        let seq = highest.nearest(arrival.seq);
        if seq > highest || highest.0 - seq.0 > MAX_MISORDER {
            return Err(Ignored::Stray);
        }
        self.keep(now, seq, arrival, (payload, descriptor), Origin::Repair)?;
        self.repaired += 1;
        Ok(seq)
    }

    /// Takes a sender report of the stream.
    pub fn handle_sender_report(&mut self, now: Instant, line: SenderLine) {
        self.line = Some((line, now));
    }

    /// A packet by its number, while it is kept.
    #[must_use]
    pub fn get(&self, seq: ExtSeqNo) -> Option<(&Meta, &[u8])> {
        self.ring.get(seq)
    }

    /// The dependency descriptor of a packet that is kept; empty where it had none.
    #[must_use]
    pub fn descriptor(&self, seq: ExtSeqNo) -> &[u8] {
        self.ring.descriptor(seq)
    }

    /// The decode targets that are whole for who is sent a choice; `None` where it is not known.
    #[must_use]
    pub fn active(&self, choice: Choice) -> Option<Active> {
        let known = self.dependencies.as_ref()?;
        Some(known.active(choice))
    }

    /// Whether a packet was received, as far back as that is known.
    #[must_use]
    pub fn has(&self, seq: ExtSeqNo) -> bool {
        self.ring.has(seq)
    }

    /// The highest number so far.
    #[must_use]
    pub fn highest(&self) -> Option<ExtSeqNo> {
        self.stats.as_ref().map(ReceptionStats::highest)
    }

    /// When its last key frame began to arrive.
    #[must_use]
    pub fn keyframe_at(&self) -> Option<Instant> {
        self.keyframe_at
    }

    /// When media came last. Padding does not count.
    #[must_use]
    pub fn media_at(&self) -> Option<Instant> {
        self.media_at
    }

    /// Packets that came by repair, ever.
    #[must_use]
    pub fn repaired(&self) -> u64 {
        self.repaired
    }

    /// Bytes of memory that its ring holds.
    #[must_use]
    pub fn footprint(&self) -> usize {
        self.ring.footprint()
    }

    /// The extended number of a packet from the wire (RFC 3550, appendix A.1).
    fn locate(&mut self, arrival: &Arrival) -> Result<ExtSeqNo, Ignored> {
        let seq = arrival.seq;
        let Some(stats) = &self.stats else {
            let first = ExtSeqNo(FIRST_CYCLE + u64::from(seq.0));
            self.begin(first);
            return Ok(first);
        };
        let highest = stats.highest();
        let near = highest.nearest(seq);
        let is_near = if near > highest {
            near.0 - highest.0 <= MAX_DROPOUT
        } else {
            highest.0 - near.0 <= MAX_MISORDER
        };
        if is_near {
            self.suspect = None;
            return Ok(near);
        }
        if self.suspect != Some(seq) {
            self.suspect = Some(SeqNo(seq.0.wrapping_add(1)));
            return Err(Ignored::Stray);
        }
        // Two in a row: the stream goes on elsewhere, ahead of all that was.
        self.suspect = None;
        let ahead = if near > highest {
            near
        } else {
            ExtSeqNo(near.0 + FIRST_CYCLE)
        };
        self.begin(ahead);
        Ok(ahead)
    }

    fn begin(&mut self, first: ExtSeqNo) {
        self.stats = Some(ReceptionStats::new(first, self.config.clock));
        self.line = None;
        if let Some(nack) = &mut self.nack {
            nack.clear();
        }
    }

    fn keep(
        &mut self,
        now: Instant,
        seq: ExtSeqNo,
        arrival: &Arrival,
        (payload, descriptor): (&[u8], &[u8]),
        origin: Origin,
    ) -> Result<(), Ignored> {
        let meta = Meta {
            pt: arrival.pt,
            time: arrival.time,
            received_at: now,
            captured: self.captured(arrival.time),
            payload_len: 0,
            descriptor_len: 0,
            format: arrival.format,
            marker: arrival.marker,
            starts_frame: arrival.starts_frame,
            is_keyframe: arrival.keyframe.is_some(),
            coding: arrival.coding,
            level: arrival.level,
        };
        self.ring.insert_described(seq, meta, payload, descriptor)?;
        self.kept_at = Some(now);
        self.note_number(now, seq);
        if let Some(resolution) = arrival.keyframe {
            self.note_keyframe(now, seq, resolution);
        }
        if !payload.is_empty() {
            self.media_at = Some(now);
        }
        if arrival.starts_frame && arrival.coding.spatial() == 0 && origin == Origin::Wire {
            self.rates.handle_frame(now);
        }
        Ok(())
    }

    /// Adds to what the stream takes, and its layers.
    fn count(&mut self, now: Instant, arrival: &Arrival) {
        let bytes = arrival.wire_bytes;
        self.rates
            .handle_bytes(now, arrival.coding.temporal(), bytes);
        if let Coding::Layered(layered) = &arrival.coding
            && (layered.spatial > 0 || self.choices.is_some())
        {
            let choices = self.choices.get_or_insert_default();
            choices.handle_bytes(now, layered, bytes);
        }
    }

    fn note_number(&mut self, now: Instant, seq: ExtSeqNo) {
        let (Some(nack), Some(stats)) = (&mut self.nack, &self.stats) else {
            return;
        };
        let highest = stats.highest();
        if seq > highest {
            nack.handle_gap(now, highest.next(), seq);
        } else {
            nack.handle_received(seq);
        }
    }

    fn note_keyframe(&mut self, now: Instant, seq: ExtSeqNo, resolution: Resolution) {
        if let Some(nack) = &mut self.nack {
            nack.handle_keyframe(seq);
        }
        self.keyframe_at = Some(now);
        if resolution != Resolution::default() {
            self.resolution = Some(resolution);
        }
    }

    fn captured(&self, time: RtpTime) -> Option<NtpTime> {
        let (line, _) = self.line?;
        Some(line.captured(time, self.config.clock))
    }
}

#[cfg(test)]
mod tests;
