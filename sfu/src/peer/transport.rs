//! A peer's transport: ICE answers, the DTLS handshake, and the keys that come of it.

use crate::cache;
use crate::core::ice::{Check, Credentials, IceEvent, IceLite, PeerRole, Ufrag, Verdict};
use crate::core::negotiate::DtlsRole;
use crate::dtls::{Dtls, DtlsEvent, Identity, RtcDtls};
use crate::net::address::Destination;
use crate::net::socket::Local;
use crate::packet::Outgoing;
use crate::peer::trace::{Outcome, Recorder};
use crate::shard::Sink;
use crate::srtp::{Opener, Profile, Sealer};
use crate::wire::sdp::Fingerprint;
use crate::wire::stun::{self, IntegrityKey, Message, Role};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// From a peer's join to its first DTLS keys. Then it is given up: a browser that can connect at all
/// does so in seconds.
pub const CONNECT: Duration = Duration::from_secs(45);

/// From an answer to its first DTLS keys, for whoever can connect at all. Who leaves before says nothing about
/// the network; who leaves later, as the web app does after 15 s, was kept waiting by it.
pub(crate) const UNREACHED: Duration = Duration::from_secs(5);

/// Between which two addresses datagrams go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    /// The peer's.
    pub remote: SocketAddr,
    /// Which of the shard's.
    pub local: Local,
}

/// The keys of both directions.
pub(crate) struct Secure {
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
}

/// What became of the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransportEvent {
    /// Datagrams from there are this peer's.
    Learned(Path),
    /// They are no more.
    Forgotten(Path),
    /// Checks with this fragment are for nobody.
    Retired(Ufrag),
    /// Media flows.
    Connected,
    /// Nothing is heard.
    Interrupted,
    /// Something is heard again.
    Recovered,
    /// Nothing was heard for too long.
    Expired,
    /// The handshake failed, or never happened, or the peer closed it.
    Failed,
    /// The peer said good-bye.
    Closed,
}

/// ICE, DTLS and SRTP of one peer.
///
/// ```text
///  Idle ──offer──► Checking ──check──► Handshaking ──keys──► Secure
/// ```
pub(crate) struct Transport {
    identity: Arc<Identity>,
    ice: Option<IceLite<Path>>,
    dtls: Option<RtcDtls>,
    role: DtlsRole,
    /// The peer's certificates, where we open DTLS and have no path yet: a ClientHello goes to nobody from whom no
    /// check came. A check's address can be forged by whoever knows the peer's credentials; then some ten ClientHellos
    /// go there in half a minute, once for the peer's life.
    opens: Option<Vec<Fingerprint>>,
    pub(crate) secure: Option<Secure>,
    /// What was seen of the way in.
    pub(crate) recorder: Recorder,
    /// Where media goes; follows what ICE has selected.
    selected: Option<(Local, Destination)>,
    since: Instant,
    /// There were no keys in [`CONNECT`], which is said once.
    is_given_up: bool,
    is_interrupted: bool,
    /// Something came in since it was last followed.
    is_stirred: bool,
    /// When it has something to say by itself, as of when it was last followed. Consent that was renewed since
    /// makes it too early, never too late.
    next: Option<Instant>,
}

impl Transport {
    pub(crate) fn new(identity: Arc<Identity>, now: Instant) -> Self {
        Self {
            identity,
            ice: None,
            dtls: None,
            role: DtlsRole::Server,
            opens: None,
            secure: None,
            recorder: Recorder::default(),
            selected: None,
            since: now,
            is_given_up: false,
            is_interrupted: false,
            is_stirred: true,
            next: None,
        }
    }

    /// The first offer was answered.
    pub(crate) fn begin(
        &mut self,
        credentials: Credentials,
        role: DtlsRole,
        peers: Vec<Fingerprint>,
        now: Instant,
    ) {
        self.ice = Some(IceLite::new(credentials, now));
        self.role = role;
        match role {
            DtlsRole::Server => self.dtls = Some(RtcDtls::server(&self.identity, peers, now)),
            DtlsRole::Client => self.opens = Some(peers),
        }
        self.since = now;
        self.recorder.begin(now);
        self.is_stirred = true;
    }

    /// An ICE restart was answered.
    pub(crate) fn restart(&mut self, credentials: Credentials, now: Instant) {
        self.is_stirred = true;
        if let Some(ice) = &mut self.ice {
            ice.restart(credentials, now);
        }
    }

    /// Keys are there and consent is fresh.
    pub(crate) fn is_connected(&self) -> bool {
        self.secure.is_some() && !self.is_interrupted
    }

    /// Keys are there, but nothing was heard for some seconds.
    pub(crate) fn is_silent(&self) -> bool {
        self.secure.is_some() && self.is_interrupted
    }

    /// How long it is since the first offer was answered.
    pub(crate) fn waited(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// An offer was answered, and there was time enough, but there never were keys.
    pub(crate) fn is_unreached(&self, now: Instant) -> bool {
        self.ice.is_some() && self.secure.is_none() && self.waited(now) >= UNREACHED
    }

    /// Where media goes.
    pub(crate) fn destination(&self) -> Option<&(Local, Destination)> {
        self.selected.as_ref()
    }

    /// Seals a media packet and puts it where it will be sent from; its length, or `None` without keys,
    /// a path or room.
    pub(crate) fn send_media(&self, sink: &mut impl Sink, packet: &Outgoing<'_>) -> Option<usize> {
        let sealer = &self.secure.as_ref()?.sealer;
        let to = self.selected.as_ref()?;
        sink.put(to, packet.max_len(sealer), |place| {
            packet.put(place, sealer)
        })
    }

    /// Media will be sent soon.
    pub(crate) fn expect_media(&self) {
        if let Some(secure) = &self.secure {
            secure.sealer.expect_rtp();
        }
        cache::expect(&self.selected);
    }

    /// Seals RTCP, whose buffer is used up by it, and puts it where it will be sent from.
    pub(crate) fn send_rtcp(&mut self, sink: &mut impl Sink, packet: &mut Vec<u8>) {
        if let (Some(secure), Some(to)) = (&mut self.secure, &self.selected)
            && secure.sealer.seal_rtcp(packet).is_ok()
        {
            sink.send(to, packet);
        }
    }

    /// Takes a binding request; what is to be answered is written into `answer`.
    pub(crate) fn handle_check(
        &mut self,
        now: Instant,
        from: Path,
        message: &Message<'_>,
        ufrag: Ufrag,
        answer: &mut Vec<u8>,
    ) {
        answer.clear();
        self.is_stirred = true;
        let Some(ice) = &mut self.ice else {
            return;
        };
        let Some(key) = ice.password(ufrag).map(IntegrityKey::new) else {
            return;
        };
        let transaction = message.transaction;
        if message.check_integrity(&key).is_err() {
            // RFC 8489, section 9.1.3; without integrity, since the peer has shown none.
            let refusal = stun::Refusal::Unauthenticated;
            stun::write_error(answer, transaction, refusal, None);
            self.recorder.check(now, from, Outcome::Refused, false);
            return;
        }
        if !message.unknown.types().is_empty() {
            let refusal = stun::Refusal::UnknownAttributes(message.unknown);
            stun::write_error(answer, transaction, refusal, Some(&key));
            self.recorder.check(now, from, Outcome::Other, false);
            return;
        }
        let check = Check {
            transaction: transaction.0,
            ufrag,
            role: message.role.map(|role| match role {
                Role::Controlling(_) => PeerRole::Controlling,
                Role::Controlled(_) => PeerRole::Controlled,
            }),
            nominates: message.use_candidate,
        };
        let outcome = match ice.handle_check(now, from, &check) {
            Verdict::Respond => {
                stun::write_success(answer, transaction, from.remote, &key);
                Outcome::Answered
            }
            Verdict::Refuse(_) => {
                let refusal = stun::Refusal::RoleConflict;
                stun::write_error(answer, transaction, refusal, Some(&key));
                Outcome::Other
            }
            Verdict::Ignore => Outcome::Other,
        };
        self.recorder.check(now, from, outcome, check.nominates);
    }

    /// Takes a datagram of the handshake from an address that ICE has validated. False when nothing of
    /// it can be used: anybody may write a datagram with the peer's address.
    pub(crate) fn handle_dtls(&mut self, now: Instant, from: Path, datagram: &[u8]) -> bool {
        self.is_stirred = true;
        let is_valid = self.ice.as_ref().is_some_and(|ice| ice.is_valid(from));
        let dtls = self.dtls.as_mut().filter(|_| is_valid);
        let is_taken = dtls.is_some_and(|dtls| dtls.handle_datagram(now, datagram).is_ok());
        if is_taken {
            self.recorder.handshake_begun();
        }
        is_taken
    }

    /// Something authentic came from there.
    pub(crate) fn handle_authentic(&mut self, now: Instant, from: Path) {
        if let Some(ice) = &mut self.ice {
            ice.handle_authentic(now, from);
            self.is_stirred |= ice.has_events();
        }
    }

    /// A TCP connection has ended.
    pub(crate) fn handle_closed(&mut self, now: Instant, path: Path) {
        if let Some(ice) = &mut self.ice {
            ice.handle_closed(now, path);
            self.is_stirred = true;
        }
    }

    /// Keys are there, and the peer is heard over this path.
    pub(crate) fn hears(&self, now: Instant, from: Path) -> bool {
        let ice = self.ice.as_ref();
        self.is_connected() && ice.is_some_and(|ice| ice.hears(now, from))
    }

    /// Whether datagrams from there may be the peer's.
    pub(crate) fn is_valid(&self, from: Path) -> bool {
        self.ice.as_ref().is_some_and(|ice| ice.is_valid(from))
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.dtls.as_mut()?.poll_transmit()
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some(dtls) = &mut self.dtls
            && dtls.poll_timeout().is_some_and(|due| due <= now)
        {
            dtls.handle_timeout(now);
        }
    }

    /// Whether something came in that it has to be followed for.
    pub(crate) fn is_stirred(&self) -> bool {
        self.is_stirred
    }

    /// Whether it has to be followed now. Most times that a peer is attended to it has not, and is not looked into.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.is_stirred || self.next.is_some_and(|next| next <= now)
    }

    /// It was followed, and has nothing to say until [`Self::next_due`].
    pub(crate) fn settle(&mut self) {
        self.is_stirred = false;
        self.next = self.poll_timeout();
    }

    /// When it has to be followed again, if nothing comes in.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.next
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let ice = self.ice.as_ref().and_then(IceLite::poll_timeout);
        let dtls = self.dtls.as_ref().and_then(|dtls| dtls.poll_timeout());
        let connect = self.needs_keys().then(|| self.since + CONNECT);
        [ice, dtls, connect].into_iter().flatten().min()
    }

    fn needs_keys(&self) -> bool {
        self.secure.is_none() && !self.is_given_up
    }

    /// What happened, until there is nothing more.
    pub(crate) fn poll_event(&mut self, now: Instant) -> Option<TransportEvent> {
        if let Some(event) = self.poll_dtls() {
            return Some(event);
        }
        if self.needs_keys() && now >= self.since + CONNECT {
            self.is_given_up = true;
            return Some(TransportEvent::Expired);
        }
        let event = self.ice.as_mut()?.poll_event(now)?;
        Some(match event {
            IceEvent::Selected(path) => {
                self.selected = Some((path.local, Destination::from(path.remote)));
                self.open(now);
                TransportEvent::Learned(path)
            }
            IceEvent::Lost => {
                self.selected = None;
                return self.poll_event(now);
            }
            IceEvent::Forgotten(path) => TransportEvent::Forgotten(path),
            IceEvent::Retired(ufrag) => TransportEvent::Retired(ufrag),
            IceEvent::Interrupted => {
                self.is_interrupted = true;
                TransportEvent::Interrupted
            }
            IceEvent::Recovered => {
                self.is_interrupted = false;
                TransportEvent::Recovered
            }
            IceEvent::Expired => {
                self.selected = None;
                TransportEvent::Expired
            }
        })
    }

    /// There is a path: if DTLS is ours to open, it begins.
    fn open(&mut self, now: Instant) {
        if let Some(peers) = self.opens.take() {
            // It does not fail with an identity that is one; if it did, the peer would be out after `CONNECT`.
            self.dtls = RtcDtls::client(&self.identity, peers, &Profile::PREFERRED, now).ok();
        }
    }

    fn poll_dtls(&mut self) -> Option<TransportEvent> {
        match self.dtls.as_mut()?.poll_event()? {
            DtlsEvent::Connected { keys, .. } => {
                let (own, peers) = match self.role {
                    DtlsRole::Server => (&keys.server, &keys.client),
                    DtlsRole::Client => (&keys.client, &keys.server),
                };
                self.secure = Some(Secure {
                    sealer: Sealer::new(own),
                    opener: Opener::new(peers),
                });
                self.recorder.connected();
                Some(TransportEvent::Connected)
            }
            DtlsEvent::Failed(failure) => {
                self.recorder.failed(&failure);
                Some(TransportEvent::Failed)
            }
            DtlsEvent::Closed => {
                self.recorder.closed();
                Some(TransportEvent::Closed)
            }
        }
    }

    /// Says good-bye; what is to be sent is polled afterwards.
    pub(crate) fn close(&mut self) {
        self.is_stirred = true;
        if let Some(dtls) = &mut self.dtls {
            dtls.close();
        }
    }
}
