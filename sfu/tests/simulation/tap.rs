//! What the server sends to one client, looked at before the network does anything to it.

use crate::client::Came;
use crate::media::Source_;
use crate::publisher::{FrameKey, tag};
use crate::sdp::{IDS, OPUS, RED, RTX, VP8};
use kaiwa_sfu::srtp::Opener;
use kaiwa_sfu::unit::{ExtSeqNo, Mid, RtpTime, SeqNo, Ssrc};
use kaiwa_sfu::wire::red::Blocks;
use kaiwa_sfu::wire::rtp::{Extensions, Header};
use kaiwa_sfu::wire::{rtx, vp8};
use std::collections::{BTreeMap, BTreeSet};

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Padding,
    Voice(u8),
    Picture(FrameKey, u8),
}

impl What {
    pub(crate) fn tag(self) -> Option<u8> {
        match self {
            Self::Padding => None,
            Self::Voice(tag) => Some(tag),
            Self::Picture(key, _) => Some(key.source),
        }
    }
}

#[derive(Debug)]
struct Sent {
    us: u64,
    time: RtpTime,
    marker: bool,
    what: What,
    payload: Vec<u8>,
}

/// One source of the server's.
#[derive(Debug, Default)]
struct Stream {
    highest: Option<ExtSeqNo>,
    sent: BTreeMap<u64, Sent>,
}

/// All of one client's.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    streams: BTreeMap<Ssrc, Stream>,
    /// The media source of an m-line.
    by_mid: BTreeMap<Mid, Ssrc>,
    transport: Option<u16>,
    pub(crate) repairs: u64,
    pub(crate) packets: u64,
    /// Packets of pictures, without repairs.
    pub(crate) pictures: u64,
    /// Layers of pictures that came since it was emptied last, without repairs.
    pub(crate) layers: BTreeSet<u8>,
    /// Packets that left before the client had keys.
    pub(crate) unseen: u64,
}

/// A packet as it was looked at.
pub(crate) struct Tapped {
    pub(crate) came: Came,
    pub(crate) mid: Mid,
    pub(crate) what: What,
    pub(crate) is_repair: bool,
}

impl Tap {
    /// Takes a packet that leaves. It has to be whole, authentic and new.
    pub(crate) fn take(&mut self, us: u64, opener: &mut Opener, bytes: &mut [u8]) -> Tapped {
        let header = Header::parse(bytes).expect("RTP");
        let opened = opener.open_rtp(bytes, header.header_len, header.ssrc, header.seq);
        let (_, len) = opened.unwrap_or_else(|error| {
            panic!("each packet is authentic and comes once: {error}: {header:?} at {us}")
        });
        let plain = &bytes[..len];
        let extensions = Extensions::read(&IDS, &header, plain);
        let payload = header.payload(plain).expect("a payload").to_vec();
        let mid = extensions.mid.expect("every packet says its m-line");
        self.packets += 1;
        if let Some(number) = extensions.transport_seq {
            let before = self.transport.replace(number);
            let follows = before.is_none_or(|before| number == before.wrapping_add(1));
            assert!(follows, "transport-wide numbers: {before:?}, then {number}");
        }
        let is_rtx = header.payload_type == RTX;
        let mut came = Came {
            ssrc: header.ssrc,
            is_rtx,
            seq: header.seq,
            transport_seq: extensions.transport_seq.unwrap_or_default(),
            osn: None,
            tag: None,
        };
        let mut what = What::Padding;
        if is_rtx {
            came.osn = self.repaired(mid, &header, &payload);
            self.repairs += u64::from(came.osn.is_some());
        } else {
            what = self.media(us, mid, &header, payload);
            came.tag = what.tag();
            if let What::Picture(key, _) = what {
                self.pictures += 1;
                self.layers.insert(key.layer);
            }
        }
        Tapped {
            is_repair: is_rtx,
            came,
            mid,
            what,
        }
    }

    /// A repair is what was sent before, bit by bit.
    fn repaired(&self, mid: Mid, header: &Header, payload: &[u8]) -> Option<SeqNo> {
        let (osn, payload) = rtx::split(payload)?;
        let Some(media) = self.by_mid.get(&mid) else {
            assert!(self.unseen > 0, "a repair of nothing");
            return Some(osn);
        };
        let stream = &self.streams[media];
        let seq = stream.highest.expect("it was sent").nearest(osn);
        let first = *stream.sent.keys().next().expect("something");
        if seq.0 < first + self.unseen {
            // It may have left before the client had keys, and could not be looked at.
            return Some(osn);
        }
        let original = stream.sent.get(&seq.0);
        let original = original.unwrap_or_else(|| {
            panic!(
                "a repair of {seq:?} of {mid}, which was not sent: {first} to {:?}",
                stream.highest
            )
        });
        assert_eq!(original.payload, payload, "a repair is the same payload");
        assert_eq!(original.time, header.time);
        assert_eq!(original.marker, header.marker);
        Some(osn)
    }

    fn media(&mut self, us: u64, mid: Mid, header: &Header, payload: Vec<u8>) -> What {
        let before = self.by_mid.insert(mid, header.ssrc);
        assert!(
            before.is_none_or(|before| before == header.ssrc),
            "a slot keeps its source"
        );
        let what = if payload.is_empty() {
            What::Padding
        } else if header.payload_type == VP8 {
            let (key, index) = tag(&payload);
            What::Picture(key, index)
        } else if header.payload_type == OPUS {
            What::Voice(payload[1])
        } else {
            assert_eq!(header.payload_type, RED);
            voice_of_red(&payload)
        };
        let stream = self.streams.entry(header.ssrc).or_default();
        let first = ExtSeqNo((1 << 16) + u64::from(header.seq.0));
        let seq = stream
            .highest
            .map_or(first, |highest| highest.nearest(header.seq));
        stream.highest = stream.highest.max(Some(seq));
        let sent = Sent {
            us,
            time: header.time,
            marker: header.marker,
            what,
            payload,
        };
        let before = stream.sent.insert(seq.0, sent);
        assert!(before.is_none(), "{seq:?} of {mid} twice");
        what
    }

    /// What holds over the whole of a call.
    pub(crate) fn check(&self, sources: &[&Source_], is_calm: bool) {
        for stream in self.streams.values() {
            stream.times_go_forward();
            stream.layers_begin_with_key_frames(sources, is_calm);
        }
    }
}

/// All of a packet is one voice's, and the newest is the last.
fn voice_of_red(payload: &[u8]) -> What {
    let mut last = None;
    let mut tags = Vec::new();
    for block in Blocks::parse(payload).expect("RED") {
        assert_eq!(block.payload_type, OPUS);
        tags.push(block.bytes[1]);
        let number = u32::from_be_bytes(block.bytes[2..6].try_into().unwrap());
        assert!(
            last.is_none_or(|last| last < number),
            "the newest comes last"
        );
        last = Some(number);
    }
    assert!(
        tags.iter().all(|tag| *tag == tags[0]),
        "one voice in a packet"
    );
    What::Voice(tags[0])
}

impl Stream {
    fn times_go_forward(&self) {
        for ((a_seq, a), (b_seq, b)) in self.sent.iter().zip(self.sent.iter().skip(1)) {
            let step = b.time.since(a.time);
            let is_same_frame = match (a.what, b.what) {
                (What::Picture(a, _), What::Picture(b, _)) => a == b,
                (What::Padding, _) => false,
                (_, What::Padding) => step == 0,
                (What::Voice(_) | What::Picture(..), _) => false,
            };
            let is_right = match (a.what, is_same_frame) {
                // A frame's, or between frames to probe with.
                (What::Padding, _) => step >= 0,
                (What::Voice(_) | What::Picture(..), true) => step == 0,
                (What::Voice(_) | What::Picture(..), false) => step > 0,
            };
            assert!(
                is_right,
                "{step} ticks from {a_seq} {:?} {} to {b_seq} {:?} {}",
                a.what, a.us, b.what, b.us
            );
        }
    }

    fn layers_begin_with_key_frames(&self, sources: &[&Source_], is_calm: bool) {
        let mut last: Option<(u64, u8, u8)> = None;
        for (seq, sent) in &self.sent {
            let What::Picture(key, index) = sent.what else {
                if let Some((last, ..)) = &mut last {
                    *last = *seq;
                }
                continue;
            };
            let source = sources.iter().find(|source| source.tag == key.source);
            let source = source.expect("a publisher's");
            let original = source.payloads.get(&(key, index)).expect("what was sent");
            // The descriptor has other numbers.
            assert_eq!(sent.payload[6..], original[6..], "{key:?} {index}");
            assert!(vp8::Descriptor::parse(&sent.payload).is_ok());
            let goes_on =
                last.is_some_and(|(_, tag, layer)| (tag, layer) == (key.source, key.layer));
            // What a stream begins with may have left before the client had keys.
            let follows = last.is_some_and(|(last, ..)| last + 1 == *seq);
            let is_begin = source.frames[&key].is_key && index == 0;
            // After a hole the packet that it began with may be what is missing.
            assert!(
                goes_on || is_begin || !follows,
                "{key:?} {index} at {seq} after {last:?}"
            );
            if is_calm && last.is_some() {
                assert!(
                    follows,
                    "a hole before {seq}: {last:?} {key:?} {index} at {}",
                    sent.us
                );
            }
            last = Some((*seq, key.source, key.layer));
        }
    }
}
