//! The codecs that are forwarded, and what of an offer's formats is one of them.

use super::NegotiateError;
use super::h264::H264;
use crate::unit::{MediaKind, PayloadType};
use crate::wire::sdp::{Feedback, FeedbackSet, Format, RtpMap};
use std::collections::BTreeMap;

/// A codec, with the parameters that the client gives for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// RFC 7587.
    Opus(Opus),
    /// Opus and its last payloads again (RFC 2198).
    Red,
    /// RFC 7741.
    Vp8,
    /// RFC 9628, of this profile: 0 for 8 bits a sample, 2 for 10.
    Vp9(u8),
    /// RFC 6184.
    H264(H264),
    /// RTP Payload Format For AV1, the main profile.
    Av1(Av1),
}

/// A codec of pictures, as people name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoCodec {
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
    /// H.264.
    H264,
    /// AV1.
    Av1,
}

impl VideoCodec {
    /// All, in the order in which they are preferred unless somebody says otherwise: what costs senders
    /// least first.
    pub const ALL: [Self; 4] = [Self::Vp8, Self::Vp9, Self::H264, Self::Av1];

    /// As in `a=rtpmap`, and in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::H264 => "H264",
            Self::Av1 => "AV1",
        }
    }

    /// By its name, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|codec| codec.name().eq_ignore_ascii_case(name))
    }
}

/// The codecs of pictures that a server takes, the most wanted first, each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoCodecs([Option<VideoCodec>; VideoCodec::ALL.len()]);

impl VideoCodecs {
    /// Those, in their order; one that comes again is passed over.
    #[must_use]
    pub fn new(codecs: &[VideoCodec]) -> Self {
        let mut all = Self([None; VideoCodec::ALL.len()]);
        for &codec in codecs {
            if all.rank(codec).is_none()
                && let Some(free) = all.0.iter_mut().find(|place| place.is_none())
            {
                *free = Some(codec);
            }
        }
        all
    }

    /// What of it somebody else wants too, in their order; all of it, in its own, where that is nothing.
    #[must_use]
    pub fn narrowed(self, wanted: Option<Self>) -> Self {
        let both = wanted.into_iter().flat_map(|wanted| wanted.0).flatten();
        let both: Vec<_> = both.filter(|codec| self.rank(*codec).is_some()).collect();
        if both.is_empty() {
            self
        } else {
            Self::new(&both)
        }
    }

    /// Its place, 0 for the most wanted; `None` if it is not taken.
    fn rank(&self, codec: VideoCodec) -> Option<usize> {
        self.0.iter().position(|place| *place == Some(codec))
    }
}

impl Default for VideoCodecs {
    fn default() -> Self {
        Self::new(&VideoCodec::ALL)
    }
}

/// What a decoder of AV1 can do at most (RTP Payload Format For AV1, section 7.2.1); the answer repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Av1 {
    level_idx: u8,
    tier: u8,
}

/// What the client says that it can decode, or would rather have (RFC 7587, section 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Opus {
    /// `stereo=1`
    pub is_stereo: bool,
    /// `useinbandfec=1`
    pub has_fec: bool,
    /// `usedtx=1`
    pub has_dtx: bool,
}

/// A payload type that may come or be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload {
    /// What it carries.
    pub codec: Codec,
    /// Its number.
    pub pt: PayloadType,
    /// That of its retransmissions (RFC 4588).
    pub rtx: Option<PayloadType>,
    /// RTCP feedback that both sides know.
    pub feedback: FeedbackSet,
}

/// One codec's row: a new one is added here, in [`Codec`] and in the functions beneath.
struct Row {
    kind: MediaKind,
    encoding: &'static str,
    clock_rate: u32,
    channels: u8,
    /// From an offer's format, given what was chosen before it.
    read: fn(&Format, &[Format]) -> Option<Codec>,
}

const CODECS: [Row; 6] = [
    Row {
        kind: MediaKind::Audio,
        encoding: "opus",
        clock_rate: 48_000,
        channels: 2,
        read: |format, _| Some(Codec::Opus(opus(format))),
    },
    Row {
        kind: MediaKind::Audio,
        encoding: "red",
        clock_rate: 48_000,
        channels: 2,
        read: |format, all| is_red_of_opus(format, all).then_some(Codec::Red),
    },
    Row::video("VP8", |_, _| Some(Codec::Vp8)),
    Row::video("VP9", |format, _| vp9(format)),
    Row::video("H264", |format, _| {
        let value = |name| parameter(format, name);
        let read = H264::read(
            value("profile-level-id"),
            value("packetization-mode"),
            value("level-asymmetry-allowed"),
        );
        read.map(Codec::H264)
    }),
    Row::video("AV1", |format, _| av1(format)),
];

/// Retransmissions have the clock of what they repeat: that of all pictures.
const RTX: (&str, u32) = ("rtx", 90_000);

/// Feedback that is answered. REMB is not: the server estimates from transport-wide feedback.
const FEEDBACK: [Feedback; 4] = [
    Feedback::Nack,
    Feedback::Pli,
    Feedback::Fir,
    Feedback::TransportCc,
];

impl Row {
    const fn video(encoding: &'static str, read: fn(&Format, &[Format]) -> Option<Codec>) -> Self {
        Self {
            kind: MediaKind::Video,
            encoding,
            clock_rate: 90_000,
            channels: 1,
            read,
        }
    }

    fn fits(&self, kind: MediaKind, map: &RtpMap) -> bool {
        self.kind == kind
            && map.encoding.eq_ignore_ascii_case(self.encoding)
            && map.clock_rate == self.clock_rate
            && map.channels == self.channels
    }

    fn map(&self) -> RtpMap {
        RtpMap {
            encoding: self.encoding.to_owned(),
            clock_rate: self.clock_rate,
            channels: self.channels,
        }
    }
}

impl Codec {
    /// As in `a=rtpmap`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().encoding
    }

    fn row(self) -> &'static Row {
        match self {
            Self::Opus(_) => &CODECS[0],
            Self::Red => &CODECS[1],
            Self::Vp8 => &CODECS[2],
            Self::Vp9(_) => &CODECS[3],
            Self::H264(_) => &CODECS[4],
            Self::Av1(_) => &CODECS[5],
        }
    }

    /// Of pictures: which.
    #[must_use]
    pub fn video(self) -> Option<VideoCodec> {
        match self {
            Self::Opus(_) | Self::Red => None,
            Self::Vp8 => Some(VideoCodec::Vp8),
            Self::Vp9(_) => Some(VideoCodec::Vp9),
            Self::H264(_) => Some(VideoCodec::H264),
            Self::Av1(_) => Some(VideoCodec::Av1),
        }
    }

    /// Whether both stand for the same payloads, whatever else a client says that it can.
    fn is_same(self, other: Self) -> bool {
        match (self, other) {
            (Self::Vp9(ours), Self::Vp9(theirs)) => ours == theirs,
            (Self::H264(ours), Self::H264(theirs)) => ours.is_same(theirs),
            (ours, theirs) => std::ptr::eq(ours.row(), theirs.row()),
        }
    }

    /// 0 for what everybody has who has the codec at all.
    fn rarity(self) -> u8 {
        match self {
            Self::Opus(_) | Self::Red | Self::Vp8 | Self::Av1(_) => 0,
            Self::Vp9(profile) => profile,
            Self::H264(h264) => h264.rarity(),
        }
    }

    /// Whether who asks for `self` can decode what is sent as `other`.
    fn takes(self, other: Self) -> bool {
        match (self, other) {
            (Self::H264(ours), Self::H264(theirs)) => ours.takes(theirs),
            (ours, theirs) => ours.is_same(theirs),
        }
    }

    /// Of an answer: what the server wants to receive, or sends.
    fn fmtp(self, all: &[Payload]) -> Option<String> {
        match self {
            Self::Opus(opus) => {
                let dtx = if opus.has_dtx { ";usedtx=1" } else { "" };
                Some(format!("minptime=10;useinbandfec=1{dtx}"))
            }
            Self::Red => all
                .iter()
                .find(|payload| matches!(payload.codec, Self::Opus(_)))
                .map(|opus| format!("{0}/{0}", opus.pt.0)),
            Self::Vp8 => None,
            Self::Vp9(profile) => Some(format!("profile-id={profile}")),
            Self::H264(h264) => Some(h264.to_string()),
            Self::Av1(Av1 { level_idx, tier }) => {
                Some(format!("level-idx={level_idx};profile=0;tier={tier}"))
            }
        }
    }
}

/// The payload types of an offer that are forwarded, in its order: of each codec, profile and way of
/// packing the first.
pub(super) fn choose(kind: MediaKind, formats: &[Format], taken: &VideoCodecs) -> Vec<Payload> {
    let mut chosen: Vec<Payload> = Vec::new();
    for format in formats {
        let row = CODECS
            .iter()
            .find(|row| format.map.as_ref().is_some_and(|map| row.fits(kind, map)));
        let Some(codec) = row.and_then(|row| (row.read)(format, formats)) else {
            continue;
        };
        let is_taken = codec
            .video()
            .is_none_or(|video| taken.rank(video).is_some());
        if is_taken && !chosen.iter().any(|payload| payload.codec.is_same(codec)) {
            let known: FeedbackSet = FEEDBACK.into_iter().collect();
            chosen.push(Payload {
                codec,
                pt: format.pt,
                rtx: rtx_of(format.pt, formats),
                feedback: format.feedback.intersection(known),
            });
        }
    }
    chosen
}

/// The payload type with which somebody who negotiated `payloads` is sent what a publisher sends as `sent`:
/// for the very same payloads if there is one, else for what contains them. `None`: they can't decode it.
#[must_use]
pub fn payload_for(sent: Codec, payloads: &[Payload]) -> Option<&Payload> {
    let same = payloads.iter().find(|payload| payload.codec.is_same(sent));
    let others = payloads.iter().filter(|payload| payload.codec.takes(sent));
    same.or_else(|| others.min_by_key(|payload| payload.codec.rarity()))
}

/// Names the server's most wanted codecs of pictures first, and of each what most can decode: clients send the
/// first that they can.
pub(super) fn prefer(payloads: &mut [Payload], taken: &VideoCodecs) {
    payloads.sort_by_key(|payload| {
        let rank = payload.codec.video().and_then(|video| taken.rank(video));
        (rank, payload.codec.rarity())
    });
}

/// Names RED before Opus.
pub(super) fn prefer_redundancy(payloads: &mut [Payload]) {
    payloads.sort_by_key(|payload| payload.codec != Codec::Red);
}

/// The formats of an answer.
pub(super) fn answer(payloads: &[Payload]) -> Vec<Format> {
    let mut formats = Vec::new();
    for payload in payloads {
        formats.push(Format {
            pt: payload.pt,
            map: Some(payload.codec.row().map()),
            fmtp: payload.codec.fmtp(payloads),
            feedback: payload.feedback,
        });
        formats.extend(payload.rtx.map(|pt| Format {
            map: Some(RtpMap {
                encoding: RTX.0.to_owned(),
                clock_rate: RTX.1,
                channels: 1,
            }),
            fmtp: Some(format!("apt={}", payload.pt.0)),
            ..Format::new(pt)
        }));
    }
    formats
}

/// The value of one of a format's parameters, which `;` divides (RFC 4855, section 3).
fn parameter<'a>(format: &'a Format, name: &str) -> Option<&'a str> {
    let pairs = format.fmtp.as_deref()?.split(';');
    pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

fn opus(format: &Format) -> Opus {
    let is_set = |name| parameter(format, name) == Some("1");
    Opus {
        is_stereo: is_set("stereo"),
        has_fec: is_set("useinbandfec"),
        has_dtx: is_set("usedtx"),
    }
}

/// RFC 9628, section 7: profile 0 where none is named. Those with other chroma formats are not taken.
fn vp9(format: &Format) -> Option<Codec> {
    match parameter(format, "profile-id").unwrap_or("0") {
        "0" => Some(Codec::Vp9(0)),
        "2" => Some(Codec::Vp9(2)),
        _ => None,
    }
}

/// RTP Payload Format For AV1, section 7.2.1, with its defaults.
fn av1(format: &Format) -> Option<Codec> {
    let value =
        |name, default| parameter(format, name).map_or(Some(default), |text| text.parse().ok());
    let profile: u8 = value("profile", 0)?;
    let read = Av1 {
        level_idx: value("level-idx", 5)?,
        tier: value("tier", 0)?,
    };
    (profile == 0 && read.level_idx < 32 && read.tier < 2).then_some(Codec::Av1(read))
}

/// Whether all blocks of this RED are of the Opus that is chosen (RFC 2198, section 5).
fn is_red_of_opus(format: &Format, all: &[Format]) -> bool {
    let is_opus = |format: &&Format| {
        let map = format.map.as_ref();
        map.is_some_and(|map| CODECS[0].fits(MediaKind::Audio, map))
    };
    let Some((opus, blocks)) = all.iter().find(is_opus).zip(format.fmtp.as_deref()) else {
        return false;
    };
    blocks
        .split('/')
        .all(|block| block.trim().parse() == Ok(opus.pt.0))
}

fn rtx_of(pt: PayloadType, formats: &[Format]) -> Option<PayloadType> {
    let repeats = |format: &&Format| {
        let is_rtx = format
            .map
            .as_ref()
            .is_some_and(|map| map.encoding.eq_ignore_ascii_case(RTX.0) && map.clock_rate == RTX.1);
        is_rtx && parameter(format, "apt").is_some_and(|apt| apt.parse() == Ok(pt.0))
    };
    formats.iter().find(repeats).map(|format| format.pt)
}

/// What the payload types of a session stand for: one thing each, for its whole life, since packets
/// on their way don't know of the newest offer.
#[derive(Debug, Clone, Default)]
pub(super) struct PayloadTypes(BTreeMap<PayloadType, Meaning>);

#[derive(Debug, Clone, Copy)]
enum Meaning {
    Codec(Codec),
    RtxOf(PayloadType),
}

impl Meaning {
    fn is_same(self, other: Self) -> bool {
        match (self, other) {
            (Self::Codec(ours), Self::Codec(theirs)) => ours.is_same(theirs),
            (Self::RtxOf(ours), Self::RtxOf(theirs)) => ours == theirs,
            (Self::Codec(_), Self::RtxOf(_)) | (Self::RtxOf(_), Self::Codec(_)) => false,
        }
    }
}

impl PayloadTypes {
    /// Notes the payload types of one m-line.
    pub(super) fn agree(&mut self, payloads: &[Payload]) -> Result<(), NegotiateError> {
        for payload in payloads {
            self.note(payload.pt, Meaning::Codec(payload.codec))?;
            if let Some(rtx) = payload.rtx {
                self.note(rtx, Meaning::RtxOf(payload.pt))?;
            }
        }
        Ok(())
    }

    fn note(&mut self, pt: PayloadType, meaning: Meaning) -> Result<(), NegotiateError> {
        match self.0.insert(pt, meaning) {
            Some(other) if !other.is_same(meaning) => Err(NegotiateError::PayloadTypeChanged(pt)),
            _ => Ok(()),
        }
    }
}

/// Whether an m-line's codecs kept their numbers; those it did not have before may have any.
pub(super) fn check_kept(was: &[Payload], is: &[Payload]) -> Result<(), NegotiateError> {
    for new in is {
        let is_same = |old: &&Payload| old.codec.is_same(new.codec);
        let Some(old) = was.iter().find(is_same) else {
            continue;
        };
        if old.pt != new.pt {
            return Err(NegotiateError::PayloadTypeChanged(new.pt));
        }
        if let Some((old, new)) = old.rtx.zip(new.rtx)
            && old != new
        {
            return Err(NegotiateError::PayloadTypeChanged(new));
        }
    }
    Ok(())
}
