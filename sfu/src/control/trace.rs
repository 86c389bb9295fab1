//! What was seen of somebody's way in: whoever asks why a join failed finds it here.

use std::net::SocketAddr;
use std::time::Duration;

/// Over what a path goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP (RFC 6544).
    Tcp,
}

impl Protocol {
    /// As candidates have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// An address that clients are told to send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Told {
    /// Over what.
    pub protocol: Protocol,
    /// Where.
    pub address: SocketAddr,
    /// A socket of ours is bound there; else the settings say that what comes there comes here.
    pub is_bound: bool,
}

/// What a check is made with that is nobody's and is answered all the same, at each address that is told: it shows how
/// far a client gets. Has no `Debug`.
#[derive(Clone)]
pub struct Probe {
    /// The user fragment.
    pub ufrag: String,
    /// Its password.
    pub password: String,
}

/// How clients reach media.
#[derive(Clone, Default)]
pub struct Reach {
    /// Where they are told to send it.
    pub told: Vec<Told>,
    /// With what they may check.
    pub probe: Option<Probe>,
}

/// Two addresses between which checks came. Times are since the first offer was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Over what.
    pub protocol: Protocol,
    /// Ours; `None` when its connection has gone.
    pub local: Option<SocketAddr>,
    /// The peer's, as we see it.
    pub remote: SocketAddr,
    /// Checks that came.
    pub checks: u32,
    /// Of those that were answered with success.
    pub answered: u32,
    /// Of those whose integrity was not the answer's password's.
    pub refused: u32,
    /// One of them has nominated it.
    pub is_nominated: bool,
    /// When the first came.
    pub first: Duration,
    /// When the latest came.
    pub last: Duration,
}

/// How far DTLS came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Handshake {
    /// Nothing of it came.
    #[default]
    Awaited,
    /// The client began.
    Begun,
    /// There are keys.
    Done,
    /// It was closed in order.
    Closed,
    /// There are none, and will be none.
    Failed(HandshakeFailure),
}

/// Why a handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// The peer's certificate is none that its offer names: somebody is in between, or the offer was changed.
    FingerprintMismatch,
    /// The peer refuses our certificate, by this alert (RFC 5246, section 7.2): its answer names another.
    CertificateRefused(u8),
    /// The peer shows none.
    NoCertificate,
    /// No SRTP profile in common.
    NoProfile,
    /// It did not come to its end in time.
    TimedOut,
    /// The peer gave up, with this alert.
    Refused(u8),
    /// It broke a rule.
    Broken,
}

/// Everything that was seen of a participant's transport, from the answer to their first offer on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JoinTrace {
    /// An offer was answered; else nothing was awaited yet.
    pub is_answered: bool,
    /// How long ago; zero before.
    pub waited: Duration,
    /// In the order in which they were first checked, at most [`MAX_PAIRS`]: beyond that one that works takes the place
    /// of one that does not, and checks on the others are counted in `more_checks`.
    pub pairs: Vec<Pair>,
    /// Checks on pairs for which there was no place.
    pub more_checks: u32,
    /// How far DTLS came.
    pub handshake: Handshake,
    /// There were keys once: media could flow.
    pub was_connected: bool,
}

/// Pairs that one trace has: as many as a peer may have addresses. Later ones are only counted.
pub const MAX_PAIRS: usize = 16;

impl JoinTrace {
    /// Whether an authentic check came over this.
    #[must_use]
    pub fn has_answered(&self, protocol: Protocol) -> bool {
        let mut pairs = self.pairs.iter();
        pairs.any(|pair| pair.protocol == protocol && pair.answered > 0)
    }

    /// Whether an authentic check came at all.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.pairs.iter().any(|pair| pair.answered > 0)
    }

    /// Whether any check came over this, authentic or not.
    #[must_use]
    pub fn has_checks(&self, protocol: Protocol) -> bool {
        self.pairs.iter().any(|pair| pair.protocol == protocol)
    }
}
