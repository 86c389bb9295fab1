//! The codecs that are forwarded, and what of an offer's formats is one of them.

use super::NegotiateError;
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

/// One codec's row: a new one is added here, in [`Codec`] and in the two functions beneath.
struct Row {
    kind: MediaKind,
    encoding: &'static str,
    clock_rate: u32,
    channels: u8,
    /// From an offer's format, given what was chosen before it.
    read: fn(&Format, &[Format]) -> Option<Codec>,
}

const CODECS: [Row; 3] = [
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
    Row {
        kind: MediaKind::Video,
        encoding: "VP8",
        clock_rate: 90_000,
        channels: 1,
        read: |_, _| Some(Codec::Vp8),
    },
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
    fn row(self) -> &'static Row {
        match self {
            Self::Opus(_) => &CODECS[0],
            Self::Red => &CODECS[1],
            Self::Vp8 => &CODECS[2],
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
        }
    }
}

/// The payload types of an offer that are forwarded, in its order; each codec once, the first time.
pub(super) fn choose(kind: MediaKind, formats: &[Format]) -> Vec<Payload> {
    let mut chosen: Vec<Payload> = Vec::new();
    for format in formats {
        let row = CODECS
            .iter()
            .find(|row| format.map.as_ref().is_some_and(|map| row.fits(kind, map)));
        let Some(codec) = row.and_then(|row| (row.read)(format, formats)) else {
            continue;
        };
        let is_other = |payload: &Payload| !std::ptr::eq(payload.codec.row(), codec.row());
        if chosen.iter().all(is_other) {
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// The codec at this place of the table.
    Codec(&'static str),
    RtxOf(PayloadType),
}

impl PayloadTypes {
    /// Notes the payload types of one m-line.
    pub(super) fn agree(&mut self, payloads: &[Payload]) -> Result<(), NegotiateError> {
        for payload in payloads {
            self.note(payload.pt, Meaning::Codec(payload.codec.row().encoding))?;
            if let Some(rtx) = payload.rtx {
                self.note(rtx, Meaning::RtxOf(payload.pt))?;
            }
        }
        Ok(())
    }

    fn note(&mut self, pt: PayloadType, meaning: Meaning) -> Result<(), NegotiateError> {
        match self.0.insert(pt, meaning) {
            Some(other) if other != meaning => Err(NegotiateError::PayloadTypeChanged(pt)),
            _ => Ok(()),
        }
    }
}

/// Whether an m-line's codecs kept their numbers; those it did not have before may have any.
pub(super) fn check_kept(was: &[Payload], is: &[Payload]) -> Result<(), NegotiateError> {
    for new in is {
        let is_same = |old: &&Payload| std::ptr::eq(old.codec.row(), new.codec.row());
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
