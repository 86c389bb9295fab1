//! Session descriptions (RFC 8866) as browsers write them, read into types and written from them.
//!
//! Only what a bundled WebRTC session uses is kept; lines that nothing here knows are skipped, and
//! lines it does know must be right. What a description means, and how it is answered, is
//! [`crate::core::negotiate`]'s.
//!
//! The order of attribute lines has no meaning in a section and does not change what is read, but for
//! `ssrc`, `ssrc-group`, `msid`, `candidate` and `fingerprint`, which form lists in their order.

mod attribute;
mod candidate;
mod feedback;
mod fingerprint;
mod fragment;
mod parse;
mod write;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;

pub use candidate::{Candidate, CandidateKind, TCP_PREFERENCE_MAX, TcpKind, Transport};
pub use feedback::{Feedback, FeedbackSet};
pub use fingerprint::{Fingerprint, Hash};
pub use fragment::{Fragment, MAX_CANDIDATES, MAX_FRAGMENT_BYTES, fuzz_fragment};

use crate::unit::{Mid, PayloadType, Rid, Ssrc};

/// The longest description, in bytes: what a client's frame can hold. A longer one is refused. Chromium
/// offers 5 KB per video m-line with all its codecs, so that a dozen fit, and 1.4 KB with VP8 alone
/// (`setCodecPreferences`); Firefox 1.6 KB.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;

/// The most m-lines of a description; one with more is refused. They are never taken back
/// (RFC 9429, section 5.2.2), so this is also how many a session has in its life.
pub const MAX_MEDIA: usize = 64;

/// The most attributes of the session's part and of each m-line's, known or not. Chromium has 130 in a
/// video m-line. A description with more is refused.
pub const MAX_ATTRIBUTES: usize = 512;

/// The longest line, in bytes without its end: a BUNDLE group of [`MAX_MEDIA`] mids has 1,100. A
/// description with a longer one is refused.
pub const MAX_LINE_BYTES: usize = 2_048;

/// A whole description.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    /// Of the `o=` line: which session.
    pub session_id: u64,
    /// Of the `o=` line: grows with each description of one side.
    pub version: u64,
    /// The writer is ICE-lite (RFC 8445, section 2.5).
    pub is_ice_lite: bool,
    /// The BUNDLE groups (RFC 9143), each with its mids in their order.
    pub bundles: Vec<Vec<Mid>>,
    /// `extmap-allow-mixed` for all m-lines (RFC 8285, section 6).
    pub allows_mixed_extensions: bool,
    /// Attributes of the transport that are given for all m-lines.
    pub transport: TransportAttributes,
    /// The m-lines, at most [`MAX_MEDIA`]. Two of them never have one mid.
    pub media: Vec<Media>,
}

impl Description {
    /// The m-line with this mid.
    #[must_use]
    pub fn by_mid(&self, mid: Mid) -> Option<&Media> {
        self.media.iter().find(|media| media.mid == Some(mid))
    }
}

/// ICE and DTLS, of the session or of one m-line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransportAttributes {
    /// `ice-ufrag` (RFC 8839, section 5.4).
    pub ufrag: Option<Ufrag>,
    /// `ice-pwd`.
    pub password: Option<Password>,
    /// Certificates, by hashes that are known here (RFC 8122, section 5); others are left out.
    pub fingerprints: Vec<Fingerprint>,
    /// Who opens the DTLS connection.
    pub setup: Option<Setup>,
}

macro_rules! ice_text {
    ($(#[$doc:meta])* $name:ident, $min:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// Checks a text: RFC 8839, section 5.4, has its length and characters.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                let fits = ($min..=256).contains(&text.len());
                (fits && text.bytes().all(attribute::is_ice_char)).then(|| Self(text.to_owned()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

ice_text! {
    /// One side's ICE user name fragment: 4 to 256 characters.
    Ufrag, 4
}
ice_text! {
    /// One side's ICE password: 22 to 256 characters. A secret of the session: not shown by `Debug`.
    Password, 22
}

impl std::fmt::Debug for Ufrag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// The part an endpoint takes in DTLS (RFC 8842, RFC 4145).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// Either.
    Actpass,
    /// It sends the ClientHello.
    Active,
    /// It waits for one.
    Passive,
    /// Not now.
    Holdconn,
}

/// One m-line and its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// What it carries.
    pub kind: SectionKind,
    /// 0 is rejected, stopped, or [`Self::is_bundle_only`].
    pub port: u16,
    /// How.
    pub protocol: Protocol,
    /// Of [`Protocol::Savpf`], in order of preference.
    pub formats: Vec<Format>,
    /// Of other protocols: as written.
    pub other_formats: String,
    /// `mid` (RFC 9143, RFC 5888).
    pub mid: Option<Mid>,
    /// Who sends, seen by the writer.
    pub direction: Direction,
    /// RTP and RTCP share a port (RFC 5761).
    pub has_rtcp_mux: bool,
    /// RTCP need not be compound (RFC 5506).
    pub has_rtcp_rsize: bool,
    /// Port 0 says: only in a bundle (RFC 9143, section 6).
    pub is_bundle_only: bool,
    /// `extmap-allow-mixed` of this m-line.
    pub allows_mixed_extensions: bool,
    /// Attributes of the transport that are given for this m-line.
    pub transport: TransportAttributes,
    /// Header extensions (RFC 8285), by ascending id, each id once.
    pub extensions: Vec<Extension>,
    /// Streams and tracks of the W3C's model (RFC 8830).
    pub msids: Vec<Msid>,
    /// Sources (RFC 5576), each once.
    pub sources: Vec<Source>,
    /// Groups of sources.
    pub source_groups: Vec<SourceGroup>,
    /// Declared RTP streams (RFC 8851), by ascending name, each once.
    pub rids: Vec<RidLine>,
    /// RFC 8853.
    pub simulcast: Option<Simulcast>,
    /// RFC 8839, section 5.1.
    pub candidates: Vec<Candidate>,
    /// No more candidates follow (RFC 8840).
    pub has_end_of_candidates: bool,
}

impl Media {
    /// An m-line without attributes.
    #[must_use]
    pub fn new(kind: SectionKind, port: u16, protocol: Protocol) -> Self {
        Self {
            kind,
            port,
            protocol,
            formats: Vec::new(),
            other_formats: String::new(),
            mid: None,
            direction: Direction::SendRecv,
            has_rtcp_mux: false,
            has_rtcp_rsize: false,
            is_bundle_only: false,
            allows_mixed_extensions: false,
            transport: TransportAttributes::default(),
            extensions: Vec::new(),
            msids: Vec::new(),
            sources: Vec::new(),
            source_groups: Vec::new(),
            rids: Vec::new(),
            simulcast: None,
            candidates: Vec::new(),
            has_end_of_candidates: false,
        }
    }

    /// It is not in use: rejected, or stopped for good.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.port == 0 && !self.is_bundle_only
    }
}

/// What an m-line carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectionKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
    /// Data channels.
    Application,
    /// Something else, by its name (a token).
    Other(String),
}

/// An m-line's protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// `UDP/TLS/RTP/SAVPF` (RFC 5764).
    Savpf,
    /// Something else, as written: 1 to 64 characters without a space.
    Other(String),
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Both.
    SendRecv,
    /// The description's writer.
    SendOnly,
    /// Its reader.
    RecvOnly,
    /// Nobody.
    Inactive,
}

impl Direction {
    /// Whether the writer sends.
    #[must_use]
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the writer receives.
    #[must_use]
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// As the other side sees it.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::SendRecv => Self::SendRecv,
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            Self::Inactive => Self::Inactive,
        }
    }
}

/// A payload type and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// 0–127.
    pub pt: PayloadType,
    /// `rtpmap`; payload types with a fixed meaning may have none.
    pub map: Option<RtpMap>,
    /// `fmtp`, as written: printable, not empty.
    pub fmtp: Option<String>,
    /// `rtcp-fb`, those for all payload types (`*`) included.
    pub feedback: FeedbackSet,
}

impl Format {
    /// One that nothing is said of.
    #[must_use]
    pub fn new(pt: PayloadType) -> Self {
        Self {
            pt,
            map: None,
            fmtp: None,
            feedback: FeedbackSet::default(),
        }
    }
}

/// The encoding of a payload type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpMap {
    /// A token; case does not count (RFC 4855, section 3).
    pub encoding: String,
    /// Ticks per second of its clock.
    pub clock_rate: u32,
    /// Of sound; 1 where nothing is said.
    pub channels: u8,
}

/// A header extension (RFC 8285, section 5). Attributes after the URI are not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// 1–14, or 16–255 in two-byte headers.
    pub id: u8,
    /// Who uses it, if not whoever sends; seen by the writer.
    pub direction: Option<Direction>,
    /// Printable, without a space.
    pub uri: String,
}

/// A stream's and a track's id, each 1 to 64 token characters (RFC 8830, section 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Msid {
    /// The stream's; `-` is none.
    pub stream: String,
    /// The track's.
    pub track: Option<String>,
}

/// A source (RFC 5576, section 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its SSRC.
    pub ssrc: Ssrc,
    /// Its CNAME: printable, not empty.
    pub cname: Option<String>,
}

/// Sources that belong together (RFC 5576, section 4.2). Groups with other semantics are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceGroup {
    /// A source and its retransmissions (RFC 4588).
    Fid {
        /// The source.
        primary: Ssrc,
        /// Its retransmissions.
        rtx: Ssrc,
    },
    /// A source and its forward error correction (`FEC-FR`, RFC 5956).
    FecFr {
        /// The source.
        primary: Ssrc,
        /// Its repair packets.
        repair: Ssrc,
    },
    /// The layers of a simulcast without RIDs, the smallest first. Not empty.
    Sim(Vec<Ssrc>),
}

/// A declared RTP stream (RFC 8851).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RidLine {
    /// Letters, digits, `-` and `_`.
    pub rid: Rid,
    /// Whether the writer sends it; it receives it otherwise.
    pub is_sent: bool,
    /// Payload types that it keeps to; empty is any.
    pub formats: Vec<PayloadType>,
    /// Other restrictions as written: printable, may be empty.
    pub restrictions: String,
}

/// Streams of one m-line (RFC 8853, section 5.1), in order of preference.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Simulcast {
    /// What the writer sends; each a choice of alternatives, the best first.
    pub send: Vec<Vec<SimulcastStream>>,
    /// What it receives.
    pub recv: Vec<Vec<SimulcastStream>>,
}

/// One stream of a simulcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimulcastStream {
    /// Which.
    pub rid: Rid,
    /// Not sent at first (`~`).
    pub is_paused: bool,
}

/// Why a text is no description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {rule}")]
pub struct SdpError {
    /// Counted from 1. Where something is missing, the last one of its section.
    pub line: usize,
    /// What it breaks.
    pub rule: Rule,
}

/// What a line may break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// See [`MAX_TEXT_BYTES`] and [`MAX_FRAGMENT_BYTES`].
    #[error("the text is too long")]
    TextTooLong,
    /// See [`MAX_LINE_BYTES`].
    #[error("a line has at most {MAX_LINE_BYTES} bytes")]
    LineTooLong,
    /// See [`MAX_MEDIA`].
    #[error("a description has at most {MAX_MEDIA} m-lines")]
    TooManyMedia,
    /// See [`MAX_ATTRIBUTES`].
    #[error("a section has at most {MAX_ATTRIBUTES} attributes")]
    TooManyAttributes,
    /// See [`MAX_CANDIDATES`].
    #[error("a fragment has at most {MAX_CANDIDATES} candidates")]
    TooManyCandidates,
    /// It is not a letter, `=` and a text without control characters.
    #[error("a line is a letter, '=' and a text")]
    NotALine,
    /// The first line is not `v=0`.
    #[error("a description begins with v=0")]
    Version,
    /// No `o=` before the first m-line.
    #[error("a description has an o= line")]
    NoOrigin,
    /// The value does not have the form of what it is named.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// Said twice where it can only be said once.
    #[error("{0} twice")]
    Twice(&'static str),
    /// Two m-lines have it.
    #[error("the mid of another m-line")]
    MidTwice,
}

/// For fuzzing: a text that can be read is the same after it was written and read again.
///
/// # Panics
/// When it is not.
pub fn fuzz_sdp(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(description) = Description::parse(text) else {
        return;
    };
    let written = description.to_string();
    match Description::parse(&written) {
        Ok(again) => assert_eq!(again, description, "written as:\n{written}"),
        // Written out, wildcards and defaults take more room than they did.
        Err(error) => assert!(
            matches!(
                error.rule,
                Rule::TextTooLong | Rule::TooManyAttributes | Rule::LineTooLong
            ),
            "{error} in:\n{written}"
        ),
    }
}
