//! Why an offer can't be answered.

use crate::unit::{Mid, PayloadType, Ssrc};

/// What an offer as a whole breaks. Each is the client's to mend; the session goes on as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NegotiateError {
    /// No m-line is left that could be in use.
    #[error("no m-line can be accepted")]
    NothingAccepted,
    /// The same, and what is offered has codecs, of which none is forwarded.
    #[error("no codec in common")]
    NoCommonCodec,
    /// The client is ICE-lite too: nobody would check anything (RFC 8445, section 6.1.1).
    #[error("both sides are ICE-lite")]
    BothLite,
    /// There is not exactly one BUNDLE group.
    #[error("exactly one BUNDLE group is needed, and there are {0}")]
    BundleCount(usize),
    /// This m-line is in use and not in the group.
    #[error("m-line {0} is not in the BUNDLE group")]
    NotInBundle(Mid),
    /// The group names an m-line that is not there.
    #[error("the BUNDLE group names {0}, which is no m-line")]
    UnknownInBundle(Mid),
    /// An m-line in use has no mid.
    #[error("the m-line at {index} has no mid")]
    NoMid {
        /// Its place, from 0.
        index: usize,
    },
    /// This m-line wants a port of its own for RTCP.
    #[error("m-line {0} has no rtcp-mux")]
    NoRtcpMux(Mid),
    /// The bundle's first m-line has no `ice-ufrag` or `ice-pwd`.
    #[error("no ICE credentials")]
    NoCredentials,
    /// One of the ICE credentials is new and the other is not (RFC 8839, section 4.4.3.1.1).
    #[error("an ICE restart changes ice-ufrag and ice-pwd")]
    HalfRestart,
    /// No `fingerprint` by SHA-256, SHA-384 or SHA-512.
    #[error("no fingerprint by a hash that is taken")]
    NoFingerprint,
    /// It names other certificates than those of the DTLS connection there is.
    #[error("the fingerprints of a transport can't change")]
    FingerprintChanged,
    /// `setup` is missing or `holdconn`: nobody would open DTLS (RFC 8842, section 5.2).
    #[error("setup has to be actpass, active or passive")]
    WrongSetup,
    /// Who opens DTLS is settled with the first offer.
    #[error("setup can't change: the other side opens DTLS")]
    SetupChanged,
    /// M-lines are missing that were there (RFC 9429, section 5.2.2).
    #[error("there were {had} m-lines, and now {has}")]
    FewerLines {
        /// In the last offer.
        had: usize,
        /// In this one.
        has: usize,
    },
    /// An m-line that was not stopped has another mid.
    #[error("the m-line at {index} has another mid")]
    MidChanged {
        /// Its place, from 0.
        index: usize,
    },
    /// An m-line that was not stopped carries something else.
    #[error("the m-line at {index} is of another kind")]
    KindChanged {
        /// Its place, from 0.
        index: usize,
    },
    /// It stood for something else, in this bundle (RFC 9143, section 9.1) or an earlier offer
    /// (RFC 3264, section 8.3.2); or it took the place of another in its m-line.
    #[error("payload type {} has another meaning", .0.0)]
    PayloadTypeChanged(PayloadType),
    /// An extension has two ids, or an id two meanings, in this bundle or since an earlier offer.
    #[error("header extension {0} has another meaning")]
    ExtensionChanged(u8),
    /// Two m-lines announce it.
    #[error("SSRC {} is announced twice", .0.0)]
    SourceTwice(Ssrc),
    /// A track is named for an m-line that is not there.
    #[error("a track is named for {0}, which is no m-line")]
    UnknownTrack(Mid),
    /// Two tracks are named for it.
    #[error("two tracks are named for m-line {0}")]
    TrackTwice(Mid),
}
