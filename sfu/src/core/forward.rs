//! One slot of a subscriber: what is sent on its SSRC, under which number, at which time.
//!
//! ```text
//!           key frame of the target layer (audio: any packet)
//!  Waiting ───────────────────────────────────────────────────► Running{layer, numbers, timeline}
//!     ▲                                                            │  │  key frame of another target
//!     ├── source changed, paused, no target, numbers jumped ◄──────┘  └─► Running{that layer}
//! ```
//!
//! A slot keeps its SSRC for its whole life, whatever it carries; what comes out looks like one stream
//! of one encoder (RFC 3550, section 7.1, would call this a translator with a memory):
//! - Numbers are contiguous. What is left out on purpose closes its number; what is given up while it
//!   waits gives it back; what the publisher's path lost leaves a hole, so that the subscriber asks for it. A packet that comes late and turns out to
//!   belong to what is left out can't close its number any more: it is filled in by padding.
//! - Timestamps go on across layers by the publisher's sender reports, else by arrival.
//! - VP8's picture ids and TL0PICIDX go on as well (RFC 7741, section 4.2), without the pictures that
//!   were left out; decoders wait for a picture whose id is missing. VP9's go on with gaps: references are
//!   differences of ids (RFC 9628, section 4.2).
//! - So do frame numbers in dependency descriptors, for the same reason (RTP Payload Format For AV1, appendix A):
//!   decoders go by the differences to what a frame needs, and by chains for what was lost. A key frame below the
//!   one before would be thrown away, so that each run goes on where the last one ended.
//! - The marker is where the last frame of a picture ends that is sent (RFC 9628, section 4.1).

mod numbers;
mod run;
mod timeline;

use super::layers::{LayerSelector, MAX_LAYERS, Target};
use super::report::Shift;
use super::ring::{Choice, Coding, Meta};
use crate::unit::{ClockRate, ExtSeqNo, MediaKind, NtpTime, RtpTime};
use crate::wire::rtcp::SenderInfo;
use numbers::Place;
use run::{Next, Run};
use std::time::Instant;
use timeline::Timeline;

/// Source numbers that may be missing in a row before what follows is taken for another stream: as
/// many as a layer's ring holds. For video a key frame is then needed.
const MAX_JUMP: u64 = 1_024;

/// A publication as the media path knows it. Never used again, so that what remembers one can't take
/// another for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceKey(pub u32);

/// With what a slot begins; random, as RFC 3550, section 5.1, and RFC 7741, section 4.2, advise.
#[derive(Debug, Clone, Copy)]
pub struct ForwarderConfig {
    /// Sound needs no key frames.
    pub kind: MediaKind,
    /// Of the slot's timestamps.
    pub clock: ClockRate,
    /// The first number; below 2^15, so that a loss at the beginning is no rollover (RFC 3711,
    /// section 3.3.1).
    pub seq: u16,
    /// The first timestamp.
    pub time: u32,
    /// The first picture id; its lower 15 bits count.
    pub picture_id: u16,
    /// The first TL0PICIDX.
    pub tl0: u8,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is sent, rewritten like this.
    Forward(Rewrite),
    /// Its number was left open and its payload is not to be sent: a packet of nothing but padding
    /// goes out under these numbers, or the subscriber would ask for it in vain.
    Fill(Rewrite),
    /// Nothing is sent.
    Drop(Dropped),
}

/// How a packet's header and payload descriptor are rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewrite {
    /// The slot's number. Begins within its first 2^16.
    pub seq: ExtSeqNo,
    /// The slot's timestamp.
    pub time: RtpTime,
    /// The marker bit.
    pub marker: bool,
    /// The picture id, 15 bits; where the descriptor has the short form its lower 7 count.
    pub picture_id: Option<u16>,
    /// TL0PICIDX.
    pub tl0: Option<u8>,
    /// The frame's number in its dependency descriptor.
    pub frame: Option<u16>,
    /// As part of what it is sent, where the stream has layers that are told by such descriptors.
    pub choice: Option<Choice>,
}

/// Why nothing is sent of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// The slot is paused or has no target.
    Paused,
    /// Another layer is sent or waited for, or no key frame came yet.
    OtherLayer,
    /// It is of a spatial or temporal layer that is not wanted.
    NotChosen,
    /// It has no payload.
    Padding,
    /// It is from before the last switch, or so late that its number is forgotten.
    TooLate,
}

/// A subscription's state on the media path.
#[derive(Debug)]
pub struct Forwarder {
    kind: MediaKind,
    source: Option<SourceKey>,
    is_paused: bool,
    layers: LayerSelector,
    run: Option<Run>,
    timeline: Timeline,
    /// The next number; all before it were given out or left open.
    next: ExtSeqNo,
    /// From here on none has left.
    unsent: ExtSeqNo,
    next_picture: u16,
    next_tl0: u8,
    next_frame: u16,
    /// The newest packet of each layer that was shown, sent or not.
    shown: [Option<ExtSeqNo>; MAX_LAYERS],
    replay: Option<Replay>,
    sent: Sent,
}

/// What was sent, for sender reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sent {
    /// Packets, without repairs and padding.
    pub packets: u64,
    /// Bytes of their payloads.
    pub octets: u64,
}

#[derive(Debug, Clone, Copy)]
struct Replay {
    layer: u8,
    next: ExtSeqNo,
    last: ExtSeqNo,
}

impl Forwarder {
    /// A slot that carries nothing.
    #[must_use]
    pub fn new(config: ForwarderConfig) -> Self {
        Self {
            kind: config.kind,
            source: None,
            is_paused: false,
            layers: LayerSelector::new(),
            run: None,
            timeline: Timeline::new(config.clock, RtpTime(config.time)),
            next: ExtSeqNo(u64::from(config.seq)),
            unsent: ExtSeqNo(u64::from(config.seq)),
            next_picture: config.picture_id & 0x7fff,
            next_tl0: config.tl0,
            next_frame: config.picture_id,
            shown: [None; MAX_LAYERS],
            replay: None,
            sent: Sent::default(),
        }
    }

    /// What the slot carries from now on. Packets that are shown from here on are this source's.
    pub fn set_source(&mut self, source: Option<SourceKey>) {
        if self.source != source {
            self.source = source;
            self.stop();
            self.shown = [None; MAX_LAYERS];
        }
    }

    /// What should be sent of a video source; `None` for nothing. Audio is sent without a target.
    pub fn set_target(&mut self, target: Option<Target>) {
        self.layers.set_target(target);
        if target.is_none() && self.kind == MediaKind::Video {
            self.stop();
        }
    }

    /// Sends nothing from now on.
    pub fn pause(&mut self) {
        self.is_paused = true;
        self.stop();
    }

    /// Sends again; video from its next key frame on.
    pub fn resume(&mut self) {
        self.is_paused = false;
    }

    /// What the slot carries.
    #[must_use]
    pub fn source(&self) -> Option<SourceKey> {
        self.source
    }

    /// What should be sent.
    #[must_use]
    pub fn target(&self) -> Option<Target> {
        self.layers.target()
    }

    /// The layer that is sent; `None` while nothing is. Audio has layer 0.
    #[must_use]
    pub fn current_layer(&self) -> Option<u8> {
        self.run.as_ref().map(|run| run.layer)
    }

    /// The highest layers within it that are sent of a video.
    #[must_use]
    pub fn current_choice(&self) -> Option<Choice> {
        self.layers.choice()
    }

    /// The layer whose key frame is waited for.
    #[must_use]
    pub fn wanted_keyframe(&self) -> Option<u8> {
        if self.source.is_none() || self.is_paused || self.kind == MediaKind::Audio {
            return None;
        }
        self.layers.wanted_keyframe()
    }

    /// The oldest number of the source that goes out as part of what is sent now: redundancy reaches
    /// back to it and not before, where another source was heard.
    #[must_use]
    pub fn oldest(&self) -> Option<ExtSeqNo> {
        self.run.as_ref().map(|run| run.numbers.first())
    }

    /// Decides about one packet of the source. Each is shown once, in the order of arrival; those that
    /// came late or by repair too.
    pub fn decide(&mut self, layer: u8, seq: ExtSeqNo, meta: &Meta) -> Decision {
        if self.is_paused || self.source.is_none() {
            return Decision::Drop(Dropped::Paused);
        }
        let newest = self.show(layer, seq);
        if self.begins_run(layer, seq, meta) {
            self.begin(layer, seq, meta);
            self.replay = newest.filter(|&newest| newest > seq).map(|last| Replay {
                layer,
                next: seq.next(),
                last,
            });
        }
        match &self.run {
            Some(run) if run.layer == layer => self.go_on(seq, meta),
            Some(_) => Decision::Drop(Dropped::OtherLayer),
            None if self.kind == MediaKind::Video && self.layers.target().is_none() => {
                Decision::Drop(Dropped::Paused)
            }
            None => Decision::Drop(Dropped::OtherLayer),
        }
    }

    /// A packet that was shown before its layer was entered, and belongs to what is sent now: its key
    /// frame's beginning came after it. To be asked after each decision, and to be shown again if the
    /// layer still has it.
    pub fn poll_replay(&mut self) -> Option<(u8, ExtSeqNo)> {
        let replay = self.replay.as_mut()?;
        let (layer, seq) = (replay.layer, replay.next);
        replay.next = seq.next();
        if seq >= replay.last {
            self.replay = None;
        }
        Some((layer, seq))
    }

    /// A number and a time for a packet of nothing but padding, to probe for bandwidth where there are no
    /// repairs. `None` while something is sent: numbers between its packets are its own.
    pub fn take_padding(&mut self) -> Option<(ExtSeqNo, RtpTime)> {
        if self.run.is_some() {
            return None;
        }
        let seq = self.next;
        self.next = seq.next();
        self.handle_filled(seq);
        Some((seq, self.timeline.newest()))
    }

    /// A packet that was to be forwarded leaves.
    pub fn handle_sent(&mut self, seq: ExtSeqNo, payload_len: u16) {
        self.unsent = self.unsent.max(seq.next());
        self.sent.packets += 1;
        self.sent.octets += u64::from(payload_len);
    }

    /// A packet of padding leaves.
    pub fn handle_filled(&mut self, seq: ExtSeqNo) {
        self.unsent = self.unsent.max(seq.next());
    }

    /// Nothing waits any more of what was decided, and nothing is sent at present: what goes on does so
    /// with the number after the last that has left, or the subscriber would ask for those between.
    /// Returns that number; lower ones that have not left are to be filled.
    pub fn take_back(&mut self) -> ExtSeqNo {
        if self.run.is_none() {
            self.next = self.unsent;
        }
        self.unsent
    }

    /// What was sent, ever.
    #[must_use]
    pub fn sent(&self) -> Sent {
        self.sent
    }

    /// The values of a sender report at `now`, which is `ntp` on our clock (RFC 3550, section 6.4.1).
    /// `shift` puts the publisher's clock on ours, the same for all of its streams, so that they stay in
    /// step. `None` before anything was sent.
    #[must_use]
    pub fn sender_report(
        &self,
        now: Instant,
        ntp: NtpTime,
        shift: Option<Shift>,
    ) -> Option<SenderInfo> {
        Some(SenderInfo {
            ntp,
            time: self.timeline.time_at(now, ntp, shift)?,
            packets: wrapped(self.sent.packets),
            octets: wrapped(self.sent.octets),
        })
    }

    fn stop(&mut self) {
        self.run = None;
        self.replay = None;
        self.layers.handle_break();
    }

    /// Remembers the newest packet of a layer; gives the newest before this one.
    fn show(&mut self, layer: u8, seq: ExtSeqNo) -> Option<ExtSeqNo> {
        let shown = self.shown.get_mut(usize::from(layer))?;
        let before = *shown;
        *shown = Some(before.map_or(seq, |newest| newest.max(seq)));
        before
    }

    fn begins_run(&mut self, layer: u8, seq: ExtSeqNo, meta: &Meta) -> bool {
        let is_broken = self.run.as_ref().is_some_and(|run| {
            let jumped = seq.0.saturating_sub(run.numbers.newest().0) > MAX_JUMP;
            // Of sound each packet stands alone, in whichever format.
            let is_recoded = self.kind == MediaKind::Video && run.pt != meta.pt;
            run.layer == layer && (jumped || (is_recoded && run.numbers.is_ahead(seq)))
        });
        if is_broken {
            self.stop();
        }
        if meta.payload_len == 0 {
            return false;
        }
        match self.kind {
            MediaKind::Audio => self.run.is_none(),
            MediaKind::Video => self.layers.try_switch(layer, meta),
        }
    }

    fn begin(&mut self, layer: u8, seq: ExtSeqNo, meta: &Meta) {
        self.timeline.enter(self.source, meta);
        let next = Next {
            seq: self.next,
            picture_id: self.next_picture,
            tl0: self.next_tl0,
            frame: self.next_frame,
        };
        self.run = Some(Run::new(layer, seq, next, meta));
    }

    fn go_on(&mut self, seq: ExtSeqNo, meta: &Meta) -> Decision {
        let Some(run) = self.run.as_mut() else {
            return Decision::Drop(Dropped::OtherLayer);
        };
        let is_newest = run.numbers.is_ahead(seq);
        // The limit before this packet: what lies between it and the last one was decided by it.
        let limit = self.layers.choice().map(|choice| choice.temporal);
        let (refused, choice) = if meta.payload_len == 0 {
            (Some(Dropped::Padding), None)
        } else if self.kind == MediaKind::Video {
            let choice = self.layers.admit(meta);
            (choice.is_none().then_some(Dropped::NotChosen), choice)
        } else {
            (None, None)
        };
        if is_newest {
            run.advance(seq, meta, refused.is_none(), limit);
        }
        let (ours, left_out) = match run.numbers.place(seq) {
            Place::Kept {
                seq,
                pictures_left_out,
            } => (seq, pictures_left_out),
            Place::LeftOut if is_newest => {
                return Decision::Drop(refused.unwrap_or(Dropped::Padding));
            }
            Place::LeftOut | Place::Forgotten => return Decision::Drop(Dropped::TooLate),
        };
        let rewrite = Rewrite {
            seq: ours,
            time: self.timeline.rewritten(meta.time),
            marker: meta.marker || choice.is_some_and(|choice| ends_picture(meta, choice)),
            picture_id: run.pictures.id(meta, left_out),
            tl0: run.pictures.tl0(meta),
            frame: run.pictures.frame(meta),
            choice: choice.filter(|_| meta.descriptor_len > 0),
        };
        self.next = self.next.max(ours.next());
        if refused.is_some() {
            return Decision::Fill(Rewrite {
                marker: false,
                picture_id: None,
                tl0: None,
                frame: None,
                choice: None,
                ..rewrite
            });
        }
        self.count(meta, rewrite);
        Decision::Forward(rewrite)
    }

    fn count(&mut self, meta: &Meta, rewrite: Rewrite) {
        self.timeline.handle_sent(meta, rewrite.time);
        // What comes late may still be the newest that is sent, when all after it was left out.
        if let Some(id) = rewrite.picture_id
            && id.wrapping_sub(self.next_picture) & 0x7fff < 0x4000
        {
            self.next_picture = id.wrapping_add(1) & 0x7fff;
        }
        if let Some(tl0) = rewrite.tl0
            && tl0.wrapping_sub(self.next_tl0) < 0x80
        {
            self.next_tl0 = tl0.wrapping_add(1);
        }
        if let Some(frame) = rewrite.frame
            && frame.wrapping_sub(self.next_frame) < 0x8000
        {
            self.next_frame = frame.wrapping_add(1);
        }
    }
}

/// Whether a picture ends with the packet for those who are sent this choice.
fn ends_picture(meta: &Meta, choice: Choice) -> bool {
    match &meta.coding {
        Coding::Plain | Coding::Vp8(_) => false,
        Coding::Layered(frame) => frame.ends_frame && frame.spatial == choice.spatial,
    }
}

/// Report counters wrap (RFC 3550, section 6.4.1).
#[expect(
    clippy::cast_possible_truncation,
    reason = "the lower 32 bits are what a report has"
)]
fn wrapped(count: u64) -> u32 {
    count as u32
}

#[cfg(test)]
mod tests;
