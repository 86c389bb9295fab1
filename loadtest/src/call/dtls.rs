//! DTLS for SRTP's keys (RFC 5764), by `rtc-dtls`: the server's certificate has to have the
//! fingerprint that the signalling says (RFC 8122), or there are no keys.
//!
//! Flights are sent again by ourselves: the endpoint's own timer stops at the first datagram that is not
//! a whole flight.

use super::srtp::{Master, Profile, split};
use bytes::BytesMut;
use ring::digest::{SHA256, digest};
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_dtls::crypto::Certificate;
use rtc_dtls::crypto_provider::{RTCCryptoProvider, default_provider};
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_shared::TransportProtocol;
use rtc_shared::error::Error as RtcError;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The endpoint tells peers apart by their addresses; ours has one, whatever its address (RFC 5737).
const PEER: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 9));

/// When a flight is sent for the second time; then after twice as long.
const FIRST_RESEND: Duration = Duration::from_millis(300);

/// A handshake that takes longer has failed.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// RFC 5705's label for RFC 5764.
const EXPORTER: &str = "EXTRACTOR-dtls_srtp";

/// Why there are no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DtlsError {
    /// The certificate or configuration could not be made.
    #[error("no identity: {0}")]
    Identity(String),
    /// The other side's certificate is not the one that was announced.
    #[error("the certificate has another fingerprint")]
    Fingerprint,
    /// Anything else in the handshake.
    #[error("the handshake failed: {0}")]
    Handshake(String),
    /// It took too long.
    #[error("the handshake took too long")]
    TimedOut,
}

impl From<RtcError> for DtlsError {
    fn from(error: RtcError) -> Self {
        if matches!(error, RtcError::ErrFingerprintMismatch) {
            Self::Fingerprint
        } else {
            Self::Handshake(error.to_string())
        }
    }
}

/// A self-signed certificate; one for all participants of a process.
#[derive(Clone)]
pub struct Identity {
    provider: Arc<dyn RTCCryptoProvider>,
    certificate: Certificate,
    /// As `a=fingerprint` has it after the hash's name.
    pub fingerprint: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// The fingerprint of a certificate: SHA-256, in hexadecimal with colons.
#[must_use]
pub fn fingerprint(certificate: &[u8]) -> String {
    let bytes = digest(&SHA256, certificate);
    let hex: Vec<String> = bytes
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    hex.join(":")
}

impl Identity {
    /// A new one.
    ///
    /// # Errors
    /// [`DtlsError::Identity`] when the system has no randomness.
    pub fn generate() -> Result<Self, DtlsError> {
        let wrong = |error: String| DtlsError::Identity(error);
        let provider = default_provider().map_err(|error| wrong(error.to_string()))?;
        let names = vec!["load".to_owned()];
        let certificate = Certificate::generate_self_signed(names, provider.crypto())
            .map_err(|error| wrong(error.to_string()))?;
        let der = certificate.certificate.first();
        let fingerprint = fingerprint(der.ok_or_else(|| wrong("no certificate".to_owned()))?);
        Ok(Self {
            provider,
            certificate,
            fingerprint,
        })
    }

    /// A configuration for either side, which accepts this fingerprint alone.
    ///
    /// # Errors
    /// [`DtlsError::Identity`] when the implementation refuses it.
    pub fn config(
        &self,
        is_client: bool,
        accepted: &str,
        profile: Profile,
    ) -> Result<Arc<HandshakeConfig>, DtlsError> {
        let accepted = accepted.to_owned();
        let verify = move |chain: &[Vec<u8>], _: &[_]| match chain.first() {
            Some(der) if fingerprint(der).eq_ignore_ascii_case(&accepted) => Ok(()),
            _ => Err(RtcError::ErrFingerprintMismatch),
        };
        let profile = match profile {
            Profile::Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
            Profile::Sha1 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
        };
        let mut builder = ConfigBuilder::default()
            .with_crypto_provider(self.provider.clone())
            .with_certificates(vec![self.certificate.clone()])
            .with_srtp_protection_profiles(vec![profile])
            .with_extended_master_secret(ExtendedMasterSecretType::Require)
            .with_insecure_skip_verify(true)
            .with_verify_peer_certificate(Some(Arc::new(verify)))
            .with_flight_interval(HANDSHAKE * 2);
        builder = if is_client {
            builder.with_server_name("load".to_owned())
        } else {
            builder.with_client_auth(ClientAuthType::RequireAnyClientCert)
        };
        let config = builder.build(is_client, None);
        Ok(Arc::new(
            config.map_err(|error| DtlsError::Identity(error.to_string()))?,
        ))
    }
}

/// Which side an association is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It begins: `a=setup:active`.
    Client,
    /// It waits.
    Server,
}

/// One association.
pub struct Association {
    role: Role,
    endpoint: Endpoint,
    accepted: String,
    profile: Profile,
    flight: Vec<BytesMut>,
    resend: Option<(Instant, Duration)>,
    until: Instant,
    is_complete: bool,
}

impl std::fmt::Debug for Association {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Association")
            .field("is_complete", &self.is_complete)
            .finish_non_exhaustive()
    }
}

/// What a handshake gave: keys of what we send, and of what we receive.
pub struct Keys {
    /// Ours.
    pub send: Master,
    /// Theirs.
    pub receive: Master,
}

impl Association {
    /// Begins, or waits for the other side to.
    ///
    /// # Errors
    /// [`DtlsError`] when the implementation refuses.
    pub fn new(
        identity: &Identity,
        role: Role,
        accepted: &str,
        profile: Profile,
        now: Instant,
    ) -> Result<Self, DtlsError> {
        let config = identity.config(role == Role::Client, accepted, profile)?;
        let server = (role == Role::Server).then(|| config.clone());
        let mut endpoint = Endpoint::new(PEER, TransportProtocol::UDP, server);
        if role == Role::Client {
            endpoint.connect(now, PEER, config, None)?;
        }
        Ok(Self {
            role,
            endpoint,
            accepted: accepted.to_owned(),
            profile,
            flight: Vec::new(),
            resend: None,
            until: now + HANDSHAKE,
            is_complete: false,
        })
    }

    /// A record came; gives the keys once.
    ///
    /// # Errors
    /// [`DtlsError`] when the handshake is over for good.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        bytes: &[u8],
        send: impl FnMut(&[u8]),
    ) -> Result<Option<Keys>, DtlsError> {
        let events = self.endpoint.read(now, PEER, None, BytesMut::from(bytes));
        self.flush(now, send);
        let is_done = |event: &EndpointEvent| matches!(event, EndpointEvent::HandshakeComplete);
        match events {
            Ok(events) if events.iter().any(is_done) => {
                self.is_complete = true;
                if self.role == Role::Client {
                    self.resend = None;
                }
                self.keys().map(Some)
            }
            Ok(_) => Ok(None),
            // What comes late or twice is no reason to give up a transport that works.
            Err(_) if self.is_complete => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends what is due, the first flight too.
    ///
    /// # Errors
    /// [`DtlsError::TimedOut`].
    pub fn handle_timeout(
        &mut self,
        now: Instant,
        mut send: impl FnMut(&[u8]),
    ) -> Result<(), DtlsError> {
        self.flush(now, &mut send);
        if self.is_complete {
            self.resend = None;
            return Ok(());
        }
        if now >= self.until {
            return Err(DtlsError::TimedOut);
        }
        if let Some((at, after)) = self.resend
            && now >= at
        {
            self.flight.iter().for_each(|message| send(message));
            self.resend = Some((now + after * 2, after * 2));
        }
        Ok(())
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_complete {
            return None;
        }
        Some(self.resend.map_or(self.until, |(at, _)| at.min(self.until)))
    }

    /// Says goodbye.
    pub fn close(&mut self, now: Instant, send: impl FnMut(&[u8])) {
        // It fails only for want of a connection, and then there is nobody to say it to.
        let _ = self.endpoint.close(now);
        self.flush(now, send);
    }

    fn flush(&mut self, now: Instant, mut send: impl FnMut(&[u8])) {
        let mut is_new = false;
        while let Some(transmit) = self.endpoint.poll_transmit() {
            if !is_new {
                self.flight.clear();
                is_new = true;
            }
            send(&transmit.message);
            self.flight.push(transmit.message);
        }
        if is_new && !self.is_complete {
            self.resend = Some((now + FIRST_RESEND, FIRST_RESEND));
        }
    }

    fn keys(&self) -> Result<Keys, DtlsError> {
        let wrong = |what: &str| DtlsError::Handshake(what.to_owned());
        let state = self.endpoint.get_connection_state(PEER);
        let state = state.ok_or_else(|| wrong("no connection"))?;
        // The endpoint has asked the same during the handshake; everything rests on it.
        let der = state
            .peer_certificates
            .first()
            .ok_or(DtlsError::Fingerprint)?;
        if !fingerprint(der).eq_ignore_ascii_case(&self.accepted) {
            return Err(DtlsError::Fingerprint);
        }
        let len = 2 * (16 + self.profile.salt_bytes());
        let exported = state
            .export_keying_material(EXPORTER, &[], len)
            .map_err(|error| wrong(&error.to_string()))?;
        let exported: &[u8] = exported.as_ref();
        let (client, server) = split(self.profile, exported).ok_or_else(|| wrong("short keys"))?;
        Ok(match self.role {
            Role::Client => Keys {
                send: client,
                receive: server,
            },
            Role::Server => Keys {
                send: server,
                receive: client,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn pair(accepted_by_client: &str, server: &Identity) -> (Association, Association, Instant) {
        let now = Instant::now();
        let client = Identity::generate().unwrap();
        let theirs = Association::new(server, Role::Server, &client.fingerprint, Profile::Gcm, now);
        let ours = Association::new(&client, Role::Client, accepted_by_client, Profile::Gcm, now);
        (ours.unwrap(), theirs.unwrap(), now)
    }

    type Outcome = Option<Result<Keys, DtlsError>>;

    /// Runs both over a path that loses so many in a hundred.
    fn run(
        ours: &mut Association,
        theirs: &mut Association,
        mut now: Instant,
        loss: u64,
    ) -> [Outcome; 2] {
        let mut rng = Rng::new(5);
        let mut outcome: [Outcome; 2] = [None, None];
        let (mut to_us, mut to_them) = (Vec::new(), Vec::new());
        for _ in 0..2_000 {
            let _ = ours.handle_timeout(now, |bytes| to_them.push(bytes.to_vec()));
            let _ = theirs.handle_timeout(now, |bytes| to_us.push(bytes.to_vec()));
            for bytes in std::mem::take(&mut to_us) {
                if !rng.percent(loss) {
                    let result =
                        ours.handle_datagram(now, &bytes, |bytes| to_them.push(bytes.to_vec()));
                    outcome[0] = outcome[0].take().or(result.transpose());
                }
            }
            for bytes in std::mem::take(&mut to_them) {
                if !rng.percent(loss) {
                    let result =
                        theirs.handle_datagram(now, &bytes, |bytes| to_us.push(bytes.to_vec()));
                    outcome[1] = outcome[1].take().or(result.transpose());
                }
            }
            now += Duration::from_millis(10);
        }
        outcome
    }

    #[test]
    fn both_sides_get_each_others_keys_also_over_a_bad_path() {
        for loss in [0, 10] {
            let server = Identity::generate().unwrap();
            let (mut ours, mut theirs, now) = pair(&server.fingerprint, &server);
            let [Some(Ok(ours)), Some(Ok(theirs))] = run(&mut ours, &mut theirs, now, loss) else {
                panic!("no keys with {loss} % lost");
            };
            assert_eq!(
                (ours.send.key, ours.send.salt),
                (theirs.receive.key, theirs.receive.salt)
            );
            assert_eq!(
                (ours.receive.key, ours.receive.salt),
                (theirs.send.key, theirs.send.salt)
            );
        }
    }

    #[test]
    fn a_server_with_another_certificate_gets_nothing() {
        let (server, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let (mut ours, mut theirs, now) = pair(&other.fingerprint, &server);
        let [ours, _] = run(&mut ours, &mut theirs, now, 0);
        assert!(matches!(ours, Some(Err(DtlsError::Fingerprint))));
    }
}
