//! The sending half of a participant: its tracks' packets, their history, and what answers requests.

mod encoding;

pub use encoding::{Encoding, Wire};

use crate::call::coding::Part;
use crate::call::outlet::Clock;
use crate::call::red;
use crate::call::rtp::Fields;
use crate::call::sdp::{Extensions, Kind, Media, PayloadTypes};
use crate::call::source::audio::FRAME_TICKS;
use crate::call::source::{Audio, Frame, Video};
use crate::call::stamp::{Stamp, Stream};
use crate::call::vp8::Descriptor;
use encoding::{Link, resend, send, ticks_of};
use rtc_rtcp::sender_report::SenderReport;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Frames of sound that go again with each one (RFC 2198).
const REDUNDANT: usize = 2;

/// Opus: 20 ms of full-band CELT, mono, one frame (RFC 6716, section 3.1).
const TOC: u8 = 0xf8;

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sent {
    /// Media packets.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Packets that the server asked for.
    pub nacked: u64,
    /// Of them, those that were sent again.
    pub resent: u64,
    /// Key frames that the server asked for.
    pub keys_wanted: u64,
    /// Frames left out because the generator was late.
    pub late: u64,
}

impl std::ops::AddAssign for Sent {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.nacked += other.nacked;
        self.resent += other.resent;
        self.keys_wanted += other.keys_wanted;
        self.late += other.late;
    }
}

/// A track that is published.
#[derive(Debug)]
pub struct Track {
    mid: String,
    number: u8,
    media: Source,
    encodings: Vec<Encoding>,
    ids: Extensions,
    types: PayloadTypes,
    /// The server takes it.
    is_accepted: bool,
}

/// Where a track's media is from; nothing before it is started.
#[derive(Debug)]
pub enum Source {
    /// A microphone.
    Audio {
        /// Its frames.
        audio: Audio,
        /// The payloads before, the oldest first.
        past: VecDeque<Vec<u8>>,
    },
    /// A camera.
    Video(Video),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    Sending,
    Stopped,
}

/// The publishing half.
#[derive(Debug)]
pub struct Publisher {
    /// The publisher's number in stamps.
    number: u32,
    clock: Clock,
    tracks: Vec<Track>,
    phase: Phase,
    /// Between the first chance to send and the first frame: not everybody at the same moment.
    stagger: Duration,
    transport_number: u16,
    sent: Sent,
    frames: Vec<Frame>,
    payload: Vec<u8>,
}

impl Publisher {
    /// Publishes nothing yet.
    #[must_use]
    pub fn new(number: u32, clock: Clock, stagger: Duration) -> Self {
        Self {
            number,
            clock,
            tracks: Vec::new(),
            phase: Phase::Waiting,
            stagger,
            transport_number: 0,
            sent: Sent::default(),
            frames: Vec::new(),
            payload: Vec::with_capacity(1_500),
        }
    }

    /// Adds a track, silent until the server takes it; `number` names it in stamps.
    pub fn add(&mut self, mid: &str, number: u8, media: Source, encodings: Vec<Encoding>) {
        self.tracks.push(Track {
            mid: mid.to_owned(),
            number,
            media,
            encodings,
            ids: Extensions::default(),
            types: PayloadTypes::default(),
            is_accepted: false,
        });
    }

    /// The server's answer for an m-line.
    pub fn handle_answer(&mut self, media: &Media) {
        if let Some(track) = self.tracks.iter_mut().find(|track| track.mid == media.mid) {
            track.is_accepted = !media.is_rejected && media.receives;
            track.ids = media.extensions;
            track.types = media.payload_types;
        }
    }

    /// Sends nothing new from now on.
    pub fn stop(&mut self) {
        self.phase = Phase::Stopped;
    }

    /// When the next frame is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.phase == Phase::Stopped {
            return None;
        }
        let next = |track: &Track| match &track.media {
            Source::Audio { audio, .. } => audio.beat.next(),
            Source::Video(video) => video.next(),
        };
        self.tracks
            .iter()
            .filter(|track| track.is_accepted)
            .map(next)
            .min()
    }

    /// Sends what is due; the transport has its keys.
    pub fn handle_timeout(&mut self, wire: &mut Wire<'_>) {
        match self.phase {
            Phase::Waiting => {
                // What fell due while there was no transport was never there.
                let first = wire.now + self.stagger;
                self.tracks
                    .iter_mut()
                    .for_each(|track| match &mut track.media {
                        Source::Audio { audio, .. } => audio.begin(first),
                        Source::Video(video) => video.begin(first),
                    });
                self.phase = Phase::Sending;
            }
            Phase::Sending => {}
            Phase::Stopped => return,
        }
        for at in 0..self.tracks.len() {
            if !self.tracks[at].is_accepted {
                continue;
            }
            match self.tracks[at].media {
                Source::Audio { .. } => self.send_audio(at, wire),
                Source::Video(_) => self.send_video(at, wire),
            }
        }
    }

    /// The server misses these packets.
    pub fn handle_nack(&mut self, ssrc: u32, numbers: &[u16], wire: &mut Wire<'_>) {
        self.sent.nacked += u64::try_from(numbers.len()).unwrap_or(0);
        for track in &mut self.tracks {
            let Some(encoding) = track.encodings.iter_mut().find(|e| e.ssrc == ssrc) else {
                continue;
            };
            for &number in numbers {
                let link = Link {
                    mid: &track.mid,
                    ids: track.ids,
                    number: &mut self.transport_number,
                };
                if resend(encoding, number, track.types, link, wire) {
                    self.sent.resent += 1;
                }
            }
        }
    }

    /// The server wants a key frame.
    pub fn handle_key_request(&mut self, ssrc: u32) {
        for track in &mut self.tracks {
            if let (Some(layer), Source::Video(video)) = (
                track.encodings.iter().position(|e| e.ssrc == ssrc),
                &mut track.media,
            ) {
                self.sent.keys_wanted += 1;
                video.want_key(layer);
            }
        }
    }

    /// The server has reported on a source.
    pub fn handle_report(&mut self, ssrc: u32) {
        let encodings = self
            .tracks
            .iter_mut()
            .flat_map(|track| &mut track.encodings);
        encodings
            .filter(|e| e.ssrc == ssrc)
            .for_each(|e| e.is_known = true);
    }

    /// Reports of all sources that have sent.
    pub fn reports(&self, now_us: u64, now: Instant, mut each: impl FnMut(SenderReport)) {
        for track in &self.tracks {
            let rate = match track.media {
                Source::Audio { .. } => 48_000,
                Source::Video(_) => 90_000,
            };
            for encoding in &track.encodings {
                if let Some((at, ticks)) = encoding.last {
                    let later = ticks_of(now.saturating_duration_since(at), rate);
                    each(SenderReport {
                        ssrc: encoding.ssrc,
                        ntp_time: ntp(now_us),
                        rtp_time: ticks.wrapping_add(later),
                        packet_count: encoding.packets,
                        octet_count: encoding.octets,
                        ..SenderReport::default()
                    });
                }
            }
        }
    }

    /// What was sent.
    #[must_use]
    pub fn sent(&self) -> Sent {
        let late = self.tracks.iter().map(|track| match &track.media {
            Source::Audio { audio, .. } => audio.beat.late(),
            Source::Video(video) => video.late(),
        });
        Sent {
            late: late.sum(),
            ..self.sent
        }
    }

    /// The last counter of every stream that has sent.
    pub fn last(&self, into: &mut BTreeMap<Stream, u32>) {
        for track in &self.tracks {
            for (layer, encoding) in (0_u8..).zip(&track.encodings) {
                if let Some(last) = encoding.counter.checked_sub(1) {
                    into.insert(self.stream(track.number, layer), last);
                }
            }
        }
    }

    /// The tracks' m-lines and kinds.
    pub fn tracks(&self) -> impl Iterator<Item = (&str, Kind)> {
        self.tracks.iter().map(|track| {
            let kind = match track.media {
                Source::Audio { .. } => Kind::Audio,
                Source::Video(_) => Kind::Video,
            };
            (track.mid.as_str(), kind)
        })
    }

    fn stream(&self, track: u8, layer: u8) -> Stream {
        Stream {
            publisher: self.number,
            track,
            layer,
        }
    }

    fn send_audio(&mut self, at: usize, wire: &mut Wire<'_>) {
        let stream = self.stream(self.tracks[at].number, 0);
        let track = &mut self.tracks[at];
        let (Source::Audio { audio, past }, Some(encoding)) =
            (&mut track.media, track.encodings.first_mut())
        else {
            return;
        };
        let Some((frame, level)) = audio.take(wire.now) else {
            return;
        };
        let stamp = Stamp {
            stream,
            counter: encoding.counter,
            frame,
            refers: frame,
            count: 1,
            sent_us: wire.now_us,
            ..Stamp::default()
        };
        let mut payload = vec![TOC];
        stamp.write(audio.plan.bytes.saturating_sub(1), &mut payload);
        let red = track.types.red.filter(|_| audio.plan.has_red);
        self.payload.clear();
        if red.is_some() {
            let mut blocks: Vec<red::Block<'_>> = Vec::with_capacity(REDUNDANT + 1);
            let ages = (1..=past.len()).rev();
            for (block, age) in past.iter().zip(ages) {
                let ticks = FRAME_TICKS * u32::try_from(age).unwrap_or(1);
                blocks.push((u16::try_from(ticks).unwrap_or(u16::MAX), block));
            }
            blocks.push((0, &payload));
            red::write(track.types.opus, &blocks, &mut self.payload);
        } else {
            self.payload.extend(&payload);
        }
        let is_first = encoding.counter == 0;
        if past.len() == REDUNDANT {
            past.pop_front();
        }
        past.push_back(payload);
        let ticks = encoding
            .ticks_base
            .wrapping_add(frame.wrapping_mul(FRAME_TICKS));
        let fields = Fields {
            marker: is_first,
            pt: red.unwrap_or(track.types.opus),
            seq: 0,
            timestamp: ticks,
            ssrc: encoding.ssrc,
        };
        let link = Link {
            mid: &track.mid,
            ids: track.ids,
            number: &mut self.transport_number,
        };
        send(encoding, fields, Some(level), &self.payload, link, wire);
        note(&mut self.sent, self.payload.len());
    }

    fn send_video(&mut self, at: usize, wire: &mut Wire<'_>) {
        let mut frames = std::mem::take(&mut self.frames);
        if let Source::Video(video) = &mut self.tracks[at].media {
            video.take(wire.now, &mut frames);
        }
        for frame in frames.drain(..) {
            for index in 0..frame.packets {
                self.send_part(at, &frame, index, wire);
            }
        }
        self.frames = frames;
    }

    fn send_part(&mut self, at: usize, frame: &Frame, index: u16, wire: &mut Wire<'_>) {
        let stream = self.stream(self.tracks[at].number, frame.layer);
        let track = &mut self.tracks[at];
        let Some(encoding) = track.encodings.get_mut(usize::from(frame.layer)) else {
            return;
        };
        let descriptor = Descriptor {
            is_start: index == 0,
            is_unreferenced: frame.temporal == 2,
            picture_id: frame.picture_id,
            tl0: frame.tl0,
            temporal: frame.temporal,
            is_sync: frame.is_sync,
        };
        self.payload.clear();
        let part = Part {
            descriptor,
            is_key: frame.is_key(),
            index,
            count: frame.packets,
        };
        track.types.coding.write(part, &mut self.payload);
        let stamp = Stamp {
            stream,
            temporal: frame.temporal,
            is_key: frame.is_key(),
            counter: encoding.counter,
            frame: frame.number,
            refers: frame.refers,
            index,
            count: frame.packets,
            sent_us: wire.now_us,
        };
        stamp.write(
            frame.payload_bytes(index) - self.payload.len(),
            &mut self.payload,
        );
        let taken = Duration::from_micros(self.clock.us(frame.at));
        let fields = Fields {
            marker: index + 1 == frame.packets,
            pt: track.types.video,
            seq: 0,
            timestamp: encoding.ticks_base.wrapping_add(ticks_of(taken, 90_000)),
            ssrc: encoding.ssrc,
        };
        let link = Link {
            mid: &track.mid,
            ids: track.ids,
            number: &mut self.transport_number,
        };
        send(encoding, fields, None, &self.payload, link, wire);
        note(&mut self.sent, self.payload.len());
    }
}

fn note(sent: &mut Sent, bytes: usize) {
    sent.packets += 1;
    sent.bytes += u64::try_from(bytes).unwrap_or(0);
}

/// As NTP counts: seconds since 1900 and their fractions, 32 bits each.
pub fn ntp(us: u64) -> u64 {
    ((us / 1_000_000 + 2_208_988_800) << 32) | ((us % 1_000_000) * (1 << 32) / 1_000_000)
}
