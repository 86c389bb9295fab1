//! A virtual clock and network between participants and a relay; and the same over real sockets.

use crate::relay::{Relay, TICK};
use kaiwa_loadtest::call::dtls::Identity;
use kaiwa_loadtest::call::engine::Engine;
use kaiwa_loadtest::call::outlet::{Clock, Outlet};
use kaiwa_loadtest::call::peer::{Peer, Plan, Received, Sent};
use kaiwa_loadtest::call::srtp::Profile;
use kaiwa_loadtest::call::stamp::Stream;
use kaiwa_loadtest::rng::Rng;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What a path does to a datagram of media; handshakes get through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Network {
    /// Lost of a hundred.
    pub(crate) loss: u64,
    /// Repeated of a hundred.
    pub(crate) repeat: u64,
    /// The delay, in µs: least and most. Where they differ, packets overtake each other.
    pub(crate) delay_us: (u64, u64),
}

impl Network {
    pub(crate) const GOOD: Self = Self {
        loss: 0,
        repeat: 0,
        delay_us: (5_000, 5_000),
    };
    pub(crate) const JITTERY: Self = Self {
        loss: 0,
        repeat: 0,
        delay_us: (5_000, 9_000),
    };

    pub(crate) const fn lossy(loss: u64) -> Self {
        Self { loss, ..Self::GOOD }
    }
}

pub(crate) struct World {
    pub(crate) relay: Relay,
    network: Network,
    identity: Identity,
    clock: Clock,
    now: Instant,
    rng: Rng,
    peers: Vec<Peer>,
    outlet: Outlet,
    /// On their way, by the time of arrival: where from, where to, what.
    flying: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    number: u64,
    last: BTreeMap<Stream, u32>,
    next_tick: Instant,
}

const RELAY: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 100), 3_478));

fn address(peer: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 10_000 + u16::try_from(peer).unwrap()))
}

impl World {
    pub(crate) fn new(network: Network, profile: Profile, seed: u64) -> Self {
        let now = Instant::now();
        Self {
            relay: Relay::new(RELAY, profile, seed),
            network,
            identity: Identity::generate().unwrap(),
            clock: Clock::new(now, 1_790_000_000_000_000),
            now,
            rng: Rng::new(seed),
            peers: Vec::new(),
            outlet: Outlet::default(),
            flying: BTreeMap::new(),
            number: 0,
            last: BTreeMap::new(),
            next_tick: now,
        }
    }

    /// A participant, and whose m-lines it gets; its number.
    pub(crate) fn join(&mut self, plan: Plan, wants: &[(usize, &str)]) -> usize {
        let seed = self.rng.next_u64();
        let mut peer = Peer::new(plan, self.identity.clone(), self.clock, self.now, seed);
        let offer = peer.offer();
        let answer = self.relay.answer(self.now, &offer.sdp, wants);
        peer.handle_answer(self.now, &answer).unwrap();
        self.peers.push(peer);
        self.peers.len() - 1
    }

    /// Until everybody's keys are there.
    pub(crate) fn connect(&mut self) {
        for _ in 0..500 {
            if self.relay.is_connected() {
                return;
            }
            self.run(10);
        }
        panic!("not connected");
    }

    /// So many ms.
    pub(crate) fn run(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while self.now < end {
            self.step();
            self.now += Duration::from_millis(1);
        }
    }

    /// The relay forwards another layer, as soon as its key frame comes.
    pub(crate) fn choose(&mut self, layer: usize, publisher: usize, mid: &str) {
        self.relay.layer = layer;
        let mut outlet = std::mem::take(&mut self.outlet);
        self.relay.want_key(publisher, mid, &mut outlet);
        self.outlet = outlet;
        self.fly(RELAY);
    }

    /// Lets what is on its way arrive and be repaired, with the publishers silent: what is missing then is.
    pub(crate) fn finish(&mut self) -> Sent {
        let mut sent = Sent::default();
        for peer in &mut self.peers {
            peer.stop_sending();
            peer.last(&mut self.last);
            sent += peer.sent();
        }
        self.network.loss = 0;
        self.run(1_000);
        sent
    }

    pub(crate) fn received(&self, peer: usize) -> Received {
        let last = (!self.last.is_empty()).then_some(&self.last);
        self.peers[peer].received(last)
    }

    pub(crate) fn sent(&self, peer: usize) -> Sent {
        self.peers[peer].sent()
    }

    fn step(&mut self) {
        while let Some(entry) = self.flying.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let (from, to, mut bytes) = entry.remove();
            let now = self.now;
            if to == RELAY {
                self.relay
                    .handle_datagram(now, from, &mut bytes, &mut self.outlet);
            } else {
                let peer = usize::from(to.port() - 10_000);
                self.peers[peer].handle_datagram(now, from, &mut bytes, &mut self.outlet);
            }
            self.fly(to);
        }
        for at in 0..self.peers.len() {
            if self.peers[at]
                .poll_timeout()
                .is_some_and(|due| due <= self.now)
            {
                self.peers[at].handle_timeout(self.now, &mut self.outlet);
                self.fly(address(at));
            }
        }
        if self.next_tick <= self.now {
            self.next_tick = self.now + TICK;
            self.relay.handle_timeout(self.now, &mut self.outlet);
            self.fly(RELAY);
        }
    }

    fn fly(&mut self, from: SocketAddr) {
        let Self {
            outlet,
            flying,
            rng,
            network,
            ..
        } = self;
        outlet.drain(|to, bytes| {
            let is_media = bytes[0] >= 128 && !(192..224).contains(&bytes[1]);
            let (least, most) = network.delay_us;
            if is_media && rng.percent(network.loss) {
                return;
            }
            let copies = if is_media && rng.percent(network.repeat) {
                2
            } else {
                1
            };
            for _ in 0..copies {
                // Only media is put out of order, and only on its way from the relay.
                let most = if is_media && from == RELAY {
                    most
                } else {
                    least
                };
                let us = rng.between(least, most);
                self.number += 1;
                let at = self.now + Duration::from_micros(us);
                flying.insert((at, self.number), (from, to, bytes.to_vec()));
            }
        });
    }
}

/// One publisher and two viewers on real sockets and threads, until so many packets were sent.
pub(crate) fn loopback(publisher: Plan, viewer: Plan, packets: u64) -> (Sent, Vec<Received>) {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(2)))
        .unwrap();
    let mut relay = Relay::new(socket.local_addr().unwrap(), Profile::Gcm, 1);
    let (clock, identity) = (Clock::system(), Identity::generate().unwrap());
    let engine = Engine::start(1).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut ids = Vec::new();
    for (seed, plan) in (0..).zip([publisher, viewer.clone(), viewer]) {
        let now = Instant::now();
        let mut peer = Peer::new(plan, identity.clone(), clock, now, seed);
        let wants: &[(usize, &str)] = if seed == 0 { &[] } else { &[(0, "0")] };
        let answer = relay.answer(now, &peer.offer().sdp, wants);
        peer.handle_answer(now, &answer).unwrap();
        ids.push(engine.add(peer, ([127, 0, 0, 1], 0).into()).unwrap());
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let over = is_over.clone();
    let thread = std::thread::spawn(move || run_relay(&mut relay, &socket, &over));
    let result = runtime.block_on(async {
        loop {
            let sent = engine.with(ids[0], |peer, _, _| peer.sent()).await.unwrap();
            if sent.packets >= packets {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let last = engine.with(ids[0], |peer, _, _| {
            peer.stop_sending();
            let mut last = BTreeMap::new();
            peer.last(&mut last);
            (peer.sent(), last)
        });
        let (sent, last) = last.await.unwrap();
        let mut received = Vec::new();
        for &id in &ids[1..] {
            // The last of a stream comes or it doesn't: a bound on tries, not on the time of one.
            for _ in 0..500 {
                let last = last.clone();
                let got = engine
                    .with(id, move |peer, _, _| peer.received(Some(&last)))
                    .await
                    .unwrap();
                if got.video.missing() == 0 && got.video.unique > 0 {
                    received.push(got);
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        assert_eq!(received.len(), 2, "somebody misses packets");
        (sent, received)
    });
    is_over.store(true, Ordering::Relaxed);
    thread.join().unwrap();
    result
}

fn run_relay(relay: &mut Relay, socket: &UdpSocket, is_over: &AtomicBool) {
    let (mut outlet, mut buffer) = (Outlet::default(), [0; 2_048]);
    while !is_over.load(Ordering::Relaxed) {
        if let Ok((len, from)) = socket.recv_from(&mut buffer) {
            relay.handle_datagram(Instant::now(), from, &mut buffer[..len], &mut outlet);
        }
        relay.handle_timeout(Instant::now(), &mut outlet);
        outlet.drain(|to, bytes| {
            let _ = socket.send_to(bytes, to);
        });
    }
}
