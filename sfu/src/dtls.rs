//! DTLS: who the peer is, and the keys for its media (RFC 6347, 5763, 5764).
//!
//! A peer's certificate is the one whose fingerprint its offer names; there is no other authority.
//! [`Dtls`] is all that the rest knows; [`RtcDtls`] does it with webrtc-rs's `rtc-dtls`.

mod gate;
mod rtc;

#[cfg(test)]
mod tests;

pub use rtc::{HANDSHAKE_TIMEOUT, Identity, IdentityError, RtcDtls};

use crate::srtp::{Keys, Profile};
use std::time::Instant;
use thiserror::Error;

/// One association: datagrams in and out, and what comes of it. After each input the caller polls
/// until nothing comes any more.
pub trait Dtls {
    /// Takes a datagram whose first byte is DTLS's (20–63; RFC 7983). It may come from any address that
    /// ICE knows for the peer's.
    ///
    /// # Errors
    /// [`DtlsError`]: the datagram, or what of it was bad, was dropped. What ends the association is an
    /// event.
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsError>;

    /// Goes on after [`Self::poll_timeout`].
    fn handle_timeout(&mut self, now: Instant);

    /// Says goodbye. Nothing follows but the datagram that does it.
    fn close(&mut self);

    /// A datagram for the peer.
    fn poll_transmit(&mut self) -> Option<Vec<u8>>;

    /// When [`Self::handle_timeout`] has something to do.
    fn poll_timeout(&self) -> Option<Instant>;

    /// What has come of it.
    fn poll_event(&mut self) -> Option<DtlsEvent>;
}

/// What comes of an association.
pub enum DtlsEvent {
    /// The peer is who its offer says, and these are the keys of its media. Comes once, first.
    Connected {
        /// The profile that both agreed on.
        profile: Profile,
        /// The master keys of both directions.
        keys: Keys,
    },
    /// The peer said goodbye. Comes last.
    Closed,
    /// There will be no connection, or it is lost. Comes last.
    Failed(DtlsFailure),
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DtlsFailure {
    /// The peer offers no SRTP, or only profiles that we don't have.
    #[error("no SRTP profile in common")]
    NoProfile,
    /// The peer has no certificate.
    #[error("no certificate")]
    NoCertificate,
    /// The peer's certificate is none that its offer names: somebody is in between.
    #[error("the certificate is not the one of the offer")]
    FingerprintMismatch,
    /// No handshake within [`HANDSHAKE_TIMEOUT`].
    #[error("no handshake in time")]
    TimedOut,
    /// The peer gave up, with this alert (RFC 5246, section 7.2).
    #[error("the peer gave up with alert {0}")]
    Refused(u8),
    /// The peer sends more than any handshake needs.
    #[error("more handshake than any peer needs")]
    TooMuch,
    /// The handshake broke a rule; this says which, for the log.
    #[error("handshake failed: {0}")]
    Handshake(String),
}

/// Why a datagram was dropped. The caller counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum DtlsError {
    /// No record of it is one that is due.
    #[error("no DTLS record that is due")]
    Malformed,
    /// The association is over.
    #[error("the association is over")]
    Over,
}
