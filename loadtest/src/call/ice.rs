//! The controlling side of ICE towards a server that is ICE-lite (RFC 8445), and consent (RFC 7675).
//!
//! ```text
//!             first success            no success for 30 s
//!  Checking ─────────────► Connected ─────────────────────► Failed
//!     └───────────────── no success for 30 s ─────────────────┘
//! ```
//!
//! Every check nominates: the server has one address a family, and the first that answers is used.

use crate::rng::Rng;
use rtc_stun::attributes::{
    ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME, RawAttribute,
};
use rtc_stun::crypto::{RTCCryptoProvider, default_provider};
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{
    BINDING_REQUEST, BINDING_SUCCESS, Message, MessageType, Setter, TransactionId,
};
use rtc_stun::xoraddr::XorMappedAddress;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One side's credentials.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// The username fragment.
    pub ufrag: String,
    /// The password.
    pub password: String,
}

impl Credentials {
    /// New ones, as long as browsers' (RFC 8445, section 5.3 asks for 24 and 128 bits).
    pub fn new(rng: &mut Rng) -> Self {
        let mut word = |len| (0..len).map(|_| letter(rng)).collect();
        Self {
            ufrag: word(4),
            password: word(24),
        }
    }
}

fn letter(rng: &mut Rng) -> char {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char::from(LETTERS[rng.index(LETTERS.len())])
}

/// Between two checks of an address that has not answered.
const CHECK_EVERY: Duration = Duration::from_millis(200);

/// Between two checks for consent: 5 s on average (RFC 7675, section 5.1).
const CONSENT_MS: (u64, u64) = (4_000, 6_000);

/// Without an answer for so long, consent is over.
const CONSENT_LASTS: Duration = Duration::from_secs(30);

/// Checks that may still be answered.
const IN_FLIGHT: usize = 32;

/// What the agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No address has answered.
    Checking,
    /// This one is used.
    Connected(SocketAddr),
    /// Nobody answers any more.
    Failed,
}

/// An agent.
pub struct Agent {
    provider: Arc<dyn RTCCryptoProvider>,
    local: Credentials,
    remote: Credentials,
    candidates: Vec<SocketAddr>,
    state: State,
    in_flight: Vec<[u8; 12]>,
    next_check: Instant,
    heard: Instant,
    tie_breaker: u64,
    rng: Rng,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Why there is no agent.
#[derive(Debug, thiserror::Error)]
#[error("no cryptography for ICE: {0}")]
pub struct NoCrypto(String);

impl Agent {
    /// An agent that checks these addresses, the most wanted first.
    ///
    /// # Errors
    /// [`NoCrypto`] when there is no implementation of HMAC.
    pub fn new(
        local: Credentials,
        remote: Credentials,
        candidates: Vec<SocketAddr>,
        now: Instant,
        mut rng: Rng,
    ) -> Result<Self, NoCrypto> {
        Ok(Self {
            provider: default_provider().map_err(|error| NoCrypto(error.to_string()))?,
            local,
            remote,
            candidates,
            state: State::Checking,
            in_flight: Vec::new(),
            next_check: now,
            heard: now,
            tie_breaker: rng.next_u64(),
            rng,
        })
    }

    /// What it is now.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.state != State::Failed).then_some(self.next_check)
    }

    /// Sends what is due: `send` gets the address and the check.
    pub fn handle_timeout(&mut self, now: Instant, mut send: impl FnMut(SocketAddr, &[u8])) {
        if now < self.next_check || self.state == State::Failed {
            return;
        }
        if now >= self.heard + CONSENT_LASTS {
            self.state = State::Failed;
            return;
        }
        match self.state {
            State::Checking => {
                for at in 0..self.candidates.len() {
                    let check = self.check();
                    send(self.candidates[at], &check);
                }
                self.next_check = now + CHECK_EVERY;
            }
            State::Connected(remote) => {
                let check = self.check();
                send(remote, &check);
                // An answer puts it off further; until then it is sent again.
                self.next_check = now + CHECK_EVERY * 2;
            }
            State::Failed => {}
        }
    }

    /// A message of STUN came; false if it is not for us.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        bytes: &[u8],
        send: impl FnMut(SocketAddr, &[u8]),
    ) -> bool {
        let mut message = Message::new();
        message.raw = bytes.to_vec();
        if message.decode().is_err() {
            return false;
        }
        match message.typ {
            BINDING_SUCCESS => self.handle_success(now, from, &mut message),
            BINDING_REQUEST => self.handle_request(from, &mut message, send),
            _ => false,
        }
    }

    fn handle_success(&mut self, now: Instant, from: SocketAddr, message: &mut Message) -> bool {
        let password = self.remote.password.as_bytes();
        let known = self
            .in_flight
            .iter()
            .position(|id| *id == message.transaction_id.0);
        let Some(at) = known else {
            return false;
        };
        if MessageIntegrity::check(message, password, self.provider.crypto()).is_err() {
            return false;
        }
        self.in_flight.swap_remove(at);
        self.heard = now;
        if self.state == State::Checking {
            self.state = State::Connected(from);
        }
        let ms = self.rng.between(CONSENT_MS.0, CONSENT_MS.1);
        self.next_check = now + Duration::from_millis(ms);
        true
    }

    /// A full agent checks us, too.
    fn handle_request(
        &mut self,
        from: SocketAddr,
        message: &mut Message,
        mut send: impl FnMut(SocketAddr, &[u8]),
    ) -> bool {
        let password = self.local.password.as_bytes();
        if MessageIntegrity::check(message, password, self.provider.crypto()).is_err() {
            return false;
        }
        let mapped = XorMappedAddress {
            ip: from.ip(),
            port: from.port(),
        };
        let id = message.transaction_id;
        let setters: Vec<Box<dyn Setter>> = vec![Box::new(mapped)];
        let answer = self.sealed(id, BINDING_SUCCESS, setters, &self.local.password);
        send(from, &answer);
        true
    }

    fn check(&mut self) -> Vec<u8> {
        let mut id = [0; 12];
        id[..8].copy_from_slice(&self.rng.next_u64().to_be_bytes());
        id[8..].copy_from_slice(&self.rng.next_u64().to_be_bytes()[..4]);
        if self.in_flight.len() == IN_FLIGHT {
            self.in_flight.remove(0);
        }
        self.in_flight.push(id);
        let username = format!("{}:{}", self.remote.ufrag, self.local.ufrag);
        // A host candidate's priority, as a peer-reflexive one (RFC 8445, section 7.1.1).
        let priority = (110_u32 << 24) | (65_535 << 8) | 255;
        let attributes = [
            (ATTR_USERNAME, username.into_bytes()),
            (ATTR_PRIORITY, priority.to_be_bytes().to_vec()),
            (
                ATTR_ICE_CONTROLLING,
                self.tie_breaker.to_be_bytes().to_vec(),
            ),
            (ATTR_USE_CANDIDATE, Vec::new()),
        ];
        let setters = attributes.map(|(typ, value)| -> Box<dyn Setter> {
            Box::new(RawAttribute {
                typ,
                length: u16::try_from(value.len()).unwrap_or(0),
                value,
            })
        });
        let password = self.remote.password.clone();
        self.sealed(
            TransactionId(id),
            BINDING_REQUEST,
            setters.into(),
            &password,
        )
    }

    /// A message with these attributes, its integrity and its fingerprint.
    fn sealed(
        &self,
        id: TransactionId,
        kind: MessageType,
        attributes: Vec<Box<dyn Setter>>,
        password: &str,
    ) -> Vec<u8> {
        let crypto = self.provider.crypto();
        let integrity =
            MessageIntegrity::new_short_term_integrity_with_provider(password.to_owned(), crypto);
        let mut setters: Vec<Box<dyn Setter + '_>> = vec![Box::new(id), Box::new(kind)];
        for attribute in attributes {
            setters.push(attribute);
        }
        setters.push(Box::new(integrity));
        setters.push(Box::new(FINGERPRINT));
        let mut message = Message::new();
        // It fails only for attributes longer than 64 KiB.
        let _ = message.build(&setters);
        message.raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn agents(now: Instant) -> (Agent, Agent) {
        let (a, b) = (
            Credentials::new(&mut Rng::new(1)),
            Credentials::new(&mut Rng::new(2)),
        );
        let to = vec![address(1), address(2)];
        let agent = Agent::new(a.clone(), b.clone(), to, now, Rng::new(3)).unwrap();
        (
            agent,
            Agent::new(b, a, Vec::new(), now, Rng::new(4)).unwrap(),
        )
    }

    /// One round; the other side answers for this address only.
    fn round(
        agent: &mut Agent,
        other: &mut Agent,
        now: Instant,
        answers: Option<SocketAddr>,
    ) -> usize {
        let mut checks = Vec::new();
        agent.handle_timeout(now, |to, bytes| checks.push((to, bytes.to_vec())));
        let mut replies = Vec::new();
        for (to, check) in &checks {
            if answers == Some(*to) {
                let us = address(9);
                assert!(other.handle_datagram(now, us, check, |_, reply| {
                    replies.push((*to, reply.to_vec()))
                }));
            }
        }
        for (from, reply) in replies {
            assert!(agent.handle_datagram(now, from, &reply, |_, _| ()));
            let is_repeated = agent.handle_datagram(now, from, &reply, |_, _| ());
            assert!(!is_repeated, "an answer is taken once");
        }
        checks.len()
    }

    #[test]
    fn the_address_that_answers_is_used_and_then_asked_for_consent() {
        let mut now = Instant::now();
        let (mut agent, mut other) = agents(now);
        assert_eq!(round(&mut agent, &mut other, now, None), 2);
        now += CHECK_EVERY;
        round(&mut agent, &mut other, now, Some(address(2)));
        assert_eq!(agent.state(), State::Connected(address(2)));
        assert_eq!(round(&mut agent, &mut other, now, Some(address(2))), 0);
        now += Duration::from_millis(CONSENT_MS.1);
        assert_eq!(round(&mut agent, &mut other, now, Some(address(2))), 1);
    }

    #[test]
    fn consent_ends_when_nobody_answers() {
        let mut now = Instant::now();
        let (mut agent, mut other) = agents(now);
        round(&mut agent, &mut other, now, Some(address(1)));
        for _ in 0..300 {
            now += CHECK_EVERY;
            round(&mut agent, &mut other, now, None);
        }
        assert_eq!((agent.state(), agent.poll_timeout()), (State::Failed, None));
    }

    #[test]
    fn an_answer_with_another_password_is_nobodys() {
        let now = Instant::now();
        let (mut agent, _) = agents(now);
        let mut check = Vec::new();
        agent.handle_timeout(now, |_, bytes| check = bytes.to_vec());
        let wrong = Credentials::new(&mut Rng::new(8));
        let mut other = Agent::new(wrong.clone(), wrong, Vec::new(), now, Rng::new(4)).unwrap();
        assert!(!other.handle_datagram(now, address(9), &check, |_, _| ()));
        assert!(!agent.handle_datagram(now, address(1), &check[..20], |_, _| ()));
        assert_eq!(agent.state(), State::Checking);
    }
}
