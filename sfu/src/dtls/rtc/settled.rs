//! An association whose handshake is complete: keys were exported, and all that is left to do is to repeat
//! the last flight, to hear alerts, and to say goodbye.
//!
//! ```text
//!  Asleep ──an alert, or goodbye──► Awake
//! ```
//!
//! An endpoint holds some 14 KB, most of it what the handshake said; there is one a peer, and hardly any is
//! needed again before the end. So it is put away as some 200 bytes, its secret and numbers, and made
//! anew of them by what only it can read. That costs two key schedules, once: it stays awake then.

use super::association::{Association, PEER, REPEAT_INTERVAL, failure};
use super::identity::{Identity, IdentityError};
use crate::dtls::gate::{Gate, Phase};
use crate::dtls::{DtlsError, DtlsFailure};
use crate::srtp::Profile;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::state::State;
use rtc_shared::TransportProtocol;
use rtc_shared::error::Error as RtcError;
use std::collections::VecDeque;
use std::time::Instant;

/// How often in all a connected peer is told again that the handshake is complete.
const MAX_REPEATS: u8 = 16;

/// What [`State::marshal_binary`] wrote is read in place, and aligned to this.
const ALIGNMENT: usize = 16;

/// The side of the handshake that was ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}

/// What there is of an association once it is connected.
pub(super) struct Settled {
    role: Role,
    session: Session,
    profile: Profile,
    /// A server's last flight, which may be lost; a client's was answered.
    flight: Box<[Box<[u8]>]>,
    sent: Instant,
    repeats_left: u8,
}

enum Session {
    Asleep(Box<[u8]>),
    Awake(Box<Endpoint>),
}

impl Settled {
    /// Puts a complete handshake's association away.
    pub(super) fn new(
        association: Association,
        identity: &Identity,
        profile: Profile,
    ) -> Result<Self, DtlsFailure> {
        let session = put_away(&association, identity).map_err(|error| failure(&error))?;
        let (role, flight, sent) = association.into_last_flight();
        Ok(Self {
            role,
            session: Session::Asleep(session),
            profile,
            flight: match role {
                Role::Client => Box::default(),
                Role::Server => flight.into_iter().map(Vec::into_boxed_slice).collect(),
            },
            sent,
            repeats_left: MAX_REPEATS,
        })
    }

    /// What comes once connected; true when the peer has said goodbye.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        datagram: &[u8],
        identity: &Identity,
        transmits: &mut VecDeque<Vec<u8>>,
    ) -> Result<bool, DtlsError> {
        let passed = Gate::new().pass(datagram, Phase::Connected);
        // The peer repeats its last flight: ours was lost (RFC 6347, section 4.2.4).
        if passed.has_handshake {
            self.repeat(now, transmits);
        }
        if passed.records.is_empty() {
            let is_due = passed.has_handshake && self.role == Role::Server;
            return if is_due {
                Ok(false)
            } else {
                Err(DtlsError::Malformed)
            };
        }
        let endpoint = self.awake(identity).map_err(|_| DtlsError::Malformed)?;
        let result = endpoint.read(now, PEER, None, passed.records);
        let answer: Vec<_> = drain(endpoint).collect();
        let is_over = match result {
            Ok(events) => events
                .iter()
                .any(|event| matches!(event, EndpointEvent::PeerClosed)),
            Err(error) => matches!(error, RtcError::ErrAlertFatalOrClose),
        };
        if is_over {
            // Only then: a warning would be echoed, and its echo by the peer.
            transmits.extend(answer);
        }
        Ok(is_over)
    }

    pub(super) fn close(mut self, identity: &Identity, transmits: &mut VecDeque<Vec<u8>>) {
        let sent = self.sent;
        if let Ok(endpoint) = self.awake(identity) {
            // It never fails, and only stamps its datagram with the time.
            let _ = endpoint.close(sent);
            transmits.extend(drain(endpoint));
        }
    }

    /// Bytes of memory that it holds; `None` while an endpoint is among them.
    #[cfg(test)]
    pub(super) fn footprint(&self) -> Option<usize> {
        let flight: usize = self.flight.iter().map(|datagram| datagram.len()).sum();
        match &self.session {
            Session::Asleep(session) => Some(size_of::<Self>() + session.len() + flight),
            Session::Awake(_) => None,
        }
    }

    /// Sends the last flight bit for bit: the records that arrived are dropped there as replays.
    fn repeat(&mut self, now: Instant, transmits: &mut VecDeque<Vec<u8>>) {
        let is_due = now.duration_since(self.sent) >= REPEAT_INTERVAL;
        // Not while it waits to go out: that bounds what waits.
        if is_due && self.repeats_left > 0 && !self.flight.is_empty() && transmits.is_empty() {
            self.repeats_left -= 1;
            self.sent = now;
            transmits.extend(self.flight.iter().map(|datagram| datagram.to_vec()));
        }
    }

    fn awake(&mut self, identity: &Identity) -> Result<&mut Endpoint, IdentityError> {
        if let Session::Asleep(session) = &self.session {
            let endpoint = wake(session, identity, self.profile, self.sent)?;
            self.session = Session::Awake(Box::new(endpoint));
        }
        match &mut self.session {
            Session::Awake(endpoint) => Ok(endpoint),
            Session::Asleep(_) => Err(IdentityError("still asleep".to_owned())),
        }
    }
}

/// The datagrams that an endpoint has for its peer.
pub(super) fn drain(endpoint: &mut Endpoint) -> impl Iterator<Item = Vec<u8>> + '_ {
    let transmits = std::iter::from_fn(|| endpoint.poll_transmit());
    transmits.map(|transmit| transmit.message.into())
}

/// The association's secret and numbers, without the peer's certificate, which was looked at.
fn put_away(association: &Association, identity: &Identity) -> Result<Box<[u8]>, RtcError> {
    let state = association.state().ok_or(RtcError::ErrConnClosed)?;
    let mut copy = restore(&state.marshal_binary()?, identity)?;
    copy.peer_certificates = Vec::new();
    Ok(copy.marshal_binary()?.into_boxed_slice())
}

/// An endpoint is only given a state with a client's connection. Who began the handshake is in the
/// state, and nothing that still happens depends on the connection's own idea of it.
fn wake(
    session: &[u8],
    identity: &Identity,
    profile: Profile,
    now: Instant,
) -> Result<Endpoint, IdentityError> {
    let config = identity.client_config(&[], &[profile])?;
    let mut endpoint = Endpoint::new(PEER, TransportProtocol::UDP, None);
    endpoint.connect(now, PEER, config, Some(restore(session, identity)?))?;
    Ok(endpoint)
}

fn restore(session: &[u8], identity: &Identity) -> Result<State, RtcError> {
    let mut place = vec![0; session.len() + ALIGNMENT];
    let at = place.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
    let aligned = &mut place[at..at + session.len()];
    aligned.copy_from_slice(session);
    // Who we were is among what is read.
    let mut state = State::new(identity.provider(), false);
    state.unmarshal_binary(aligned)?;
    Ok(state)
}
