//! DTLS 1.2 by `rtc-dtls`.
//!
//! ```text
//!             whole ClientHello            Finished, certificate right
//!  Waiting ─────────────────────► Handshaking ─────────────────────► Connected
//!     │                               │                                  │
//!     └── late, no profile ───────────┴── late, alert, certificate ──────┴── goodbye ──► Over
//! ```
//!
//! What it adds to the implementation under it:
//! - The endpoint is made when the ClientHello is whole, with exactly one SRTP profile, our choice of
//!   the client's list; by itself it would take the first that the client names.
//! - It sends flights again: with a timer that doubles, and when the peer repeats what has been
//!   answered. The implementation stops its timer at the first datagram that is not the
//!   whole next flight, so that one loss at the wrong place would end the handshake.
//! - [`super::gate`] keeps from it what it cannot bear.
//! - [`settled`] holds a hundredth of its memory once connected.

mod association;
mod identity;
mod settled;

#[cfg(test)]
pub(super) use identity::fingerprint_of;
pub use identity::{Identity, IdentityError};

use super::gate::PlainAlert;
use super::{Dtls, DtlsError, DtlsEvent, DtlsFailure};
use crate::srtp::Profile;
use crate::wire::client_hello::{ClientHelloError, ClientHelloReader};
use crate::wire::sdp::Fingerprint;
use association::{Association, Step};
use settled::Settled;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a handshake may take, from the association's making on. As long as ICE waits for its first
/// check: a peer that takes longer has gone.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes held until a ClientHello is whole. The oldest datagram goes first; then the client
/// has to send it again, as it does when one is lost.
const MAX_HELD_BYTES: usize = 32 * 1024;
/// An alert in the clear: fatal, `handshake_failure` (RFC 5246, section 7.2.2).
const REFUSAL: [u8; 15] = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40];

/// An association over `rtc-dtls`.
pub struct RtcDtls {
    identity: Identity,
    fingerprints: Vec<Fingerprint>,
    state: State,
    transmits: VecDeque<Vec<u8>>,
    events: VecDeque<DtlsEvent>,
}

enum State {
    Waiting {
        until: Instant,
        hello: ClientHelloReader,
        held: VecDeque<Vec<u8>>,
    },
    Handshaking {
        until: Instant,
        association: Box<Association>,
    },
    Connected(Box<Settled>),
    Over,
}

impl RtcDtls {
    /// A server, `a=setup:passive`: waits for the peer's ClientHello. The peer's certificate has to
    /// have one of `fingerprints`, those of its offer.
    #[must_use]
    pub fn server(identity: &Identity, fingerprints: Vec<Fingerprint>, now: Instant) -> Self {
        let waiting = State::Waiting {
            until: now + HANDSHAKE_TIMEOUT,
            hello: ClientHelloReader::new(),
            held: VecDeque::new(),
        };
        Self::in_state(identity, fingerprints, waiting)
    }

    /// A client, `a=setup:active`: sends its ClientHello at once, with these SRTP profiles.
    ///
    /// # Errors
    /// [`IdentityError`] when the implementation refuses to begin.
    pub fn client(
        identity: &Identity,
        fingerprints: Vec<Fingerprint>,
        profiles: &[Profile],
        now: Instant,
    ) -> Result<Self, IdentityError> {
        let config = identity.client_config(&fingerprints, profiles)?;
        let (association, flight) = Association::client(config, now)?;
        let handshaking = State::Handshaking {
            until: now + HANDSHAKE_TIMEOUT,
            association: Box::new(association),
        };
        let mut client = Self::in_state(identity, fingerprints, handshaking);
        client.transmits.extend(flight);
        Ok(client)
    }

    fn in_state(identity: &Identity, fingerprints: Vec<Fingerprint>, state: State) -> Self {
        Self {
            identity: identity.clone(),
            fingerprints,
            state,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Bytes of memory that it holds beside itself, once connected and put away.
    #[cfg(test)]
    pub(super) fn footprint(&self) -> Option<usize> {
        match &self.state {
            State::Connected(settled) => settled.footprint(),
            State::Waiting { .. } | State::Handshaking { .. } | State::Over => None,
        }
    }

    /// The first messages: nothing is answered before the ClientHello is whole.
    fn handle_hello(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsError> {
        let State::Waiting { until, hello, held } = &mut self.state else {
            return Err(DtlsError::Over);
        };
        let offer = match hello.handle_datagram(datagram) {
            Ok(offer) => offer,
            Err(ClientHelloError::Malformed) => return Err(DtlsError::Malformed),
            Err(ClientHelloError::TooLong | ClientHelloError::TooManyParts) => {
                self.fail(DtlsFailure::TooMuch);
                return Ok(());
            }
        };
        hold(held, datagram);
        let Some(offer) = offer else {
            return Ok(());
        };
        let (until, held) = (*until, std::mem::take(held));
        let Some(profile) = Profile::choose(offer.profiles()) else {
            self.transmits.push_back(REFUSAL.to_vec());
            self.fail(DtlsFailure::NoProfile);
            return Ok(());
        };
        match self.identity.server_config(&self.fingerprints, profile) {
            Ok(config) => {
                let association = Box::new(Association::server(config, now));
                self.state = State::Handshaking { until, association };
            }
            Err(error) => {
                self.fail(DtlsFailure::Handshake(error.to_string()));
                return Ok(());
            }
        }
        for datagram in held {
            // What is not due among them was held because it came before the ClientHello.
            let _ = self.handle_flight(now, &datagram);
        }
        Ok(())
    }

    fn handle_flight(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsError> {
        let State::Handshaking { association, .. } = &mut self.state else {
            return Err(DtlsError::Over);
        };
        match association.handle_flight(now, datagram, &mut self.transmits) {
            Step::Nothing => Err(DtlsError::Malformed),
            Step::Taken => Ok(()),
            Step::Alert(PlainAlert(description)) => {
                self.fail(DtlsFailure::Refused(description));
                Ok(())
            }
            Step::Failed(failure) => {
                self.fail(failure);
                Ok(())
            }
            Step::Complete => {
                self.finish();
                Ok(())
            }
        }
    }

    /// The handshake is complete; the keys are given out only to who the offer says.
    fn finish(&mut self) {
        let State::Handshaking { association, .. } =
            std::mem::replace(&mut self.state, State::Over)
        else {
            return;
        };
        let settled = association
            .keys(&self.fingerprints)
            .and_then(|(profile, keys)| {
                let settled = Settled::new(*association, &self.identity, profile)?;
                Ok((profile, keys, settled))
            });
        match settled {
            Ok((profile, keys, settled)) => {
                self.events
                    .push_back(DtlsEvent::Connected { profile, keys });
                self.state = State::Connected(Box::new(settled));
                self.fingerprints = Vec::new();
            }
            Err(failure) => self.fail(failure),
        }
    }

    fn fail(&mut self, failure: DtlsFailure) {
        self.state = State::Over;
        self.events.push_back(DtlsEvent::Failed(failure));
    }
}

impl Dtls for RtcDtls {
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsError> {
        match &mut self.state {
            State::Waiting { .. } => self.handle_hello(now, datagram),
            State::Handshaking { .. } => self.handle_flight(now, datagram),
            State::Connected(settled) => {
                let (identity, transmits) = (&self.identity, &mut self.transmits);
                let is_over = settled.handle(now, datagram, identity, transmits)?;
                if is_over {
                    self.state = State::Over;
                    self.events.push_back(DtlsEvent::Closed);
                }
                Ok(())
            }
            State::Over => Err(DtlsError::Over),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::Waiting { until, .. } | State::Handshaking { until, .. } if *until <= now => {
                self.fail(DtlsFailure::TimedOut);
            }
            State::Handshaking { association, .. } => {
                association.handle_timeout(now, &mut self.transmits);
            }
            State::Waiting { .. } | State::Connected(_) | State::Over => {}
        }
    }

    fn close(&mut self) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Handshaking { association, .. } => association.close(&mut self.transmits),
            State::Connected(settled) => settled.close(&self.identity, &mut self.transmits),
            State::Waiting { .. } | State::Over => {}
        }
    }

    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Waiting { until, .. } => Some(*until),
            State::Handshaking { until, association } => Some(
                association
                    .poll_timeout()
                    .map_or(*until, |at| at.min(*until)),
            ),
            State::Connected(_) | State::Over => None,
        }
    }

    fn poll_event(&mut self) -> Option<DtlsEvent> {
        self.events.pop_front()
    }
}

fn hold(held: &mut VecDeque<Vec<u8>>, datagram: &[u8]) {
    held.push_back(datagram.to_vec());
    let mut bytes: usize = held.iter().map(Vec::len).sum();
    while bytes > MAX_HELD_BYTES {
        bytes -= held.pop_front().map_or(bytes, |oldest| oldest.len());
    }
}
