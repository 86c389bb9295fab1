//! A participant without I/O: negotiates, connects, sends, receives, asks for what is missing and counts.
//! Time comes in, datagrams go out to an [`Outlet`].

pub mod publish;
pub mod reports;
pub mod subscribe;
pub mod transport;

pub use publish::Sent;
pub use subscribe::Received;
pub use transport::TransportError;

use super::dtls::Identity;
use super::outlet::{Clock, Outlet};
use super::sdp::{Description, Kind, Local, SdpError, Section, Simulcast};
use super::source::{Audio, AudioPlan, Video, VideoPlan};
use super::srtp::Profile;
use super::stamp::Stream;
use crate::call::coding::Coding;
use crate::rng::Rng;
use publish::{Encoding, Publisher, Source, Wire};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use subscribe::Subscriber;
use transport::{Incoming, Transport};

/// What a participant does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its number in stamps: one for each publisher of a run.
    pub number: u32,
    /// A microphone.
    pub audio: Option<AudioPlan>,
    /// A camera.
    pub video: Option<VideoPlan>,
    /// Receiving m-lines for sound.
    pub audio_slots: usize,
    /// Receiving m-lines for pictures.
    pub video_slots: usize,
    /// The one SRTP profile that is offered.
    pub profile: Profile,
    /// Between two transport-wide feedbacks; zero for none, which is not offered then.
    pub feedback: Duration,
    /// The codec of pictures that is offered.
    pub coding: Coding,
    /// By TCP, where the server has it, and not by UDP.
    pub by_tcp: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            number: 0,
            audio: None,
            video: None,
            audio_slots: 0,
            video_slots: 0,
            profile: Profile::Gcm,
            feedback: Duration::from_millis(100),
            coding: Coding::Vp8,
            by_tcp: false,
        }
    }
}

/// RIDs of a simulcast, the smallest first.
const RIDS: [&str; 3] = ["q", "h", "f"];

/// The least between two feedbacks and looks at whether a key frame is needed.
const FEEDBACK_EVERY: Duration = Duration::from_millis(20);

/// Between two looks at what is missing, while something is.
const REPAIR_EVERY: Duration = Duration::from_millis(10);

/// Between two reports.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// A session description to be taken to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its text.
    pub sdp: String,
    /// What its sending m-lines are.
    pub tracks: Vec<(String, Kind)>,
}

/// How a participant is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// The server's address that has answered a check.
    pub reached: Option<SocketAddr>,
    /// Since when media can go both ways.
    pub connected: Option<Instant>,
    /// When the first packet came.
    pub first_packet: Option<Instant>,
    /// When the first picture could be shown.
    pub first_picture: Option<Instant>,
    /// Why its transport doesn't work.
    pub failure: Option<TransportError>,
}

/// A participant.
#[derive(Debug)]
pub struct Peer {
    plan: Plan,
    rng: Rng,
    clock: Clock,
    session_id: u64,
    version: u64,
    sections: Vec<Section>,
    transport: Transport,
    publisher: Publisher,
    subscriber: Subscriber,
    /// Our source in feedback.
    ssrc: u32,
    next_feedback: Instant,
    next_report: Instant,
    next_repair: Option<Instant>,
    scratch: Vec<u8>,
}

impl Peer {
    /// Whether it reaches the server by TCP.
    #[must_use]
    pub fn is_by_tcp(&self) -> bool {
        self.plan.by_tcp
    }

    /// A participant that has not offered yet; it differs from others by its seed.
    #[must_use]
    pub fn new(plan: Plan, identity: Identity, clock: Clock, now: Instant, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let transport = Transport::new(identity, (plan.profile, plan.by_tcp), &mut rng);
        // Not all at the same moment.
        let stagger = Duration::from_millis(rng.between(0, 99));
        let mut peer = Self {
            session_id: rng.next_u64() >> 2,
            version: 0,
            sections: Vec::new(),
            transport,
            publisher: Publisher::new(plan.number, clock, stagger / 5),
            subscriber: Subscriber::new(clock, now),
            ssrc: ssrc(&mut rng),
            next_feedback: now + stagger,
            next_report: now + stagger * 10,
            next_repair: None,
            scratch: Vec::new(),
            rng,
            clock,
            plan,
        };
        let (audio, video) = (peer.plan.audio_slots, peer.plan.video_slots);
        if let Some(plan) = peer.plan.audio {
            let source = Source::Audio {
                audio: Audio::new(plan, now),
                past: VecDeque::new(),
            };
            peer.publish(source, Kind::Audio, 1);
        }
        if let Some(plan) = peer.plan.video.clone() {
            let layers = plan.layers.len();
            let source = Source::Video(Video::new(plan, now));
            peer.publish(source, Kind::Video, layers);
        }
        peer.add_slots(audio, video);
        peer
    }

    fn publish(&mut self, source: Source, kind: Kind, layers: usize) {
        let mid = self.sections.len().to_string();
        let rids: Vec<String> = match layers {
            0 | 1 => Vec::new(),
            _ => RIDS
                .iter()
                .take(layers)
                .map(|rid| (*rid).to_owned())
                .collect(),
        };
        let mut encodings = Vec::new();
        let mut sources = Vec::new();
        for layer in 0..layers.clamp(1, RIDS.len()) {
            let rtx = (kind == Kind::Video).then(|| ssrc(&mut self.rng));
            let primary = ssrc(&mut self.rng);
            let [a, b, c, d, e, f, ..] = self.rng.next_u64().to_be_bytes();
            // A rollover of 16 bits comes soon, and is nothing special then.
            let seq = u16::from_be_bytes([a | 0x80, b]);
            let ticks = u32::from_be_bytes([c, d, e, f]);
            encodings.push(Encoding::new(
                primary,
                rtx,
                rids.get(layer).cloned(),
                seq,
                ticks,
            ));
            sources.push((primary, rtx));
        }
        let number = u8::try_from(self.sections.len()).unwrap_or(u8::MAX);
        self.publisher.add(&mid, number, source, encodings);
        self.sections.push(Section {
            mid,
            kind,
            sends: Some(Simulcast { rids, sources }),
        });
    }

    /// Adds receiving m-lines, for the next offer.
    pub fn add_slots(&mut self, audio: usize, video: usize) {
        let kinds = [(Kind::Audio, audio), (Kind::Video, video)];
        for (kind, count) in kinds {
            for _ in 0..count {
                let mid = self.sections.len().to_string();
                self.sections.push(Section {
                    mid,
                    kind,
                    sends: None,
                });
            }
        }
    }

    /// An offer of all that is there now.
    pub fn offer(&mut self) -> Offer {
        self.version += 1;
        let sdp = self.local().offer(&self.sections);
        let tracks = self
            .publisher
            .tracks()
            .map(|(mid, kind)| (mid.to_owned(), kind));
        Offer {
            sdp,
            tracks: tracks.collect(),
        }
    }

    /// The server's answer to the last offer.
    ///
    /// # Errors
    /// [`SdpError`] when it can't be used.
    pub fn handle_answer(&mut self, now: Instant, sdp: &str) -> Result<(), SdpError> {
        let answer = Description::parse(sdp)?;
        self.take(now, &answer);
        Ok(())
    }

    /// A server that offers itself (Janus does to subscribers); gives the answer, which only receives.
    ///
    /// # Errors
    /// [`SdpError`] when it can't be used.
    pub fn handle_offer(&mut self, now: Instant, sdp: &str) -> Result<String, SdpError> {
        let offer = Description::parse(sdp)?;
        self.version += 1;
        let answer = self.local().answer(&offer.media);
        self.take(now, &offer);
        Ok(answer)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let mut next = self.transport.poll_timeout();
        if self.transport.connected().is_some() {
            let timers = [
                Some(self.next_feedback),
                Some(self.next_report),
                self.next_repair,
            ];
            let all = timers.into_iter().chain([self.publisher.poll_timeout()]);
            next = next.into_iter().chain(all.flatten()).min();
        }
        next
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, outlet: &mut Outlet) {
        self.transport.handle_timeout(now, outlet);
        if self.transport.connected().is_none() {
            return;
        }
        let mut wire = Wire {
            transport: &mut self.transport,
            outlet,
            now,
            now_us: self.clock.us(now),
        };
        self.publisher.handle_timeout(&mut wire);
        if self.next_repair.is_some_and(|at| at <= now) {
            self.repair(now, outlet);
        }
        if self.next_feedback <= now {
            self.next_feedback = now + self.plan.feedback.max(FEEDBACK_EVERY);
            self.send_feedback(now, outlet);
        }
        if self.next_report <= now {
            self.next_report = now + REPORT_EVERY;
            self.send_reports(now, outlet);
        }
    }

    /// A datagram came; it is opened in place.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        bytes: &mut [u8],
        outlet: &mut Outlet,
    ) {
        match self.transport.handle_datagram(now, from, bytes, outlet) {
            Incoming::Done => {}
            Incoming::Rtp => {
                self.subscriber
                    .handle_rtp(now, bytes, &mut self.transport, outlet);
                let is_missing = self
                    .subscriber
                    .slots()
                    .iter()
                    .any(|slot| !slot.missing.is_empty());
                if is_missing {
                    self.next_repair.get_or_insert(now + REPAIR_EVERY);
                }
            }
            Incoming::Rtcp(len) => {
                let compound = bytes.get(..len).unwrap_or_default().to_vec();
                self.handle_rtcp(now, &compound, outlet);
            }
        }
    }

    /// Sends no media from now on; what was sent is still sent again when the server asks.
    pub fn stop_sending(&mut self) {
        self.publisher.stop();
    }

    /// Says goodbye and stops.
    pub fn close(&mut self, now: Instant, outlet: &mut Outlet) {
        self.transport.close(now, outlet);
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> Status {
        let (first_packet, first_picture) = self.subscriber.firsts();
        Status {
            reached: self.transport.reached(),
            connected: self.transport.connected(),
            first_packet,
            first_picture,
            failure: self.transport.failure().cloned(),
        }
    }

    /// What it has sent.
    #[must_use]
    pub fn sent(&self) -> Sent {
        self.publisher.sent()
    }

    /// The last counter of each of its streams.
    pub fn last(&self, into: &mut BTreeMap<Stream, u32>) {
        self.publisher.last(into);
    }

    /// What it has received; with all publishers' last counters, what did not come at the end is missing.
    #[must_use]
    pub fn received(&self, last: Option<&BTreeMap<Stream, u32>>) -> Received {
        self.subscriber.received(&self.transport, last)
    }

    fn local(&self) -> Local<'_> {
        Local {
            session_id: self.session_id,
            version: self.version,
            credentials: &self.transport.credentials,
            fingerprint: self.transport.fingerprint(),
            has_red: self.plan.audio.is_none_or(|audio| audio.has_red),
            has_feedback: !self.plan.feedback.is_zero(),
            coding: self.plan.coding,
        }
    }

    fn take(&mut self, now: Instant, remote: &Description) {
        self.transport.handle_remote(now, remote, &mut self.rng);
        for media in &remote.media {
            self.publisher.handle_answer(media);
            self.subscriber.handle_media(media);
        }
    }
}

/// A source's number; not 0, which some take for none.
fn ssrc(rng: &mut Rng) -> u32 {
    u32::try_from(rng.between(1, u64::from(u32::MAX))).unwrap_or(1)
}
