//! A client and a server on a virtual clock, and what is between them.

use super::*;
use std::collections::BTreeMap;
use std::ops::Range;

/// Who sent something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Server,
    Client,
}

/// xorshift64*.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % sides
    }
}

/// Loses, delays, reorders and repeats.
pub(super) struct Link {
    dice: Dice,
    loss_percent: usize,
    lost: Vec<(Side, Range<usize>)>,
    sent: BTreeMap<Side, Vec<Instant>>,
    flying: BTreeMap<(Instant, usize), (Side, Vec<u8>)>,
    count: usize,
}

impl Link {
    pub(super) fn good() -> Self {
        Self::bad(1, 0)
    }

    /// Loses so many of a hundred; when it loses any, it delays by up to 400 ms and repeats some.
    pub(super) fn bad(seed: u64, loss_percent: usize) -> Self {
        Self {
            dice: Dice::new(seed),
            loss_percent,
            lost: Vec::new(),
            sent: BTreeMap::new(),
            flying: BTreeMap::new(),
            count: 0,
        }
    }

    /// Loses those datagrams of one side, counted from 0.
    pub(super) fn lose(&mut self, side: Side, which: Range<usize>) {
        self.lost.push((side, which));
    }

    pub(super) fn lose_in_flight(&mut self) {
        self.flying.clear();
    }

    /// Changes what arrives next.
    pub(super) fn change_one(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(mut next) = self.flying.first_entry() {
            change(&mut next.get_mut().1);
        }
    }

    pub(super) fn sent(&self, side: Side) -> &[Instant] {
        &self.sent[&side]
    }

    pub(super) fn send(&mut self, now: Instant, from: Side, datagram: &[u8]) {
        let sent = self.sent.entry(from).or_default();
        let number = sent.len();
        sent.push(now);
        let is_lost =
            |(side, which): &(Side, Range<usize>)| *side == from && which.contains(&number);
        if self.lost.iter().any(is_lost) || self.dice.roll(100) < self.loss_percent {
            return;
        }
        let is_bad = self.loss_percent > 0;
        for _ in 0..=usize::from(is_bad && self.dice.roll(4) == 0) {
            let delay = if is_bad { self.dice.roll(400) } else { 5 };
            let at = now + Duration::from_millis(u64::try_from(delay).unwrap());
            self.count += 1;
            self.flying
                .insert((at, self.count), (from, datagram.to_vec()));
        }
    }
}

pub(super) struct Peer {
    pub(super) dtls: RtcDtls,
    pub(super) connected: Option<(Profile, Keys)>,
    pub(super) failure: Option<DtlsFailure>,
    pub(super) closed: bool,
}

impl Peer {
    fn new(dtls: RtcDtls) -> Self {
        Self {
            dtls,
            connected: None,
            failure: None,
            closed: false,
        }
    }

    fn poll_events(&mut self) {
        while let Some(event) = self.dtls.poll_event() {
            assert!(
                !self.closed && self.failure.is_none(),
                "an event after the last"
            );
            match event {
                DtlsEvent::Connected { profile, keys } => {
                    assert!(self.connected.is_none());
                    assert!(keys.client.profile() == profile);
                    self.connected = Some((profile, keys));
                }
                DtlsEvent::Closed => self.closed = true,
                DtlsEvent::Failed(failure) => self.failure = Some(failure),
            }
        }
    }
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) server: Peer,
    pub(super) client: Peer,
}

impl World {
    /// Peers that know each other, and a client that offers these profiles.
    pub(super) fn offering(profiles: &[Profile]) -> Self {
        let (server, client) = (identity(), identity());
        Self::between(
            (&server, vec![client.fingerprint()]),
            (&client, vec![server.fingerprint()]),
            profiles,
        )
    }

    /// Peers with their identities, and the fingerprints that they accept.
    pub(super) fn between(
        server: (&Identity, Vec<Fingerprint>),
        client: (&Identity, Vec<Fingerprint>),
        profiles: &[Profile],
    ) -> Self {
        let now = Instant::now();
        let client = RtcDtls::client(client.0, client.1, profiles, now).unwrap();
        Self {
            now,
            server: Peer::new(RtcDtls::server(server.0, server.1, now)),
            client: Peer::new(client),
        }
    }

    /// Both are connected, with the same keys.
    pub(super) fn agrees(&self) -> bool {
        self.server.connected.is_some() && self.server.connected == self.client.connected
    }

    pub(super) fn close(&mut self, side: Side) {
        match side {
            Side::Server => self.server.dtls.close(),
            Side::Client => self.client.dtls.close(),
        }
    }

    /// Until nothing happens any more.
    pub(super) fn run(&mut self, link: &mut Link) {
        self.run_until(link, |_| false);
    }

    pub(super) fn run_until(&mut self, link: &mut Link, is_done: impl Fn(&Self) -> bool) {
        for _ in 0..10_000 {
            self.flush(link);
            if is_done(self) {
                return;
            }
            let arrival = link.flying.first_key_value().map(|((at, _), _)| *at);
            let timers = [
                self.server.dtls.poll_timeout(),
                self.client.dtls.poll_timeout(),
            ];
            let Some(next) = timers.into_iter().flatten().chain(arrival).min() else {
                return;
            };
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let (_, (from, datagram)) = link.flying.pop_first().unwrap();
                self.deliver(from, &datagram);
            } else {
                self.server.dtls.handle_timeout(self.now);
                self.client.dtls.handle_timeout(self.now);
            }
        }
        panic!("it never ends");
    }

    /// To the other side; what it makes of it is its events.
    pub(super) fn deliver(&mut self, from: Side, datagram: &[u8]) {
        let to = match from {
            Side::Server => &mut self.client,
            Side::Client => &mut self.server,
        };
        let _ = to.dtls.handle_datagram(self.now, datagram);
    }

    fn flush(&mut self, link: &mut Link) {
        for (side, peer) in [
            (Side::Server, &mut self.server),
            (Side::Client, &mut self.client),
        ] {
            while let Some(datagram) = peer.dtls.poll_transmit() {
                assert!(datagram.len() <= 1_280, "larger than any path's MTU");
                link.send(self.now, side, &datagram);
            }
            peer.poll_events();
        }
    }
}
