//! Somebody in a call: a session for the commands, a socket for the media.

use super::client::{Client as Media, Line};
use crate::support::PATIENCE;
use crate::support::client::{Client, int};
use crate::support::scene::Scene;
use kaiwa_sfu::control::{Answer, Source};
use kaiwa_sfu::unit::Ssrc;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

static PEOPLE: AtomicU64 = AtomicU64::new(1);

/// A command with an offer whose tracks are microphones.
pub(super) fn offer(room: &str, sdp: &str, mids: &[&str]) -> Value {
    let track = |mid: &&str| json!({"mid": mid, "source": "CALL_SOURCE_MICROPHONE"});
    let tracks: Vec<Value> = mids.iter().map(track).collect();
    json!({"callOffer": {"room": room, "sdp": sdp, "tracks": tracks}})
}

/// What media goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Udp,
    Tcp,
}

/// In a call, and connected if there was something to offer.
pub(super) struct Person {
    pub(super) session: Client,
    pub(super) media: Media,
    pub(super) participant: String,
    /// In the order of the tracks.
    pub(super) publications: Vec<String>,
    /// Codes of those that were refused.
    pub(super) refused: Vec<u64>,
}

impl Person {
    /// Joins; offers these lines and connects unless there are none.
    pub(super) async fn join(session: Client, room: &str, lines: Vec<Line>) -> Self {
        Self::join_over(session, room, lines, Over::Udp).await
    }

    async fn join_over(mut session: Client, room: &str, lines: Vec<Line>, over: Over) -> Self {
        let joined = session.ok(json!({"callJoin": {"room": room}})).await;
        let participant = joined["participant"].as_str().expect("an id").to_owned();
        let has_lines = !lines.is_empty();
        let mut media = Media::new(PEOPLE.fetch_add(1, Ordering::Relaxed), lines).blind();
        if over == Over::Tcp {
            media = media.by_tcp();
        }
        let mut person = Self {
            session,
            media,
            participant,
            publications: Vec::new(),
            refused: Vec::new(),
        };
        if has_lines {
            person.offer(room).await;
            person.connect();
        }
        person
    }

    async fn offer(&mut self, room: &str) {
        let name = |source| match source {
            Source::Microphone => "CALL_SOURCE_MICROPHONE",
            Source::Camera => "CALL_SOURCE_CAMERA",
            Source::Screen => "CALL_SOURCE_SCREEN",
            Source::ScreenAudio => "CALL_SOURCE_SCREEN_AUDIO",
        };
        let tracks = self.media.tracks();
        let track = |track: &kaiwa_sfu::control::Track| json!({"mid": track.mid.to_string(), "source": name(track.source)});
        let tracks: Vec<Value> = tracks.iter().map(track).collect();
        let offer = json!({"room": room, "sdp": self.media.sdp(), "tracks": tracks});
        let answer = self.session.ok(json!({"callOffer": offer})).await;
        for track in answer["tracks"].as_array().into_iter().flatten() {
            match track["publication"].as_str() {
                Some(id) => self.publications.push(id.to_owned()),
                None => self.refused.push(int(&track["error"]["code"])),
            }
        }
        self.media.accept(Answer {
            sdp: answer["sdp"].as_str().expect("a text").to_owned(),
            tracks: vec![],
            without_codec: vec![],
        });
    }

    fn connect(&mut self) {
        let until = Instant::now() + PATIENCE;
        while !self.media.is_connected() {
            assert!(Instant::now() < until, "media does not connect");
            self.media.pump();
        }
    }

    /// Sends a packet of sound.
    pub(super) fn say(&self, no: u32, payload: &[u8]) {
        let time = no.wrapping_mul(960);
        let packet = self
            .media
            .sealed(0, None, Ssrc(7), no.into(), time, payload);
        self.media.send(&packet);
    }
}

/// Somebody who speaks and somebody who hears every packet of it.
pub(super) struct Pair {
    pub(super) alice: Person,
    bob: Person,
    no: u32,
    /// What the next packet has at the subscriber.
    next: Option<u16>,
}

impl Pair {
    pub(super) async fn begin(scene: &Scene) -> Self {
        Self::begin_over(scene, Over::Udp).await
    }

    /// Both over this.
    pub(super) async fn begin_over(scene: &Scene, over: Over) -> Self {
        let room = &scene.room;
        let lines = vec![Line::send(Source::Microphone, 7)];
        let alice = Person::join_over(scene.member("alice").await, room, lines, over).await;
        let lines = vec![Line::receive("audio"), Line::receive("audio")];
        let bob = Person::join_over(scene.member("bob").await, room, lines, over).await;
        let mut pair = Self {
            alice,
            bob,
            no: 0,
            next: None,
        };
        pair.resumes().await;
        pair
    }

    /// Speaks until it is heard.
    pub(super) async fn resumes(&mut self) {
        let until = Instant::now() + PATIENCE;
        self.next = None;
        let mut pumps = 10;
        while self.next.is_none() {
            assert!(Instant::now() < until, "nothing is heard");
            self.no += 1;
            let payload = self.payload();
            self.alice.say(self.no, &payload);
            // Longer each time: a busy machine takes its time with each packet.
            pumps = (pumps * 2).min(500);
            for _ in 0..pumps {
                self.pump().await;
                let heard = self
                    .bob
                    .media
                    .received
                    .iter()
                    .rfind(|r| r.payload == payload);
                self.next = heard.map(|r| r.seq.0.wrapping_add(1));
                if self.next.is_some() {
                    break;
                }
            }
        }
        self.bob.media.received.clear();
    }

    /// So many packets arrive, each once, in order and unchanged.
    pub(super) async fn goes_on(&mut self, packets: u32) {
        for _ in 0..packets {
            self.no += 1;
            let payload = self.payload();
            self.alice.say(self.no, &payload);
            let until = Instant::now() + PATIENCE;
            while self.bob.media.received.is_empty() {
                assert!(Instant::now() < until, "a packet was lost");
                self.pump().await;
            }
            let received = std::mem::take(&mut self.bob.media.received);
            assert_eq!(received.len(), 1, "{received:?}");
            assert_eq!(received[0].payload, payload);
            assert_eq!(Some(received[0].seq.0), self.next);
            self.next = self.next.map(|seq| seq.wrapping_add(1));
        }
    }

    fn payload(&self) -> Vec<u8> {
        self.no.to_be_bytes().repeat(20)
    }

    async fn pump(&mut self) {
        self.alice.media.pump();
        self.bob.media.pump();
        tokio::task::yield_now().await;
    }
}
