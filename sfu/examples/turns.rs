//! What the rules of forwarding cost without a kernel: one publisher to many, with feedback, reports, RTX and header
//! extensions on. A shard runs on a virtual clock, and what it sends is written, sealed and forgotten. Beside it, in
//! the same turns, the same packets are only copied and sealed with as many keys.
//!
//! ```text
//! cargo run --release -p kaiwa-sfu --example turns -- 200
//! ```
#![allow(clippy::unwrap_used, reason = "a measurement that fails has no result")]
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

#[allow(dead_code, reason = "the simulation uses all of it")]
#[path = "../tests/simulation/client.rs"]
mod client;
#[allow(dead_code, reason = "the simulation uses all of it")]
#[path = "../tests/simulation/media.rs"]
mod media;
#[allow(dead_code, reason = "the simulation uses all of it")]
#[path = "../tests/simulation/network.rs"]
mod network;
#[allow(dead_code, reason = "the simulation uses all of it")]
#[path = "../tests/media/publisher.rs"]
mod publisher;
#[allow(dead_code, reason = "the simulation uses all of it")]
#[path = "../tests/media/random.rs"]
mod random;
#[allow(dead_code, reason = "the simulation uses all of it")]
#[path = "../tests/simulation/sdp.rs"]
mod sdp;
#[path = "../tests/simulation/wire.rs"]
mod wire;

use client::{Came, Client};
use kaiwa_common::id::RoomId;
use kaiwa_sfu::control::{Event, Hears, Join, Prefer, PublicationId, Rights, Source, Wish};
use kaiwa_sfu::core::negotiate::VideoCodecs;
use kaiwa_sfu::dtls::Identity;
use kaiwa_sfu::net::address::Destination;
use kaiwa_sfu::net::socket::{Local, LocalIndex};
use kaiwa_sfu::shard::{Path, SEED_BYTES, Setup, Shard, Sink};
use kaiwa_sfu::unit::{Bitrate, MediaKind, NtpTime, SeqNo, Ssrc};
use kaiwa_sfu::wire::demux::Kind;
use kaiwa_sfu::wire::sdp::Candidate;
use media::Outgoing;
use network::Weather;
use random::Random;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sdp::{Use, VP8};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::Wire;

const SERVER: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
    5_000,
);
const ALL: Rights = Rights {
    microphone: true,
    camera: true,
    screen: true,
    subscribe: true,
};

/// As much as the socket's arena has.
const ARENA: usize = 256 * 1_024;
const BURST: u64 = 10;
const FRAME_MS: u64 = 40;
const PAYLOAD: usize = 1_080;
/// Enough of a packet for its header.
const HEAD: usize = 32;
const WINDOWS: usize = 12;
const WINDOW_MS: u64 = 1_000;

/// Datagrams are written into an arena and forgotten, but for the first bytes.
struct Forgetful {
    arena: Vec<u8>,
    at: usize,
    heads: Vec<(SocketAddr, usize, [u8; HEAD])>,
    /// Where datagrams go while people connect.
    wire: Option<Wire>,
}

impl Sink for Forgetful {
    fn put(
        &mut self,
        to: &(Local, Destination),
        max_len: usize,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<usize> {
        if let Some(wire) = &mut self.wire {
            return wire.put(to, max_len, write);
        }
        if self.at + max_len > self.arena.len() {
            self.at = 0;
        }
        let place = &mut self.arena[self.at..self.at + max_len];
        let len = write(place)?;
        let mut head = [0; HEAD];
        let some = len.min(HEAD);
        head[..some].copy_from_slice(&place[..some]);
        self.heads.push((to.1.address(), len, head));
        self.at += len;
        Some(len)
    }
}

/// What the kernel does to the caches between two turns: it copies every packet.
struct Kernel(Vec<u8>);

impl Kernel {
    fn new(people: usize) -> Self {
        Self(vec![0; people * usize::try_from(BURST).unwrap() * 1_100])
    }

    fn turn(&mut self) {
        for byte in self.0.iter_mut().step_by(64) {
            *byte = byte.wrapping_add(1);
        }
        std::hint::black_box(&self.0);
    }
}

struct World {
    shard: Shard<Forgetful>,
    base: Instant,
    us: u64,
    people: Vec<Client>,
    room: RoomId,
    random: Random,
    publication: Option<PublicationId>,
    spent: Duration,
    forwarded: u64,
}

impl World {
    fn new() -> Self {
        let base = Instant::now();
        let setup = Setup {
            index: 0,
            shards: 1,
            audio_slots: 3,
            is_paced: false,
            inspect_s: 60,
            assumed: Bitrate::kbps(100_000),
            video_codecs: VideoCodecs::default(),
            identity: Arc::new(Identity::generate().unwrap()),
            candidates: vec![Candidate::host(SERVER, 1)],
            started: base,
            probe: None,
            started_ntp: NtpTime(1 << 60),
            seed: [7; SEED_BYTES],
        };
        let sink = Forgetful {
            arena: vec![0; ARENA],
            at: 0,
            heads: Vec::new(),
            wire: Some(Wire::default()),
        };
        Self {
            shard: Shard::new(setup, sink),
            base,
            us: 0,
            people: Vec::new(),
            room: RoomId::parse("r_1").unwrap(),
            random: Random::new(1),
            publication: None,
            spent: Duration::ZERO,
            forwarded: 0,
        }
    }

    fn now(&self) -> Instant {
        self.base + Duration::from_micros(self.us)
    }

    fn enter(&mut self, lines: Vec<Use>) {
        let id = self.people.len() as u64 + 1;
        let mut client = Client::new(1, ALL, Weather::FINE, &mut self.random);
        client.id = kaiwa_sfu::control::ParticipantId(id);
        let low = u8::try_from(id % 200).unwrap();
        client.address = SocketAddr::from(([10, 0, u8::try_from(id / 200).unwrap(), low], 1_000));
        client.is_fed_back = true;
        client.has_red = false;
        client.lines = lines;
        client.restart_ice();
        let join = Join {
            room: self.room.clone(),
            participant: client.id,
            rights: ALL,
            video_codecs: None,
        };
        let now = self.now();
        self.shard.handle_join(now, &join).unwrap();
        let answer = self.shard.handle_offer(now, &client.offer()).unwrap();
        client.take_answer(now, self.us / 1_000, &answer);
        self.people.push(client);
        let at = self.people.len() - 1;
        while self.people[at].connected_ms.is_none() {
            self.us += 200;
            let now = self.now();
            self.people[at].tick(now, self.us / 1_000, &mut self.random);
            self.send_up(at);
            self.shard.handle_timeout(now);
            let wire = self.shard.sink_mut().wire.replace(Wire::default());
            for (to, bytes) in wire.unwrap().out {
                if to == self.people[at].address && Kind::of(&bytes) == Some(Kind::Dtls) {
                    self.people[at].take_dtls(now, self.us / 1_000, &bytes);
                }
            }
            self.send_up(at);
            self.hear();
        }
        self.people[at].is_awaited = true;
        // The others keep their consent.
        for other in 0..at {
            let now = self.now();
            self.people[other].tick(now, self.us / 1_000, &mut self.random);
            self.send_up(other);
        }
    }

    fn hear(&mut self) {
        while let Some(event) = self.shard.poll_event() {
            match event {
                Event::Published { publication, .. } => self.publication = Some(publication.id),
                Event::Gone {
                    participant,
                    reason,
                    ..
                } => panic!("{participant} is gone: {reason:?} at {} us", self.us),
                Event::Unpublished { .. }
                | Event::Slots { .. }
                | Event::Speakers { .. }
                | Event::Quality { .. }
                | Event::Connectivity { .. } => {}
            }
        }
    }

    /// One picture leaves the publisher.
    fn publish(&mut self, ms: u64, number: u64, index: &mut u64) {
        for packet in 0..BURST {
            *index += 1;
            let outgoing = Outgoing {
                line: 0,
                ssrc: Ssrc(1_000),
                pt: VP8,
                rid: None,
                rrid: None,
                index: *index,
                time: u32::try_from(ms * 90 % (1 << 32)).unwrap(),
                marker: packet + 1 == BURST,
                level: None,
                payload: picture(number, packet),
            };
            self.people[0].send_media(&outgoing);
        }
    }

    fn wish(&mut self) {
        let wish = Wish {
            publication: self.publication.unwrap(),
            width: 1_280,
            height: 720,
            is_paused: false,
        };
        let now = self.now();
        for person in &self.people[1..] {
            let prefer = Prefer {
                participant: person.id,
                wishes: vec![wish],
                hears: Hears::Everybody,
            };
            self.shard.handle_prefer(now, &prefer).unwrap();
        }
    }

    /// What a person has to send reaches the shard at once.
    fn send_up(&mut self, at: usize) {
        let path = Path {
            remote: self.people[at].address,
            local: LocalIndex(0).into(),
        };
        let now = self.now();
        for mut bytes in std::mem::take(&mut self.people[at].out) {
            let began = Instant::now();
            self.shard.handle_datagram(now, path, &mut bytes);
            self.spent += began.elapsed();
        }
    }

    /// Everything of a moment.
    fn turn(&mut self) {
        let now = self.now();
        let began = Instant::now();
        self.shard.forward(now);
        self.shard.handle_timeout(now);
        self.spent += began.elapsed();
        self.hear();
        let heads = std::mem::take(&mut self.shard.sink_mut().heads);
        for (to, _, head) in &heads {
            if Kind::of(head) != Some(Kind::Rtp) {
                continue;
            }
            self.forwarded += 1;
            let SocketAddr::V4(to) = to else { continue };
            let [_, _, high, low] = to.ip().octets();
            let at = usize::from(high) * 200 + usize::from(low) - 1;
            let Some(transport_seq) = transport_seq(head) else {
                continue;
            };
            let came = Came {
                ssrc: Ssrc(u32::from_be_bytes(head[8..12].try_into().unwrap())),
                is_rtx: false,
                seq: SeqNo(u16::from_be_bytes([head[2], head[3]])),
                transport_seq,
                osn: None,
                tag: None,
            };
            self.people[at].take_media(self.us + 1_000, &came);
        }
        let sink = self.shard.sink_mut();
        sink.heads = heads;
        sink.heads.clear();
    }
}

/// The value of extension 5 of the one-byte form.
fn transport_seq(head: &[u8; HEAD]) -> Option<u16> {
    let mut at = 16;
    while at + 3 < HEAD {
        let (id, len) = (head[at] >> 4, usize::from(head[at] & 15) + 1);
        if id == 5 {
            return Some(u16::from_be_bytes([head[at + 1], head[at + 2]]));
        }
        at += if id == 0 { 1 } else { 1 + len };
    }
    None
}

fn picture(number: u64, packet: u64) -> Vec<u8> {
    let mut payload = vec![0x5a; PAYLOAD];
    let [high, low] = u16::try_from(number & 0x7fff).unwrap().to_be_bytes();
    let starts = if packet == 0 { 0x10 } else { 0 };
    let tl0 = u8::try_from(number & 0xff).unwrap();
    payload[..6].copy_from_slice(&[0x80 | starts, 0xe0, 0x80 | high, low, tl0, 0]);
    let is_key = number == 0;
    payload[6] = u8::from(!is_key);
    if is_key && packet == 0 {
        payload[9..16].copy_from_slice(&[0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01]);
    }
    payload
}

/// Copies and seals the burst as often, with as many keys.
struct Floor {
    keys: Vec<LessSafeKey>,
    arena: Vec<u8>,
    frame: Vec<Vec<u8>>,
    nonce: u64,
}

impl Floor {
    fn new(people: usize) -> Self {
        let key = |at: usize| {
            let bytes = [u8::try_from(at % 256).unwrap(); 16];
            LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &bytes).unwrap())
        };
        Self {
            keys: (0..people).map(key).collect(),
            arena: vec![0; ARENA],
            frame: (0..BURST).map(|no| picture(9, no)).collect(),
            nonce: 0,
        }
    }

    fn turn(&mut self) -> Duration {
        let began = Instant::now();
        let mut at = 0;
        for key in &self.keys {
            for payload in &self.frame {
                let end = 20 + payload.len();
                if at + end + 16 > self.arena.len() {
                    at = 0;
                }
                let place = &mut self.arena[at..at + end + 16];
                let (header, rest) = place.split_at_mut(20);
                header[2..10].copy_from_slice(&self.nonce.to_be_bytes());
                let (body, tag) = rest.split_at_mut(payload.len());
                body.copy_from_slice(payload);
                let mut nonce = [0; 12];
                nonce[4..].copy_from_slice(&self.nonce.to_be_bytes());
                self.nonce += 1;
                let nonce = Nonce::assume_unique_for_key(nonce);
                let sealed = key
                    .seal_in_place_separate_tag(nonce, Aad::from(&*header), body)
                    .unwrap();
                tag.copy_from_slice(sealed.as_ref());
                at += end + 16;
            }
        }
        began.elapsed()
    }
}

fn main() {
    let people: usize = std::env::args().nth(1).map_or(200, |n| n.parse().unwrap());
    let mut world = World::new();
    world.enter(vec![Use::Send(Source::Camera, Ssrc(1_000), 1)]);
    for _ in 0..people {
        world.enter(vec![Use::Receive(MediaKind::Video)]);
    }
    world.shard.sink_mut().wire = None;
    world.wish();
    let mut floor = Floor::new(people);
    let mut kernel = Kernel::new(people);
    let mut index = 100;
    let mut number = 0;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for window in 0..WINDOWS + 3 {
        let end = world.us / 1_000 + WINDOW_MS;
        (world.spent, world.forwarded) = (Duration::ZERO, 0);
        let mut spent = Duration::ZERO;
        let mut copies = 0;
        let mut next_frame = world.us / 1_000;
        while world.us / 1_000 < end {
            let ms = world.us / 1_000;
            if ms >= next_frame {
                next_frame += FRAME_MS;
                world.publish(ms, number, &mut index);
                // Key frames until everybody has begun.
                number += u64::from(window > 0 || number > 0);
                kernel.turn();
                world.send_up(0);
                world.turn();
                kernel.turn();
                spent += floor.turn();
                copies += people as u64 * BURST;
            }
            let now = world.now();
            for at in 0..world.people.len() {
                if (at as u64 + ms).is_multiple_of(5) {
                    world.people[at].tick(now, ms, &mut world.random);
                }
                world.send_up(at);
            }
            world.turn();
            world.us += 1_000;
        }
        if window >= 3 {
            ours.push(ns(world.spent, world.forwarded));
            bare.push(ns(spent, copies));
        }
    }
    ours.sort_by(f64::total_cmp);
    bare.sort_by(f64::total_cmp);
    println!(
        "{people} subscribers: {:.0} ns a packet (least {:.0}); copied and sealed alone {:.0} (least {:.0}); {} packets a window",
        ours[ours.len() / 2],
        ours[0],
        bare[bare.len() / 2],
        bare[0],
        world.forwarded
    );
}

fn ns(spent: Duration, packets: u64) -> f64 {
    spent.as_secs_f64() * 1e9 / packets.max(1) as f64
}
