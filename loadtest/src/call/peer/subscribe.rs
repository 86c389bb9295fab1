//! The receiving half of a participant: slots, what comes in them, and what is asked for.

mod slot;

pub use slot::Slot;

use super::transport::Transport;
use crate::call::count::{Counter, Totals, Way};
use crate::call::frames::Pictures;
use crate::call::outlet::{Clock, Outlet};
use crate::call::red;
use crate::call::rtp::{Header, extend};
use crate::call::sdp::{Kind, Media};
use crate::call::source::audio::FRAME_TICKS;
use crate::call::stamp::{Read, Stamp, Stream};
use crate::call::twcc::Arrivals;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Instant;

/// What one participant received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Received {
    /// RTP packets, decrypted: media, retransmissions and padding.
    pub packets: u64,
    /// Their bytes, headers and all.
    pub bytes: u64,
    /// Of them, retransmissions.
    pub rtx: u64,
    /// Of them, padding alone.
    pub padding: u64,
    /// Packets of pictures, as the publishers counted them.
    pub video: Totals,
    /// Packets of sound, redundancy included. What is missing would be concealed.
    pub audio: Totals,
    /// All packets by the server's sequence numbers, browsers' too.
    pub sequence: Totals,
    /// What a decoder would show.
    pub pictures: Pictures,
    /// Stamped payloads that were not as they were sent.
    pub corrupt: u64,
    /// Payloads of others than load tests.
    pub foreign: u64,
    /// Their pictures, by the marker of the last packet.
    pub foreign_pictures: u64,
    /// Packets that could not be opened.
    pub undecryptable: u64,
    /// Packets of sources that no answer named.
    pub unknown: u64,
    /// Numbers asked for again.
    pub nacked: u64,
    /// Key frames asked for.
    pub keys_wanted: u64,
}

impl std::ops::AddAssign for Received {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.rtx += other.rtx;
        self.padding += other.padding;
        self.video += other.video;
        self.audio += other.audio;
        self.sequence += other.sequence;
        self.pictures += other.pictures;
        self.corrupt += other.corrupt;
        self.foreign += other.foreign;
        self.foreign_pictures += other.foreign_pictures;
        self.undecryptable += other.undecryptable;
        self.unknown += other.unknown;
        self.nacked += other.nacked;
        self.keys_wanted += other.keys_wanted;
    }
}

/// The subscribing half.
#[derive(Debug)]
pub struct Subscriber {
    clock: Clock,
    slots: Vec<Slot>,
    counters: BTreeMap<Stream, (Kind, Counter)>,
    /// Numbers the runs of all streams.
    runs: u32,
    /// Arrivals since the last feedback.
    pub arrivals: Arrivals,
    sums: Received,
    first_packet: Option<Instant>,
    first_picture: Option<Instant>,
}

/// One payload's place.
#[derive(Debug, Clone, Copy)]
struct Place {
    slot: usize,
    index: u64,
    way: Way,
    now: Instant,
}

impl Subscriber {
    /// Receives nothing yet.
    #[must_use]
    pub fn new(clock: Clock, now: Instant) -> Self {
        Self {
            clock,
            slots: Vec::new(),
            counters: BTreeMap::new(),
            runs: 0,
            arrivals: Arrivals::new(now),
            sums: Received::default(),
            first_packet: None,
            first_picture: None,
        }
    }

    /// The server's description of an m-line in which it sends; one that is known stays as it is.
    pub fn handle_media(&mut self, media: &Media) {
        if media.is_rejected || !media.sends {
            return;
        }
        for &(ssrc, rtx) in &media.sources {
            if self.slots.iter().all(|slot| slot.ssrc != ssrc) {
                self.slots.push(Slot::new(media, ssrc, rtx));
            }
        }
    }

    /// The slots.
    #[must_use]
    pub fn slots(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    /// When the first packet came, and the first picture that could be shown.
    #[must_use]
    pub fn firsts(&self) -> (Option<Instant>, Option<Instant>) {
        (self.first_packet, self.first_picture)
    }

    /// A sealed packet came.
    pub fn handle_rtp(
        &mut self,
        now: Instant,
        packet: &mut [u8],
        transport: &mut Transport,
        outlet: &mut Outlet,
    ) {
        let Some(header) = Header::read(packet) else {
            self.sums.unknown += 1;
            return;
        };
        let is_of = |slot: &Slot| slot.ssrc == header.ssrc || slot.rtx == Some(header.ssrc);
        let Some(at) = self.slots.iter().position(is_of) else {
            self.sums.unknown += 1;
            return;
        };
        let slot = &self.slots[at];
        let is_rtx = slot.ssrc != header.ssrc;
        let highest = if is_rtx {
            slot.rtx_highest
        } else {
            slot.highest
        };
        let index = highest.map_or(u64::from(header.seq), |highest| extend(header.seq, highest));
        let Some(len) = transport.open_rtp(packet, &header, index) else {
            return;
        };
        self.sums.packets += 1;
        self.sums.bytes += u64::try_from(len).unwrap_or(0);
        self.first_packet.get_or_insert(now);
        let packet = packet.get(..len).unwrap_or_default();
        let transport_cc = slot
            .ids
            .transport_cc
            .and_then(|id| header.element(packet, id));
        if let Some(&[a, b]) = transport_cc {
            self.arrivals.handle(now, u16::from_be_bytes([a, b]));
        }
        let payload = header.payload(packet).unwrap_or_default();
        let slot = &mut self.slots[at];
        if is_rtx {
            slot.rtx_highest = Some(highest.map_or(index, |highest| highest.max(index)));
            self.handle_rtx(now, at, &header, payload, outlet);
        } else {
            slot.note(now, index, header.timestamp);
            self.handle_payload(now, at, (index, Way::Media), &header, payload, outlet);
        }
    }

    /// A payload of a retransmission: the original's number, and the original's (RFC 4588, section 4).
    fn handle_rtx(
        &mut self,
        now: Instant,
        at: usize,
        header: &Header,
        payload: &[u8],
        outlet: &mut Outlet,
    ) {
        self.sums.rtx += 1;
        let Some((number, payload)) = payload.split_first_chunk::<2>() else {
            // A probe.
            self.sums.padding += 1;
            return;
        };
        let slot = &mut self.slots[at];
        let Some(highest) = slot.highest else {
            return;
        };
        let index = extend(u16::from_be_bytes(*number), highest);
        slot.missing.handle(now, index);
        self.handle_payload(now, at, (index, Way::Repair), header, payload, outlet);
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a packet's parts, taken apart once"
    )]
    fn handle_payload(
        &mut self,
        now: Instant,
        at: usize,
        (index, way): (u64, Way),
        header: &Header,
        payload: &[u8],
        outlet: &mut Outlet,
    ) {
        let slot = &mut self.slots[at];
        slot.count(index, way);
        if payload.is_empty() {
            self.sums.padding += 1;
            return;
        }
        let place = Place {
            slot: at,
            index,
            way,
            now,
        };
        match slot.kind {
            Kind::Video => self.handle_video(place, header, payload, outlet),
            Kind::Audio if Some(header.pt) == slot.types.red => {
                let mut blocks = [(0, &[][..]); MAX_BLOCKS];
                let mut count = 0;
                red::read(payload, |block| {
                    if count < MAX_BLOCKS {
                        blocks[count] = block;
                        count += 1;
                    }
                });
                for (offset, block) in blocks.into_iter().take(count) {
                    let age = u64::from(u32::from(offset) / FRAME_TICKS);
                    let way = if age == 0 { way } else { Way::Repair };
                    let index = index.saturating_sub(age);
                    self.handle_audio(
                        Place {
                            index,
                            way,
                            ..place
                        },
                        block,
                        outlet,
                    );
                }
            }
            Kind::Audio => self.handle_audio(place, payload, outlet),
        }
    }

    fn handle_audio(&mut self, place: Place, payload: &[u8], outlet: &mut Outlet) {
        match Stamp::read(payload.get(1..).unwrap_or_default()) {
            Read::Stamped(stamp) => {
                self.take(place, Kind::Audio, &stamp, outlet);
            }
            Read::Corrupt => self.sums.corrupt += 1,
            Read::Foreign => self.sums.foreign += 1,
        }
    }

    fn handle_video(&mut self, place: Place, header: &Header, payload: &[u8], outlet: &mut Outlet) {
        let coding = self.slots[place.slot].types.coding;
        let Some(body) = coding.body(payload) else {
            self.sums.corrupt += 1;
            return;
        };
        match Stamp::read(body) {
            Read::Stamped(stamp) => {
                if self.take(place, Kind::Video, &stamp, outlet) {
                    let decoder = &mut self.slots[place.slot].decoder;
                    let before = decoder.pictures().decoded;
                    decoder.handle(place.now, &stamp);
                    if decoder.pictures().decoded > before {
                        self.first_picture.get_or_insert(place.now);
                    }
                }
            }
            Read::Corrupt => self.sums.corrupt += 1,
            Read::Foreign => {
                self.sums.foreign += 1;
                self.sums.foreign_pictures += u64::from(header.marker);
            }
        }
    }

    /// Counts a stamped payload; whether it is new.
    fn take(&mut self, place: Place, kind: Kind, stamp: &Stamp, outlet: &mut Outlet) -> bool {
        let (_, counter) = self
            .counters
            .entry(stamp.stream)
            .or_insert_with(|| (kind, Counter::default()));
        let slot = &mut self.slots[place.slot];
        let is_ahead = counter
            .highest()
            .is_none_or(|highest| stamp.counter > highest);
        if slot.stream != Some(stamp.stream) && is_ahead {
            slot.stream = Some(stamp.stream);
            self.runs += 1;
            slot.run = self.runs;
        }
        let verdict = counter.handle(stamp.counter, place.index, slot.run, place.way);
        let is_new = verdict == crate::call::count::Verdict::New;
        if is_new {
            let us = self.clock.us(place.now).saturating_sub(stamp.sent_us);
            // A minute or more is not a latency, and goes where the longest are.
            outlet.latency.saturating_record(us.max(1));
        }
        is_new
    }

    /// The sums; with `last`, the publishers' last counters, what never came at the end is missing too.
    #[must_use]
    pub fn received(
        &self,
        transport: &Transport,
        last: Option<&BTreeMap<Stream, u32>>,
    ) -> Received {
        let mut sums = self.sums;
        sums.undecryptable = transport.counts().undecryptable;
        for (stream, (kind, counter)) in &self.counters {
            let is_current = self.slots.iter().any(|slot| slot.stream == Some(*stream));
            let last = last
                .and_then(|last| last.get(stream))
                .filter(|_| is_current);
            let totals = last.map_or_else(|| counter.totals(), |last| counter.finished(*last));
            match kind {
                Kind::Audio => sums.audio += totals,
                Kind::Video => sums.video += totals,
            }
        }
        for slot in &self.slots {
            sums.sequence += slot.sequence();
            sums.pictures += slot.decoder.pictures();
        }
        sums
    }

    /// Adds to what was asked for.
    pub fn asked(&mut self, nacked: usize, keys: u64) {
        self.sums.nacked += u64::try_from(nacked).unwrap_or(0);
        self.sums.keys_wanted += keys;
    }
}

/// Blocks of redundant sound that are looked at.
const MAX_BLOCKS: usize = 8;
