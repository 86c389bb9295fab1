//! A call that goes on beside an attack: of what its publisher sends, its subscriber gets every packet,
//! once, in order and unchanged, or the test fails.

use super::client::{Client, IDS, Line, OPUS, RTX, Received, VP8, picture};
use super::counts::Counts;
use super::wait::block_on;
use kaiwa_common::id::RoomId;
use kaiwa_sfu::config::Config;
use kaiwa_sfu::control::*;
use kaiwa_sfu::engine::Engine;
use kaiwa_sfu::unit::{Bitrate, Mid, Ssrc};
use kaiwa_sfu::wire::rtcp::{Packet, Packets};
use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What marks the witness's payloads.
const MARK: &[u8] = b"witness";

/// The witness's sources.
pub(crate) const VOICE: u32 = 1;
pub(crate) const SCREEN: u32 = 1_000;

pub(crate) const ALL: Rights = Rights {
    microphone: true,
    camera: true,
    screen: true,
    subscribe: true,
};

#[derive(Default)]
pub(crate) struct Events(Mutex<Vec<Event>>);

impl SfuEvents for Events {
    fn handle(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Events {
    pub(crate) fn count(&self, is_it: impl Fn(&Event) -> bool) -> usize {
        let events = self.0.lock().unwrap();
        events.iter().filter(|event| is_it(event)).count()
    }

    pub(crate) fn gone(&self, participant: ParticipantId) -> Option<GoneReason> {
        let events = self.0.lock().unwrap();
        events.iter().find_map(|event| match event {
            Event::Gone {
                participant: who,
                reason,
                ..
            } if *who == participant => Some(*reason),
            _ => None,
        })
    }

    /// The publication of this source that somebody began last.
    pub(crate) fn publication(&self, of: ParticipantId, source: Source) -> Option<PublicationId> {
        let events = self.0.lock().unwrap();
        events.iter().rev().find_map(|event| match event {
            Event::Published { publication, .. }
                if publication.participant == of && publication.source == source =>
            {
                Some(publication.id)
            }
            _ => None,
        })
    }
}

/// One of the witness's streams at its subscriber.
#[derive(Debug, Clone, Copy)]
struct Stream {
    mid: Mid,
    ssrc: Ssrc,
    seq: u16,
    time: u32,
    picture: u16,
}

/// An engine with a call in it.
pub(crate) struct Scene {
    pub(crate) engine: Arc<Engine>,
    pub(crate) events: Arc<Events>,
    pub(crate) counts: Counts,
    pub(crate) room: RoomId,
    pub(crate) alice: Client,
    pub(crate) bob: Client,
    no: u32,
    sent_at: Instant,
    voice: Option<Stream>,
    screen: Option<Stream>,
    /// Key frames that the publisher was asked for.
    pub(crate) asked: usize,
    next_participant: u64,
}

impl Scene {
    pub(crate) fn new(shards: usize) -> Self {
        let config = Config {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            loopback: true,
            shards,
            // The witness's path carries all: what is missing was lost to something else.
            assumed: Bitrate::kbps(100_000),
            ..Config::default()
        };
        let events = Arc::new(Events::default());
        let told = Arc::clone(&events) as Arc<dyn SfuEvents>;
        let (engine, counts) = Counts::of(shards, || Engine::start(&config, told).unwrap());
        let send = vec![
            Line::send(Source::Microphone, VOICE),
            Line::send(Source::Screen, SCREEN),
        ];
        let receive = ["audio", "audio", "video", "video"].map(Line::receive);
        let mut scene = Self {
            engine,
            events,
            counts,
            room: RoomId::parse("r_1").unwrap(),
            alice: Client::new(1, send),
            bob: Client::new(2, receive.to_vec()).blind(),
            no: 0,
            sent_at: Instant::now(),
            voice: None,
            screen: None,
            asked: 0,
            next_participant: 2,
        };
        scene.begin();
        scene
    }

    fn begin(&mut self) {
        for id in [1, 2] {
            self.join(ParticipantId(id), &self.room, ALL)
                .expect("joined");
        }
        self.alice.negotiate(&self.engine);
        self.bob.negotiate(&self.engine);
        self.until(|scene| scene.alice.is_connected() && scene.bob.is_connected());
        let screen = self.published(1, Source::Screen);
        self.prefer(self.bob.participant, &[screen]).expect("taken");
        self.begin_media();
    }

    /// Sends until both streams arrive, and all that was sent last: from there on every packet has to.
    fn begin_media(&mut self) {
        let until = Instant::now() + PATIENCE;
        // Longer each time: a busy machine takes its time with each packet.
        let mut patience = Duration::from_millis(20);
        loop {
            assert!(Instant::now() < until, "the witness's media does not flow");
            let (voice, shown) = self.send_next(true);
            let window = Instant::now() + patience;
            patience = (patience * 2).min(Duration::from_secs(2));
            while Instant::now() < window {
                self.alice.pump();
                self.bob.pump();
                let find = |payload: &[u8], from| {
                    let is_it = |r: &&Received| r.payload.get(from..) == payload.get(from..);
                    self.bob.received.iter().find(is_it).map(Stream::of)
                };
                (self.voice, self.screen) = (find(&voice, 0), find(&shown, 6));
                if self.voice.is_some() && self.screen.is_some() {
                    self.bob.received.clear();
                    return;
                }
            }
        }
    }

    /// The next packet of both streams; their payloads.
    fn send_next(&mut self, is_key: bool) -> (Vec<u8>, Vec<u8>) {
        let no = self.no;
        self.no += 1;
        self.sent_at = Instant::now();
        let mark = [MARK, &no.to_be_bytes()].concat();
        let voice = mark.repeat(6);
        let mut shown = picture(u16::try_from(no % 0x8000).unwrap(), is_key, 500);
        let at = shown.len() - mark.len();
        shown[at..].copy_from_slice(&mark);
        let alice = &self.alice;
        let seq = u64::from(no);
        alice.send(&alice.sealed(0, None, Ssrc(VOICE), seq, no.wrapping_mul(960), &voice));
        alice.send(&alice.sealed(1, None, Ssrc(SCREEN), seq, no.wrapping_mul(3_000), &shown));
        (voice, shown)
    }

    /// So many packets of both streams arrive, each before the next is sent.
    pub(crate) fn goes_on(&mut self, packets: u32) {
        for _ in 0..packets {
            // A publisher that is silent for longer has stopped, and has to begin with a key frame: that
            // is no fault, and on a busy machine a test may be so slow.
            if self.sent_at.elapsed() > Duration::from_secs(1) {
                self.begin_media();
            }
            let is_key = self.note_asked();
            let (voice, shown) = self.send_next(is_key);
            self.until(|scene| {
                let marked = |r: &&Received| r.payload.windows(MARK.len()).any(|w| w == MARK);
                scene.bob.received.iter().filter(marked).count() >= 2
            });
            let received = std::mem::take(&mut self.bob.received);
            let mut of = self.voice.take().expect("it has begun");
            let heard: Vec<_> = received.iter().filter(|r| r.mid == Some(of.mid)).collect();
            assert_eq!(heard.len(), 1, "one packet of sound: {heard:?}");
            assert_eq!((heard[0].pt, &heard[0].payload), (OPUS, &voice));
            of.follow(heard[0], 960);
            self.voice = Some(of);

            let mut of = self.screen.take().expect("it has begun");
            let seen: Vec<_> = received
                .iter()
                .filter(|r| r.mid == Some(of.mid) && r.pt == VP8)
                .collect();
            assert_eq!(seen.len(), 1, "one packet of the picture: {seen:?}");
            assert_eq!(seen[0].payload[6..], shown[6..]);
            of.picture = (of.picture + 1) & 0x7fff;
            assert_eq!(
                picture_id(seen[0]),
                of.picture,
                "the picture's number goes on"
            );
            of.follow(seen[0], 3_000);
            self.screen = Some(of);
            let repairs = received
                .iter()
                .filter(|r| r.pt == RTX && r.mid == Some(of.mid));
            assert_eq!(repairs.filter(|r| !r.payload.is_empty()).count(), 0);
        }
    }

    /// Counts what the publisher was asked for; whether it was asked for a key frame. Nothing of it is
    /// missed.
    fn note_asked(&mut self) -> bool {
        let before = self.asked;
        for report in std::mem::take(&mut self.alice.reports) {
            for packet in Packets::new(&report) {
                match packet.expect("what we write is read") {
                    Packet::Pli(_) | Packet::Fir(_) => self.asked += 1,
                    Packet::Nack(nack) => panic!("{nack:?} of the witness's packets is missed"),
                    _ => {}
                }
            }
        }
        self.asked > before
    }

    /// Lets the witness take what comes until it is so.
    pub(crate) fn until(&mut self, mut is_so: impl FnMut(&mut Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < until, "it never came about");
            self.alice.pump();
            self.bob.pump();
        }
    }

    /// The same for somebody else besides.
    pub(crate) fn until_with(
        &mut self,
        other: &mut Client,
        mut is_so: impl FnMut(&mut Self, &mut Client) -> bool,
    ) {
        self.until(|scene| {
            other.pump();
            is_so(scene, other)
        });
    }

    pub(crate) fn join(
        &self,
        participant: ParticipantId,
        room: &RoomId,
        rights: Rights,
    ) -> Result<(), SfuError> {
        block_on(self.engine.join(Join {
            room: room.clone(),
            participant,
            rights,
            video_codecs: None,
        }))
    }

    /// Somebody more for a room; not joined yet.
    pub(crate) fn stranger(&mut self, lines: Vec<Line>) -> Client {
        self.next_participant += 1;
        Client::new(self.next_participant, lines)
    }

    /// Somebody who is in the call and may do all.
    pub(crate) fn intruder(&mut self, lines: Vec<Line>) -> Client {
        let client = self.stranger(lines);
        self.enter(client)
    }

    /// Joins, offers and connects.
    pub(crate) fn enter(&mut self, mut client: Client) -> Client {
        let room = self.room.clone();
        self.join(client.participant, &room, ALL).expect("joined");
        client.negotiate(&self.engine);
        self.until_with(&mut client, |_, client| client.is_connected());
        client
    }

    pub(crate) fn prefer(
        &self,
        participant: ParticipantId,
        publications: &[PublicationId],
    ) -> Result<(), SfuError> {
        let wish = |publication: &PublicationId| Wish {
            publication: *publication,
            width: 640,
            height: 360,
            is_paused: false,
        };
        let wishes = publications.iter().map(wish).collect();
        block_on(self.engine.prefer(Prefer {
            participant,
            wishes,
            hears: Hears::Everybody,
        }))
    }

    pub(crate) fn published(&self, participant: u64, source: Source) -> PublicationId {
        let found = self.events.publication(ParticipantId(participant), source);
        found.expect("published")
    }

    /// Where the witness's subscriber sees its picture from.
    pub(crate) fn seen_from(&self) -> Ssrc {
        self.screen.expect("it has begun").ssrc
    }

    /// Where it hears its voice from.
    pub(crate) fn heard_from(&self) -> Ssrc {
        self.voice.expect("it has begun").ssrc
    }

    /// What is sent in `attack` is refused, each of these many datagrams, and the witness goes on.
    pub(crate) fn refuses(&mut self, datagrams: u64, attack: impl FnOnce(&mut Self)) {
        self.settle();
        let before = self.counts.total("refused_datagrams");
        attack(self);
        self.settle();
        let refused = self.counts.total("refused_datagrams") - before;
        assert_eq!(refused, datagrams, "so many were refused");
    }

    /// Everything that was sent before was worked on, and is counted.
    pub(crate) fn settle(&mut self) {
        // Datagrams of one socket are taken in their order, and what is published from now on contains
        // what was counted before the witness's packet went out again.
        self.goes_on(1);
        let sent = self.counts.total("forwarded_packets");
        self.goes_on(1);
        self.until(|scene| scene.counts.total("forwarded_packets") > sent);
    }
}

impl Stream {
    fn of(received: &Received) -> Self {
        Self {
            mid: received.mid.expect("a slot's packets name it"),
            ssrc: received.ssrc,
            seq: received.seq.0,
            time: received.time.0,
            picture: picture_id(received),
        }
    }

    /// The next packet is really the next.
    fn follow(&mut self, received: &Received, ticks: u32) {
        self.seq = self.seq.wrapping_add(1);
        self.time = self.time.wrapping_add(ticks);
        assert_eq!(
            (received.ssrc, received.seq.0, received.time.0),
            (self.ssrc, self.seq, self.time)
        );
    }
}

fn picture_id(received: &Received) -> u16 {
    let id = [received.payload[2], received.payload[3]];
    u16::from_be_bytes(id) & 0x7fff
}

/// A socket of nobody's.
pub(crate) fn outsider() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let timeout = Some(Duration::from_millis(200));
    socket.set_read_timeout(timeout).unwrap();
    socket
}

/// An RTP packet by hand, and the length of its header.
pub(crate) fn packet(
    (pt, seq, ssrc): (u8, u16, u32),
    names: &[(Option<u8>, &str)],
    payload: &[u8],
) -> (Vec<u8>, usize) {
    let mut packet = vec![0x90, pt];
    packet.extend(seq.to_be_bytes());
    packet.extend([0, 0, 0, 9]);
    packet.extend(ssrc.to_be_bytes());
    let mut elements = Vec::new();
    for (id, name) in names {
        let len = u8::try_from(name.len() - 1).unwrap();
        elements.push(id.expect("it is negotiated") << 4 | len);
        elements.extend(name.as_bytes());
    }
    elements.resize(elements.len().next_multiple_of(4), 0);
    packet.extend([0xbe, 0xde]);
    packet.extend(u16::try_from(elements.len() / 4).unwrap().to_be_bytes());
    packet.extend(elements);
    let header_len = packet.len();
    packet.extend(payload);
    (packet, header_len)
}

/// Names an m-line in [`packet`].
pub(crate) fn mid(name: &str) -> (Option<u8>, &str) {
    (IDS.mid, name)
}

/// Names an encoding.
pub(crate) fn rid(name: &str) -> (Option<u8>, &str) {
    (IDS.rid, name)
}
