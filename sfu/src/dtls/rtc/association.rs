//! One endpoint of `rtc-dtls`, and what was last sent to its peer.

use super::identity::{IdentityError, check_certificate};
use super::settled::{Role, drain};
use crate::dtls::DtlsFailure;
use crate::dtls::gate::{Gate, Phase, PlainAlert};
use crate::srtp::{Keys, Profile};
use crate::wire::sdp::Fingerprint;
use rtc_dtls::config::HandshakeConfig;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_dtls::state::State;
use rtc_shared::TransportProtocol;
use rtc_shared::error::Error as RtcError;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// When a flight is sent for the second time; then after twice as long, up to [`SLOWEST_RESEND`]. A
/// second is the rule, and less where latency counts (RFC 6347, section 4.2.4.1): somebody waits for
/// a picture here, and most paths answer within a third of this.
const FIRST_RESEND: Duration = Duration::from_millis(300);
/// The longest time between two: about ten sendings within the handshake's time.
const SLOWEST_RESEND: Duration = Duration::from_secs(5);
/// A peer that repeats itself is answered at most this often, so that a spoofed address is not sent
/// much more than what was sent in its name.
pub(super) const REPEAT_INTERVAL: Duration = Duration::from_millis(100);
/// RFC 5705's label for RFC 5764.
const EXPORTER: &str = "EXTRACTOR-dtls_srtp";
/// The handshake type of a HelloVerifyRequest, and where a datagram has it.
const HELLO_VERIFY_REQUEST: (usize, u8) = (13, 3);
/// An endpoint tells peers apart by their addresses. Each of ours has one peer, whose address may change
/// under it, so all of them stand for the same (RFC 5737).
pub(super) const PEER: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 9));

/// What a datagram did.
pub(super) enum Step {
    /// Nothing of it was due.
    Nothing,
    /// The handshake goes on.
    Taken,
    /// The peer gives up.
    Alert(PlainAlert),
    /// It is over.
    Failed(DtlsFailure),
    /// It is complete.
    Complete,
}

pub(super) struct Association {
    role: Role,
    endpoint: Endpoint,
    gate: Gate,
    /// What was sent last, until it is answered.
    flight: Vec<Vec<u8>>,
    /// The peer's messages up to this number were answered with it: when one comes again, it was lost.
    answered: Option<u16>,
    sent: Instant,
    resend: Option<Resend>,
}

#[derive(Clone, Copy)]
struct Resend {
    at: Instant,
    after: Duration,
}

impl Association {
    pub(super) fn server(config: Arc<HandshakeConfig>, now: Instant) -> Self {
        let endpoint = Endpoint::new(PEER, TransportProtocol::UDP, Some(config));
        Self::new(Role::Server, endpoint, now)
    }

    /// A client, and its first flight.
    pub(super) fn client(
        config: Arc<HandshakeConfig>,
        now: Instant,
    ) -> Result<(Self, Vec<Vec<u8>>), IdentityError> {
        let mut endpoint = Endpoint::new(PEER, TransportProtocol::UDP, None);
        endpoint.connect(now, PEER, config, None)?;
        let mut client = Self::new(Role::Client, endpoint, now);
        let flight = client.drain();
        client.begin_flight(now, flight.clone());
        Ok((client, flight))
    }

    fn new(role: Role, endpoint: Endpoint, now: Instant) -> Self {
        Self {
            role,
            endpoint,
            gate: Gate::new(),
            flight: Vec::new(),
            answered: None,
            sent: now,
            resend: None,
        }
    }

    pub(super) fn handle_flight(
        &mut self,
        now: Instant,
        datagram: &[u8],
        transmits: &mut VecDeque<Vec<u8>>,
    ) -> Step {
        let passed = self.gate.pass(datagram, Phase::Handshaking);
        if passed.is_too_much {
            return Step::Failed(DtlsFailure::TooMuch);
        }
        if let Some(alert) = passed.alert {
            return Step::Alert(alert);
        }
        if passed.records.is_empty() {
            return Step::Nothing;
        }
        let is_repeat = passed
            .lowest_message
            .is_some_and(|lowest| Some(lowest) <= self.answered);
        let events = self.endpoint.read(now, PEER, None, passed.records);
        let flight = self.drain();
        let events = match events {
            Ok(events) => events,
            Err(error) => {
                transmits.extend(flight);
                return Step::Failed(failure(&error));
            }
        };
        if !flight.is_empty() {
            transmits.extend(flight.iter().cloned());
            self.begin_flight(now, flight);
        } else if is_repeat {
            self.repeat(now, transmits);
        }
        let is_complete = |event| matches!(event, EndpointEvent::HandshakeComplete);
        if events.into_iter().any(is_complete) {
            Step::Complete
        } else {
            Step::Taken
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, transmits: &mut VecDeque<Vec<u8>>) {
        let Some(resend) = self.resend.filter(|resend| resend.at <= now) else {
            return;
        };
        let after = (resend.after * 2).min(SLOWEST_RESEND);
        let at = now + after;
        self.resend = Some(Resend { at, after });
        self.send_again(now, transmits);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.resend.map(|resend| resend.at)
    }

    pub(super) fn close(mut self, transmits: &mut VecDeque<Vec<u8>>) {
        // It never fails, and only stamps its datagram with the time.
        let _ = self.endpoint.close(self.sent);
        transmits.extend(self.drain());
    }

    /// What the endpoint knows of its peer.
    pub(super) fn state(&self) -> Option<&State> {
        self.endpoint.get_connection_state(PEER)
    }

    /// What outlives the handshake: which side this was, what it sent last, and when.
    pub(super) fn into_last_flight(self) -> (Role, Vec<Vec<u8>>, Instant) {
        (self.role, self.flight, self.sent)
    }

    /// The keys of a complete handshake, when the peer is one of `accepted`.
    pub(super) fn keys(&self, accepted: &[Fingerprint]) -> Result<(Profile, Keys), DtlsFailure> {
        let state = self.state();
        let state = state.ok_or_else(|| DtlsFailure::Handshake("no connection".to_owned()))?;
        // The endpoint has asked the same during the handshake. Everything rests on it.
        check_certificate(&state.peer_certificates, accepted).map_err(|error| failure(&error))?;
        let agreed = state.srtp_protection_profile();
        let profile = if agreed == SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm {
            Profile::AeadAes128Gcm
        } else if agreed == SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 {
            Profile::Aes128CmHmacSha1_80
        } else {
            return Err(DtlsFailure::NoProfile);
        };
        let exported = state
            .export_keying_material(EXPORTER, &[], profile.exporter_bytes())
            .map_err(|error| failure(&error))?;
        let keys = Keys::from_exporter(profile, exported.as_ref());
        let keys = keys.ok_or_else(|| DtlsFailure::Handshake("keys too short".to_owned()))?;
        Ok((profile, keys))
    }

    fn drain(&mut self) -> Vec<Vec<u8>> {
        drain(&mut self.endpoint).collect()
    }

    fn begin_flight(&mut self, now: Instant, flight: Vec<Vec<u8>>) {
        self.answered = self.gate.highest_message();
        self.sent = now;
        // A HelloVerifyRequest has no timer: when it is lost, the client asks again (RFC 6347, section
        // 4.2.1).
        let (at, message) = HELLO_VERIFY_REQUEST;
        let first = flight.first();
        let has_timer = first.is_some_and(|datagram| datagram.get(at) != Some(&message));
        self.resend = has_timer.then_some(Resend {
            at: now + FIRST_RESEND,
            after: FIRST_RESEND,
        });
        self.flight = flight;
    }

    /// Sends the flight again because the peer did.
    fn repeat(&mut self, now: Instant, transmits: &mut VecDeque<Vec<u8>>) {
        if now.duration_since(self.sent) >= REPEAT_INTERVAL {
            self.send_again(now, transmits);
        }
    }

    /// Sends the flight bit for bit: the records that arrived are dropped there as replays.
    fn send_again(&mut self, now: Instant, transmits: &mut VecDeque<Vec<u8>>) {
        // Not while it waits to go out: that bounds what waits.
        if !self.flight.is_empty() && transmits.is_empty() {
            self.sent = now;
            transmits.extend(self.flight.iter().cloned());
        }
    }
}

pub(super) fn failure(error: &RtcError) -> DtlsFailure {
    if matches!(error, RtcError::ErrFingerprintMismatch) {
        DtlsFailure::FingerprintMismatch
    } else if matches!(
        error,
        RtcError::ErrClientCertificateRequired | RtcError::ErrCertificateVerifyNoCertificate
    ) {
        DtlsFailure::NoCertificate
    } else {
        DtlsFailure::Handshake(error.to_string())
    }
}
