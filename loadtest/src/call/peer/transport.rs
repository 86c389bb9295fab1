//! One participant's transport: ICE, then DTLS, then SRTP, all on one address (BUNDLE, rtcp-mux).

use crate::call::dtls::{Association, DtlsError, Identity, Role};
use crate::call::ice::{Agent, Credentials, State};
use crate::call::outlet::Outlet;
use crate::call::rtp::{self, Element, Fields, Header};
use crate::call::sdp::Description;
use crate::call::srtp::{Direction, OpenError, Profile};
use crate::rng::Rng;
use std::net::SocketAddr;
use std::time::Instant;

/// Why a transport does not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No address answered, or none does any more.
    #[error("nobody answers")]
    NoConsent,
    /// No keys.
    #[error(transparent)]
    Dtls(#[from] DtlsError),
    /// No cryptography for ICE.
    #[error("{0}")]
    Crypto(String),
}

/// See the module.
#[derive(Debug)]
pub struct Transport {
    identity: Identity,
    profile: Profile,
    by_tcp: bool,
    /// Our credentials.
    pub credentials: Credentials,
    ice: Option<Agent>,
    dtls: Option<Association>,
    accepted: String,
    role: Role,
    remote: Option<SocketAddr>,
    send: Option<Direction>,
    receive: Option<Direction>,
    failure: Option<TransportError>,
    connected: Option<Instant>,
    scratch: Vec<u8>,
    counts: TransportCounts,
}

/// What a transport counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransportCounts {
    /// Packets whose tag was wrong, or that came before the keys.
    pub undecryptable: u64,
    /// Datagrams from another address than the server's, or of no kind.
    pub stray: u64,
}

/// What a datagram was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming {
    /// Nothing for anybody else.
    Done,
    /// RTP, still sealed.
    Rtp,
    /// RTCP, opened: so long.
    Rtcp(usize),
}

impl Transport {
    /// Before the server's description.
    #[must_use]
    pub fn new(identity: Identity, (profile, by_tcp): (Profile, bool), rng: &mut Rng) -> Self {
        Self {
            identity,
            profile,
            by_tcp,
            credentials: Credentials::new(rng),
            ice: None,
            dtls: None,
            accepted: String::new(),
            role: Role::Client,
            remote: None,
            send: None,
            receive: None,
            failure: None,
            connected: None,
            scratch: Vec::with_capacity(1_500),
            counts: TransportCounts::default(),
        }
    }

    /// The server's description came: begins, unless this transport has begun.
    pub fn handle_remote(&mut self, now: Instant, remote: &Description, rng: &mut Rng) {
        if self.ice.is_some() {
            return;
        }
        self.accepted.clone_from(&remote.fingerprint);
        if remote.is_active {
            self.role = Role::Server;
        }
        let (local, theirs) = (self.credentials.clone(), remote.credentials.clone());
        let candidates = if self.by_tcp {
            &remote.tcp_candidates
        } else {
            &remote.candidates
        };
        match Agent::new(local, theirs, candidates.clone(), now, rng.fork()) {
            Ok(agent) => self.ice = Some(agent),
            Err(error) => self.failure = Some(TransportError::Crypto(error.to_string())),
        }
    }

    /// The server's address that has answered a check.
    #[must_use]
    pub fn reached(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// Since when media can go both ways.
    #[must_use]
    pub fn connected(&self) -> Option<Instant> {
        self.connected
    }

    /// Why it does not work, if it doesn't.
    #[must_use]
    pub fn failure(&self) -> Option<&TransportError> {
        self.failure.as_ref()
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> TransportCounts {
        self.counts
    }

    /// The fingerprint of our certificate.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.identity.fingerprint
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.failure.is_some() {
            return None;
        }
        let ice = self.ice.as_ref().and_then(Agent::poll_timeout);
        let dtls = self.dtls.as_ref().and_then(Association::poll_timeout);
        ice.into_iter().chain(dtls).min()
    }

    /// Sends what is due.
    pub fn handle_timeout(&mut self, now: Instant, outlet: &mut Outlet) {
        if self.failure.is_some() {
            return;
        }
        if let Some(ice) = &mut self.ice {
            ice.handle_timeout(now, |to, bytes| outlet.send(to, bytes));
            if ice.state() == State::Failed {
                self.failure = Some(TransportError::NoConsent);
            }
        }
        self.run_dtls(now, outlet);
    }

    /// A datagram came. RTP stays sealed: its index is known by whoever knows its source.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        bytes: &mut [u8],
        outlet: &mut Outlet,
    ) -> Incoming {
        let is_server = self.remote == Some(from);
        match bytes {
            [0..=3, ..] => self.handle_stun(now, from, bytes, outlet),
            [20..=63, ..] if is_server => self.handle_dtls(now, from, bytes, outlet),
            // RTCP's packet types (RFC 5761, section 4).
            [128..=191, 192..=223, ..] if is_server => {
                if let Some(len) = self.open_rtcp(bytes) {
                    return Incoming::Rtcp(len);
                }
            }
            [128..=191, ..] if is_server => return Incoming::Rtp,
            _ => self.counts.stray += 1,
        }
        Incoming::Done
    }

    fn open_rtcp(&mut self, bytes: &mut [u8]) -> Option<usize> {
        let opened = self
            .receive
            .as_ref()
            .and_then(|receive| receive.open_rtcp(bytes).ok());
        if opened.is_none() {
            self.counts.undecryptable += 1;
        }
        opened
    }

    /// Opens a packet in place; gives its length, or counts it.
    pub fn open_rtp(&mut self, packet: &mut [u8], header: &Header, index: u64) -> Option<usize> {
        let opened = match &self.receive {
            Some(receive) => receive.open_rtp(packet, header.len, index),
            None => Err(OpenError::Tag),
        };
        if opened.is_err() {
            self.counts.undecryptable += 1;
        }
        opened.ok()
    }

    /// Seals and sends a packet; nothing before the keys are there.
    pub fn send_rtp(
        &mut self,
        fields: Fields,
        elements: &[Element<'_>],
        payload: &[u8],
        index: u64,
        outlet: &mut Outlet,
    ) {
        let (Some(send), Some(remote)) = (&self.send, self.remote) else {
            return;
        };
        let header = rtp::write(fields, elements, &mut self.scratch);
        self.scratch.extend(payload);
        send.seal_rtp(&mut self.scratch, header, index);
        outlet.send(remote, &self.scratch);
    }

    /// Seals and sends a compound packet; nothing before the keys are there.
    pub fn send_rtcp(&mut self, compound: &[u8], outlet: &mut Outlet) {
        let (Some(send), Some(remote)) = (&mut self.send, self.remote) else {
            return;
        };
        self.scratch.clear();
        self.scratch.extend(compound);
        send.seal_rtcp(&mut self.scratch);
        outlet.send(remote, &self.scratch);
    }

    /// Says goodbye; nothing is sent after it.
    pub fn close(&mut self, now: Instant, outlet: &mut Outlet) {
        if let (Some(dtls), Some(remote)) = (&mut self.dtls, self.remote) {
            dtls.close(now, |bytes| outlet.send(remote, bytes));
        }
        (self.ice, self.dtls, self.send) = (None, None, None);
    }

    fn handle_stun(&mut self, now: Instant, from: SocketAddr, bytes: &[u8], outlet: &mut Outlet) {
        let Some(ice) = &mut self.ice else {
            self.counts.stray += 1;
            return;
        };
        if !ice.handle_datagram(now, from, bytes, |to, bytes| outlet.send(to, bytes)) {
            self.counts.stray += 1;
        }
        if let (State::Connected(remote), None) = (ice.state(), self.remote) {
            self.remote = Some(remote);
            let (role, accepted) = (self.role, self.accepted.as_str());
            match Association::new(&self.identity, role, accepted, self.profile, now) {
                Ok(dtls) => self.dtls = Some(dtls),
                Err(error) => self.failure = Some(error.into()),
            }
            self.run_dtls(now, outlet);
        }
    }

    fn handle_dtls(&mut self, now: Instant, from: SocketAddr, bytes: &[u8], outlet: &mut Outlet) {
        let Some(dtls) = &mut self.dtls else {
            return;
        };
        match dtls.handle_datagram(now, bytes, |bytes| outlet.send(from, bytes)) {
            Ok(Some(keys)) => {
                self.send = Some(Direction::new(self.profile, keys.send));
                self.receive = Some(Direction::new(self.profile, keys.receive));
                self.connected = Some(now);
            }
            Ok(None) => {}
            Err(error) => self.failure = Some(error.into()),
        }
    }

    fn run_dtls(&mut self, now: Instant, outlet: &mut Outlet) {
        if let (Some(dtls), Some(remote)) = (&mut self.dtls, self.remote)
            && let Err(error) = dtls.handle_timeout(now, |bytes| outlet.send(remote, bytes))
        {
            self.failure = Some(error.into());
        }
    }
}
